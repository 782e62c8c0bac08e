"""Every row once: in order, late, never, too many, and after the table went back."""

import random

import pytest

from blnk_exporter.ledger_facts.tail import Snapshot, Tail

QUIET = Snapshot(100, 100)


def begun(last: int = 10, missing: tuple[int, ...] = ()) -> Tail:
    tail = Tail()
    tail.begin(last, missing, now=0.0)
    return tail


def test_new_rows_are_taken_once() -> None:
    """What was taken is not new when it comes again."""
    tail = begun(10)
    assert tail.take([11, 12], 12, QUIET, now=1.0) == {11, 12}
    assert tail.take([11, 12, 13], 13, QUIET, now=2.0) == {13}
    assert (tail.position, tail.behind, tail.awaited) == (13, 0, ())


def test_a_late_commit_is_asked_for_and_taken_once() -> None:
    """Its id is lower than that of a row that was seen before it."""
    tail = begun(10)
    assert tail.take([12], 12, Snapshot(90, 100), now=1.0) == {12}
    assert tail.awaited == (11,)
    assert tail.take([11], 12, Snapshot(101, 101), now=2.0) == {11}
    assert tail.awaited == ()
    assert tail.take([11], 12, Snapshot(101, 101), now=3.0) == set()


def test_what_was_missing_at_the_beginning_may_still_come() -> None:
    """A transaction that was open when the exporter started is not lost."""
    tail = begun(10, (4, 7))
    assert sorted(tail.awaited) == [4, 7]
    assert tail.take([7], 10, QUIET, now=1.0) == {7}
    assert tail.awaited == (4,)


def test_a_rolled_back_id_is_forgotten_when_nobody_can_bring_it() -> None:
    """Not before those who might have taken it have ended, however long that takes."""
    tail = begun(10)
    tail.take([12], 12, Snapshot(90, 100), now=0.0)
    tail.take([], 12, Snapshot(90, 105), now=9.0)
    tail.take([], 12, Snapshot(90, 110), now=10.0)  # the fence: from 110 on nobody can
    tail.take([], 12, Snapshot(109, 500), now=5000.0)
    assert tail.awaited == (11,)
    tail.take([], 12, Snapshot(110, 500), now=5001.0)
    assert tail.awaited == ()


def test_a_limit_leaves_the_rest_for_the_next_reading() -> None:
    """And says how much it is."""
    tail = begun(0)
    assert tail.take([1, 2, 3], 50, QUIET, now=1.0) == {1, 2, 3}
    assert (tail.position, tail.behind, tail.awaited) == (3, 47, ())


def test_a_jump_of_the_sequence_is_not_a_million_holes() -> None:
    """The newest ones are asked for again, the others are counted as given up."""
    tail = begun(10)
    assert tail.take([11, 2_000_000_000], 2_000_000_000, QUIET, now=1.0) == {11, 2_000_000_000}
    assert len(tail.awaited) == 10_000
    assert min(tail.awaited) == 2_000_000_000 - 10_000
    assert tail.dropped == 2_000_000_000 - 12 - 10_000


def test_many_small_holes_are_bounded_too() -> None:
    """The oldest are given up first."""
    tail = begun(0)
    for number in range(1, 16):
        tail.take([number * 1000], number * 1000, QUIET, now=float(number))
    assert len(tail.awaited) <= 10_000
    assert tail.dropped == 15 * 999 - len(tail.awaited)
    assert max(tail.awaited) == 14_999


def test_a_table_that_went_back_is_followed_from_there() -> None:
    """Restored from a backup: the ids after the restored ones are new rows."""
    tail = begun(10)
    tail.take([12, 20], 20, QUIET, now=1.0)
    assert tail.take([], 15, QUIET, now=2.0) == set()
    assert (tail.position, tail.awaited) == (15, ())
    assert tail.take([16], 16, QUIET, now=3.0) == {16}


def test_taking_before_the_beginning_is_a_defect() -> None:
    """It would count a whole ledger."""
    with pytest.raises(RuntimeError):
        Tail().take([1], 1, QUIET, now=0.0)


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
            late = [row for row in tail.awaited if row in committed]
            taken += tail.take([*ahead, *late], max(committed, default=0), seen, now=now)
    for _ in range(80):
        now += 20
        ahead = sorted(row for row in committed if row > (tail.position or 0))
        late = [row for row in tail.awaited if row in committed]
        seen = Snapshot(next_transaction, next_transaction)
        taken += tail.take([*ahead, *late], max(committed), seen, now=now)
    assert sorted(taken) == sorted(committed)
    assert (tail.awaited, tail.dropped) == ((), 0)
