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
_HERE = (
    "(SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS here) AS p"
)

# Physical receivers of WAL only, for their names stay the same. Left out are: copies being made (state backup, and
# pg_basebackup's second connection, which streams), connections that have not yet said what they want (startup), and
# logical subscribers, whose workers come and go under names like pg_16394_sync_16387_7123: whoever reads from a logical
# slot. Their slots are told below. pg_receivewal stays: it is named, lasts, and may be what a commit waits for.
_STANDBYS = """(
    SELECT * FROM pg_stat_replication r
    WHERE state NOT IN ('startup', 'backup') AND application_name <> 'pg_basebackup'
      AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
) AS standbys"""


def _since(lsn: str, here: str = "here") -> str:
    """Bytes of WAL since a place in it; NULL, not 0, when either end is not known."""
    return f"CASE WHEN {here} > {lsn} THEN {here} - {lsn} WHEN {here} <= {lsn} THEN 0 END"


def _cut(things: str) -> str:
    """A gap in words when there are more rows than are told."""
    return f"CASE WHEN count(*) OVER () > {_ROWS_MAX} THEN 'only the first {_ROWS_MAX} of ' || count(*) OVER () || ' {things} are told' END"


STANDBYS = Table(
    name="standbys",
    needs="pg_read_all_stats",
    # Standbys that share a name are one series: the furthest behind speaks for them. The server also counts how late a
    # receiver is that never says where it is (pg_receivewal): that is no lag.
    sql={
        0: f"""
            SELECT application_name AS standby, count(*) FILTER (WHERE state = 'streaming') AS streaming,
                   count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS synchronous,
                   max({_since("sent_lsn")}) AS sent_bytes, max({_since("flush_lsn")}) AS flush_bytes,
                   max({_since("replay_lsn")}) AS replay_bytes,
                   max(extract(epoch FROM write_lag)) FILTER (WHERE write_lsn IS NOT NULL) AS write_seconds,
                   max(extract(epoch FROM flush_lag)) FILTER (WHERE flush_lsn IS NOT NULL) AS flush_seconds,
                   CASE WHEN bool_and(coalesce(replay_lsn >= here, false)) THEN 0
                        ELSE max(extract(epoch FROM replay_lag)) FILTER (WHERE replay_lsn IS NOT NULL) END AS replay_seconds,
                   {_cut("names of standbys")} AS gap
            FROM {_STANDBYS}, {_HERE} GROUP BY application_name ORDER BY application_name LIMIT {_ROWS_MAX}
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
        "flush_bytes": _metric(
            "standby_flush_lag_bytes",
            "WAL not yet on the standby's disk; absent while it does not say.",
            "flush_lsn",
            "standby",
        ),
        "replay_bytes": _metric(
            "standby_replay_lag_bytes",
            "WAL not yet applied on the standby; absent for one that applies none, like pg_receivewal.",
            "replay_lsn",
            "standby",
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
    sql={
        0: f"SELECT count(*) AS standbys, count(*) FILTER (WHERE state = 'streaming') AS streaming FROM {_STANDBYS}"  # noqa: S608
    },
    columns={
        "standbys": _metric(
            "standbys",
            "Standbys and other physical receivers of WAL (pg_receivewal) that are connected; "
            f"of those with more than {_ROWS_MAX} names not all are told of singly.",
            "pg_stat_replication",
        ),
        "streaming": _metric("standbys_streaming", "Those of them that stream.", "pg_stat_replication.state"),
    },
)

SLOT_COUNT = Table(
    name="slot_count",
    sql={0: "SELECT count(*) AS slots FROM pg_replication_slots"},
    columns={
        "slots": _metric(
            "slots",
            f"Replication slots, physical and logical; of more than {_ROWS_MAX} not all are told of singly.",
            "pg_replication_slots",
        )
    },
)

SLOTS = Table(
    name="slots",
    sql={
        0: f"""
            SELECT slot_name AS slot, active::int AS active, wal_status, {_since("restart_lsn")} AS retained, safe_wal_size,
                   {_cut("slots")} AS gap
            FROM pg_replication_slots, {_HERE} ORDER BY slot_name LIMIT {_ROWS_MAX}
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
        0: f"""
            SELECT w.streaming::int AS streaming, extract(epoch FROM pg_last_xact_replay_timestamp()) AS replayed_at,
                   CASE WHEN w.streaming AND pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
                        ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END AS lag,
                   {_since("pg_last_wal_replay_lsn()", "pg_last_wal_receive_lsn()")} AS unapplied,
                   pg_is_wal_replay_paused()::int AS paused, extract(epoch FROM clock_timestamp() - w.heard_at) AS silence
            FROM (SELECT coalesce(bool_or(status = 'streaming'), false) AS streaming, max(last_msg_receipt_time) AS heard_at
                  FROM pg_stat_wal_receiver) w
            WHERE pg_is_in_recovery()
        """,  # noqa: S608 - built of constants of this file
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
            "Age of the last transaction applied; 0 when WAL is received and all of it is applied. A primary that hangs "
            "is not told from an idle one before wal_receiver_timeout: blnk_postgres_replica_last_message_seconds grows.",
            "pg_last_xact_replay_timestamp()",
        ),
        "silence": _metric(
            "replica_last_message_seconds",
            "Time since the primary last sent anything; absent without a connection to it.",
            "pg_stat_wal_receiver.last_msg_receipt_time",
        ),
        "unapplied": _metric(
            "replica_unapplied_bytes", "WAL received and not yet applied.", "pg_last_wal_replay_lsn()"
        ),
        "paused": _metric(
            "replica_replay_paused", "Whether somebody has paused the replay.", "pg_is_wal_replay_paused()"
        ),
    },
)

TABLES = (STANDBY_COUNT, STANDBYS, SLOT_COUNT, SLOTS, REPLICA)
