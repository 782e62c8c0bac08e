"""PostgreSQL: does it answer, what holds Blnk up, would anything be lost, what fills up."""

from dataclasses import replace

from ..board import Board, Panel, Query, Row, States, stat
from . import needs
from .postgres_details import LOCKS, REPLICATION, STATEMENTS, TABLES, VACUUM

_RATE = "[$__rate_interval]"
_BLNK = '{role="blnk"}'
_IDS = "min(blnk_postgres_transaction_id_headroom_ratio)"
_MULTIXACT_IDS = "min(address:blnk_postgres_multixact_ids_left:ratio)"
_ARCHIVER = "blnk_postgres_archiver_working"
# One less where what fails has been failing for too long.
_ARCHIVER_LATE = f"{_ARCHIVER} - (1 - {_ARCHIVER}) * (address:blnk_postgres_archive_age:seconds > bool @{{postgres.archive_age.critical}})"
# Of a server that lets nobody in nothing is known; one whose role is not told is neither primary nor standby.
_SERVER = "blnk_postgres_up + (1 + blnk_postgres_in_recovery or 0 * blnk_postgres_up)"
_SERVERS: States = {
    0: ("DOWN", "red"),
    1: ("UP, role unknown", "text"),
    2: ("PRIMARY", "green"),
    3: ("STANDBY", "blue"),
}


def _hits(by: str) -> str:
    """Of no block there is no share, and Prometheus says so with a number that is none."""
    hit, read = (f"sum{by} (rate(blnk_postgres_blocks_{kind}_total{_RATE}))" for kind in ("hit", "read"))
    return f"{hit} / ({hit} + {read}) >= 0"


