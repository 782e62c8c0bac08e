"""A flight serves requests with different budgets: the longest counts, and the shortest harms no other request."""

import asyncio
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from blnk_exporter import scrape as module
from blnk_exporter.collector import Collector, Reading, Room
from blnk_exporter.flight import Patience
from blnk_exporter.scrape import Memory, Scraper, Snapshot

LONG, SHORT = 60.0, 0.01


@dataclass
class Place:
    """A source that answers once ``opened`` is set, after ``farewell`` where it was cancelled before."""

    address: str = "a:1"
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    farewell: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    under_way: int = 0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> Reading:
        """Count, and wait."""
        self.asked += 1
        self.under_way += 1
        assert self.under_way == 1, "two readings of one source at once"
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.farewell.wait()
            raise
        finally:
            self.under_way -= 1
        return Reading()


def scraper(*places: Place, memory: Memory | None = None) -> Scraper:
    collector = Collector(name="one", help="Waits.", metrics=(), read=Place.read, samples=lambda _: iter(()))
    return Scraper([Room(collector, places)], memory=memory)


def succeeded(snapshot: Snapshot) -> bool:
    (outcome,) = snapshot.outcomes
    return outcome.failure is None


def detail(snapshot: Snapshot) -> str:
    return str(snapshot.outcomes[0].failure)


async def test_longer_budget_extends_a_flight_that_an_impatient_request_began() -> None:
    """The impatient request gets its verdict; the reading goes on for the other one and is not made twice."""
    places = Place("a:1"), Place("b:2")
    made = scraper(*places)
    impatient = asyncio.create_task(made.scrape(budget_seconds=SHORT))
    patient = asyncio.create_task(made.scrape(budget_seconds=LONG))
    assert not succeeded(await impatient)
    for place in places:
        place.opened.set()
    assert succeeded(await patient)
    assert [place.asked for place in places] == [1, 1]
    assert made.outcomes["one"].failure is None


@pytest.mark.parametrize("order", [(SHORT, LONG), (LONG, SHORT)])
async def test_verdict_for_an_impatient_request_leaves_no_trace(order: tuple[float, float]) -> None:
    """Not in the log, not in the last outcome, not among the changes: others give the source more time."""
    memory, place = Memory(), Place()
    made = scraper(place, memory=memory)
    with capture_logs() as logs:
        requests = {budget: asyncio.create_task(made.scrape(budget_seconds=budget)) for budget in order}
        hasty = await requests[SHORT]
        assert (succeeded(hasty), hasty.outcomes[0].cut_short) == (False, True)
        assert (logs, made.outcomes, memory.news.changes) == ([], {}, [])
        place.opened.set()
        assert succeeded(await requests[LONG])
    assert [line["event"] for line in logs] == ["collector works"]


async def test_impatient_request_alone_between_patient_ones_leaves_no_trace() -> None:
    """Its flight ends before a patient request comes; the budget of the one before still counts."""
    memory, place = Memory(), Place()
    place.opened.set()
    place.farewell.set()
    made = scraper(place, memory=memory)
    with capture_logs() as logs:
        assert succeeded(await made.scrape(budget_seconds=LONG))
        place.opened.clear()
        for _ in range(3):
            assert not succeeded(await made.scrape(budget_seconds=SHORT))
        place.opened.set()
        assert succeeded(await made.scrape(budget_seconds=LONG))
    assert [line["event"] for line in logs] == ["collector works"]
    assert memory.news.changes == []


async def test_timeout_of_the_only_budget_there_is_counts() -> None:
    """One Prometheus with a short timeout must still see, in log and page, that a source hangs."""
    memory, place = Memory(), Place()
    place.farewell.set()
    made = scraper(place, memory=memory)
    with capture_logs() as logs:
        for _ in range(3):
            snapshot = await made.scrape(budget_seconds=SHORT)
    assert [line["event"] for line in logs] == ["collector failed"]
    assert (snapshot.outcomes[0].cut_short, made.outcomes["one"].failure is None) == (False, False)


