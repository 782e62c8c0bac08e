"""What is remembered between readings, and where it ends."""

from typing import Any

import pytest

from blnk_exporter.ledger_facts.flow import BUCKETS, OPEN_STATUSES, Flow
from blnk_exporter.ledger_facts.following import Bounds, Following

HOUR = 3600.0


def begun(last: int = 0, **bounds: Any) -> Following:
    """A ledger that is followed from a row on, and has no history."""
    known = Following(Bounds(**bounds))
    known.take_rows(rows(last=last), None, now=0.0)
    known.take_journal(rows(last=last), now=0.0)
    return known


def rows(*fresh: list[Any], last: int | None = None) -> dict[str, Any]:
    last = max((row[0] for row in fresh), default=0) if last is None else last
    found = {"last": last, "missing": None, "fresh": [*fresh] or None}
    return found | {"oldest": 100, "next": 100, "most": 50_000, "now": 1000.0}


def walk(known: Following, *found: list[Any], since: float | None = 500.0) -> None:
    """One step back into history, at 1000 of Unix time."""
    before = known.walk_before or 0
    looked = min(known.span, before)
    row = {"looked": looked, "lowest": before - looked + 1 if looked else None}
    known.take_walk(row | {"open": [*found] or None, "since": since}, now=1.0, at=1000.0)


def flow(known: Following, now: float = 1000.0, without_task: int | None = None) -> Flow:
    return known.flow(now, statuses=OPEN_STATUSES, rejections=True, without_task=without_task)


def test_the_first_reading_counts_nothing() -> None:
    """What was there before is not what came."""
    known = Following()
    known.take_rows(rows([5, "APPLIED", "USD", None, None], last=5), {}, now=0.0)
    assert known.transactions == {}
    assert known.rows.position == 5


def test_a_row_and_its_outcome_in_one_reading() -> None:
    """It never waited; the order of ids says nothing of who closes whom."""
    known = begun()
    known.take_rows(rows([1, "APPLIED", "USD", None, [2]], [2, "QUEUED", "USD", 990.0, None]), {}, now=1.0)
    assert known.open["QUEUED"] == {}
    assert known.transactions == {("APPLIED", "USD"): 1, ("QUEUED", "USD"): 1}


def test_open_ones_are_told_when_they_are_due() -> None:
    """A scheduled one that is due tomorrow is nobody's trouble."""
    known = begun()
    walk(known)
    fresh = [
        [1, "QUEUED", "USD", 900.0, None],
        [2, "SCHEDULED", "USD", 2000.0, None],
        [3, "SCHEDULED", "USD", 990.0, None],
    ]
    known.take_rows(rows(*fresh), {}, now=1.0)
    found = flow(known).open
    assert (found["QUEUED"].count, found["QUEUED"].oldest_seconds) == (1, 100.0)
    assert (found["SCHEDULED"].count, found["SCHEDULED"].oldest_seconds) == (1, 10.0)
    assert (found["INFLIGHT"].count, found["INFLIGHT"].oldest_seconds) == (0, None)


def test_nothing_open_is_claimed_before_history_was_looked_at() -> None:
    """Unknown is not zero."""
    known = begun(100_000)
    assert flow(known).open == {}
    walk(known, [99_000, "QUEUED", 400.0], since=300.0)
    told = flow(known)
    assert (told.open["QUEUED"].count, told.complete, told.since) == (1, False, 300.0)


@pytest.mark.parametrize(
    ("bounds", "since", "steps"),
    [({}, 999.0, 5), ({"history_rows": 40_000}, 999.0, 2), ({"history_seconds": 60.0}, 900.0, 1)],
    ids=["the first row", "the bound of rows", "the bound of time"],
)
def test_history_ends(bounds: dict[str, Any], since: float, steps: int) -> None:
    """At the first row, or at a bound; 100,000 rows are five spans."""
    known = begun(100_000, **bounds)
    for step in range(steps):
        assert not known.complete, step
        walk(known, since=since)
    assert known.complete


def test_more_open_ones_than_are_remembered_are_told_and_looked_for_again() -> None:
    """The number is then at least what is told; when there is room, history is walked once more."""
    known = begun(0, open_rows=4)
    walk(known, since=1.0)
    known.take_rows(rows(*([number, "QUEUED", "USD", 900.0, None] for number in range(1, 7))), {}, now=1.0)
    told = flow(known)
    assert (told.open["QUEUED"].count, told.open["QUEUED"].capped, told.open["INFLIGHT"].capped) == (4, True, False)
    known.refill()
    assert known.complete
    known.take_rows(rows([7, "APPLIED", "USD", None, [1, 2, 3]]), {}, now=2.0)
    known.refill()
    assert (known.complete, known.walk_before, known.open["QUEUED"], known.capped) == (False, 7, {}, set())


