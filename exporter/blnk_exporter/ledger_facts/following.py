"""What is remembered of the ledger between two readings: counts of what came, and what has no outcome yet."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ..metric import Distribution
from .flow import BUCKETS, OPEN_STATUSES, OTHER, STATUSES, Flow, Open, Position
from .tail import Snapshot, Tail

Row = Mapping[str, Any]

_CURRENCY_LENGTH_MAX = 16
_SKEW_SECONDS = 600.0
# A task follows its row within milliseconds; a monotonic clock's seconds.
_ENQUEUE_SECONDS = 5.0
_PROVEN_SECONDS = 60.0
# Open rows of each status that one reading asks for again, those first that were not asked for the longest time.
_ASKED_AGAIN = 100
_SPANS = (20_000, 5_000, 1_000, 200)


def _gaps(tail: Tail) -> list[tuple[int, int]]:
    """What to ask for again: the first and the last id of each gap."""
    return [(gap.start, gap.stop - 1) for gap in tail.awaited]


def _take(tail: Tail, fresh: Iterable[int], row: Row, now: float) -> set[int]:
    """Which of the rows that one answer holds are new."""
    seen = Snapshot(row["oldest"], row["next"])
    return tail.take(fresh, row["last"], seen, now=now, late_max=row["most"])


@dataclass(frozen=True)
class Bounds:
    """How much is remembered: open transactions per status, currencies, rows and seconds back into history."""

    open_rows: int = 50_000
    currencies: int = 30
    history_rows: int = 1_000_000
    history_seconds: float = 30 * 86_400.0


@dataclass
class Following:
    """State of one ledger. Times are Unix seconds; rows come as JSON arrays, described at their SQL."""

    bounds: Bounds = field(default_factory=Bounds)
    rows: Tail = field(default_factory=Tail)
    journal: Tail = field(default_factory=Tail)
    transactions: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    open: dict[str, dict[int, float]] = field(default_factory=lambda: {status: {} for status in OPEN_STATUSES})
    capped: set[str] = field(default_factory=set)
    sealed: tuple[int, str] | None = None
    walk_before: int | None = None
    walked: int = 0
    since: float | None = None
    complete: bool = False
    span: int = _SPANS[0]
    skew_seconds: float | None = None
    zone: str | None = None
    went_back: bool = False
    _currencies: dict[str, None] = field(default_factory=dict)
    _waits: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    _waited_seconds: float = 0.0
    _noticed: dict[int, float] = field(default_factory=dict)
    _proven: list[tuple[float, int]] = field(default_factory=list)
    _closed: int = 0

    def positions(self) -> dict[str, Any]:
        """What the next reading has to know."""
        return {
            "rows": self.rows.position,
            "rows_again": _gaps(self.rows),
            "journal": self.journal.position,
            "journal_again": _gaps(self.journal),
            "open": [number for found in self.open.values() for number in islice(found, _ASKED_AGAIN)],
            "before": self.walk_before,
            "span": self.span,
            "sealed": self.sealed,
        }

    def too_dear(self) -> bool:
        """Ask for less next time; False when it is the least already."""
        smaller = [span for span in _SPANS if span < self.span]
        self.span = smaller[0] if smaller else self.span
        return bool(smaller)

    def _catch_up(self) -> None:
        """Ask for more again where less is too little."""
        larger = [span for span in _SPANS if span > self.span]
        if (self.rows.behind or self.journal.behind) and larger:
            self.span = larger[-1]

    def use_zone(self, zone: str) -> None:
        """The time zone that creation times are read in from now on; what was read in another one is read again."""
        if self.zone not in {None, zone}:
            self.restart()
            self.skew_seconds = None
        self.zone = zone

    def know(self, currencies: Iterable[str]) -> None:
        """Currencies that exist before their first new row comes: their counters begin at 0."""
        for currency in currencies:
            self._currency(currency)

    def take_rows(self, row: Row, reasons: Mapping[int, str] | None, *, now: float) -> None:
        """New rows of ``transactions``; ``reasons`` by id of the rejected ones, None where they cannot be read."""
        self._noticed = {number: at for number, at in self._noticed.items() if now - at < _ENQUEUE_SECONDS}
        if self.rows.position is None:
            self.rows.begin(row["last"], row["missing"] or (), now=now)
            self.walk_before = row["last"]
            return
        self.went_back |= row["last"] < self.rows.position
        fresh = {found[0]: found for found in row["fresh"] or ()}
        new = _take(self.rows, fresh, row, now)
        for number in sorted(new):
            _, status, currency, due, _ = fresh[number]
            self.transactions[status if status in STATUSES else OTHER, self._currency(currency)] += 1
            if status == "REJECTED" and reasons is not None:
                self.rejections[reasons.get(number, "unknown")] += 1
            self._open(number, status, due, now)
        # Only now: a row and its outcome may come in one reading, in either order.
        for number in new:
            self._close(fresh[number][4] or ())
        self._catch_up()

    def take_journal(self, row: Row, *, now: float) -> None:
        """New rows of ``transaction_journal``."""
        if self.journal.position is None:
            self.journal.begin(row["last"], row["missing"] or (), now=now)
            return
        fresh = {found[0]: found for found in row["fresh"] or ()}
        new = _take(self.journal, fresh, row, now)
        written_after, waits = [], []
        for number in new:
            _, action, status, seconds = fresh[number]
            self.changes[action] += 1
            if seconds is None:
                continue
            if status == "QUEUED":
                written_after.append(seconds)
            else:
                waits.append(max(0.0, seconds))
        if written_after:
            # A QUEUED row is written as soon as it is created: what stands between is the clocks' difference.
            self.skew_seconds = min(written_after, key=abs)
        for seconds in waits if self.clocks_agree else ():
            self._wait(seconds)
        if any(fresh[number][1] == "DELETE" for number in new):
            self.restart()

    def take_open(self, row: Row) -> None:
        """What has become of remembered rows; one that is gone, or is another one by now, means that more may be."""
        for number, status, still in row["found"] or ():
            for remembered, found in self.open.items():
                if number not in found:
                    continue
                self.went_back |= status != remembered
                if still:
                    # Behind the others: they come first the next time.
                    found[number] = found.pop(number)
                else:
                    self._close([number])

    def take_chain(self, heads: Iterable[Row]) -> None:
        """The hash chain's head, one row or none. What the next one has to continue is the last that was whole."""
        for row in heads:
            self.sealed = (row["last_seq"], row["head"]) if row["whole"] else self.sealed

    def take_walk(self, row: Row, *, now: float, at: float) -> None:
        """Older rows that have no outcome, from ``before`` downwards. ``at`` is Unix time in seconds."""
        for number, status, due in row["open"] or ():
            self._open(number, status, due, now)
        self.walked += row["looked"]
        # By the rows that are there, so that ids which were never used cost no reading and no part of the bound.
        self.walk_before = row["lowest"] - 1 if row["looked"] else 0
        if row["since"] is not None:
            self.since = min(row["since"], at)
        too_old = self.since is not None and at - self.since > self.bounds.history_seconds
        self.complete = self.walk_before == 0 or too_old or self.walked >= self.bounds.history_rows

    def restart(self) -> None:
        """Forget what is open and walk back again: something was deleted, or not all of it could be remembered."""
        for found in self.open.values():
            found.clear()
        self.capped.clear()
        self._proven.clear()
        self.went_back = False
        self.walk_before, self.walked, self.since, self.complete = self.rows.position, 0, None, False

    def refill(self) -> None:
        """Walk again where rows that were seen are gone, or where the bound had bitten and there is room again."""
        if self.went_back or any(len(self.open[status]) < self.bounds.open_rows // 2 for status in self.capped):
            self.restart()

    def flow(self, now: float, *, statuses: Iterable[str], rejections: bool, without_task: int | None) -> Flow:
        """What is known at Unix time ``now``."""
        journal = self.journal.position is not None
        tails = {"transactions": self.rows, "transaction_journal": self.journal}
        looked = self.since is not None or self.complete
        return Flow(
            transactions=dict(self.transactions),
            currencies=tuple(self._currencies),
            rejections=dict(self.rejections) if rejections else None,
            latency=Distribution(tuple(self._waits), self._waited_seconds) if journal and self.clocks_agree else None,
            skew_seconds=self.skew_seconds,
            changes=dict(self.changes) if journal else None,
            open={status: self._overdue(status, now) for status in statuses if looked},
            complete=self.complete,
            since=self.since,
            without_task=without_task if looked else None,
            positions={
                name: Position(behind=tail.behind, awaited=len(tail.awaited), dropped=tail.dropped)
                for name, tail in tails.items()
                if tail.position is not None
            },
        )

    def waiting(self, now: float) -> int:
        """Queued and scheduled transactions without an outcome whose tasks must be in Redis by now."""
        due = now - _ENQUEUE_SECONDS
        return sum(
            self._noticed.get(number, due) <= due for status in ("QUEUED", "SCHEDULED") for number in self.open[status]
        )

    def without_task(self, tasks: int | None, now: float) -> int | None:
        """At least so many of those that wait have none of ``tasks``; None where their number is not known.

        Tasks of rows that have only just come hide as many. What was proven within a minute holds on, less the rows
        that have had an outcome since.
        """
        waiting = self.waiting(now)
        if not waiting or tasks is None:
            return None if waiting else 0
        self._proven = [(at, number) for at, number in self._proven if now - at < _PROVEN_SECONDS]
        self._proven.append((now, waiting - tasks + self._closed))
        return max(0, *(number - self._closed for _, number in self._proven))

    def _overdue(self, status: str, now: float) -> Open:
        # A queued row waits from the moment it is there, also where its clock is ahead of PostgreSQL's.
        waits = [now - due for due in self.open[status].values() if due <= now or status != "SCHEDULED"]
        oldest = max(0.0, *waits) if waits and self.clocks_agree else None
        return Open(count=len(waits), oldest_seconds=oldest, capped=status in self.capped)

    def _open(self, number: int, status: str, due: float | None, now: float) -> None:
        if due is None:
            return
        # PostgreSQL tells an infinite time as a text.
        found, due = self.open[status], float(due)
        self._noticed[number] = now
        if len(found) < self.bounds.open_rows or number in found:
            found[number] = due
        else:
            self.capped.add(status)

    def _close(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            for status, found in self.open.items():
                if found.pop(number, None) is not None and status != "INFLIGHT":
                    self._closed += 1

    def _currency(self, name: str | None) -> str:
        if name in self._currencies:
            return name or OTHER
        if not name or len(name) > _CURRENCY_LENGTH_MAX or len(self._currencies) >= self.bounds.currencies:
            return OTHER
        self._currencies[name] = None
        return name

    def _wait(self, seconds: float) -> None:
        place = next((place for place, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self._waits[place] += 1
        self._waited_seconds += seconds

    @property
    def clocks_agree(self) -> bool:
        """Whether creation times read as now when rows are new; True while nothing says otherwise."""
        return self.skew_seconds is None or abs(self.skew_seconds) < _SKEW_SECONDS
