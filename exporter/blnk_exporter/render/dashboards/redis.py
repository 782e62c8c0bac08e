"""Redis: is there room, would it keep the tasks, who is connected, what does it refuse."""

from ..board import OK, Board, Panel, Query, Row, stat
from . import needs
from .redis_details import LOAD, REFUSALS, REPLICATION, WRONG

_RATE = "[$__rate_interval]"
_DELETES = 'blnk_redis_eviction_policy{policy=~"allkeys-.*"}'
_REFUSED = f'blnk_redis_errors_total{{error=~"{REFUSALS}"}}'
_AGE = "time() - blnk_redis_rdb_last_save_timestamp_seconds"
# Whether it loads is not known where Redis does not answer, or says nothing of itself.
_STATE = (
    "3 * (blnk_redis_up == 1) unless on (job, instance) blnk_redis_info"
    " or blnk_redis_up * (2 - (blnk_redis_loading or 0 * blnk_redis_up))"
)
_RUNS = "max by (instance, software, version, mode)"
_SUMMARY = (
    needs.redis(board=""),
    stat(
        "Memory used",
        "Of maxmemory; from the higher limit on Blnk refuses to queue transactions.",
        "max(redis:blnk_redis_memory_used:ratio) or (max(blnk_redis_memory_limited) == 0) - 1",
        unit="percentunit",
        limit="redis.memory",
        states={-1: ("NO LIMIT", "orange")},
        runbooks=("BlnkRedisMemoryUnlimited",),
    ),
    stat(
        "When it is full",
        "What the eviction policy does with waiting tasks when memory is full: it keeps them and refuses writes, or it"
        " deletes them.",
        f"max({_DELETES})",
        states={0: ("KEEPS TASKS", "green"), 1: ("DELETES TASKS", "orange")},
        runbooks=("BlnkRedisEvictionPolicyUnsafe",),
    ),
    stat(
        "Evicted, 10 min",
        "Keys that Redis has deleted within ten minutes for want of memory; queued transactions may be among them.",
        "sum(increase(blnk_redis_evicted_keys_total[10m]))",
        decimals=0,
        any_is="red",
        runbooks=("BlnkRedisEvicting",),
    ),
    stat(
        "Refused, 5 min",
        "Commands that Redis has refused within five minutes because of its own state, not because of the command.",
        f"sum(increase({_REFUSED}[5m]))",
        decimals=0,
        any_is="red",
        runbooks=("BlnkRedisRefusesWrites",),
    ),
    stat(
        "Saves to disk",
        "Whether the last snapshot and, where it is on, the last write to the append-only file went well.",
        "min(blnk_redis_rdb_last_save_ok) * (min(blnk_redis_aof_last_write_ok) or min(blnk_redis_rdb_last_save_ok))",
        states=OK,
        runbooks=("BlnkRedisPersistenceFailing",),
    ),
    stat(
        "Connections used",
        "Of maxclients; at the limit every new connection is turned away, Blnk's as well.",
        "max(redis:blnk_redis_clients_used:ratio)",
        unit="percentunit",
        limit="redis.clients",
    ),
    stat("Up for", "Time since the last start; of several, the youngest.", "min(blnk_redis_uptime_seconds)", unit="s"),
)
_THERE = (
    Panel(
        title="State",
        about="Down: it does not answer. Loading: it reads its data from disk after a start and refuses all work. Refuses the"
        " exporter: it answers, and what it would say is unknown.",
        queries=(Query(_STATE, "{{instance}}"),),
        kind="state-timeline",
        states={0: ("DOWN", "red"), 1: ("LOADING", "red"), 2: ("UP", "green"), 3: ("REFUSES EXPORTER", "orange")},
        alerts=("BlnkRedisDown", "BlnkRedisLoading"),
        runbooks=("BlnkExporterCollectorFailing",),
        width=6,
        height=5,
    ),
    Panel(
        title="Role",
        about="A replica refuses writes: Blnk belongs to the primary. After a switchover the address must lead there.",
        queries=(Query('blnk_redis_role{role="replica"}', "{{instance}}"),),
        kind="state-timeline",
        states={0: ("PRIMARY", "green"), 1: ("REPLICA", "red")},
        alerts=("BlnkRedisReplica",),
        width=6,
        height=5,
    ),
    Panel(
        title="Starts",
        about="Of Redis, within a quarter of an hour; what was not saved is gone with each. Another server: a start, or a"
        " switchover to a server that was running already.",
        queries=(
            Query("resets(blnk_redis_uptime_seconds[15m])", "{{instance}}"),
            Query(f"increase(blnk_redis_server_changes_total{_RATE})", "another server"),
        ),
        alerts=("BlnkRedisRestarted",),
        decimals=0,
        width=6,
        height=5,
    ),
    Panel(
        title="What runs",
        about="By the exporter that reads it.",
        queries=(
            Query(
                f"{_RUNS} (blnk_redis_info * on (job, instance) group_left () blnk_redis_uptime_seconds)",
                "up for",
                unit="s",
            ),
            Query(
                f"{_RUNS} (blnk_redis_info * on (job, instance) group_left () blnk_redis_memory_system_bytes)",
                "host's memory",
                unit="bytes",
            ),
        ),
        kind="table",
        labels=("instance", "software", "version", "mode"),
        width=6,
        height=5,
    ),
)
_MEMORY = (
    Panel(
        title="Memory of maxmemory",
        about="Past the lower limit find out what grows; from the higher one on Blnk refuses to queue transactions."
        " No line: nothing limits it.",
        queries=(Query("redis:blnk_redis_memory_used:ratio", "{{instance}}"),),
        unit="percentunit",
        limit="redis.memory",
        alerts=("BlnkRedisMemoryHigh",),
    ),
    Panel(
        title="Memory in bytes",
        about="Used counts against maxmemory; held is what the system gave. Of several, the largest of each."
        " Where no maxmemory is drawn, the host's memory is the limit.",
        queries=(
            Query("max(blnk_redis_memory_used_bytes)", "used"),
            Query("max(blnk_redis_memory_rss_bytes)", "held"),
            Query("max(blnk_redis_memory_peak_bytes)", "most since the start"),
            Query("max(blnk_redis_memory_max_bytes)", "maxmemory"),
        ),
        unit="bytes",
    ),
    Panel(
        title="Limit and policy",
        about="Unsafe: without maxmemory Redis grows until the kernel kills it, or a neighbour; under an allkeys policy it"
        " deletes waiting tasks when it is full.",
        queries=(
            Query("blnk_redis_memory_limited", "maxmemory"),
            Query(f"0 * ({_DELETES} == 1) or (blnk_redis_eviction_policy == 1)", "{{policy}}"),
        ),
        kind="state-timeline",
        states={0: ("UNSAFE", "orange"), 1: ("SAFE", "green")},
        alerts=("BlnkRedisMemoryUnlimited", "BlnkRedisEvictionPolicyUnsafe"),
    ),
    Panel(
        title="Keys evicted",
        about="Keys per second that Redis deletes because memory is full. Every one may be a transaction: 0 is the only"
        " good number.",
        queries=(Query(f"rate(blnk_redis_evicted_keys_total{_RATE})", "{{instance}}"),),
        unit="ops",
        alerts=("BlnkRedisEvicting",),
        width=12,
    ),
    Panel(
        title="Keys",
        about="By database: all, and those with a time to live. What grows without end is what fills the memory.",
        queries=(
            Query("topk(5, max by (database) (blnk_redis_keys))", "{{database}}"),
            Query("topk(5, max by (database) (blnk_redis_expiring_keys))", "{{database}}, to expire"),
        ),
        width=12,
    ),
)
_DISK = (
    Panel(
        title="Written to disk",
        about="Whether the last of each kind went well. No line for the append-only file: it is off.",
        queries=(
            Query("min(blnk_redis_rdb_last_save_ok)", "snapshot"),
            Query("min(blnk_redis_aof_last_write_ok)", "append-only file"),
            Query("min(blnk_redis_aof_last_rewrite_ok)", "rewrite of it"),
        ),
        kind="state-timeline",
        states=OK,
        alerts=("BlnkRedisPersistenceFailing",),
        width=6,
    ),
    Panel(
        title="A restart would lose",
        about="So much time of writes that are in no snapshot, while the append-only file is off; 0: all is on disk.",
        queries=(
            Query(
                f"({_AGE} and blnk_redis_rdb_changes_since_save > 0 and blnk_redis_aof_enabled == 0)"
                " or 0 * (blnk_redis_rdb_changes_since_save == 0 or blnk_redis_aof_enabled == 1)",
                "{{instance}}",
            ),
        ),
        unit="s",
        limit="redis.unsaved",
        alerts=("BlnkRedisNoPersistence",),
        width=6,
    ),
    Panel(
        title="Age of the snapshot",
        about="Since the last one, or since Redis started. It is the copy to go back to.",
        queries=(Query(_AGE, "{{instance}}"),),
        unit="s",
        limit="redis.snapshot",
        alerts=("BlnkRedisSnapshotOld",),
        width=6,
    ),
    Panel(
        title="What saving costs",
        about="How long the last snapshot took, and how long the fork for it stopped Redis and everybody who waits for it."
        " No line: there was none since the start.",
        queries=(
            Query("max(blnk_redis_rdb_last_save_duration_seconds)", "snapshot"),
            Query("max(blnk_redis_last_fork_seconds)", "fork"),
        ),
        unit="s",
        width=6,
    ),
)
REDIS = Board(
    name="redis",
    title="Redis",
    question="Does Redis have room, would it keep the tasks, and what does it refuse?",
    rows=(
        Row(title="Now", panels=_SUMMARY),
        Row(title="Is it there?", panels=_THERE),
        Row(title="Memory", panels=_MEMORY),
        Row(title="Would it survive a restart?", panels=_DISK),
        Row(title="What goes wrong", panels=WRONG),
        Row(title="Clients and load", panels=LOAD),
        Row(title="Replication (where there are replicas)", panels=REPLICATION, collapsed=True),
    ),
)
