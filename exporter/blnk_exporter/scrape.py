"""Every source at once under one deadline; one shared flight per collector; exactly one outcome each."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from .collector import Collector, Outcome, Result, Room, Source
from .errors import REASONS, ReadingError, TimedOut, TooDear, UnknownCollector
from .history import History
from .metric import Metric, Sample
from .news import News

T = TypeVar("T")

# A flight that outlives its deadline by this much is given up, so that a defect cannot close the gate for good.
_GRACE_SECONDS = 5.0
_PUT_OFF_SECONDS_MAX = 300.0

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


@dataclass
class _Flight:
    task: asyncio.Task[Outcome]
    deadline: float


@dataclass
class Memory:
    """What outlives a change of configuration: when each collector last worked, what was last said of it, key figures.

    ``scraped_at`` is when the last scrape completed, in Unix time; None before the first.
    """

    last_success: dict[str, float] = field(default_factory=dict)
    news: News = field(default_factory=News)
    history: History = field(default_factory=History)
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
        self._flights: dict[str, _Flight] = {}
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

    async def scrape(self, *, budget_seconds: float, names: frozenset[str] | None = None) -> Snapshot:
        """One outcome for each of the named collectors, all of them by default, within the budget."""
        now = asyncio.get_running_loop().time
        started = now()
        rooms = [room for name, room in self._rooms.items() if names is None or name in names]
        found = dict(self._resting(rooms))
        flights = [
            (room, self._join(room, started + budget_seconds)) for room in rooms if room.collector.name not in found
        ]
        if flights:
            # A caller that leaves does not end a flight; a follower with less patience gets a verdict of its own.
            await asyncio.wait([flight.task for _, flight in flights], timeout=budget_seconds + 0.05)
        for room, flight in flights:
            found[room.collector.name] = await self._landed(room, flight.task, now() - started)
        return Snapshot(
            tuple(found[room.collector.name] for room in rooms),
            self.enabled,
            dict(self._memory.last_success),
            self._clock(),
        )

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

    async def _landed(self, room: Room, task: asyncio.Task[Outcome], duration_seconds: float) -> Outcome:
        if task.done() and not task.cancelled():
            return task.result()
        late = TimedOut("no reading within this scrape's budget")
        return await self._sum_up(room, [Result(source, failure=late) for source in room.sources], duration_seconds)

    def _join(self, room: Room, deadline: float) -> _Flight:
        name, now = room.collector.name, asyncio.get_running_loop().time()
        flight = self._flights.get(name)
        if flight and not flight.task.done():
            if now < flight.deadline + _GRACE_SECONDS:
                return flight
            flight.task.cancel()
            self._log.error("a reading ignored its deadline and was given up", collector=name)
        flight = self._flights[name] = _Flight(asyncio.create_task(self._run(room, deadline), name=name), deadline)
        return flight

    async def _run(self, room: Room, deadline: float) -> Outcome:
        started = asyncio.get_running_loop().time()

        async def one(source: Source) -> Result[Any]:
            reading, failure = await self._attempt(room.collector, room.collector.read(source), deadline)
            return Result(source, reading, failure)

        first, *others = room.sources
        results = await asyncio.gather(one(first), *map(one, others)) if others else [await one(first)]
        outcome = await self._sum_up(room, results, asyncio.get_running_loop().time() - started)
        # The late word of a flight that was given up is no news.
        if self._flights[room.collector.name].task is asyncio.current_task():
            self._note(outcome)
        return outcome

    async def _sum_up(self, room: Room, results: list[Result[Any]], duration_seconds: float) -> Outcome:
        async def samples() -> tuple[Sample, ...]:
            return tuple(room.collector.samples(results))

        found, defect = await self._attempt(room.collector, samples(), float("inf"))
        if defect:
            results = [Result(result.source, failure=defect) for result in results]
        told = (result.reading.read_at for result in results if result.reading)
        read_at = min((moment for moment in told if moment is not None), default=self._clock())
        return Outcome(room.collector, tuple(results), found or (), duration_seconds, read_at)

    async def _attempt(
        self, collector: Collector[Any], work: Awaitable[T], deadline: float
    ) -> tuple[T | None, ReadingError | None]:
        """What the work gave, or the failure it ended in; never raises but for cancellation."""
        try:
            async with asyncio.timeout_at(deadline if deadline < float("inf") else None):
                return await work, None
        except TimeoutError:
            return None, TimedOut("no answer within the scrape's budget")
        except ReadingError as error:
            return None, error
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
