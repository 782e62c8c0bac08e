"""What keeps the ledger true and known: rows of its dashboard."""

from ..board import Panel, Query

_RATE = "[$__rate_interval]"


def _by_release(expr: str) -> str:
    """A number of a deployment, with the release that its schema belongs to."""
    return f"sum by (instance, release) (blnk_catalog_release == 1) * on (instance) group_left () sum by (instance) ({expr})"


SCHEMA = (
    Panel(
        title="Schema of Blnk",
        about="The release that the migrations belong to. Between: a migration stopped half-way. Newer, or before"
        " 0.13.2: the exporter may miss facts or misread them.",
        queries=(
            Query(_by_release("blnk_catalog_migrations_applied"), "migrations"),
            # Blnk names its migrations after the second in which each was begun.
            Query(_by_release("1000 * blnk_catalog_last_migration"), "the last is of", unit="dateTimeAsIso"),
            Query(_by_release("changes(blnk_catalog_migrations_applied[1h])"), "changes in 1 h"),
            Query(_by_release("blnk_catalog_indexes"), "indexes"),
            Query(_by_release("blnk_catalog_invalid_indexes"), "broken"),
        ),
        kind="table",
        alerts=("BlnkCatalogMigrationIncomplete", "BlnkCatalogReleaseUnknown", "BlnkCatalogMigrationChanged"),
        labels=("instance", "release"),
        width=12,
    ),
    Panel(
        title="Ids used up",
        about="Of those that a table's id can have; at 100 % Blnk can write no transaction.",
        queries=(Query("topk(10, blnk_catalog_ids_used_ratio)", "{{table}}"),),
        unit="percentunit",
        limit="catalog.ids_used",
        alerts=("BlnkCatalogIdsRunningOut",),
        width=12,
    ),
    Panel(
        title="Next API key expires in",
        about="The first of those that were used within 30 days; whoever uses it is refused from then on. No line: none of"
        " them expires.",
        queries=(Query("blnk_ledger_api_key_next_expiry_timestamp_seconds - time()", "{{instance}}"),),
        unit="s",
        limit="ledger.api_key_expiry",
        alerts=("BlnkLedgerApiKeyExpiring",),
        width=6,
    ),
    Panel(
        title="API keys",
        about="How many there are of each state.",
        queries=(Query("sum by (state) (blnk_ledger_api_keys)", "{{state}}"),),
        width=6,
    ),
    Panel(
        title="Reconciliation runs for",
        about="The oldest that has not ended; a restart of Blnk leaves it so for ever. No line: none runs.",
        queries=(Query("blnk_ledger_reconciliation_oldest_running_age_seconds", "{{instance}}"),),
        unit="s",
        limit="ledger.reconciliation",
        alerts=("BlnkLedgerReconciliationStuck",),
        width=6,
    ),
    Panel(
        title="Reconciliations",
        about="The last 1000 by status.",
        queries=(Query("sum by (status) (blnk_ledger_reconciliations)", "{{status}}"),),
        width=6,
    ),
)
READING = (
    Panel(
        title="Rows not read yet",
        about="Behind: ids up to the newest row, which the next readings take. Awaited: gaps in the ids that a transaction"
        " may still fill. Dropped: gaps that are no longer looked up; rows that fill them are not counted.",
        queries=(
            Query("max by (table) (blnk_ledger_tail_behind_ids)", "{{table}} behind"),
            Query("max by (table) (blnk_ledger_tail_awaited_gaps)", "{{table}} awaited"),
            Query(f"max by (table) (increase(blnk_ledger_tail_dropped_gaps_total{_RATE}))", "{{table}} dropped"),
        ),
        alerts=("BlnkLedgerTailBehind", "BlnkLedgerTailDropped"),
    ),
    Panel(
        title="Clock skew",
        about="How far Blnk's clock is from PostgreSQL's; by as much are ages and latency wrong. Hours: the wrong time zone."
        " No line: nothing was queued yet.",
        queries=(Query("abs(blnk_ledger_clock_skew_seconds)", "{{instance}}"),),
        unit="s",
        limit="ledger.clock_skew",
        alerts=("BlnkLedgerClockSkew",),
    ),
    Panel(
        title="Seen in full",
        about="In part: more of a status are open than the exporter remembers, or older rows are still being looked"
        " through; what is told of open transactions is the least that there is.",
        queries=(
            Query("max by (status) (blnk_ledger_open_transactions_capped)", "{{status}}"),
            Query("1 - min(blnk_ledger_history_complete)", "history"),
        ),
        kind="state-timeline",
        states={0: ("in full", "green"), 1: ("in part", "blue")},
        alerts=("BlnkLedgerOpenCapped",),
    ),
)
CHAIN = (
    Panel(
        title="Head of the chain",
        about="Whether the chain's record and the transactions that it seals agree. Red: rows or the record were changed"
        " or lost. No line: there is no chain.",
        queries=(Query("1 - blnk_ledger_chain_head_consistent", "{{instance}}"),),
        kind="state-timeline",
        limit="ledger.chain_head",
        states={0: ("whole", "green"), 1: ("BROKEN", "red")},
        alerts=("BlnkLedgerChainHeadInconsistent",),
        width=6,
    ),
    Panel(
        title="Oldest unsealed",
        about="Since when the first unsealed transaction is due; 0: all are sealed. No line: there is no chain.",
        queries=(
            Query(
                "max by (instance) (blnk_ledger_chain_unsealed_age_seconds or 0 * (blnk_ledger_chain_unsealed_ids == 0))",
                "{{instance}}",
            ),
        ),
        unit="s",
        limit="ledger.chain_unsealed",
        alerts=("BlnkLedgerChainUnsealed",),
        width=6,
    ),
    Panel(
        title="Unsealed",
        about="At most so many transactions wait to be sealed; Blnk does it 30 seconds later. No line: there is no chain.",
        queries=(Query("blnk_ledger_chain_unsealed_ids", "{{instance}}"),),
        width=6,
    ),
    Panel(
        title="Sealed",
        about="Transactions per second; an idle ledger seals none. No line: there is no chain.",
        queries=(Query(f"clamp_min(deriv(blnk_ledger_chain_last_sequence{_RATE}), 0)", "{{instance}}"),),
        unit="ops",
        width=6,
    ),
)
LINEAGE = (
    Panel(
        title="Funds no longer traced",
        about="Entries of the lineage outbox that failed for good, or were begun and abandoned.",
        queries=(Query('sum by (state) (blnk_ledger_lineage_entries{state=~"failed|abandoned"})', "{{state}}"),),
        limit="ledger.lineage",
        alerts=("BlnkLedgerLineageFailed",),
    ),
    Panel(
        title="Oldest entry waits for",
        about="How long the oldest pending entry of the lineage outbox waits; 0: none does.",
        queries=(
            Query(
                "max by (instance) (blnk_ledger_lineage_oldest_pending_age_seconds"
                ' or 0 * (sum without (state) (blnk_ledger_lineage_entries{state="pending"}) == 0))',
                "{{instance}}",
            ),
        ),
        unit="s",
        limit="ledger.lineage_pending",
        alerts=("BlnkLedgerLineageStuck",),
    ),
    Panel(
        title="Entries that wait",
        about="Pending entries of the lineage outbox, counted up to 10000.",
        queries=(Query('blnk_ledger_lineage_entries{state="pending"}', "{{instance}}"),),
    ),
)
