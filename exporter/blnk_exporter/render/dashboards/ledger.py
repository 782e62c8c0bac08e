"""The ledger: does money flow, how quickly, what stands still, do the books add up."""

from ..board import Board, Panel, Query, Row, stat
from . import needs
from .ledger_details import CHAIN, LINEAGE, READING, SCHEMA

_RATE = "[$__rate_interval]"
_P95 = "ledger:blnk_ledger_queue_to_apply_seconds:p95_rate15m"
_TECHNICAL = "ledger:blnk_ledger_technical_rejections_per_outcome:ratio_increase15m"
_MOVES = "ledger:blnk_ledger_moves:increase30m"
_WEEK_AGO = f"sum({_MOVES} offset 7d > @{{ledger.throughput_least.warning}})"
_GUARDS = '{trigger=~"(prevent|log)_.+"}'
_OTHERS = '{trigger!~"(prevent|log)_.+"}'
# The alerts look back, and half of an answer is no 0.
_MISMATCHED = "sum(max_over_time(blnk_books_mismatched_balances[5m]))"
_UNBALANCED = "sum(max_over_time(blnk_books_unbalanced_currencies[5m]))"
# Currencies are not told of where rows are older than Blnk 0.15.0, by intent and not for want of an answer.
_BALANCES_ONLY = f'{_MISMATCHED} unless max(blnk_exporter_fact_missing{{collector="books"}}) == 1'
BOOKS = f"({_MISMATCHED} + {_UNBALANCED}) or ({_MISMATCHED} > 0) or ({_UNBALANCED} > 0) or ({_BALANCES_ONLY})"


def _line(expr: str) -> str:
    """One, whether it is a metric's or what stands for it."""
    return f"max by (instance) ({expr})"


