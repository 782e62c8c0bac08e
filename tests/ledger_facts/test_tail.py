"""Every row once: in order, late, never, too many, and after the table went back."""

import random

import pytest

from blnk_exporter.ledger_facts.tail import Snapshot, Tail

QUIET = Snapshot(100, 100)


def begun(last: int = 10, missing: tuple[int, ...] = ()) -> Tail:
    tail = Tail()
    tail.begin(last, missing, now=0.0)
    return tail


def take(tail: Tail, ids: list[int], last: int, seen: Snapshot = QUIET, *, now: float, late_max: int = 100) -> set[int]:
    return tail.take(ids, last, seen, now=now, late_max=late_max)


def awaited(tail: Tail) -> list[int]:
    """Every missing id."""
    return [number for gap in tail.awaited for number in gap]


def test_new_rows_are_taken_once() -> None:
    """What was taken is not new when it comes again."""
    tail = begun(10)
    assert take(tail, [11, 12], 12, QUIET, now=1.0) == {11, 12}
    assert take(tail, [11, 12, 13], 13, QUIET, now=2.0) == {13}
    assert (tail.position, tail.behind, tail.awaited) == (13, 0, ())


def test_a_late_commit_is_asked_for_and_taken_once() -> None:
    """Its id is lower than that of a row that was seen before it."""
    tail = begun(10)
    assert take(tail, [12], 12, Snapshot(90, 100), now=1.0) == {12}
    assert awaited(tail) == [11]
    assert take(tail, [11], 12, Snapshot(101, 101), now=2.0) == {11}
    assert tail.awaited == ()
    assert take(tail, [11], 12, Snapshot(101, 101), now=3.0) == set()


def test_what_was_missing_at_the_beginning_may_still_come() -> None:
    """A transaction that was open when the exporter started is not lost."""
    tail = begun(10, (4, 7))
    assert awaited(tail) == [4, 7]
    assert take(tail, [7], 10, QUIET, now=1.0) == {7}
    assert awaited(tail) == [4]


def test_a_rolled_back_id_is_forgotten_when_nobody_can_bring_it() -> None:
    """Not before those who might have taken it have ended, however long that takes."""
    tail = begun(10)
    take(tail, [12], 12, Snapshot(90, 100), now=0.0)
    take(tail, [], 12, Snapshot(90, 105), now=9.0)
    take(tail, [], 12, Snapshot(90, 110), now=10.0)  # the fence: from 110 on no transaction can
    take(tail, [], 12, Snapshot(109, 500), now=5000.0)
    assert awaited(tail) == [11]
    take(tail, [], 12, Snapshot(110, 500), now=5001.0)
    assert tail.awaited == ()


def test_a_limit_leaves_the_rest_for_the_next_reading() -> None:
    """And says how much it is."""
    tail = begun(0)
    assert take(tail, [1, 2, 3], 50, QUIET, now=1.0) == {1, 2, 3}
    assert (tail.position, tail.behind, tail.awaited) == (3, 47, ())


@pytest.mark.parametrize("leap", [32, 100_000, 2_000_000_000], ids=["a crash", "a restore", "setval"])
def test_a_jump_of_the_sequence_loses_no_row(leap: int) -> None:
    """One gap, however long: nothing is dropped, and it is forgotten once no open transaction can fill it."""
    tail = begun(10)
    high = 10 + leap
    assert take(tail, [11, high], high, Snapshot(90, 100), now=1.0) == {11, high}
    assert (tail.awaited, tail.behind, tail.dropped) == ((range(12, high),), 0, 0)
    take(tail, [], high, Snapshot(90, 120), now=20.0)
    assert take(tail, [high + 1], high + 1, Snapshot(120, 130), now=30.0) == {high + 1}
    assert (tail.awaited, tail.dropped) == ((), 0)


