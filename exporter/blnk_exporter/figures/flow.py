"""The ledger's counters over the last quarter of an hour, in memory: from one reading no rate can be known."""

from collections import deque
from dataclasses import dataclass, field

from ..collector import Outcome

SLOT_SECONDS = 15
# As long as the rule of BlnkLedgerRejections looks back.
WINDOW_SECONDS = 900.0
_OUTCOMES = frozenset({"APPLIED", "INFLIGHT", "REJECTED"})
_BUSINESS = frozenset({"insufficient_funds", "overdraft_limit"})


@dataclass(frozen=True, slots=True)
class Count:
    """The counters at a time (Unix, seconds).

    ``rejections`` are those for a technical reason and those for one of business; None where reasons cannot be read.
    """

    at: float
    outcomes: float
    rejections: tuple[float, float] | None


@dataclass
class Flow:
    """One count per slot of time; it begins again when a counter does."""

    now: Count | None = None
    """Of the last reading; None where it had no counters."""
    _counts: deque[Count] = field(default_factory=deque)

    def note(self, outcome: Outcome) -> None:
        """Keep the counters of one reading of the ledger; a failed one has none."""
        found, counts = _count(outcome), self._counts
        self.now = found
        if found is None:
            return
        if counts and (found.at < counts[-1].at or found.outcomes < counts[-1].outcomes):
            counts.clear()
        # The last of a slot counts; the oldest one stays for as long as the window needs it.
        if len(counts) > 1 and counts[-1].at // SLOT_SECONDS == found.at // SLOT_SECONDS:
            counts.pop()
        counts.append(found)
        while len(counts) > 2 and counts[1].at <= found.at - WINDOW_SECONDS:
            counts.popleft()

    def span(self, seconds: float) -> tuple[Count, Count] | None:
        """The first and the last count of the latest ``seconds``; None before they are a slot apart."""
        if not self._counts:
            return None
        last = self._counts[-1]
        first = next(count for count in self._counts if count.at >= last.at - seconds)
        return (first, last) if last.at - first.at >= SLOT_SECONDS else None


def _count(outcome: Outcome) -> Count | None:
    outcomes: float | None = None
    rejections: dict[bool, float] = {}
    for sample in outcome.samples:
        name = sample.metric.name
        if name == "blnk_ledger_transactions_total":
            outcomes = (outcomes or 0.0) + (sample.value if sample.labels[0] in _OUTCOMES else 0.0)
        elif name == "blnk_ledger_rejections_total":
            business = sample.labels[0] in _BUSINESS
            rejections[business] = rejections.get(business, 0.0) + sample.value
    if outcomes is None:
        return None
    pair = (rejections.get(False, 0.0), rejections.get(True, 0.0)) if rejections else None
    return Count(outcome.finished_at, outcomes, pair)