_HEALTH = (
    needs.postgres(board=""),
    stat(
        "Takes writes",
        "Whether a primary is among the servers that answer.",
        "min(max by (job, instance) (1 - blnk_postgres_in_recovery))",
        states={0: ("NO", "red"), 1: ("YES", "green")},
        runbooks=("BlnkPostgresReadOnly",),
    ),
    stat(
        "Connections used",
        "Of those that are not reserved for superusers, on the fullest server; without a free one requests fail.",
        "max(address:blnk_postgres_connections_used:ratio)",
        unit="percentunit",
        limit="postgres.connections",
    ),
    stat(
        "Standby lag",
        "How late the latest standby applies what the primary writes.",
        # -1 where every server is a primary, and nobody follows it.
        "max(blnk_postgres_standby_replay_lag_seconds or blnk_postgres_replica_lag_seconds)"
        " or (max(blnk_postgres_in_recovery) + sum(blnk_postgres_standbys) == 0) - 1",
        unit="s",
        limit="postgres.replication_lag",
        states={-1: ("NO STANDBY", "blue")},
    ),
    stat(
        "Commits",
        "Transactions per second, on all servers.",
        f"sum(rate(blnk_postgres_commits_total{_RATE}))",
        unit="ops",
    ),
    stat(
        "Cache hits",
        "Share of the blocks that were in PostgreSQL's own cache; what is not may still be in that of the system. Of no"
        " block there is no share.",
        _hits(""),
        unit="percentunit",
        decimals=1,
    ),
    stat(
        "Up for",
        "Time since the last start; of several servers, the youngest.",
        "time() - max(blnk_postgres_start_timestamp_seconds)",
        unit="s",
        alerts=("BlnkPostgresRestarted",),
    ),
    stat(
        "Restart pending",
        "Settings that were changed in the file and come into force with the next start.",
        "max(blnk_postgres_settings_pending_restart)",
        any_is="blue",
        alerts=("BlnkPostgresSettingsPendingRestart",),
    ),
)
_PROBLEMS = (
    stat(
        "Slow statement",
        "How long the longest statement of Blnk's that runs now has been running.",
        f"max(blnk_postgres_longest_query_seconds{_BLNK})",
        unit="s",
        limit="postgres.slow_query",
    ),
    stat(
        "Lock wait",
        "Age of Blnk's oldest statement that waits for a lock.",
        f"max(blnk_postgres_longest_lock_wait_seconds{_BLNK})",
        unit="s",
        limit="postgres.lock_wait",
    ),
    stat(
        "Deadlocks, 1 h",
        "Deadlocks within an hour, on the server with most; each fails one transaction, which is tried again.",
        "max(address:blnk_postgres_deadlocks:increase1h)",
        limit="postgres.deadlocks",
        decimals=0,
    ),
    stat(
        "Idle in trans.",
        "How long a session of Blnk's has done nothing inside a transaction; it keeps its locks.",
        f"max(blnk_postgres_longest_idle_transaction_seconds{_BLNK})",
        unit="s",
        limit="postgres.idle_transaction",
    ),
    stat(
        "Transaction age",
        "How long Blnk's oldest transaction is open; no dead row after it can be cleaned up.",
        f"max(blnk_postgres_longest_transaction_seconds{_BLNK})",
        unit="s",
        limit="postgres.long_transaction",
    ),
    stat(
        "Prepared",
        "Age of the oldest transaction that was prepared and neither committed nor rolled back. Blnk prepares none.",
        "max(blnk_postgres_oldest_prepared_transaction_seconds)",
        unit="s",
        limit="postgres.prepared",
        alerts=("BlnkPostgresPreparedTransaction",),
    ),
    stat(
        "Archiving",
        "Whether the last attempt to archive WAL went well; red once the archive is so old that somebody is called. A command"
        " that hangs does not fail: see the age of the archive.",
        f'min(({_ARCHIVER_LATE} or {_ARCHIVER}) and ignoring (mode) blnk_postgres_archive_mode{{mode=~"on|always"}} == 1)'
        ' or (min(blnk_postgres_archive_mode{mode="off"}) == 1) + 1',
        states={-1: ("FAILING", "red"), 0: ("FAILING", "orange"), 1: ("OK", "green"), 2: ("OFF", "blue")},
        runbooks=("BlnkPostgresArchivingFailing",),
    ),
    stat(
        "Slots at risk",
        "Replication slots whose WAL is about to be removed, or is.",
        'sum(blnk_postgres_slot_wal_status{status=~"unreserved|lost"}) or 0 * (sum(blnk_postgres_slots) == 0)',
        any_is="orange",
        runbooks=("BlnkPostgresSlotLost",),
    ),
    stat(
        "Kept by slots",
        "WAL that the slot that is furthest behind keeps from being removed.",
        "max(blnk_postgres_slot_retained_bytes) or 0 * (sum(blnk_postgres_slots) == 0)",
        unit="bytes",
        limit="postgres.slot_retained",
    ),
    stat(
        "NOTIFY queue",
        "Part of the queue of notifications in use; when it is full, every transaction of Blnk's fails.",
        "max(blnk_postgres_notify_queue_usage_ratio)",
        unit="percentunit",
        limit="postgres.notify_queue",
        alerts=("BlnkPostgresNotifyQueueFull",),
    ),
    stat(
        "Ids left",
        "Transaction ids or multixact ids, whichever are fewer; without any PostgreSQL refuses all writes.",
        f"{_IDS} < {_MULTIXACT_IDS} or {_MULTIXACT_IDS} or {_IDS}",
        unit="percentunit",
        limit="postgres.ids_left",
    ),
    stat(
        "Dead rows",
        "The largest share of a table of Blnk's that vacuum has yet to clean; 0 as long as they are too few to matter.",
        "max(tables:blnk_tables_dead:ratio * (blnk_tables_dead_rows > bool @{tables.dead_least.warning}))",
        unit="percentunit",
        limit="tables.dead",
    ),
)
_LOAD = (
    Panel(
        title="Servers",
        about="What each server is. Two standbys and no primary: nobody can write. Two primaries: one of them is wrong.",
        queries=(Query(_SERVER, "{{address}}"),),
        kind="state-timeline",
        states=_SERVERS,
        alerts=("BlnkPostgresDown", "BlnkPostgresReplicaDown", "BlnkPostgresReadOnly"),
    ),
    Panel(
        title="Connections of the limit",
        about="Of those that are not reserved for superusers.",
        queries=(Query("address:blnk_postgres_connections_used:ratio", "{{address}}"),),
        unit="percentunit",
        limit="postgres.connections",
        alerts=("BlnkPostgresConnectionsHigh",),
    ),
    Panel(
        title="Sessions",
        about="By whose they are and what they do; the ten largest groups. Many that are active: they wait for something.",
        queries=(Query("topk(10, sum by (role, state) (blnk_postgres_connections) > 0)", "{{role}} {{state}}"),),
        stacked=True,
    ),
    Panel(
        title="Transactions",
        about="Per second in Blnk's database, the exporter's own looks included. Many rolled back: see the logs of Blnk.",
        queries=(
            Query(f"sum(rate(blnk_postgres_commits_total{_RATE}))", "committed"),
            Query(f"sum(rate(blnk_postgres_rollbacks_total{_RATE}))", "rolled back"),
        ),
        unit="ops",
    ),
)
_STORAGE = (
    Panel(
        title="Share of cache hits",
        about="Blocks that were in PostgreSQL's own cache. A fall that lasts: what is needed no longer fits, or a scan runs."
        " No line: no block was read.",
        queries=(Query(_hits(" by (address)"), "{{address}}"),),
        unit="percentunit",
    ),
    Panel(
        title="WAL written",
        about="What standbys, slots and the archive have to keep up with.",
        queries=(Query(f"rate(blnk_postgres_wal_bytes_total{_RATE})", "{{address}}"),),
        unit="Bps",
    ),
    Panel(
        title="Checkpoints",
        about="Begun since the point before. Requested ones in a row: max_wal_size is too small for what is written.",
        queries=(
            Query(f"sum(increase(blnk_postgres_checkpoints_timed_total{_RATE}))", "timed"),
            Query(f"sum(increase(blnk_postgres_checkpoints_requested_total{_RATE}))", "requested"),
        ),
    ),
    Panel(
        title="Damaged pages",
        about="When pages were read that do not match their checksum: the disk or the memory is broken. No line: checksums"
        " are off.",
        queries=(Query("clamp_max(blnk_postgres_checksum_failures_total, 1)", "{{address}}"),),
        kind="state-timeline",
        states={0: ("none found", "green"), 1: ("DAMAGED", "red")},
        alerts=("BlnkPostgresChecksumFailures",),
    ),
)


def _wide(panels: tuple[Panel, ...], *widths: int) -> tuple[Panel, ...]:
    return tuple(replace(panel, width=width) for panel, width in zip(panels, widths, strict=True))


POSTGRES = Board(
    name="postgres",
    title="PostgreSQL",
    question="Does PostgreSQL answer, what holds Blnk up, would anything be lost, and what fills up?",
    rows=(
        Row(title="Is it well?", panels=_HEALTH),
        Row(
            title="Active problems (of the servers that answer)",
            panels=tuple(replace(panel, width=2) for panel in _PROBLEMS),
        ),
        Row(title="Load", panels=_wide(_LOAD, 6, 6, 6, 6)),
        Row(title="Locks and open transactions", panels=_wide(LOCKS, 6, 6, 6, 6, 8, 8, 8)),
        Row(title="Cache, WAL and checkpoints", panels=_wide(_STORAGE, 6, 6, 6, 6)),
        Row(title="Vacuum and sizes of Blnk's tables", panels=VACUUM + TABLES),
        Row(title="Replication, slots and archive (where they are used)", panels=REPLICATION, collapsed=True),
        Row(title="Statements (where pg_stat_statements is installed)", panels=STATEMENTS, collapsed=True),
    ),
)
