"""Locks, vacuum, sizes, replication and statements: rows of the dashboard of PostgreSQL."""

from ..board import Panel, Query

_RATE = "[$__rate_interval]"
_BLNK = '{role="blnk"}'
_OTHER = '{role="other"}'
_GROWS = '{table=~"transactions|transaction_journal|balances|balance_snapshots|ledgers|chain_state"}'
_LARGE = '{table=~"transactions|transaction_journal|balances"}'
_EACH = "by (address, table)"
LOCKS = (
    Panel(
        title="Longest statement of Blnk's",
        about="How long the longest of those that run has been running, at each look; 0: none runs.",
        queries=(Query(f"blnk_postgres_longest_query_seconds{_BLNK}", "{{address}}"),),
        unit="s",
        limit="postgres.slow_query",
        alerts=("BlnkPostgresSlowQuery",),
    ),
    Panel(
        title="Longest wait for a lock",
        about="Age of Blnk's oldest statement that waits for a lock; 0: none waits.",
        queries=(Query(f"blnk_postgres_longest_lock_wait_seconds{_BLNK}", "{{address}}"),),
        unit="s",
        limit="postgres.lock_wait",
        alerts=("BlnkPostgresLockWait",),
    ),
    Panel(
        title="Sessions that wait for a lock",
        about="By whose they are. A moment's wait is normal where many transactions move the same balance.",
        queries=(Query("sum by (role) (blnk_postgres_lock_waits)", "{{role}}"),),
    ),
    Panel(
        title="Deadlocks in an hour",
        about="Each fails one transaction, which Blnk tries again; many are a pattern.",
        queries=(Query("address:blnk_postgres_deadlocks:increase1h", "{{address}}"),),
        limit="postgres.deadlocks",
        alerts=("BlnkPostgresDeadlocks",),
    ),
    Panel(
        title="Blnk idle inside a transaction",
        about="How long a session of Blnk's has done nothing and keeps its locks; 0: none does.",
        queries=(Query(f"blnk_postgres_longest_idle_transaction_seconds{_BLNK}", "{{address}}"),),
        unit="s",
        limit="postgres.idle_transaction",
        alerts=("BlnkPostgresIdleInTransaction",),
    ),
    Panel(
        title="Oldest transaction of Blnk's",
        about="How long it is open. As long as it is, no dead row after it can be cleaned up.",
        queries=(Query(f"blnk_postgres_longest_transaction_seconds{_BLNK}", "{{address}}"),),
        unit="s",
        limit="postgres.long_transaction",
        alerts=("BlnkPostgresLongTransaction",),
    ),
    Panel(
        title="Oldest transaction of others",
        about="Backups and people: they may take hours. The same alert as Blnk's own, with a limit of its own.",
        queries=(Query(f"blnk_postgres_longest_transaction_seconds{_OTHER}", "{{address}}"),),
        unit="s",
        limit="postgres.foreign_transaction",
    ),
)
VACUUM = (
    Panel(
        title="Ids before wraparound",
        about="Part of the transaction ids and multixact ids that is left; without any PostgreSQL refuses all writes.",
        queries=(
            Query("blnk_postgres_transaction_id_headroom_ratio", "transactions {{address}}"),
            Query("address:blnk_postgres_multixact_ids_left:ratio", "multixacts {{address}}"),
        ),
        unit="percentunit",
        limit="postgres.ids_left",
        alerts=("BlnkPostgresWraparound",),
    ),
    Panel(
        title="Share of dead rows",
        about="Of the five tables of Blnk's that have most, what vacuum has yet to clean; 0 as long as the dead are too few to matter.",
        queries=(
            Query(
                "topk(5, max by (table) (tables:blnk_tables_dead:ratio"
                " * (blnk_tables_dead_rows > bool @{tables.dead_least.warning})))",
                "{{table}}",
            ),
        ),
        unit="percentunit",
        limit="tables.dead",
        alerts=("BlnkTablesDeadRows",),
    ),
    Panel(
        title="Who holds cleaning back",
        about="How many transactions back, by what holds it. One that climbs is an open transaction, a standby or a slot. No"
        " line: nobody does.",
        queries=(Query("topk(10, max by (holder) (blnk_postgres_oldest_xmin_age_transactions))", "{{holder}}"),),
    ),
)
TABLES = (
    Panel(
        title="Size with indexes",
        about="The five largest tables; the slope says when the disk is full.",
        queries=(
            Query("topk(5, max by (table) (blnk_tables_size_bytes + blnk_tables_index_size_bytes))", "{{table}}"),
        ),
        unit="bytes",
        stacked=True,
    ),
    Panel(
        title="Rows deleted from what only grows",
        about="Blnk deletes none there: somebody else does. Keep what is there before anybody mends anything.",
        queries=(Query(f"max by (table) (increase(blnk_tables_rows_deleted_total{_GROWS}{_RATE}))", "{{table}}"),),
        limit="tables.deleted",
        alerts=("BlnkTablesRowsDeleted",),
    ),
    Panel(
        title="Size against the last day's largest",
        about="Of tables that only grow: 100 % is as large as ever, a fall is rows that are gone, without a trace if by"
        " TRUNCATE.",
        queries=(
            Query(
                f"min by (table) (blnk_tables_size_bytes{_LARGE} / (max_over_time(blnk_tables_size_bytes{_LARGE}[1d]) > 0))",
                "{{table}}",
            ),
        ),
        unit="percentunit",
        limit="tables.shrunk",
        alerts=("BlnkTablesShrunk",),
    ),
    Panel(
        title="Every table",
        about="The largest first. Rows and dead rows are the server's own estimates; an empty cell: never, or unknown.",
        queries=(
            Query(f"max {_EACH} (blnk_tables_size_bytes)", "size", unit="bytes"),
            Query(f"max {_EACH} (blnk_tables_index_size_bytes)", "indexes", unit="bytes"),
            Query(f"max {_EACH} (blnk_tables_live_rows)", "rows"),
            Query(f"max {_EACH} (blnk_tables_dead_rows)", "dead rows", limit="tables.dead_least"),
            Query(f"max {_EACH} (rate(blnk_tables_rows_inserted_total{_RATE}))", "inserted", unit="ops"),
            Query(f"max {_EACH} (rate(blnk_tables_rows_updated_total{_RATE}))", "updated", unit="ops"),
            Query(f"max {_EACH} (rate(blnk_tables_sequential_scans_total{_RATE}))", "full scans", unit="ops"),
            Query(f"time() - max {_EACH} (blnk_tables_last_vacuum_timestamp_seconds)", "vacuumed ago", unit="s"),
            Query(f"time() - max {_EACH} (blnk_tables_last_analyze_timestamp_seconds)", "analyzed ago", unit="s"),
        ),
        kind="table",
        labels=("address", "table"),
        sort=("-size",),
        every="2m",
        width=24,
        height=10,
    ),
)
REPLICATION = (
    Panel(
        title="Lag",
        about="How late standbys apply what the primary writes, by the primary's word (name) and by the standby's own"
        " (address). No line: none applies anything, or there is none.",
        queries=(
            Query("topk(10, blnk_postgres_standby_replay_lag_seconds)", "{{standby}}"),
            Query("blnk_postgres_replica_lag_seconds", "{{address}}"),
        ),
        unit="s",
        limit="postgres.replication_lag",
        alerts=("BlnkPostgresReplicationLag",),
    ),
    Panel(
        title="WAL still to apply",
        about="By standby; one that has stopped altogether shows here only. No line: there is none.",
        queries=(Query("topk(10, blnk_postgres_standby_replay_lag_bytes)", "{{standby}}"),),
        unit="bytes",
        limit="postgres.replication_behind",
        alerts=("BlnkPostgresReplicationBehind",),
    ),
    Panel(
        title="Standbys that stream",
        about="A bar that ends is a standby that has gone. No bar: there is none.",
        queries=(Query("blnk_postgres_standby_streaming", "{{standby}}"),),
        kind="state-timeline",
        states={0: ("DOES NOT STREAM", "orange"), 1: ("STREAMS", "green")},
        alerts=("BlnkPostgresStandbyGone",),
    ),
    Panel(
        title="WAL kept by slot",
        about="What a slot keeps from being removed; without a reader it grows until the disk is full. No line: there is no"
        " slot.",
        queries=(Query("topk(10, blnk_postgres_slot_retained_bytes)", "{{slot}}"),),
        unit="bytes",
        limit="postgres.slot_retained",
        alerts=("BlnkPostgresSlotRetainsWal",),
    ),
    Panel(
        title="State of the slots' WAL",
        about="No bar: there is no slot. Kept: within max_wal_size; beyond it: still kept; going: removed by the next checkpoint; lost: whoever reads"
        " from the slot has to be built anew.",
        queries=(
            Query(
                'max by (slot) (3 * blnk_postgres_slot_wal_status{status="lost"}'
                ' or 2 * blnk_postgres_slot_wal_status{status="unreserved"}'
                ' or blnk_postgres_slot_wal_status{status="extended"}'
                ' or 0 * blnk_postgres_slot_wal_status{status="reserved"})',
                "{{slot}}",
            ),
        ),
        kind="state-timeline",
        states={0: ("kept", "green"), 1: ("kept beyond it", "blue"), 2: ("GOING", "orange"), 3: ("LOST", "orange")},
        alerts=("BlnkPostgresSlotLost",),
    ),
    Panel(
        title="Age of the archive",
        about="Time since WAL was last archived, on a primary that archives, no line elsewhere: what came after it is lost with the disk."
        " The alert asks for a failure, too, or for much that was written: an idle server has nothing to archive.",
        queries=(Query("address:blnk_postgres_archive_age:seconds", "{{address}}"),),
        unit="s",
        limit="postgres.archive_age",
        alerts=("BlnkPostgresArchivingFailing",),
    ),
)
STATEMENTS = (
    Panel(
        title="Mean time of Blnk's statements",
        about="Of all within a quarter of an hour. No line: Blnk runs none, or the extension is not installed.",
        queries=(Query('statements:blnk_statements_seconds_per_call:ratio_increase15m{role="blnk"}', "{{address}}"),),
        unit="s",
        limit="statements.mean",
        alerts=("BlnkStatementsSlow",),
    ),
    Panel(
        title="Statements",
        about="Per second, by whose they are. No line: the extension is not installed.",
        every="2m",
        queries=(Query(f"sum by (role) (rate(blnk_statements_calls_total{_RATE}))", "{{role}}"),),
        unit="ops",
    ),
    Panel(
        title="Statements at a time",
        about="How many run at once, in the mean: the seconds that they take in a second. No line: the extension is not"
        " installed.",
        every="2m",
        queries=(Query(f"sum by (role) (rate(blnk_statements_seconds_total{_RATE}))", "{{role}}"),),
    ),
)
