"""Redis or Valkey."""

from ..story import LIMITS, Ago, Case, Course, Rate

_SAVED, _CHANGES = "blnk_redis_rdb_last_save_timestamp_seconds", "blnk_redis_rdb_changes_since_save"
_ONLINE = 'blnk_redis_replicas{state="online"}'
_PRIMARY, _REPLICA = ('blnk_redis_role{role="primary"}', 'blnk_redis_role{role="replica"}')
_FAILS = {'blnk_exporter_collector_success{collector="redis"}': 0}
_MEMORY, _CLIENTS = LIMITS["redis.memory"], LIMITS["redis.clients"].warning or 0
_UNSAVED, _SNAPSHOT = LIMITS["redis.unsaved"].warning or 0, LIMITS["redis.snapshot"].warning or 0


def _memory(limit: float | None, severity: str) -> Case:
    assert limit is not None
    full: dict[str, Course] = {"blnk_redis_memory_max_bytes": 1000}
    name = "blnk_redis_memory_used_bytes"
    return Case(quiet={name: 1000 * limit}, loud={name: 1000 * limit + 1}, always=full, severity=severity)


def _refused(error: str) -> Case:
    name = f'blnk_redis_errors_total{{error="{error}"}}'
    # Of an idle Redis, and of clients that write nonsense.
    return Case(quiet={name: 3}, loud={name: Rate(0.01)}, always={'blnk_redis_errors_total{error="ERR"}': Rate(1)})


CASES = {
    "BlnkRedisDown": (
        Case(quiet={"blnk_redis_up": 1}, loud={"blnk_redis_up": 0}),
        # It answers, and refuses the exporter; what else it says is unknown.
        Case(quiet={"blnk_redis_up": 1, "blnk_redis_loading": None}, loud={"blnk_redis_up": 0}, always=_FAILS),
        # A file of the exporter's own cannot be read: it has not asked.
        Case(quiet={"blnk_redis_up": None}, loud={"blnk_redis_up": 0}, always=_FAILS),
    ),
    "BlnkRedisReplica": (
        Case(quiet={_PRIMARY: 1, _REPLICA: 0}, loud={_PRIMARY: 0, _REPLICA: 1}),
        # One of a kind that the exporter does not know.
        Case(quiet={_REPLICA: None}, loud={_REPLICA: 1}),
    ),
    "BlnkRedisLoading": Case(quiet={"blnk_redis_loading": 0}, loud={"blnk_redis_loading": 1}),
    "BlnkRedisRefusesWrites": tuple(
        _refused(error) for error in ("OOM", "MISCONF", "READONLY", "NOREPLICAS", "CLUSTERDOWN")
    ),
    "BlnkRedisMemoryHigh": (
        _memory(_MEMORY.warning, "warning"),
        _memory(_MEMORY.critical, "critical"),
        # Without a limit nothing is near it.
        Case(
            quiet={"blnk_redis_memory_used_bytes": 1e12, "blnk_redis_memory_max_bytes": None},
            loud={"blnk_redis_memory_used_bytes": 1e12, "blnk_redis_memory_max_bytes": 1e12},
            severity="critical",
        ),
    ),
    "BlnkRedisMemoryUnlimited": Case(quiet={"blnk_redis_memory_limited": 1}, loud={"blnk_redis_memory_limited": 0}),
    "BlnkRedisEvictionPolicyUnsafe": tuple(
        Case(
            quiet={'blnk_redis_eviction_policy{policy="volatile-lru"}': 1, policy: 0},
            loud={'blnk_redis_eviction_policy{policy="volatile-lru"}': 0, policy: 1},
            always={'blnk_redis_eviction_policy{policy="noeviction"}': 0},
        )
        for policy in (f'blnk_redis_eviction_policy{{policy="allkeys-{what}"}}' for what in ("lru", "lfu", "random"))
    ),
    "BlnkRedisEvicting": Case(
        quiet={"blnk_redis_evicted_keys_total": 41}, loud={"blnk_redis_evicted_keys_total": 42}, seconds=300
    ),
    "BlnkRedisPersistenceFailing": (
        Case(quiet={"blnk_redis_rdb_last_save_ok": 1}, loud={"blnk_redis_rdb_last_save_ok": 0}),
        Case(
            quiet={"blnk_redis_aof_last_write_ok": 1},
            loud={"blnk_redis_aof_last_write_ok": 0},
            always={"blnk_redis_rdb_last_save_ok": 1},
        ),
    ),
    "BlnkRedisNoPersistence": (
        Case(
            quiet={_SAVED: Ago(_UNSAVED)},
            loud={_SAVED: Ago(_UNSAVED + 1)},
            always={"blnk_redis_aof_enabled": 0, _CHANGES: 1},
        ),
        # Nothing to save.
        Case(
            quiet={_CHANGES: 0},
            loud={_CHANGES: 1},
            always={"blnk_redis_aof_enabled": 0, _SAVED: Ago(1e6)},
        ),
        # Every write is in the append-only file.
        Case(
            quiet={"blnk_redis_aof_enabled": 1},
            loud={"blnk_redis_aof_enabled": 0},
            always={_CHANGES: 1, _SAVED: Ago(1e6)},
        ),
    ),
    "BlnkRedisSnapshotOld": Case(
        quiet={_SAVED: Ago(_SNAPSHOT)},
        loud={_SAVED: Ago(_SNAPSHOT + 1)},
        always={"blnk_redis_aof_enabled": 1, _CHANGES: 1},
    ),
    "BlnkRedisClientsHigh": Case(
        quiet={"blnk_redis_clients_connected": 1000 * _CLIENTS},
        loud={"blnk_redis_clients_connected": 1000 * _CLIENTS + 1},
        always={"blnk_redis_clients_max": 1000},
    ),
    "BlnkRedisConnectionsRejected": Case(
        quiet={"blnk_redis_connections_rejected_total": 5}, loud={"blnk_redis_connections_rejected_total": Rate(0.1)}
    ),
    "BlnkRedisReplicaGone": (
        Case(quiet={_ONLINE: 2}, loud={_ONLINE: 1}, seconds=1800, calm_seconds=7200),
        # There never was one; then there was.
        Case(quiet={_ONLINE: 1}, loud={_ONLINE: 0}, seconds=1800, calm_seconds=7200),
    ),
    "BlnkRedisRestarted": Case(
        quiet={"blnk_redis_uptime_seconds": Rate(1)}, loud={"blnk_redis_uptime_seconds": 5}, seconds=600
    ),
}
