"""What has flowed through the ledger up to one reading, and the metrics that tell it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..metric import Distribution, Metric, Sample

# Any other word in the column is OTHER.
STATUSES = ("QUEUED", "SCHEDULED", "INFLIGHT", "APPLIED", "REJECTED", "VOID")
OPEN_STATUSES = ("QUEUED", "SCHEDULED", "INFLIGHT")
OTHER = "other"
REASONS = ("insufficient_funds", "overdraft_limit", "lock_contention", "max_retries", "other", "unknown")
ACTIONS = ("INSERT", "UPDATE", "DELETE")
# From what a hot ledger does to what a night without workers does.
_UPGRADED = "What was written before an upgrade to Blnk 0.15.0 is in the time zone of Blnk's host and read as UTC then."
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 7200.0)


def _metric(name: str, help_: str, source: str, *labels: str, buckets: tuple[float, ...] = ()) -> Metric:
    return Metric(f"blnk_ledger_{name}", help_, labels, source, buckets)


TRANSACTIONS = _metric(
    "transactions_total",
    "Rows written since the exporter began to follow the ledger, by status; a queued transaction is a QUEUED row and later another one with its outcome. Currencies beyond a limit count as other.",
    "transactions.id, status, currency",
    *("status", "currency"),
)
REJECTIONS = _metric(
    "rejections_total",
    "Rejected transactions since the exporter began to follow the ledger.",
    "transactions.meta_data blnk_rejection_reason",
    "reason",
)
LATENCY = _metric(
    "queue_to_apply_seconds",
    "How long queued transactions took from their creation to the database transaction that wrote their outcome, since the exporter began to follow the ledger. Not in it are scheduled ones, and those that were accepted while PostgreSQL was down: they have no queued row.",
    "transaction_journal.timestamp, transactions.created_at",
    buckets=BUCKETS,
)
UNRESOLVED = _metric(
    "unresolved_transactions",
    "Queued transactions without an outcome, as far back as history is known.",
    "transactions.status QUEUED",
)
UNRESOLVED_AGE = _metric(
    "unresolved_oldest_age_seconds",
    f"How long the oldest of them waits; absent when none does, and where clocks or time zones do not agree. {_UPGRADED}",
    "transactions.created_at",
)
SCHEDULED_OVERDUE = _metric(
    "scheduled_overdue_transactions",
    "Scheduled transactions that are due and have no outcome. Since Blnk 0.15.0: before, the time is in each client's own zone.",
    "transactions.status SCHEDULED, scheduled_for",
)
SCHEDULED_OVERDUE_AGE = _metric(
    "scheduled_overdue_age_seconds",
    "Since when the first of them is due; absent when none is.",
    "transactions.scheduled_for",
)
INFLIGHT = _metric(
    "inflight_transactions",
    "Holds that were neither committed in full nor given back, as far back as history is known.",
    "transactions.status INFLIGHT",
)
INFLIGHT_AGE = _metric(
    "inflight_oldest_age_seconds",
    f"How old the oldest of them is; absent when there is none, and where clocks or time zones do not agree. {_UPGRADED}",
    "transactions.created_at",
)
CAPPED = _metric(
    "open_transactions_capped",
    "1 when more transactions of a status are open than are remembered: the number shown is a lower bound.",
    "ledger.open_rows",
    "status",
)
COMPLETE = _metric(
    "history_complete",
    "Whether older rows were looked through for open transactions as far as the limits allow; until then there may be more of them.",
    "transactions.id",
)
SINCE = _metric(
    "history_start_timestamp_seconds",
    "Since when rows were looked through; absent before the first.",
    "transactions.created_at",
)
WITHOUT_TASK = _metric(
    "transactions_without_task",
    "Queued and scheduled transactions without an outcome, less the tasks that asynq has in their queues (archived ones left out): at least so many were accepted and lost or given up. The largest of the last minute, less what has had an outcome since. 0 is no proof: a task counts too that has lost its content, see blnk_queues_stale_lease_tasks, that has only just come, or whose transaction was worked off with another one's.",
    "transactions.status; asynq:queues, LLEN pending, active, ZCARD scheduled, retry",
)
CHANGES = _metric(
    "journal_changes_total",
    "Changes of transactions since the exporter began to follow the ledger; nobody deletes from a ledger.",
    "transaction_journal.action_type",
    "action",
)
BEHIND = _metric(
    "tail_behind_ids", "Ids above the newest row that was read, up to the table's newest row.", "max(id)", "table"
)
AWAITED = _metric(
    "tail_awaited_gaps",
    "Runs of missing ids whose transactions may still commit; they are looked up again.",
    "pg_current_snapshot()",
    "table",
)
DROPPED = _metric(
    "tail_dropped_gaps_total",
    "Runs of missing ids that are no longer looked up, though a transaction may still fill them: there were over 10000.",
    "transactions.id, transaction_journal.id",
    "table",
)
CLOCK = _metric(
    "clock_skew_seconds",
    "PostgreSQL's clock less the creation time of a row just queued; hours of it mean that ledger.timezone is wrong. Absent before the first.",
    "transaction_journal.timestamp, transactions.created_at",
)

_OPEN = {
    "QUEUED": (UNRESOLVED, UNRESOLVED_AGE),
    "SCHEDULED": (SCHEDULED_OVERDUE, SCHEDULED_OVERDUE_AGE),
    "INFLIGHT": (INFLIGHT, INFLIGHT_AGE),
}
METRICS = (
    *(TRANSACTIONS, REJECTIONS, LATENCY, CLOCK, CHANGES, COMPLETE, SINCE),
    *(metric for pair in _OPEN.values() for metric in pair),
    *(CAPPED, WITHOUT_TASK, BEHIND, AWAITED, DROPPED),
)


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far one table was followed."""

    behind: int
    awaited: int
    dropped: int


