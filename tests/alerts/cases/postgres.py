"""PostgreSQL, one server or a primary with its replicas."""

from collections.abc import Mapping

from ..story import LIMITS, Ago, Case, Course, Rate


def _at(name: str, address: str = "db-1:5432", **labels: str) -> str:
    told = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'blnk_postgres_{name}{{address="{address}"{told}}}'


def _limits(name: str) -> dict[str, float]:
    limit = LIMITS[name]
    return {
        level: value for level, value in (("warning", limit.warning), ("critical", limit.critical)) if value is not None
    }


def _over(limit: str, series: str, always: Mapping[str, Course] | None = None) -> tuple[Case, ...]:
    """Exactly at the limit, and a thousandth over it."""
    return tuple(
        Case(quiet={series: value}, loud={series: value * 1.001}, always=always or {}, severity=level)
        for level, value in _limits(limit).items()
    )


_DOWN = _at("up", "db-2:5432")
_PRIMARY = {_at("up"): 1, _at("in_recovery"): 0}
_STANDBY = _at("standby_streaming", standby="db-2")
_LONGEST = _at("longest_transaction_seconds", role="blnk")
_FOREIGN = _at("longest_transaction_seconds", role="other")
_ARCHIVED, _WORKING = _at("last_archived_timestamp_seconds"), _at("archiver_working")
_WAL, _SEGMENTS = _at("wal_bytes_total"), _at("archived_segments_total")
_ARCHIVES: dict[str, Course] = {_at("archive_mode", mode="on"): 1, _at("in_recovery"): 0}
_FOREIGN_MAX = LIMITS["postgres.foreign_transaction"].warning or 0
_OLD = (LIMITS["postgres.archive_age"].critical or 0) + 60
_WAL_MAX = LIMITS["postgres.unarchived"].warning or 0
_DEADLOCKS_MAX = LIMITS["postgres.deadlocks"].warning or 0
_RESERVED: dict[str, Course] = {_at("connections_max"): 1003, _at("connections_reserved"): 3}

