"""What the server has done: transactions, reads, checkpoints, WAL, vacuum."""

from ..metric import Metric
from ..table import Table

_A = ("address",)


def _metric(name: str, help_: str, source: str, *labels: str) -> Metric:
    return Metric(f"blnk_postgres_{name}", help_, (*_A, *labels), source)


DATABASE = Table(
    name="database",
    sql={
        0: """
            SELECT xact_commit, xact_rollback, blks_read, blks_hit, tup_inserted, tup_updated, tup_deleted, tup_returned,
                   tup_fetched, temp_files, temp_bytes, deadlocks, conflicts, sessions, sessions_abandoned, sessions_fatal,
                   sessions_killed, checksum_failures, numbackends, extract(epoch FROM stats_reset) AS stats_reset
            FROM pg_stat_database WHERE datname = current_database()
        """,
    },
    columns={
        "xact_commit": _metric(
            "commits_total", "Transactions committed in Blnk's database.", "pg_stat_database.xact_commit"
        ),
        "xact_rollback": _metric("rollbacks_total", "Transactions rolled back.", "pg_stat_database.xact_rollback"),
        "blks_read": _metric("blocks_read_total", "Blocks read from outside the cache.", "pg_stat_database.blks_read"),
        "blks_hit": _metric("blocks_hit_total", "Blocks found in the cache.", "pg_stat_database.blks_hit"),
        "tup_inserted": _metric("rows_inserted_total", "Rows inserted.", "pg_stat_database.tup_inserted"),
        "tup_updated": _metric("rows_updated_total", "Rows updated.", "pg_stat_database.tup_updated"),
        "tup_deleted": _metric(
            "rows_deleted_total", "Rows deleted; Blnk's ledger deletes none.", "pg_stat_database.tup_deleted"
        ),
        "tup_returned": _metric("rows_returned_total", "Rows read by scans.", "pg_stat_database.tup_returned"),
        "tup_fetched": _metric("rows_fetched_total", "Rows fetched by index scans.", "pg_stat_database.tup_fetched"),
        "temp_files": _metric(
            "temporary_files_total", "Files written by statements that outgrew work_mem.", "pg_stat_database.temp_files"
        ),
        "temp_bytes": _metric("temporary_bytes_total", "Bytes written to such files.", "pg_stat_database.temp_bytes"),
        "deadlocks": _metric("deadlocks_total", "Deadlocks found.", "pg_stat_database.deadlocks"),
        "conflicts": _metric(
            "conflicts_total", "Statements cancelled on a replica by recovery.", "pg_stat_database.conflicts"
        ),
        "sessions": _metric(
            "sessions_total", "Sessions opened; a steep rise means no pooling.", "pg_stat_database.sessions"
        ),
        "sessions_abandoned": _metric(
            "sessions_abandoned_total", "Sessions whose client vanished.", "pg_stat_database.sessions_abandoned"
        ),
        "sessions_fatal": _metric(
            "sessions_fatal_total", "Sessions that ended in a fatal error.", "pg_stat_database.sessions_fatal"
        ),
        "sessions_killed": _metric(
            "sessions_killed_total", "Sessions that an operator ended.", "pg_stat_database.sessions_killed"
        ),
        "checksum_failures": _metric(
            "checksum_failures_total",
            "Damaged pages found; absent where checksums are off.",
            "pg_stat_database.checksum_failures",
        ),
        "numbackends": _metric("database_backends", "Sessions in Blnk's database.", "pg_stat_database.numbackends"),
        "stats_reset": _metric(
            "statistics_reset_timestamp_seconds",
            "When the counters last began at 0; absent when never since creation.",
            "stats_reset",
        ),
    },
)

CHECKPOINTS = Table(
    name="checkpoints",
    sql={
        0: """
            SELECT checkpoints_timed AS timed, checkpoints_req AS requested, checkpoint_write_time / 1000 AS write_seconds,
                   checkpoint_sync_time / 1000 AS sync_seconds, buffers_checkpoint AS buffers FROM pg_stat_bgwriter
        """,
        170000: """
            SELECT num_timed AS timed, num_requested AS requested, write_time / 1000 AS write_seconds,
                   sync_time / 1000 AS sync_seconds, buffers_written AS buffers FROM pg_stat_checkpointer
        """,
    },
    columns={
        "timed": _metric("checkpoints_timed_total", "Checkpoints begun because it was time.", "num_timed"),
        "requested": _metric(
            "checkpoints_requested_total", "Checkpoints begun for another reason, mostly max_wal_size.", "num_requested"
        ),
        "write_seconds": _metric("checkpoint_write_seconds_total", "Time spent writing checkpoints.", "write_time"),
        "sync_seconds": _metric(
            "checkpoint_sync_seconds_total", "Time spent flushing checkpoints to disk.", "sync_time"
        ),
        "buffers": _metric("checkpoint_buffers_total", "Blocks written by checkpoints.", "buffers_written"),
    },
)

