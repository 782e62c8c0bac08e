"""All rooms at once: what one does costs the others nothing, and each always has an outcome."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from blnk_exporter import scrape as module
from blnk_exporter.collector import BUDGET_SECONDS, Collector, Gap, Reading, Result, Room
from blnk_exporter.errors import (
    REASONS,
    Malformed,
    ReadingError,
    Refused,
    TimedOut,
    TooDear,
    UnknownCollector,
    Unreachable,
)
from blnk_exporter.metric import Metric, Sample
from blnk_exporter.scrape import Scraper, Snapshot

from .waiting import PATIENCE_SECONDS

UP = Metric("blnk_test_up", "Whether it answered.", ("address",))


@dataclass
class Target:
    """A source that does what a test says, and counts how often it was asked."""

    answer: Callable[[], Awaitable[Reading]]
    address: str = "a:1"
    asked: int = 0

    async def ask(self) -> Reading:
        """Count, and answer."""
        self.asked += 1
        return await self.answer()


@dataclass
class Clock:
    """Unix time that only a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Tell it."""
        return self.now


@dataclass
class Gate:
    """An answer that comes when the test lets it."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> Reading:
        """Wait to be let."""
        self.reached.set()
        await self.opened.wait()
        return Reading()


async def well() -> Reading:
    return Reading()


async def never() -> Reading:
    await asyncio.Event().wait()
    raise AssertionError


def failing(error: Exception) -> Callable[[], Awaitable[Reading]]:
    async def answer() -> Reading:
        raise error

    return answer


def up(results: Sequence[Result[Reading]]) -> Iterator[Sample]:
    for result in results:
        yield from UP(result.reading is not None, address=result.address)


def room(name: str, *targets: Target, interval: float = 0.0, samples: Callable[..., Iterator[Sample]] = up) -> Room:
    collector = Collector(name=name, help="A room.", metrics=(UP,), read=Target.ask, samples=samples)
    return Room(collector, targets, interval)


def value(snapshot: Snapshot, metric: Metric, *labels: str) -> float | None:
    """The one value of a series, None where there is none."""
    found = [sample.value for sample in snapshot.samples() if sample.metric is metric and sample.labels == labels]
    assert len(found) < 2
    return found[0] if found else None


def reason(snapshot: Snapshot, name: str) -> str | None:
    """The reason that the page gives for a collector, and never more than one."""
    reasons = [reason for reason in REASONS if value(snapshot, module.FAILURE, name, reason) == 1]
    assert len(reasons) < 2
    return reasons[0] if reasons else None


async def test_a_reading_knows_the_budget_of_its_scrape() -> None:
    """A limit of a fixed length is too short on a busy machine, and too long for an impatient Prometheus."""
    known = []

    async def look() -> Reading:
        known.append(BUDGET_SECONDS.get())
        return Reading()

    scraper = Scraper([room("one", Target(look))])
    await scraper.scrape(budget_seconds=7)
    # Which an impatient one shares with others.
    await scraper.scrape(budget_seconds=3)
    assert known == [7, 7]
    await scraper.close()


async def test_a_kept_failure_holds_nothing_of_what_was_received() -> None:
    """Its frames do: six failures in a row held 100 MiB of what a hostile server had sent."""

    async def read() -> Reading:
        try:
            int("received")
        except ValueError as error:
            raise Malformed("no") from error
        raise AssertionError

    scraper = Scraper([room("one", Target(read))])
    await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
    failure = scraper.outcomes["one"].results[0].failure
    assert isinstance(failure, Malformed)
    assert (failure.__traceback__, failure.__cause__, failure.__context__) == (None, None, None)
    await scraper.close()


async def test_a_slow_dead_or_buggy_room_costs_the_others_nothing() -> None:
    """The page is needed most when something is broken."""
    scraper = Scraper(
        [
            room("well", Target(well)),
            room("hanging", Target(never)),
            room("dead", Target(failing(Unreachable("nobody there")))),
            room("buggy", Target(failing(ZeroDivisionError("oops")))),
        ]
    )
    with capture_logs() as logs:
        snapshot = await scraper.scrape(budget_seconds=0.5)
    names = [outcome.collector.name for outcome in snapshot.outcomes]
    assert names == ["well", "hanging", "dead", "buggy"]
    assert [reason(snapshot, name) for name in names] == [None, "timeout", "unreachable", "error"]
    assert [value(snapshot, module.SUCCESS, name) for name in names] == [1, 0, 0, 0]
    assert all(value(snapshot, module.DURATION, name) is not None for name in names)
    assert [log["log_level"] for log in logs if log["event"] == "a collector broke"] == ["error"]
    await scraper.close()