@dataclass(frozen=True, kw_only=True)
class Open:
    """Transactions of one status that are due and have no outcome; ``oldest_seconds`` is None when there is none."""

    count: int
    oldest_seconds: float | None
    capped: bool


@dataclass(frozen=True, kw_only=True)
class Flow:
    """All of it. None: not read, or not known yet."""

    transactions: Mapping[tuple[str, str], int]
    currencies: tuple[str, ...]
    rejections: Mapping[str, int] | None
    latency: Distribution | None
    skew_seconds: float | None
    changes: Mapping[str, int] | None
    open: Mapping[str, Open]
    complete: bool
    since: float | None
    without_task: int | None
    positions: Mapping[str, Position]


def samples(flow: Flow) -> Iterator[Sample]:
    """Counters of what is known begin at 0, so that the first of a kind is seen as an increase."""
    for currency in (*flow.currencies, OTHER):
        for status in (*STATUSES, OTHER):
            yield from TRANSACTIONS(flow.transactions.get((status, currency), 0), status=status, currency=currency)
    for reason in REASONS if flow.rejections is not None else ():
        yield from REJECTIONS((flow.rejections or {}).get(reason, 0), reason=reason)
    for action in ACTIONS if flow.changes is not None else ():
        yield from CHANGES((flow.changes or {}).get(action, 0), action=action)
    yield from LATENCY.observed(flow.latency)
    yield from CLOCK(flow.skew_seconds)
    yield from COMPLETE(flow.complete)
    yield from SINCE(flow.since)
    for status, (number, age) in _OPEN.items():
        if found := flow.open.get(status):
            yield from number(found.count)
            yield from age(found.oldest_seconds)
            yield from CAPPED(found.capped, status=status)
    yield from WITHOUT_TASK(flow.without_task)
    for table, position in flow.positions.items():
        yield from BEHIND(position.behind, table=table)
        yield from AWAITED(position.awaited, table=table)
        yield from DROPPED(position.dropped, table=table)
