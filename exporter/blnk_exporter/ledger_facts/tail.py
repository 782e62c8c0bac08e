"""Follows a table that only grows: every row once, by its id, the one that is committed late too.

An id is taken when a row is inserted and seen when its transaction commits, so ids do not come in order. What is
missing below the newest id seen is asked for again until no transaction is left that could still bring it.
Missing ids are kept as gaps, runs of consecutive ids: one that a jump of the sequence leaves (``setval``, a crash, a
restore) costs as much as a single missing id, however long it is.
Source: PostgreSQL documentation, chapters 9.17 (sequences never go back) and 9.27.11 (snapshots).
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

# A transaction has an id of its own a moment after it took a row's id; it may be held up in between.
_PATIENCE_SECONDS = 10.0
_GAPS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions one reading could see: all below ``oldest`` have ended, none from ``next`` on had begun."""

    oldest: int
    next: int


@dataclass(slots=True)
class _Noticed:
    """Gaps that were noticed together, and the transaction id from which on none can fill them."""

    gaps: list[range]
    noticed_at: float
    fence: int | None = None

    def take(self, ids: Sequence[int]) -> set[int]:
        """Which of the sorted ids are in the gaps; what is left of a gap stays."""
        found: set[int] = set()
        left: list[range] = []
        for gap in self.gaps:
            inside = ids[bisect_left(ids, gap.start) : bisect_left(ids, gap.stop)]
            found.update(inside)
            left += _between([gap.start - 1, *inside, gap.stop])
        self.gaps = left
        return found


class Tail:
    """One table's position. ``dropped`` counts the gaps that are no longer asked for because there were too many."""

    def __init__(self) -> None:
        self.position: int | None = None
        self.behind = 0
        self.dropped = 0
        self._noticed: list[_Noticed] = []

    @property
    def awaited(self) -> tuple[range, ...]:
        """The gaps to ask for again."""
        return tuple(gap for noticed in self._noticed for gap in noticed.gaps)

    def begin(self, last: int, missing: Iterable[int], *, now: float) -> None:
        """Start behind the newest row; of the rows before it only those count that are missing and may yet come."""
        self.position = last
        gaps: list[range] = []
        for number in sorted({*missing}):
            first = gaps.pop().start if gaps and gaps[-1].stop == number else number
            gaps.append(range(first, number + 1))
        self._await(gaps, now)

    def take(self, ids: Iterable[int], last: int, seen: Snapshot, *, now: float, late_max: int) -> set[int]:
        """Which of the rows found are new.

        ``last`` is the table's newest id, ``now`` a monotonic clock's seconds. ``late_max`` rows out of gaps are as many
        as one answer holds: there may be more of them, so that no gap is forgotten after such an answer.
        """
        if self.position is None:
            raise RuntimeError("a tail begins before it takes")
        if last < self.position:
            # Restored to an earlier state, or its newest rows were deleted: either way the next row has a higher id.
            self._noticed.clear()
            self.position, self.behind = last, 0
            return set()
        found = sorted({*ids})
        known = bisect_left(found, self.position + 1)
        ahead, late = found[known:], set[int]()
        for noticed in self._noticed:
            late |= noticed.take(found[:known])
        self._await(_between([self.position, *ahead]), now)
        self.position = ahead[-1] if ahead else self.position
        self.behind = last - self.position
        if known < late_max:
            self._settle(seen, now)
        return late.union(ahead)

    def _await(self, gaps: list[range], now: float) -> None:
        if gaps:
            self._noticed.append(_Noticed(gaps, now))
        excess = sum(len(noticed.gaps) for noticed in self._noticed) - _GAPS_MAX
        for noticed in self._noticed:
            most = max(0, min(excess, len(noticed.gaps)))
            del noticed.gaps[:most]
            excess -= most
            self.dropped += most

    def _settle(self, seen: Snapshot, now: float) -> None:
        """Forget what no transaction can fill any more: the id belonged to an insert that was rolled back, or to none."""
        for noticed in self._noticed:
            if noticed.fence is None and now - noticed.noticed_at >= _PATIENCE_SECONDS:
                noticed.fence = seen.next
        self._noticed = [
            noticed
            for noticed in self._noticed
            if noticed.gaps and (noticed.fence is None or seen.oldest < noticed.fence)
        ]


def _between(numbers: Sequence[int]) -> list[range]:
    """The gaps between sorted numbers."""
    return [range(low + 1, high) for low, high in pairwise(numbers) if high - low > 1]