def test_currencies_beyond_the_bound_are_one() -> None:
    """A client may send any text as a currency."""
    known = begun(0, currencies=2)
    known.know(["EUR"])
    fresh = [[1, "APPLIED", "USD", None, None], [2, "APPLIED", "GBP", None, None], [3, "APPLIED", "x" * 17, None, None]]
    known.take_rows(rows(*fresh, [4, "NEW", None, None, None]), {}, now=1.0)
    assert known.transactions == {("APPLIED", "USD"): 1, ("APPLIED", "other"): 2, ("other", "other"): 1}
    assert flow(known).currencies == ("EUR", "USD")


def test_waits_fall_into_buckets() -> None:
    """A bound belongs to its bucket; clocks that differ by a little are no negative time."""
    known = begun()
    waits = [-0.2, 0.05, 0.06, 7200.0, 7200.1]
    known.take_journal(rows(*([n, "INSERT", "APPLIED", wait] for n, wait in enumerate(waits, 1))), now=1.0)
    counts = dict(zip([*BUCKETS, None], flow(known).latency.counts, strict=True))
    assert {bound: count for bound, count in counts.items() if count} == {0.05: 2, 0.1: 1, 7200.0: 1, None: 1}
    assert flow(known).latency.sum == pytest.approx(14400.21)


def test_clocks_of_another_zone_give_no_latency() -> None:
    """A queued row is written at once: two hours between are a time zone, not a wait."""
    known = begun()
    known.take_journal(rows([1, "INSERT", "QUEUED", 2 * HOUR + 0.1], [2, "INSERT", "APPLIED", 2 * HOUR + 3]), now=1.0)
    told = flow(known)
    assert (told.latency, told.skew_seconds, known.clocks_agree) == (None, 2 * HOUR + 0.1, False)
    known.take_journal(rows([3, "INSERT", "QUEUED", 0.1]), now=1.0)
    assert flow(known).latency is not None


def test_a_deletion_is_counted_and_history_walked_again() -> None:
    """The deleted row may be one of those remembered as open."""
    known = begun()
    walk(known, since=1.0)
    known.take_rows(rows([1, "QUEUED", "USD", 900.0, None]), {}, now=1.0)
    known.take_journal(rows([1, "DELETE", None, None]), now=1.0)
    assert known.changes == {"DELETE": 1}
    assert (known.complete, known.open["QUEUED"]) == (False, {})


def test_a_task_is_expected_a_moment_after_its_row() -> None:
    """Blnk writes the row first."""
    known = begun()
    known.take_rows(rows([1, "QUEUED", "USD", 900.0, None]), {}, now=10.0)
    assert known.waiting(12.0) == 0
    assert known.waiting(15.0) == 1


def test_a_reading_that_is_too_dear_asks_for_less_and_later_for_more() -> None:
    """Down to a least, and up again only where that is too little."""
    known = begun(0)
    spans = []
    while known.too_dear():
        spans.append(known.span)
    assert spans == [5_000, 1_000, 200]
    known.take_rows(rows([1, "APPLIED", "USD", None, None]), {}, now=1.0)
    assert known.span == 200
    known.take_rows(rows([2, "APPLIED", "USD", None, None], last=90), {}, now=2.0)
    assert known.span == 1_000
    known.take_rows(rows(last=2), {}, now=3.0)
    assert known.span == 1_000
    known.take_journal(rows([1, "INSERT", None, None], last=9), now=4.0)
    known.take_rows(rows(last=2), {}, now=5.0)
    assert known.span == 5_000


def test_of_several_rows_just_queued_the_nearest_tells_the_clocks_difference() -> None:
    """One that was held up before it committed says nothing of clocks; neither does a clock that is a little ahead."""
    known = begun()
    known.take_journal(rows([1, "INSERT", "QUEUED", -3.0], [2, "INSERT", "QUEUED", 0.5]), now=1.0)
    assert known.skew_seconds == 0.5
    known.take_journal(rows([3, "INSERT", "QUEUED", 40.0], [4, "INSERT", "QUEUED", -0.1]), now=2.0)
    assert known.skew_seconds == -0.1


def test_history_that_reads_as_the_future_began_now_at_the_latest() -> None:
    """Rows of another time zone: to have looked back to tomorrow is no fact."""
    known = begun(100)
    walk(known, since=1000.0 + 9 * HOUR)
    assert flow(known).since == 1000.0


def test_ids_that_were_never_used_are_no_history() -> None:
    """The sequence has jumped: the bound is one of rows, and what is below the jump is still read."""
    known = begun(2_000_000_000, history_rows=1000)
    known.take_walk({"looked": 500, "lowest": 4501, "open": None, "since": 999.0}, now=1.0, at=1000.0)
    assert (known.walk_before, known.walked, known.complete) == (4500, 500, False)
    known.take_walk({"looked": 500, "lowest": 4001, "open": None, "since": 998.0}, now=1.0, at=1000.0)
    assert (known.walk_before, known.complete) == (4000, True)


def test_history_is_walked_as_far_when_it_is_walked_again() -> None:
    """The rows of the first time do not count for the bound of the second."""
    known = begun(100_000, history_rows=40_000)
    for _ in range(2):
        for left in (True, False):
            walk(known, since=999.0)
            assert known.complete is not left
        known.restart()