WAL = Table(
    name="wal",
    sql={0: "SELECT wal_records, wal_bytes, wal_fpi, wal_buffers_full FROM pg_stat_wal"},
    columns={
        "wal_records": _metric("wal_records_total", "WAL records written.", "pg_stat_wal.wal_records"),
        "wal_bytes": _metric("wal_bytes_total", "WAL written.", "pg_stat_wal.wal_bytes"),
        "wal_fpi": _metric("wal_full_pages_total", "Full page images written.", "pg_stat_wal.wal_fpi"),
        "wal_buffers_full": _metric(
            "wal_buffers_full_total",
            "Times that WAL was written because its buffers were full.",
            "pg_stat_wal.wal_buffers_full",
        ),
    },
)

ARCHIVER = Table(
    name="archiver",
    sql={
        0: """
            SELECT archived_count, failed_count, extract(epoch FROM last_archived_time) AS archived_at,
                   extract(epoch FROM last_failed_time) AS failed_at,
                   CASE WHEN archived_count + failed_count > 0
                        THEN coalesce(last_archived_time > last_failed_time, last_failed_time IS NULL)::int END AS working
            FROM pg_stat_archiver
        """,
    },
    columns={
        "archived_count": _metric(
            "archived_segments_total", "WAL segments archived.", "pg_stat_archiver.archived_count"
        ),
        "failed_count": _metric(
            "archive_failures_total", "Attempts to archive that failed.", "pg_stat_archiver.failed_count"
        ),
        "archived_at": _metric(
            "last_archived_timestamp_seconds",
            "When a WAL segment was last archived; absent when never.",
            "last_archived_time",
        ),
        "failed_at": _metric(
            "last_archive_failure_timestamp_seconds",
            "When archiving last failed; absent when never.",
            "last_failed_time",
        ),
        "working": _metric(
            "archiver_working",
            "Whether the last attempt to archive went well; absent before the first.",
            "pg_stat_archiver",
        ),
    },
)

WRAPAROUND = Table(
    name="wraparound",
    # Databases that let nobody in (template0) age like all others and stop the server as well.
    sql={
        0: """
            SELECT max(age(datfrozenxid)) AS xid_age, max(mxid_age(datminmxid)) AS mxid_age,
                   1 - max(age(datfrozenxid)) / 2147483648.0 AS headroom FROM pg_database
        """,
    },
    columns={
        "xid_age": _metric(
            "oldest_transaction_id_age", "Age of the oldest transaction id, in transactions.", "age(datfrozenxid)"
        ),
        "mxid_age": _metric(
            "oldest_multixact_id_age", "Age of the oldest multixact id, in ids.", "mxid_age(datminmxid)"
        ),
        "headroom": _metric(
            "transaction_id_headroom_ratio",
            "Part of the transaction ids left; near 0 the server refuses writes.",
            "age(datfrozenxid)",
        ),
    },
)

AUTOVACUUM = Table(
    name="autovacuum",
    needs="pg_read_all_stats",
    sql={
        0: """
            SELECT count(*) AS workers, count(*) FILTER (WHERE query LIKE '%(to prevent wraparound)') AS urgent,
                   current_setting('autovacuum_max_workers')::int AS workers_max,
                   coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) AS longest
            FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'
        """,
    },
    columns={
        "workers": _metric("autovacuum_workers", "Autovacuum workers at work.", "pg_stat_activity"),
        "urgent": _metric(
            "autovacuum_wraparound_workers",
            "Those that work against wraparound, which nothing may delay.",
            "pg_stat_activity",
        ),
        "workers_max": _metric(
            "autovacuum_workers_max", "The setting autovacuum_max_workers.", "autovacuum_max_workers"
        ),
        "longest": _metric(
            "longest_autovacuum_seconds", "How long the longest of them runs; 0 when none does.", "pg_stat_activity"
        ),
    },
)

PREPARED = Table(
    name="prepared",
    sql={
        0: "SELECT count(*) AS prepared, coalesce(extract(epoch FROM now() - min(prepared)), 0) AS oldest FROM pg_prepared_xacts"
    },
    columns={
        "prepared": _metric(
            "prepared_transactions", "Transactions left prepared; Blnk prepares none.", "pg_prepared_xacts"
        ),
        "oldest": _metric(
            "oldest_prepared_transaction_seconds", "Age of the oldest of them; 0 without any.", "pg_prepared_xacts"
        ),
    },
)

TABLES = (DATABASE, CHECKPOINTS, WAL, ARCHIVER, WRAPAROUND, AUTOVACUUM, PREPARED)
