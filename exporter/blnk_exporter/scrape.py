"""Every source at once under one deadline; one shared flight per collector; exactly one outcome each."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

import structlog

from .collector import BUDGET_SECONDS, Collector, Outcome, Result, Room, Source
from .errors import REASONS, ReadingError, TimedOut, TooDear, UnknownCollector
from .figures import Flow
from .flight import Flight, Patience
from .history import History
from .metric import Metric, Sample
from .news import News

T = TypeVar("T")

# A flight that outlives its deadline by this much is given up, so that a defect cannot close the gate for good.
_GRACE_SECONDS = 5.0
_PUT_OFF_SECONDS_MAX = 300.0
# The loop serves other requests after this many samples of one collector: some milliseconds of work.
_SAMPLES_AT_ONCE = 1_000

ENABLED = Metric(
    "blnk_exporter_collector_enabled",
    "Whether the collector runs: 0 when it is switched off or its target is not configured.",
    ("collector",),
)
SUCCESS = Metric(
    "blnk_exporter_collector_success", "Whether the collector read every one of its sources.", ("collector",)
)
DURATION = Metric("blnk_exporter_collector_duration_seconds", "How long the collector's reading took.", ("collector",))
FAILURE = Metric(
    "blnk_exporter_collector_failure",
    "1 for the reason why the collector failed; 0 for every other reason.",
    ("collector", "reason"),
)
AGE = Metric(
    "blnk_exporter_collector_reading_age_seconds",
    "Age of the collector's reading; well above 0 where a collector is read on an interval of its own.",
    ("collector",),
)
LAST_SUCCESS = Metric(
    "blnk_exporter_collector_last_success_timestamp_seconds",
    "When the collector last read every one of its sources; absent when it never has.",
    ("collector",),
)
GAP = Metric(
    "blnk_exporter_fact_missing",
    "1 for each fact that a source which did answer would not give, with the reason.",
    ("collector", "fact", "reason"),
)
METRICS = (ENABLED, SUCCESS, DURATION, FAILURE, AGE, LAST_SUCCESS, GAP)


@dataclass(frozen=True)
class Snapshot:
    """What one scrape found. ``last_success`` and ``at`` are Unix time in seconds."""

    outcomes: tuple[Outcome, ...]
    enabled: Mapping[str, bool]
    last_success: Mapping[str, float]
    at: float

    def samples(self) -> Iterator[Sample]:
        """The exporter's word on each collector, then the collectors' own samples."""
        for name, enabled in self.enabled.items():
            yield from ENABLED(enabled, collector=name)
        for outcome in self.outcomes:
            yield from self._meta(outcome)
        for outcome in self.outcomes:
            yield from outcome.samples

    @property
    def size(self) -> int:
        """How many samples the collectors have made."""
        return sum(len(outcome.samples) for outcome in self.outcomes)

    def without_large(self, most: int) -> "Snapshot":
        """Return the same with at most this many samples: the largest readings failed, for want of time to render them."""
        left, outcomes = self.size, {outcome.collector.name: outcome for outcome in self.outcomes}
        for outcome in sorted(self.outcomes, key=lambda outcome: -len(outcome.samples)):
            if left > most:
                left -= len(outcome.samples)
                outcomes[outcome.collector.name] = _unrendered(outcome)
        return replace(self, outcomes=tuple(outcomes.values()))

    def as_dict(self) -> dict[str, Any]:
        """The same for programs: collectors with failures and gaps in words, and all samples."""
        return {
            "collectors": {outcome.collector.name: _words(outcome) for outcome in self.outcomes},
            "samples": [sample.as_dict() for sample in self.samples()],
        }

    def _meta(self, outcome: Outcome) -> Iterator[Sample]:
        name, failure = outcome.collector.name, outcome.failure
        yield from SUCCESS(failure is None, collector=name)
        yield from DURATION(outcome.duration_seconds, collector=name)
        yield from AGE(max(0.0, self.at - outcome.finished_at), collector=name)
        yield from LAST_SUCCESS(self.last_success.get(name), collector=name)
        for reason in REASONS:
            yield from FAILURE(failure is not None and failure.reason == reason, collector=name, reason=reason)
        for fact, reason in sorted({(gap.fact, gap.reason) for gap in outcome.gaps}):
            yield from GAP(1, collector=name, fact=fact, reason=reason)


def _keeps(outcome: Outcome) -> bool:
    """Whether an outcome may be served again: what the server gave up as too dear is not asked for at every scrape."""
    return outcome.failure is None or isinstance(outcome.failure, TooDear)


def _unrendered(outcome: Outcome) -> Outcome:
    late = TimedOut("too large to be rendered within the scrape's budget")
    results: tuple[Result[Any], ...] = tuple(Result(result.source, failure=late) for result in outcome.results)
    return replace(outcome, results=results, samples=tuple(outcome.collector.samples(results)), cut_short=True)


def _words(outcome: Outcome) -> dict[str, Any]:
    return {
        "success": outcome.failure is None,
        "duration_seconds": outcome.duration_seconds,
        "failures": [
            {"source": result.address, "reason": result.failure.reason, "detail": str(result.failure)}
            for result in outcome.results
            if result.failure
        ],
        "missing": [{"fact": gap.fact, "reason": gap.reason, "detail": gap.detail} for gap in outcome.gaps],
    }


def _alone(failure: ReadingError) -> ReadingError:
    """Without the frames that it came through: they hold what was received, and an outcome is kept until the next."""
    failure.__traceback__ = failure.__cause__ = failure.__context__ = None
    return failure


@dataclass
class Memory:
    """What outlives a change of configuration: when each collector last worked, what was last said of it, key figures.

    ``scraped_at`` is when the last scrape completed, in Unix time; None before the first.
    """

    last_success: dict[str, float] = field(default_factory=dict)
    news: News = field(default_factory=News)
    history: History = field(default_factory=History)
    flow: Flow = field(default_factory=Flow)
    patience: Patience = field(default_factory=Patience)
    scraped_at: float | None = None


class Scraper:
    """Reads rooms on demand; keeps no foreign fact but the outcomes that an interval lets it serve again."""

    def __init__(
        self,
        rooms: Iterable[Room],
        *,
        known: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
        memory: Memory | None = None,
    ) -> None:
        self._rooms = {room.collector.name: room for room in rooms}
        self._clock = clock
        self._flights: dict[str, Flight] = {}
        self._ends_at = float("inf")
        self._memory = memory or Memory()
        self._log = structlog.get_logger()
        self.enabled: Mapping[str, bool] = {name: name in self._rooms for name in (*known, *self._rooms)}
        self.outcomes: dict[str, Outcome] = {}

    def select(self, collect: Iterable[str], exclude: Iterable[str]) -> frozenset[str]:
        """The enabled collectors that a request asks for; raises UnknownCollector, which lists the known ones."""
        collect, exclude = frozenset(collect), frozenset(exclude)
        if unknown := sorted((collect | exclude) - self.enabled.keys()):
            names = ", ".join(map(repr, unknown))
            raise UnknownCollector(f"unknown collector {names}; known are {', '.join(sorted(self.enabled))}")
        return frozenset(name for name in self._rooms if (not collect or name in collect) and name not in exclude)

    async def scrape(
        self, *, budget_seconds: float, kept_seconds: float = 0.0, names: frozenset[str] | None = None
    ) -> Snapshot:
        """One outcome for each of the named collectors, all of them by default, within the budget.

        ``kept_seconds`` of it are left for what follows. They vary with each request, and say nothing of its patience.
        """
        now = asyncio.get_running_loop().time
        started = now()
        deadline = min(started + budget_seconds - kept_seconds, self._ends_at)
        self._memory.patience.note(budget_seconds, started)
        rooms = [room for name, room in self._rooms.items() if names is None or name in names]
        found = dict(self._resting(rooms))
        waiting: list[tuple[Room, asyncio.Task[Any]]] = []
        successors: list[asyncio.Task[Outcome | None]] = []
        for room in rooms:
            if room.collector.name not in found:
                flight = self._join(room, deadline, budget_seconds)
                if flight.expires_before(deadline):
                    successors.append(asyncio.create_task(self._next(room, flight, deadline, budget_seconds)))
                waiting.append((room, successors[-1] if flight.expires_before(deadline) else flight.task))
        try:
            if waiting:
                # A request that leaves does not end a flight; one with a shorter budget gets its own verdict.
                await asyncio.wait([task for _, task in waiting], timeout=max(0.0, deadline - now()) + 0.05)
        finally:
            for task in successors:
                task.cancel()
        for room, task in waiting:
            found[room.collector.name] = await self._landed(room, task, now() - started)
        return Snapshot(
            tuple(found[room.collector.name] for room in rooms),
            self.enabled,
            dict(self._memory.last_success),
            self._clock(),
        )

    def stop(self, at: float) -> None:
        """End every reading at this time of the loop's clock at the latest, also of requests that are still to come."""
        self._ends_at = at
        for flight in self._flights.values():
            flight.stop(at)

    async def settled(self) -> None:
        """Wait until the readings under way have ended by themselves, at their deadlines at the latest."""
        tasks = [flight.task for flight in self._flights.values()]
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """End the readings that are still under way."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE_SECONDS)

    def _resting(self, rooms: Iterable[Room]) -> Mapping[str, Outcome]:
        """The last outcomes of slow rooms that are served again: of the young ones, and of all that are due but one.

        So dear readings do not come together. One that has been put off for long is read all the same.
        """
        resting, due = {}, []
        for room in rooms:
            last = self.outcomes.get(room.collector.name)
            if room.min_interval_seconds and last and _keeps(last):
                over = self._clock() - last.finished_at - room.min_interval_seconds
                # A clock that was set back would make the outcome younger than any interval.
                if -room.min_interval_seconds <= over < _PUT_OFF_SECONDS_MAX:
                    resting[room.collector.name] = last
                    due += [(over, room.collector.name)] if over >= 0 else []
        if due:
            del resting[max(due)[1]]
        return resting

    async def _landed(self, room: Room, task: asyncio.Task[Outcome | None], duration_seconds: float) -> Outcome:
        if task.done() and not task.cancelled() and (outcome := task.result()):
            return outcome
        late = TimedOut("no reading within this scrape's budget")
        results: list[Result[Any]] = [Result(source, failure=late) for source in room.sources]
        return await self._sum_up(room, results, duration_seconds, cut_short=True)

    def _join(self, room: Room, deadline: float, budget_seconds: float) -> Flight:
        name, now = room.collector.name, asyncio.get_running_loop().time()
        flight = self._flights.get(name)
        if flight and not flight.task.done():
            if now < flight.deadline + _GRACE_SECONDS:
                flight.extend(deadline, budget_seconds)
                return flight
            flight.task.cancel()
            self._log.error("a reading ignored its deadline and was given up", collector=name)
        flight = self._flights[name] = Flight(now, deadline, budget_seconds, stopping=deadline == self._ends_at)
        flight.task = asyncio.create_task(self._run(room, flight), name=name)
        return flight

    async def _next(self, room: Room, flight: Flight, deadline: float, budget_seconds: float) -> Outcome | None:
        """The outcome of the flight, or of the first after it that has this much time, where it ends without an answer."""
        now = asyncio.get_running_loop().time
        started = now()
        while flight.expires_before(deadline):
            until = min(deadline, flight.deadline + _GRACE_SECONDS)
            await asyncio.wait([flight.task], timeout=max(0.0, until - now()))
            if flight.task.done() and not flight.task.cancelled() and (flight.stopping or not flight.expired):
                return flight.task.result()
            deadline = min(deadline, self._ends_at)
            if now() >= deadline:
                return None
            # What is left: a failure after less than the whole budget proves nothing.
            flight = self._join(room, deadline, budget_seconds - (now() - started))
        await asyncio.wait([flight.task])
        return None if flight.task.cancelled() else flight.task.result()

    async def _run(self, room: Room, flight: Flight) -> Outcome:
        started = asyncio.get_running_loop().time()
        # Another request may join: the share of a limit is that of the usual scrape, not of an impatient one.
        BUDGET_SECONDS.set(max(flight.budget_seconds, self._memory.patience.longest_seconds(started)))

        async def one(source: Source) -> Result[Any]:
            reading, failure = await self._attempt(room.collector, room.collector.read(source), flight)
            return Result(source, reading, failure)

        first, *others = room.sources
        results = await asyncio.gather(one(first), *map(one, others)) if others else [await one(first)]
        now = asyncio.get_running_loop().time()
        cut_short = flight.expired and (
            flight.stopping or flight.budget_seconds < self._memory.patience.longest_seconds(now)
        )
        outcome = await self._sum_up(room, results, now - started, cut_short=cut_short)
        # The outcome of a flight that was abandoned is not a change of state.
        if not cut_short and self._flights[room.collector.name] is flight:
            self._note(outcome)
        return outcome

    async def _sum_up(
        self, room: Room, results: list[Result[Any]], duration_seconds: float, *, cut_short: bool = False
    ) -> Outcome:
        async def samples() -> tuple[Sample, ...]:
            iterator = iter(room.collector.samples(results))
            made = some = tuple(islice(iterator, _SAMPLES_AT_ONCE))
            while len(some) == _SAMPLES_AT_ONCE:
                await asyncio.sleep(0)
                some = tuple(islice(iterator, _SAMPLES_AT_ONCE))
                made += some
            return made

        found, defect = await self._attempt(room.collector, samples())
        if defect:
            results = [Result(result.source, failure=defect) for result in results]
        told = (result.reading.read_at for result in results if result.reading)
        read_at = min((moment for moment in told if moment is not None), default=self._clock())
        return Outcome(room.collector, tuple(results), found or (), duration_seconds, read_at, cut_short)

    async def _attempt(
        self, collector: Collector[Any], work: Awaitable[T], flight: Flight | None = None
    ) -> tuple[T | None, ReadingError | None]:
        """What the work gave, or the failure it ended in; never raises but for cancellation."""
        try:
            async with flight.time_limit() if flight else nullcontext():
                return await work, None
        except TimeoutError:
            stopping = flight is not None and flight.stopping
            return None, TimedOut("the exporter is stopping" if stopping else "no answer within the scrape's budget")
        except ReadingError as error:
            return None, _alone(error)
        except Exception as error:  # noqa: BLE001 - the one place where a defect in a room must not cost the others
            # Its text may hold what it stumbled over, a password even: where it stands must do.
            where = " < ".join(
                f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[::-1]
            )
            self._log.error("a collector broke", collector=collector.name, error=type(error).__name__, where=where)
            return None, ReadingError(f"a defect of the exporter: {type(error).__name__}")

    def _note(self, outcome: Outcome) -> None:
        """Remember the outcome, and tell what has changed with it."""
        self.outcomes[outcome.collector.name] = outcome
        if outcome.failure is None:
            self._memory.last_success[outcome.collector.name] = outcome.finished_at
        self._memory.news.tell(outcome)