def test_a_row_that_is_seen_again_is_no_other_one() -> None:
    """Also where no more are remembered: its time is the newer one, and the number is exact."""
    known = begun(0, open_rows=1)
    walk(known)
    known.take_rows(rows([1, "QUEUED", "USD", 900.0, None]), {}, now=1.0)
    walk(known, [1, "QUEUED", 950.0])
    told = flow(known).open["QUEUED"]
    assert (told.count, told.oldest_seconds, told.capped) == (1, 50.0, False)


def test_scheduled_ones_wait_for_their_tasks_too() -> None:
    """Asynq holds them until they are due; a hold has no task."""
    known = begun()
    fresh = [[1, "SCHEDULED", "USD", 2000.0, None], [2, "INFLIGHT", "USD", 900.0, None]]
    known.take_rows(rows(*fresh), {}, now=10.0)
    assert (known.waiting(14.9), known.waiting(15.0)) == (0, 1)


def test_what_has_no_task_is_not_told_before_history_was_looked_at() -> None:
    """Tasks of older rows would be taken for those of the new ones."""
    known = begun(100_000)
    assert flow(known, without_task=0).without_task is None
    walk(known)
    assert flow(known, without_task=3).without_task == 3


def waiting_for_tasks(number: int) -> Following:
    """So many queued rows that are open since long."""
    known = begun()
    walk(known)
    known.take_rows(rows(*([n, "QUEUED", "USD", 900.0, None] for n in range(1, number + 1))), {}, now=0.0)
    return known


def test_at_least_so_many_rows_have_no_task() -> None:
    """None where it cannot be known; nobody waits, nobody lacks one."""
    known = waiting_for_tasks(3)
    assert known.without_task(None, 10.0) is None
    assert known.without_task(1, 10.0) == 2
    assert waiting_for_tasks(3).without_task(5, 10.0) == 0
    assert begun().without_task(None, 10.0) == 0


def test_a_burst_does_not_hide_what_is_lost() -> None:
    """Tasks of rows that have just come are among those that are counted: what was proven before holds for a minute."""
    known = waiting_for_tasks(3)
    assert known.without_task(1, 10.0) == 2
    assert known.without_task(100, 69.0) == 2
    assert known.without_task(100, 71.0) == 0


def test_what_has_an_outcome_is_not_lost() -> None:
    """Of those proven, so many are left as have none; a hold that ends is not one of them."""
    known = waiting_for_tasks(3)
    known.take_rows(rows([4, "INFLIGHT", "USD", 900.0, None]), {}, now=1.0)
    assert known.without_task(0, 10.0) == 3
    known.take_rows(rows([5, "APPLIED", "USD", None, [1, 1, 4]]), {}, now=11.0)
    assert known.without_task(100, 11.0) == 2
    known.restart()
    walk(known, [1, "QUEUED", 900.0])
    assert known.without_task(100, 20.0) == 0


def test_remembered_rows_are_asked_for_again_in_turn() -> None:
    """A hundred of each status, those first that were not asked for longest."""
    known = begun()
    walk(known)
    fresh = [[n, "QUEUED", "USD", 900.0, None] for n in range(1, 251)] + [[251, "INFLIGHT", "USD", 900.0, None]]
    known.take_rows(rows(*fresh), {}, now=1.0)
    asked = []
    for _ in range(3):
        asked.append(known.positions()["open"])
        known.take_open({"found": [[n, "INFLIGHT" if n == 251 else "QUEUED", True] for n in asked[-1]]})
    assert asked == [[*range(1, 101), 251], [*range(101, 201), 251], [*range(201, 251), *range(1, 51), 251]]
    known.take_open({"found": None})
    assert (len(known.open["QUEUED"]), known.went_back) == (250, False)


def test_a_remembered_row_that_was_resolved_unseen_is_forgotten() -> None:
    """Its outcome has an id that was passed long ago; what has become of the others is as it was."""
    known = waiting_for_tasks(2)
    known.take_open({"found": [[1, "QUEUED", False], [2, "QUEUED", True], [77, None, False]]})
    assert (known.open["QUEUED"], known.went_back) == ({2: 900.0}, False)


@pytest.mark.parametrize("now", [None, "APPLIED", "INFLIGHT"], ids=["gone", "another one", "another open one"])
def test_a_remembered_row_that_is_not_there_makes_history_walked_again(now: str | None) -> None:
    """The ledger went back and has passed the place since: rows were written below it that nobody has seen."""
    known = waiting_for_tasks(2)
    known.take_open({"found": [[1, now, now == "INFLIGHT"], [2, "QUEUED", True]]})
    known.refill()
    assert (known.complete, known.walk_before, known.open["QUEUED"]) == (False, 2, {})


def test_only_a_whole_head_is_what_the_next_one_has_to_continue() -> None:
    """A broken one would be taken for the truth from then on."""
    known = begun()
    known.take_chain([{"last_seq": 3, "head": "c", "whole": True}])
    known.take_chain([{"last_seq": 9, "head": "i", "whole": False}])
    known.take_chain([])
    assert known.positions()["sealed"] == (3, "c")
