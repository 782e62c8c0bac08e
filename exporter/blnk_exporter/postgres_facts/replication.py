"""Standbys and slots on a primary, the way back to the primary on a replica."""

from ..metric import Metric
from ..table import Table

_A = ("address",)
_WAL_STATUS = ("reserved", "extended", "unreserved", "lost")
# A name per standby and slot is a label: more of them than this are no deployment of Blnk.
_ROWS_MAX = 50


def _metric(name: str, help_: str, source: str, *labels: str) -> Metric:
    return Metric(f"blnk_postgres_{name}", help_, (*_A, *labels), source)


# Where WAL stands: written on a primary, received on a replica that has replicas of its own.
_POSITION = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END"

STANDBYS = Table(
    name="standbys",
    needs="pg_read_all_stats",
    # Standbys that share a name are one series: the furthest behind speaks for them.
    sql={
        0: f"""
            SELECT application_name AS standby, count(*) FILTER (WHERE state = 'streaming') AS streaming,
                   count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS synchronous,
                   max(greatest(0, pg_wal_lsn_diff({_POSITION}, sent_lsn))) AS sent_bytes,
                   max(greatest(0, pg_wal_lsn_diff({_POSITION}, flush_lsn))) AS flush_bytes,
                   max(greatest(0, pg_wal_lsn_diff({_POSITION}, replay_lsn))) AS replay_bytes,
                   max(extract(epoch FROM write_lag)) AS write_seconds, max(extract(epoch FROM flush_lag)) AS flush_seconds,
                   CASE WHEN bool_and(replay_lsn >= {_POSITION}) THEN 0 ELSE max(extract(epoch FROM replay_lag)) END AS replay_seconds
            FROM pg_stat_replication GROUP BY application_name ORDER BY application_name LIMIT {_ROWS_MAX}
        """,  # noqa: S608 - built of constants of this file
    },
    labels=("standby",),
    columns={
        "streaming": _metric(
            "standby_streaming", "Standbys of this name that stream.", "pg_stat_replication.state", "standby"
        ),
        "synchronous": _metric(
            "standby_synchronous",
            "Standbys of this name that commits wait for.",
            "pg_stat_replication.sync_state",
            "standby",
        ),
        "sent_bytes": _metric("standby_unsent_bytes", "WAL not yet sent to the standby.", "sent_lsn", "standby"),
        "flush_bytes": _metric("standby_flush_lag_bytes", "WAL not yet on the standby's disk.", "flush_lsn", "standby"),
        "replay_bytes": _metric(
            "standby_replay_lag_bytes", "WAL not yet applied on the standby.", "replay_lsn", "standby"
        ),
        "write_seconds": _metric(
            "standby_write_lag_seconds",
            "How late the standby wrote recent WAL; absent while nothing is written.",
            "write_lag",
            "standby",
        ),
        "flush_seconds": _metric(
            "standby_flush_lag_seconds",
            "How late it was on disk; absent while nothing is written.",
            "flush_lag",
            "standby",
        ),
        "replay_seconds": _metric(
            "standby_replay_lag_seconds", "How late it was applied; 0 when all is.", "replay_lag", "standby"
        ),
    },
)

STANDBY_COUNT = Table(
    name="standby_count",
    needs="pg_read_all_stats",
    sql={0: "SELECT count(*) FILTER (WHERE state = 'streaming') AS streaming FROM pg_stat_replication"},
    columns={
        "streaming": _metric("standbys_streaming", "Standbys that stream from this server.", "pg_stat_replication")
    },
)

SLOTS = Table(
    name="slots",
    sql={
        0: f"""
            SELECT slot_name AS slot, active::int AS active, wal_status,
                   greatest(0, pg_wal_lsn_diff({_POSITION}, restart_lsn)) AS retained, safe_wal_size
            FROM pg_replication_slots ORDER BY slot_name LIMIT {_ROWS_MAX}
        """,  # noqa: S608 - built of constants of this file
    },
    labels=("slot",),
    columns={
        "active": _metric(
            "slot_active",
            "Whether somebody reads from the slot; an idle one fills the disk.",
            "pg_replication_slots",
            "slot",
        ),
        "retained": _metric(
            "slot_retained_bytes", "WAL that the slot keeps from being removed.", "restart_lsn", "slot"
        ),
        "safe_wal_size": _metric(
            "slot_safe_bytes",
            "WAL that may still be written before the slot is lost; absent without a limit.",
            "safe_wal_size",
            "slot",
        ),
    },
    states={
        "wal_status": (
            _metric("slot_wal_status", "1 for the state of the slot's WAL.", "wal_status", "slot", "status"),
            _WAL_STATUS,
        )
    },
)

REPLICA = Table(
    name="replica",
    needs="pg_read_all_stats",
    # A replica that has applied all it received is up to date only while it still receives.
    sql={
        0: """
            SELECT w.streaming::int AS streaming, extract(epoch FROM pg_last_xact_replay_timestamp()) AS replayed_at,
                   CASE WHEN w.streaming AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                        ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END AS lag,
                   pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) AS unapplied,
                   pg_is_wal_replay_paused()::int AS paused
            FROM (SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') AS streaming) w
            WHERE pg_is_in_recovery()
        """,
    },
    columns={
        "streaming": _metric("replica_streaming", "Whether this replica receives WAL.", "pg_stat_wal_receiver"),
        "replayed_at": _metric(
            "replica_replayed_timestamp_seconds",
            "Commit time of the last transaction applied here.",
            "pg_last_xact_replay_timestamp()",
        ),
        "lag": _metric(
            "replica_lag_seconds",
            "Age of the last transaction applied; 0 when WAL is received and all of it is applied.",
            "pg_last_xact_replay_timestamp()",
        ),
        "unapplied": _metric(
            "replica_unapplied_bytes", "WAL received and not yet applied.", "pg_last_wal_replay_lsn()"
        ),
        "paused": _metric(
            "replica_replay_paused", "Whether somebody has paused the replay.", "pg_is_wal_replay_paused()"
        ),
    },
)

TABLES = (STANDBY_COUNT, STANDBYS, SLOTS, REPLICA)
