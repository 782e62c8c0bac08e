"""Follows a table that only grows: every row once, by its id, the one that is committed late too.

An id is taken when a row is inserted and seen when its transaction commits, so ids do not come in order. What is
missing below the newest id seen is asked for again until no transaction is left that could still bring it.
Source: PostgreSQL documentation, chapters 9.17 (sequences never go back) and 9.27.11 (snapshots).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

# A transaction has an id of its own a moment after it took a row's id; it may be held up in between.
_PATIENCE_SECONDS = 10.0
_AWAITED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions one reading could see: all below ``oldest`` have ended, none from ``next`` on had begun."""

    oldest: int
    next: int


@dataclass(slots=True)
class _Holes:
    """Missing ids that were noticed together, and the transaction id from which on nobody can fill them."""

    ids: set[int]
    noticed_at: float
    fence: int | None = None


class Tail:
    """One table's position. ``dropped`` counts the missing ids that were given up because there were too many."""

    def __init__(self) -> None:
        self.position: int | None = None
        self.behind = 0
        self.dropped = 0
        self._holes: list[_Holes] = []

    @property
    def awaited(self) -> tuple[int, ...]:
        """The missing ids to ask for again."""
        return tuple(number for holes in self._holes for number in holes.ids)

    def begin(self, last: int, missing: Iterable[int], *, now: float) -> None:
        """Start behind the newest row; of the rows before it only those count that are missing and may yet come."""
        self.position = last
        self._await(set(missing), now)

    def take(self, ids: Sequence[int], last: int, seen: Snapshot, *, now: float) -> set[int]:
        """Which of the rows found are new. ``last`` is the table's newest id, ``now`` a monotonic clock's seconds."""
        if self.position is None:
            raise RuntimeError("a tail begins before it takes")
        if last < self.position:
            # Restored to an earlier state, or its newest rows were deleted: either way the next row has a higher id.
            self._holes.clear()
            self.position, self.behind = last, 0
            return set()
        awaited = {*self.awaited}
        late, ahead = awaited.intersection(ids), sorted({number for number in ids if number > self.position})
        for holes in self._holes:
            holes.ids -= late
        self._await(self._missing(ahead), now)
        self.position = ahead[-1] if ahead else self.position
        self.behind = last - self.position
        self._settle(seen, now)
        return late.union(ahead)

    def _missing(self, ahead: Sequence[int]) -> set[int]:
        ranges = [range(low + 1, high) for low, high in pairwise([self.position or 0, *ahead])]
        missing: set[int] = set()
        for numbers in reversed(ranges):
            kept = numbers[max(0, len(numbers) + len(missing) - _AWAITED_MAX) :]
            self.dropped += len(numbers) - len(kept)
            missing.update(kept)
        return missing

    def _await(self, ids: set[int], now: float) -> None:
        if ids:
            self._holes.append(_Holes(ids, now))
        while len(self._holes) > 1 and sum(len(holes.ids) for holes in self._holes) > _AWAITED_MAX:
            self.dropped += len(self._holes.pop(0).ids)

    def _settle(self, seen: Snapshot, now: float) -> None:
        """Forget what nobody can fill any more: the id belonged to an insert that was rolled back."""
        for holes in self._holes:
            if holes.fence is None and now - holes.noticed_at >= _PATIENCE_SECONDS:
                holes.fence = seen.next
        self._holes = [
            holes for holes in self._holes if holes.ids and (holes.fence is None or seen.oldest < holes.fence)
        ]