async def test_requests_that_overlap_do_not_extend_a_hanging_reading_for_ever() -> None:
    """Two Prometheus servers, each of whose scrapes begins during one of the other: recovery must be found."""
    place = Place()
    place.farewell.set()
    made = scraper(place)
    rounds: list[asyncio.Task[Snapshot]] = []
    with capture_logs() as logs:
        for _ in range(6):
            rounds.append(asyncio.create_task(made.scrape(budget_seconds=0.4)))
            await asyncio.sleep(0.3)
            if place.asked > 1:
                place.opened.set()
        assert succeeded((await asyncio.gather(*rounds))[-1])
    assert place.asked > 1
    assert [line["event"] for line in logs][:1] == ["collector failed"]


async def test_time_kept_for_rendering_is_not_impatience() -> None:
    """It differs from scrape to scrape: each timeout would look like one of a shorter budget, and none would count."""
    memory, place = Memory(), Place()
    place.farewell.set()
    made = scraper(place, memory=memory)
    with capture_logs() as logs:
        for kept in (0.0, SHORT / 4, SHORT / 8):
            snapshot = await made.scrape(budget_seconds=SHORT, kept_seconds=kept)
            assert not snapshot.outcomes[0].cut_short
    assert [line["event"] for line in logs] == ["collector failed"]


async def test_request_with_time_left_is_not_given_an_expired_outcome() -> None:
    """A flight that is still cleaning up after its deadline is waited for; then the source is asked again."""
    place = Place()
    made = scraper(place)
    assert not succeeded(await made.scrape(budget_seconds=SHORT))
    await place.cancelled.wait()
    patient = [asyncio.create_task(made.scrape(budget_seconds=LONG)) for _ in range(5)]
    await asyncio.sleep(0)
    place.opened.set()
    place.farewell.set()
    assert all(map(succeeded, await asyncio.gather(*patient)))
    assert place.asked == 2


async def test_stop_ends_readings_with_a_verdict_that_leaves_no_trace() -> None:
    """What was read stays; what was not says why, to requests of before and after."""
    memory, place, done = Memory(), Place("hangs"), Place("answers")
    done.opened.set()
    place.farewell.set()
    made = scraper(done, place, memory=memory)
    with capture_logs() as logs:
        waiting = [asyncio.create_task(made.scrape(budget_seconds=LONG)) for _ in range(20)]
        await asyncio.sleep(0)
        made.stop(asyncio.get_running_loop().time())
        snapshots = await asyncio.gather(*waiting)
        snapshots.append(await made.scrape(budget_seconds=LONG))
    assert {detail(snapshot) for snapshot in snapshots} == {"the exporter is stopping"}
    assert [[bool(result.reading) for result in snapshot.outcomes[0].results] for snapshot in snapshots[:20]] == [
        [True, False]
    ] * 20
    assert (logs, made.outcomes, memory.news.changes) == ([], {}, [])


async def test_a_large_reading_lets_the_loop_turn() -> None:
    """A request with a deadline is answered although another collector makes a hundred thousand samples."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    metric = module.AGE
    place = Place()
    place.opened.set()
    collector = Collector(
        name="one",
        help="Is large.",
        metrics=(),
        read=Place.read,
        samples=lambda _: (sample for n in range(20_000) for sample in metric(n, collector=str(n))),
    )
    made = Scraper([Room(collector, (place,))])
    turning = asyncio.create_task(turn())
    snapshot = await made.scrape(budget_seconds=LONG)
    turning.cancel()
    assert len(snapshot.outcomes[0].samples) == 20_000
    assert turns > 20


def test_the_longest_budget_of_the_last_minutes() -> None:
    """Two Prometheus servers of which one is gone: the other one's budget counts again after a while."""
    patience = Patience()
    assert patience.longest_seconds(1000) == 0
    patience.note(10, 1000)
    patience.note(1, 1090)
    assert patience.longest_seconds(1110) == 10
    patience.note(1, 1110)
    assert patience.longest_seconds(1110 + 200) == 1
    assert patience.longest_seconds(1110 + 1000) == 0