async def test_a_defect_in_samples_is_one_rooms_failure() -> None:
    """The pure half of a room can be wrong too; half its samples would be worse than none."""

    def broken(results: Sequence[Result[Reading]]) -> Iterator[Sample]:
        yield from UP(1, address="half")
        raise KeyError("oops")

    scraper = Scraper([room("broken", Target(well), samples=broken), room("well", Target(well))])
    with capture_logs():
        snapshot = await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
    assert reason(snapshot, "broken") == "error"
    assert reason(snapshot, "well") is None
    assert value(snapshot, UP, "half") is None
    assert value(snapshot, UP, "a:1") == 1


async def test_a_defects_text_is_not_shown() -> None:
    """A KeyError may hold anything, a secret too; its kind is enough for the page."""
    scraper = Scraper([room("buggy", Target(failing(KeyError("s3cret"))))])
    with capture_logs():
        snapshot = await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
    assert "s3cret" not in str(snapshot.as_dict())
    assert "KeyError" in str(snapshot.as_dict())


async def test_one_dead_source_of_two_is_told_apart() -> None:
    """Two servers: the living one's samples stay, the collector as a whole did not succeed."""
    scraper = Scraper([room("pair", Target(well, "a:1"), Target(failing(Refused("no")), "b:2"))])
    with capture_logs():
        snapshot = await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
    assert (value(snapshot, UP, "a:1"), value(snapshot, UP, "b:2")) == (1, 0)
    assert reason(snapshot, "pair") == "refused"
    words = snapshot.as_dict()["collectors"]["pair"]
    assert words["failures"] == [{"source": "b:2", "reason": "refused", "detail": "no"}]


async def test_one_hanging_source_of_two_keeps_the_others_reading() -> None:
    """A replica that hangs must not cost the primary's figures."""
    scraper = Scraper([room("pair", Target(well, "a:1"), Target(never, "b:2"))])
    with capture_logs():
        snapshot = await scraper.scrape(budget_seconds=0.5)
    assert (value(snapshot, UP, "a:1"), value(snapshot, UP, "b:2")) == (1, 0)
    assert reason(snapshot, "pair") == "timeout"


async def test_twenty_callers_are_one_flight() -> None:
    """Two Prometheus, a browser and a probe at once are not four times the load."""
    gate = Gate()
    target = Target(gate)
    scraper = Scraper([room("one", target)])
    callers = [asyncio.create_task(scraper.scrape(budget_seconds=PATIENCE_SECONDS)) for _ in range(20)]
    await gate.reached.wait()
    gate.opened.set()
    snapshots = await asyncio.gather(*callers)
    assert target.asked == 1
    assert [value(snapshot, module.SUCCESS, "one") for snapshot in snapshots] == [1] * 20


async def test_a_caller_that_leaves_does_not_end_the_flight() -> None:
    """Prometheus hangs up at its timeout; whoever else waits gets the reading."""
    gate = Gate()
    target = Target(gate)
    scraper = Scraper([room("one", target)])
    leaver, stayer = (asyncio.create_task(scraper.scrape(budget_seconds=PATIENCE_SECONDS)) for _ in range(2))
    await gate.reached.wait()
    leaver.cancel()
    await asyncio.wait([leaver])
    gate.opened.set()
    assert value(await stayer, module.SUCCESS, "one") == 1
    assert target.asked == 1


async def test_a_follower_with_less_patience_gets_its_own_verdict() -> None:
    """It joined a flight of somebody with more time; it is served in its own."""
    gate = Gate()
    target = Target(gate)
    scraper = Scraper([room("one", target)])
    patient = asyncio.create_task(scraper.scrape(budget_seconds=PATIENCE_SECONDS))
    await gate.reached.wait()
    hasty = await scraper.scrape(budget_seconds=0.01)
    assert reason(hasty, "one") == "timeout"
    assert value(hasty, UP, "a:1") == 0
    gate.opened.set()
    assert value(await patient, module.SUCCESS, "one") == 1
    assert target.asked == 1