CASES = {
    "BlnkPostgresDown": (
        Case(quiet=_PRIMARY, loud={_at("up"): 0}),
        # A replica beside its primary is no reason to wake anybody, and one alone that is down is.
        Case(
            quiet={_DOWN: 0, **_PRIMARY},
            loud={_DOWN: 0, _at("up"): 0},
        ),
        # The old primary, after a replica has taken over; then that one is down as well.
        Case(
            quiet={_at("up"): 0, _DOWN: 1, _at("in_recovery", "db-2:5432"): 0},
            loud={_at("up"): 0, _DOWN: 0},
        ),
        # It replies, if only to refuse the exporter.
        Case(quiet={_at("up"): 1}, loud={_at("up"): 0}),
        # Blnk reaches it: the exporter does not.
        Case(
            quiet={_at("up"): 0, 'blnk_server_up{address="blnk:5001"}': 1},
            loud={_at("up"): 0, 'blnk_server_up{address="blnk:5001"}': 0},
        ),
    ),
    "BlnkPostgresReplicaDown": (
        Case(quiet={_DOWN: 1, _at("in_recovery", "db-2:5432"): 1}, loud={_DOWN: 0}, always=_PRIMARY),
        # All are down: that is another alert.
        Case(quiet={_DOWN: 0, _at("up"): 0}, loud={_DOWN: 0, **_PRIMARY}),
    ),
    "BlnkPostgresReadOnly": (
        Case(
            quiet={_at("in_recovery"): 0, _at("in_recovery", "db-2:5432"): 1},
            loud={_at("in_recovery"): 1, _at("in_recovery", "db-2:5432"): 1},
            always={_at("up"): 1, _DOWN: 1},
        ),
        # The primary is down and tells nothing of itself.
        Case(
            quiet={_at("up"): 0, _DOWN: 1},
            loud={_at("up"): 1, _at("in_recovery"): 1, _DOWN: 1},
            always={_at("in_recovery", "db-2:5432"): 1},
        ),
        # The primary refuses the exporter's login, so its role is not known.
        Case(
            quiet={_at("up"): 1, _DOWN: 1},
            loud={_at("up"): 1, _at("in_recovery"): 1, _DOWN: 1},
            always={_at("in_recovery", "db-2:5432"): 1},
        ),
    ),
    "BlnkPostgresConnectionsHigh": tuple(
        Case(
            quiet={_at("backends"): 1000 * value},
            loud={_at("backends"): 1000 * value + 1},
            always=_RESERVED,
            severity=level,
        )
        for level, value in _limits("postgres.connections").items()
    ),
    "BlnkPostgresSlowQuery": (
        *_over(
            "postgres.slow_query",
            _at("longest_query_seconds", role="blnk"),
            # A backup, and the exporter's own.
            {_at("longest_query_seconds", role="other"): 7200, _at("longest_query_seconds", role="exporter"): 60},
        ),
    ),
    "BlnkPostgresLongTransaction": (
        *_over("postgres.long_transaction", _LONGEST, {_FOREIGN: _FOREIGN_MAX}),
        *_over("postgres.foreign_transaction", _FOREIGN, {_LONGEST: 1}),
    ),
    "BlnkPostgresIdleInTransaction": _over(
        "postgres.idle_transaction",
        _at("longest_idle_transaction_seconds", role="blnk"),
        {_at("longest_idle_transaction_seconds", role="other"): 7200},
    ),
    "BlnkPostgresLockWait": _over(
        "postgres.lock_wait",
        _at("longest_lock_wait_seconds", role="blnk"),
        {_at("longest_lock_wait_seconds", role="other"): 7200},
    ),
    "BlnkPostgresDeadlocks": Case(
        quiet={_at("deadlocks_total"): Rate(_DEADLOCKS_MAX * 0.99 / 3600)},
        loud={_at("deadlocks_total"): Rate(_DEADLOCKS_MAX * 1.05 / 3600)},
    ),
    "BlnkPostgresReplicationLag": (
        *_over("postgres.replication_lag", _at("standby_replay_lag_seconds", standby="db-2")),
        *_over("postgres.replication_lag", _at("replica_lag_seconds", "db-2:5432")),
    ),
    "BlnkPostgresReplicationBehind": _over(
        "postgres.replication_behind", _at("standby_replay_lag_bytes", standby="db-2")
    ),
    "BlnkPostgresStandbyGone": Case(
        quiet={_STANDBY: 1},
        loud={_STANDBY: None},
        always={_at("standbys"): 0, _at("in_recovery"): 0},
        seconds=1800,
        calm_seconds=3600,
    ),
    "BlnkPostgresSlotRetainsWal": _over("postgres.slot_retained", _at("slot_retained_bytes", slot="db_2")),
    "BlnkPostgresSlotLost": tuple(
        Case(
            quiet={_at("slot_wal_status", slot="db_2", status=status): 0},
            loud={_at("slot_wal_status", slot="db_2", status=status): 1},
            always={_at("slot_wal_status", slot="db_2", status="extended"): 1},
        )
        for status in ("unreserved", "lost")
    ),
    "BlnkPostgresArchivingFailing": (
        *(
            Case(
                quiet={_ARCHIVED: Ago(value), _WORKING: 0},
                loud={_ARCHIVED: Ago(value + 1), _WORKING: 0},
                always=_ARCHIVES,
                severity=level,
            )
            for level, value in _limits("postgres.archive_age").items()
        ),
        # Nobody wrote for a long time; then there was nothing to archive.
        Case(
            quiet={_ARCHIVED: Ago(_OLD), _WORKING: 1, _WAL: Rate(_WAL_MAX * 0.99 / 3600)},
            loud={_ARCHIVED: Ago(_OLD), _WORKING: 1, _WAL: Rate(_WAL_MAX * 1.05 / 3600)},
            always={**_ARCHIVES, _SEGMENTS: 5},
            severity="critical",
        ),
        # Archiving is switched off, on purpose, after it has failed; then it is on and has never worked.
        Case(
            quiet={_at("archive_mode", mode="on"): 0},
            loud={_at("archive_mode", mode="on"): 1},
            always={_at("start_timestamp_seconds"): Ago(_OLD), _WORKING: 0, _at("in_recovery"): 0},
            severity="critical",
        ),
    ),
    "BlnkPostgresWraparound": (
        *(
            Case(
                quiet={_at("transaction_id_headroom_ratio"): value},
                loud={_at("transaction_id_headroom_ratio"): value * 0.999},
                always={_at("oldest_multixact_id_age"): 0},
                severity=level,
            )
            for level, value in _limits("postgres.ids_left").items()
        ),
        *(
            Case(
                quiet={_at("oldest_multixact_id_age"): (1 - value) * 2**31 * 0.999},
                loud={_at("oldest_multixact_id_age"): (1 - value) * 2**31 * 1.001},
                always={_at("transaction_id_headroom_ratio"): 0.9},
                severity=level,
            )
            for level, value in _limits("postgres.ids_left").items()
        ),
    ),
    "BlnkPostgresPreparedTransaction": _over("postgres.prepared", _at("oldest_prepared_transaction_seconds")),
    "BlnkPostgresChecksumFailures": (
        Case(
            # Found in another year, and known.
            quiet={_at("checksum_failures_total"): 7},
            loud={_at("checksum_failures_total"): 8},
            seconds=1800,
            calm_seconds=7200,
        ),
        # At the first look of all.
        Case(
            quiet={},
            loud={_at("checksum_failures_total"): 1},
            seconds=1800,
            calm_seconds=3600,
        ),
    ),
    "BlnkPostgresNotifyQueueFull": _over("postgres.notify_queue", _at("notify_queue_usage_ratio")),
    "BlnkPostgresRestarted": Case(
        quiet={_at("start_timestamp_seconds"): 0}, loud={_at("start_timestamp_seconds"): 60}, seconds=600
    ),
    "BlnkPostgresSettingsPendingRestart": Case(
        quiet={_at("settings_pending_restart"): 0}, loud={_at("settings_pending_restart"): 1}
    ),
}