_SUMMARY = (
    needs.postgres(),
    stat(
        "Applied",
        "Transactions that are applied per second; holds are not among them.",
        f'sum(rate(blnk_ledger_transactions_total{{status="APPLIED"}}{_RATE}))',
        unit="ops",
    ),
    stat(
        "Oldest queued",
        "How long the oldest queued transaction waits for its outcome; 0: none waits.",
        "max(blnk_ledger_unresolved_oldest_age_seconds) or 0 * (sum(blnk_ledger_unresolved_transactions) == 0)",
        unit="s",
        limit="ledger.unresolved_age",
    ),
    stat(
        "Overdue",
        "Since when a scheduled transaction should have been applied; 0: none is late.",
        "max(blnk_ledger_scheduled_overdue_age_seconds) or 0 * (sum(blnk_ledger_scheduled_overdue_transactions) == 0)",
        unit="s",
        limit="ledger.scheduled_overdue",
    ),
    stat(
        "Without task",
        "Transactions that were accepted and that nobody will work on.",
        "sum(max_over_time(blnk_ledger_transactions_without_task[2m]))",
        limit="ledger.without_task",
    ),
    stat(
        "Books",
        "Balances and currencies that do not add up; the last check may be hours old.",
        BOOKS,
        limit="books.unbalanced",
    ),
    stat(
        "Triggers off",
        "Triggers that keep transactions from being changed, or write the journal, and are missing or switched off.",
        f"sum(1 - blnk_catalog_trigger_active{_GUARDS})",
        limit="catalog.triggers",
    ),
    stat(
        "Hash chain",
        "Whether its record and the transactions that it seals agree.",
        "min(max_over_time(blnk_ledger_chain_head_consistent[2m]))"
        # A ledger that was read, the chain not being what could not be.
        " or 2 + 0 * (min(blnk_ledger_unresolved_transactions)"
        ' unless max(blnk_exporter_fact_missing{collector="ledger",fact=~".*chain.*"}) == 1)',
        states={0: ("BROKEN", "red"), 1: ("WHOLE", "green"), 2: ("NONE", "blue")},
        runbooks=("BlnkLedgerChainHeadInconsistent",),
    ),
)
_FLOW = (
    Panel(
        title="Transactions by status",
        about="Rows per second. QUEUED and SCHEDULED are asked for; APPLIED, INFLIGHT and REJECTED are outcomes.",
        queries=(Query(f"sum by (status) (rate(blnk_ledger_transactions_total{_RATE}))", "{{status}}"),),
        unit="ops",
    ),
    Panel(
        title="From queue to outcome",
        about="From a transaction's creation to its outcome: half, 95 % and 99 % of them were quicker; the alert goes by"
        " a quarter of an hour. No line: no outcome.",
        queries=(
            *(
                Query(
                    f"histogram_quantile({share}, sum by (le) (rate(blnk_ledger_queue_to_apply_seconds_bucket{_RATE})))"
                    " >= 0",
                    f"p{share[2:]:0<2}",
                )
                for share in ("0.5", "0.95", "0.99")
            ),
            Query(f"max({_P95} >= 0)", "p95 of 15 min"),
        ),
        unit="s",
        limit="ledger.latency",
        alerts=("BlnkLedgerLatencyHigh",),
    ),
    Panel(
        title="Moved in half an hour",
        about="Transactions applied or held, now and at the same time a week ago; the line below which it is too few is"
        " there where there was enough to compare with.",
        queries=(
            Query(f"sum({_MOVES})", "now"),
            Query(f"sum({_MOVES} offset 7d)", "a week ago"),
            Query(f"@{{ledger.throughput.warning}} * {_WEEK_AGO}", "too few", limit="ledger.throughput"),
        ),
        alerts=("BlnkLedgerThroughputDropped",),
    ),
    Panel(
        title="Rejections by reason",
        about="Funds and overdraft limits are the customers' affair; every other reason is ours.",
        queries=(Query(f"sum by (reason) (rate(blnk_ledger_rejections_total{_RATE}))", "{{reason}}"),),
        unit="ops",
        stacked=True,
        width=12,
    ),
    Panel(
        title="Rejected for technical reasons",
        about="Share of the outcomes of a quarter of an hour. No line: no outcome.",
        queries=(Query(_TECHNICAL, "{{instance}}"),),
        unit="percentunit",
        limit="ledger.rejections",
        alerts=("BlnkLedgerRejections",),
        width=12,
    ),
)
_WAITING = (
    Panel(
        title="Oldest without an outcome",
        about="How long the oldest queued transaction waits; 0: none does. No line: clocks do not agree.",
        queries=(
            Query(
                _line("blnk_ledger_unresolved_oldest_age_seconds or 0 * (blnk_ledger_unresolved_transactions == 0)"),
                "{{instance}}",
            ),
        ),
        unit="s",
        limit="ledger.unresolved_age",
        alerts=("BlnkLedgerTransactionsUnresolved",),
    ),
    Panel(
        title="Scheduled and overdue",
        about="Since when the first scheduled transaction is due; 0: none is late. No line: Blnk is older than 0.15.0.",
        queries=(
            Query(
                _line(
                    "blnk_ledger_scheduled_overdue_age_seconds or 0 * (blnk_ledger_scheduled_overdue_transactions == 0)"
                ),
                "{{instance}}",
            ),
        ),
        unit="s",
        limit="ledger.scheduled_overdue",
        alerts=("BlnkLedgerScheduledOverdue",),
    ),
    Panel(
        title="Oldest hold",
        about="How long ago the oldest hold was made that nobody committed or voided; 0: none is open.",
        queries=(
            Query(
                _line("blnk_ledger_inflight_oldest_age_seconds or 0 * (blnk_ledger_inflight_transactions == 0)"),
                "{{instance}}",
            ),
        ),
        unit="s",
        limit="ledger.hold_age",
        alerts=("BlnkLedgerHoldsOld",),
    ),
    Panel(
        title="Open transactions",
        about="Queued without an outcome, scheduled and overdue, and holds, as far back as history is known.",
        queries=(
            Query("sum(blnk_ledger_unresolved_transactions)", "queued"),
            Query("sum(blnk_ledger_scheduled_overdue_transactions)", "overdue"),
            Query("sum(blnk_ledger_inflight_transactions)", "held"),
        ),
        width=12,
    ),
    Panel(
        title="Transactions without a task",
        about="Accepted, without an outcome, and no task in Redis is theirs: at least so many are lost or given up. The most"
        " of two minutes each.",
        queries=(Query("max_over_time(blnk_ledger_transactions_without_task[2m])", "{{instance}}"),),
        limit="ledger.without_task",
        alerts=("BlnkLedgerTransactionsWithoutTask",),
        width=12,
    ),
)
_BOOKS = (
    Panel(
        title="What does not add up",
        about="Balances that are not their credits less their debits, and currencies whose balances do not sum up to 0.",
        queries=(
            Query("sum(blnk_books_mismatched_balances)", "balances"),
            Query("sum(blnk_books_unbalanced_currencies)", "currencies"),
        ),
        limit="books.unbalanced",
        alerts=("BlnkBooksBalancesMismatched", "BlnkBooksCurrenciesUnbalanced"),
    ),
    Panel(
        title="Trial balance",
        about="What a currency has too much or too little, in its smallest unit; 0 in double entry. The ten worst.",
        queries=(Query("topk(10, abs(blnk_books_trial_balance))", "{{currency}}"),),
        limit="books.unbalanced",
    ),
    Panel(
        title="Age of the last check",
        about="How long ago the balances were last summed up: what happened since then nobody knows. No line: they never"
        " were.",
        queries=(
            Query('time() - blnk_exporter_collector_last_success_timestamp_seconds{collector="books"}', "{{instance}}"),
        ),
        unit="s",
        limit="books.age",
        alerts=("BlnkBooksStale",),
    ),
    Panel(
        title="Triggers and indexes",
        about="Red: a trigger that guards transactions is off, so they can be changed or leave no trace. Orange: another trigger is missing,"
        " or an index is broken.",
        queries=(
            Query(f"2 * (1 - blnk_catalog_trigger_active{_GUARDS})", "{{trigger}}", limit="catalog.triggers"),
            Query(f"1 - blnk_catalog_trigger_active{_OTHERS}", "{{trigger}}"),
            Query("max(blnk_catalog_invalid_indexes > bool 0)", "indexes"),
        ),
        kind="state-timeline",
        states={0: ("fine", "green"), 1: ("missing or broken", "orange"), 2: ("TRIGGER OFF", "red")},
        alerts=("BlnkCatalogTriggerMissing", "BlnkCatalogSideTriggerMissing", "BlnkCatalogInvalidIndex"),
        width=12,
        height=8,
    ),
    Panel(
        title="Transactions deleted",
        about="Rows of transactions whose deletion the journal tells of, as it was read; Blnk deletes none.",
        queries=(Query(f'increase(blnk_ledger_journal_changes_total{{action="DELETE"}}{_RATE})', "{{instance}}"),),
        limit="ledger.deleted",
        alerts=("BlnkLedgerTransactionsDeleted",),
        width=12,
        height=8,
    ),
)
LEDGER = Board(
    name="ledger",
    title="Ledger",
    question="Does money flow, how quickly, what stands still, and do the books add up?",
    rows=(
        Row(title="Now", panels=_SUMMARY),
        Row(title="Flow", panels=_FLOW),
        Row(title="What waits", panels=_WAITING),
        Row(title="Books and guards", panels=_BOOKS),
        Row(title="Schema, keys and reconciliations", panels=SCHEMA),
        Row(title="What the exporter has read", panels=READING),
        Row(title="Hash chain (where it is switched on)", panels=CHAIN, collapsed=True),
        Row(title="Lineage of funds (where it is used)", panels=LINEAGE, collapsed=True),
    ),
)