def test_rows_that_come_late_into_a_long_gap_are_each_taken_once() -> None:
    """A large import commits after another session's row; what is left of the gap is still looked up."""
    tail = begun(10)
    take(tail, [1_000_000], 1_000_000, Snapshot(90, 100), now=1.0)
    assert take(tail, [11, 500, 501, 999_999], 1_000_000, Snapshot(90, 100), now=2.0) == {11, 500, 501, 999_999}
    assert tail.awaited == (range(12, 500), range(502, 999_999))
    assert take(tail, [11, 500, 600], 1_000_000, Snapshot(90, 100), now=3.0) == {600}
    assert tail.dropped == 0


def test_an_answer_that_was_cut_off_ends_no_gap() -> None:
    """More late rows than one answer holds: the rest comes with the next one."""
    tail = begun(0)
    take(tail, [10], 10, Snapshot(90, 100), now=0.0)
    take(tail, [], 10, Snapshot(90, 110), now=20.0)
    assert take(tail, [1, 2], 10, Snapshot(110, 120), now=21.0, late_max=2) == {1, 2}
    assert tail.awaited == (range(3, 10),)
    assert take(tail, [3], 10, Snapshot(110, 120), now=22.0, late_max=2) == {3}
    assert tail.awaited == ()


def test_the_number_of_gaps_is_bounded() -> None:
    """The oldest ones are dropped and counted, at the bound none and one over it one."""
    tail = begun(0)
    for start in range(0, 20_000, 5000):
        take(tail, [*range(start + 2, start + 5002, 2)], start + 5000, now=1.0)
    assert (len(tail.awaited), tail.dropped) == (10_000, 0)
    take(tail, [20_002], 20_002, now=1.0)
    assert (len(tail.awaited), tail.dropped) == (10_000, 1)
    assert (tail.awaited[0], tail.awaited[-1]) == (range(3, 4), range(20_001, 20_002))
    take(tail, [*range(20_004, 50_004, 2)], 50_002, now=1.0)
    assert (len(tail.awaited), tail.dropped) == (10_000, 15_001)
    assert tail.awaited[-1] == range(50_001, 50_002)


def test_a_table_that_went_back_is_followed_from_there() -> None:
    """Restored from a backup: the ids after the restored ones are new rows."""
    tail = begun(10)
    take(tail, [12, 20], 20, QUIET, now=1.0)
    assert take(tail, [], 15, QUIET, now=2.0) == set()
    assert (tail.position, tail.awaited) == (15, ())
    assert take(tail, [16], 16, QUIET, now=3.0) == {16}


def test_taking_before_the_beginning_is_a_defect() -> None:
    """It would count a whole ledger."""
    with pytest.raises(RuntimeError):
        take(Tail(), [1], 1, now=0.0)


@pytest.mark.parametrize("seed", range(40))
def test_any_interleaving_of_commits_is_counted_exactly(seed: int) -> None:
    """Writers that take ids, wait, commit or roll back in any order; readings in between, with a limit: a simulation."""
    chance = random.Random(seed)
    tail, committed, taken = begun(0), set(), []
    open_writers: dict[int, int] = {}  # transaction -> row id
    next_transaction, next_id, now = 100, 1, 0.0
    for step in range(600):
        now += chance.random() * 3
        if step < 500 and chance.random() < 0.5:
            open_writers[next_transaction] = next_id
            next_transaction, next_id = next_transaction + 1, next_id + 1
        if open_writers and (step >= 500 or chance.random() < 0.4):
            transaction = chance.choice([*open_writers])
            row = open_writers.pop(transaction)
            if chance.random() < 0.8:
                committed.add(row)
        if chance.random() < 0.3:
            seen = Snapshot(min(open_writers, default=next_transaction), next_transaction)
            ahead = sorted(row for row in committed if row > (tail.position or 0))[: chance.randint(1, 9)]
            late = [row for row in awaited(tail) if row in committed]
            taken += take(tail, [*ahead, *late], max(committed, default=0), seen, now=now)
    for _ in range(80):
        now += 20
        ahead = sorted(row for row in committed if row > (tail.position or 0))
        late = [row for row in awaited(tail) if row in committed]
        seen = Snapshot(next_transaction, next_transaction)
        taken += take(tail, [*ahead, *late], max(committed), seen, now=now)
    assert sorted(taken) == sorted(committed)
    assert (tail.awaited, tail.dropped) == ((), 0)