async def test_a_late_verdict_is_not_remembered() -> None:
    """One impatient caller is no change of state."""
    gate = Gate()
    scraper = Scraper([room("one", Target(gate))])
    patient = asyncio.create_task(scraper.scrape(budget_seconds=PATIENCE_SECONDS))
    await gate.reached.wait()
    with capture_logs() as logs:
        await scraper.scrape(budget_seconds=0.01)
    assert logs == []
    assert scraper.outcomes == {}
    gate.opened.set()
    await patient


async def test_a_flight_that_ignores_cancellation_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect may not close the gate for good, and its late word is not taken for news."""
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.0)
    release, answers = asyncio.Event(), iter(["first", "second"])

    async def stubborn() -> Reading:
        if next(answers) == "second":
            return Reading()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        raise Unreachable("much too late")

    target = Target(stubborn)
    scraper = Scraper([room("one", target)])
    with capture_logs() as logs:
        first = await scraper.scrape(budget_seconds=0.01)
        zombie = scraper._flights["one"].task
        second = await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
        assert (reason(first, "one"), reason(second, "one")) == ("timeout", None)
        assert target.asked == 2
        release.set()
        await asyncio.wait([zombie])
    assert [log["event"] for log in logs] == ["a reading ignored its deadline and was given up", "collector works"]
    assert scraper.outcomes["one"].failure is None


async def test_within_the_grace_the_gate_stays_closed() -> None:
    """A reading that is still tidying up is not doubled."""
    release = asyncio.Event()

    async def tidying() -> Reading:
        try:
            return await never()
        finally:
            await release.wait()

    target = Target(tidying)
    scraper = Scraper([room("one", target)])
    with capture_logs():
        snapshots = [await scraper.scrape(budget_seconds=0.01) for _ in range(3)]
    assert [reason(snapshot, "one") for snapshot in snapshots] == ["timeout"] * 3
    assert target.asked == 1
    release.set()
    with capture_logs():
        await scraper.settled()


async def test_a_slow_room_is_served_again_until_its_interval_is_over() -> None:
    """What is dear to read is read rarely, and its age is told."""
    clock, target = Clock(), Target(well)
    scraper = Scraper([room("dear", target, interval=60)], clock=clock)
    ages = []
    with capture_logs():
        for now in (1000, 1059.5, 1060, 1061):
            clock.now = now
            ages.append(value(await scraper.scrape(budget_seconds=PATIENCE_SECONDS), module.AGE, "dear"))
    assert ages == [0, 59.5, 0, 1]
    assert target.asked == 2


async def test_of_slow_rooms_the_longest_overdue_comes_first() -> None:
    """One in a scrape: two dear statements at once are what a database notices."""
    clock, targets = Clock(), [Target(well), Target(well), Target(well)]
    intervals = (60.0, 90.0, 30.0)
    rooms = [room(f"dear {n}", target, interval=intervals[n]) for n, target in enumerate(targets)]
    scraper = Scraper(rooms, clock=clock)
    asked = []
    with capture_logs():
        for now in (1000, 1100, 1101, 1102, 1103):
            clock.now = now
            await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
            asked.append([target.asked for target in targets])
    assert asked == [[1, 1, 1], [1, 1, 2], [2, 1, 2], [2, 2, 2], [2, 2, 2]]


async def test_a_slow_room_is_put_off_no_longer_than_five_minutes() -> None:
    """Scrapes that are rare would read one room each, and none of them often enough."""
    clock, targets = Clock(), [Target(well), Target(well), Target(well)]
    scraper = Scraper([room(f"dear {n}", target, interval=60) for n, target in enumerate(targets)], clock=clock)
    asked = []
    with capture_logs():
        for now in (1000, 1000 + 60 + 299, 2000):
            clock.now = now
            await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
            asked.append(sum(target.asked for target in targets))
    assert asked == [3, 4, 7]


async def test_a_slow_rooms_failure_is_not_served_again() -> None:
    """A failure of a minute ago is no news; the target may be back."""
    target = Target(failing(Unreachable("gone")))
    scraper = Scraper([room("dear", target, interval=60)], clock=Clock())
    with capture_logs():
        assert reason(await scraper.scrape(budget_seconds=PATIENCE_SECONDS), "dear") == "unreachable"
        target.answer = well
        assert reason(await scraper.scrape(budget_seconds=PATIENCE_SECONDS), "dear") is None
    assert target.asked == 2


async def test_a_slow_room_survives_a_clock_that_is_set_back() -> None:
    """An age below zero would be younger than any interval, for as long as the clock was wrong."""
    clock, target = Clock(5000.0), Target(well)
    scraper = Scraper([room("dear", target, interval=60)], clock=clock)
    with capture_logs():
        await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
        clock.now = 1000.0
        snapshot = await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
    assert target.asked == 2
    assert value(snapshot, module.AGE, "dear") == 0


async def test_a_change_of_state_is_logged_once() -> None:
    """A night of failure is one line, not three thousand; so is its end."""
    target = Target(failing(Unreachable("gone")))
    scraper = Scraper([room("one", target)])
    with capture_logs() as logs:
        for answer in (
            *(failing(Unreachable("gone")), failing(Unreachable("gone")), failing(Refused("no"))),
            *(well, well, failing(TimedOut("late"))),
        ):
            target.answer = answer
            await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
    seen = [(log["log_level"], log["event"], log.get("reason")) for log in logs]
    assert seen == [
        ("warning", "collector failed", "unreachable"),
        ("warning", "collector failed", "refused"),
        ("info", "collector works", None),
        ("warning", "collector failed", "timeout"),
    ]
    assert logs[0]["detail"] == "gone"
    assert logs[0]["collector"] == "one"


async def test_the_last_success_outlives_failures() -> None:
    """Since when is it broken: the first question of the night."""
    clock, target = Clock(), Target(failing(Malformed("nonsense")))
    scraper = Scraper([room("one", target)], clock=clock)
    with capture_logs():
        assert value(await scraper.scrape(budget_seconds=PATIENCE_SECONDS), module.LAST_SUCCESS, "one") is None
        target.answer, clock.now = well, 2000.0
        await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
        target.answer, clock.now = failing(Malformed("nonsense")), 3000.0
        assert value(await scraper.scrape(budget_seconds=PATIENCE_SECONDS), module.LAST_SUCCESS, "one") == 2000.0


async def test_gaps_are_on_the_page_once_each() -> None:
    """A fact missing from two sources for one reason is one series; its words are for people."""

    async def gappy() -> Reading:
        return Reading(gaps=(Gap("b", "refused", "x"), Gap("a", "malformed", "y"), Gap("b", "timeout")))

    scraper = Scraper([room("gappy", Target(gappy, "a:1"), Target(gappy, "b:2"))])
    with capture_logs() as logs:
        snapshot = await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
    found = [sample.labels for sample in snapshot.samples() if sample.metric is module.GAP]
    assert found == [("gappy", "a", "malformed"), ("gappy", "b", "refused"), ("gappy", "b", "timeout")]
    assert reason(snapshot, "gappy") is None
    assert snapshot.as_dict()["collectors"]["gappy"]["missing"][0] == {"fact": "b", "reason": "refused", "detail": "x"}
    assert [log for log in logs if log["event"] == "facts missing"] == [
        {"event": "facts missing", "log_level": "warning", "collector": "gappy", "facts": "b: x; a: y"}
    ]


async def test_each_source_has_its_own_lines() -> None:
    """Of two servers the one that falls is named, and so is the one that comes back first."""
    up = {"a:1": True, "b:2": True}

    def target(address: str) -> Target:
        async def read() -> Reading:
            if not up[address]:
                raise Unreachable("gone")
            return Reading()

        return Target(read, address)

    scraper = Scraper([room("pair", target("a:1"), target("b:2"))])
    told = []
    for state in ((True, True), (False, True), (False, False), (False, True), (True, True), (True, True)):
        up["a:1"], up["b:2"] = state
        with capture_logs() as logs:
            await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
        told.append([(log["event"], log.get("source")) for log in logs])
    assert told == [
        [("collector works", None)],
        [("collector failed", "a:1")],
        [("collector failed", "b:2")],
        [("source works again", "b:2")],
        [("collector works", None)],
        [],
    ]


async def test_the_text_of_a_defect_is_not_logged() -> None:
    """What code stumbled over may be a password: its kind and its place must do."""

    async def broken() -> Reading:
        raise ValueError("CANARY")

    with capture_logs() as logs:
        snapshot = await Scraper([room("broken", Target(broken))]).scrape(budget_seconds=PATIENCE_SECONDS)
    assert "CANARY" not in str(logs) + str(snapshot.as_dict())
    assert (logs[0]["error"], "broken:" in logs[0]["where"]) == ("ValueError", True)


async def test_what_the_server_found_too_dear_is_not_asked_at_every_scrape() -> None:
    """A statement that runs into its limit costs the server that much each time."""
    asked = []

    async def dear() -> Reading:
        asked.append(1)
        raise TooDear("statement timeout")

    scraper = Scraper([Room(room("dear", Target(dear)).collector, (Target(dear),), min_interval_seconds=60)])
    with capture_logs():
        for _ in range(3):
            snapshot = await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
    assert (len(asked), reason(snapshot, "dear")) == (1, "timeout")


async def test_what_is_not_configured_is_not_down() -> None:
    """Switched off and broken are two things: no success, no failure, only enabled 0."""
    scraper = Scraper([room("here", Target(well))], known=("here", "absent"))
    with capture_logs():
        snapshot = await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
    assert (value(snapshot, module.ENABLED, "here"), value(snapshot, module.ENABLED, "absent")) == (1, 0)
    assert value(snapshot, module.SUCCESS, "absent") is None
    assert value(snapshot, module.FAILURE, "absent", "error") is None


async def test_only_the_selected_rooms_are_asked() -> None:
    """collect[]= of one room must not wake the others."""
    one, two = Target(well), Target(well)
    scraper = Scraper([room("one", one), room("two", two)])
    with capture_logs():
        snapshot = await scraper.scrape(budget_seconds=1, names=frozenset({"two"}))
    assert (one.asked, two.asked) == (0, 1)
    assert [outcome.collector.name for outcome in snapshot.outcomes] == ["two"]


@pytest.mark.parametrize(
    ("collect", "exclude", "wanted"),
    [
        ((), (), {"one", "two"}),
        (("one",), (), {"one"}),
        ((), ("one",), {"two"}),
        (("one", "two"), ("two",), {"one"}),
        (("absent",), (), set()),
        ((), ("absent",), {"one", "two"}),
    ],
)
def test_a_selection(collect: tuple[str, ...], exclude: tuple[str, ...], wanted: set[str]) -> None:
    """A known name that is not enabled is no error and no room."""
    scraper = Scraper([room("one", Target(well)), room("two", Target(well))], known=("one", "two", "absent"))
    assert scraper.select(collect, exclude) == wanted


@pytest.mark.parametrize("where", ["collect", "exclude"])
def test_an_unknown_name_is_an_error_that_lists_the_known(where: str) -> None:
    """A slip of the pen read as "all" or as "none" would both be lies."""
    scraper = Scraper([room("one", Target(well))], known=("one", "absent"))
    chosen = {"collect": (), "exclude": ()} | {where: ("on", "one")}
    with pytest.raises(UnknownCollector, match="unknown collector 'on'; known are absent, one"):
        scraper.select(**chosen)


async def test_closing_ends_what_is_under_way() -> None:
    """A stop or reload must not wait for a target that hangs."""
    gate = Gate()
    scraper = Scraper([room("one", Target(gate)), room("two", Target(never))])
    caller = asyncio.create_task(scraper.scrape(budget_seconds=10 * PATIENCE_SECONDS))
    await gate.reached.wait()
    await scraper.close()
    snapshot = await asyncio.wait_for(caller, PATIENCE_SECONDS)
    assert [reason(snapshot, name) for name in ("one", "two")] == ["timeout", "timeout"]


async def test_nothing_piles_up_over_many_scrapes() -> None:
    """A thousand scrapes against a target that hangs hold no more than one did."""
    scraper = Scraper([room("hanging", Target(never)), room("well", Target(well))])
    with capture_logs():
        await scraper.scrape(budget_seconds=0.001)
        before = len(asyncio.all_tasks())
        for _ in range(200):
            await scraper.scrape(budget_seconds=0.0005)
        await scraper.settled()
    assert len(asyncio.all_tasks()) <= before
    assert len(scraper._flights) == 2


async def test_a_timeout_of_the_sources_own_is_a_timeout() -> None:
    """The system's TimeoutError means the same as ours."""
    scraper = Scraper([room("one", Target(failing(TimeoutError())))])
    with capture_logs():
        assert reason(await scraper.scrape(budget_seconds=PATIENCE_SECONDS), "one") == "timeout"


async def test_every_reason_is_one_of_the_closed_set() -> None:
    """The label's values are a contract with the alerts."""
    kinds: list[type[ReadingError]] = [ReadingError, *ReadingError.__subclasses__()]
    assert {kind.reason for kind in kinds} == set(REASONS)
