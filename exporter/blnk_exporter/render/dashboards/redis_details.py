"""What Redis refuses, how much it works, who follows it: rows of its dashboard."""

from ..board import UP, Panel, Query

_RATE = "[$__rate_interval]"
# What Redis answers to a write that it would take at another time.
REFUSALS = "OOM|MISCONF|READONLY|NOREPLICAS|CLUSTERDOWN"
WRONG = (
    Panel(
        title="Refusals of writes",
        about="Per second, by reason: OOM is full memory, MISCONF a disk that fails, READONLY a replica that is taken for"
        " the primary, NOREPLICAS too few of them.",
        queries=(Query(f'sum by (error) (rate(blnk_redis_errors_total{{error=~"{REFUSALS}"}}{_RATE}))', "{{error}}"),),
        unit="ops",
        alerts=("BlnkRedisRefusesWrites",),
    ),
    Panel(
        title="Other errors",
        about="Replies per second, of the five kinds with most: NOAUTH and NOPERM are wrong rights, ERR a command that it does not know.",
        queries=(
            Query(
                f'topk(5, sum by (error) (rate(blnk_redis_errors_total{{error!~"{REFUSALS}"}}{_RATE})))',
                "{{error}}",
            ),
        ),
        unit="ops",
    ),
    Panel(
        title="Slow log",
        about="Commands that took longer than slowlog-log-slower-than; it is full at slowlog-max-len and then stays so.",
        queries=(Query("blnk_redis_slow_log_entries", "{{instance}}"),),
    ),
)
LOAD = (
    Panel(
        title="Connections of maxclients",
        about="What grows and never falls is a program that does not close its connections.",
        queries=(Query("redis:blnk_redis_clients_used:ratio", "{{instance}}"),),
        unit="percentunit",
        limit="redis.clients",
        alerts=("BlnkRedisClientsHigh",),
    ),
    Panel(
        title="Connections per second",
        about="Refused: Redis has as many clients as it takes. Many new ones: a program opens one for each command.",
        queries=(
            Query(f"sum(rate(blnk_redis_connections_total{_RATE}))", "accepted"),
            Query(f"sum(rate(blnk_redis_connections_rejected_total{_RATE}))", "refused"),
        ),
        unit="ops",
        alerts=("BlnkRedisConnectionsRejected",),
    ),
    Panel(
        title="Clients",
        about="Replicas left out. Blocked ones wait in a command for something to come, which is no fault.",
        queries=(
            Query("sum(blnk_redis_clients_connected)", "connected"),
            Query("sum(blnk_redis_clients_blocked)", "blocked"),
        ),
    ),
    Panel(
        title="Commands",
        about="Worked on per second. Many while little is queued: workers ask empty queues, which is no fault.",
        queries=(Query(f"rate(blnk_redis_commands_total{_RATE})", "{{instance}}"),),
        unit="ops",
    ),
    Panel(
        title="CPU of Redis",
        about="100 % is one CPU. Commands are worked on by a single thread, so that one is all it can use for them.",
        queries=(
            Query(f"max(rate(blnk_redis_cpu_user_seconds_total{_RATE}))", "user"),
            Query(f"max(rate(blnk_redis_cpu_system_seconds_total{_RATE}))", "system"),
        ),
        unit="percentunit",
        stacked=True,
    ),
    Panel(
        title="Network",
        about="Bytes per second of all clients and replicas.",
        queries=(
            Query(f"sum(rate(blnk_redis_network_input_bytes_total{_RATE}))", "in"),
            Query(f"sum(rate(blnk_redis_network_output_bytes_total{_RATE}))", "out"),
        ),
        unit="Bps",
    ),
)
REPLICATION = (
    Panel(
        title="Replicas",
        about="Usual: half of the last day had no more. Fewer online than usual: one is lost.",
        queries=(
            Query("max by (state) (blnk_redis_replicas)", "{{state}}"),
            Query('max(quantile_over_time(0.5, blnk_redis_replicas{state="online"}[1d]))', "usual"),
        ),
        alerts=("BlnkRedisReplicaGone",),
        decimals=0,
        width=6,
    ),
    Panel(
        title="Silence of replicas",
        about="Longest time since an online replica reported; they do so every second. No line: there is none.",
        queries=(Query("blnk_redis_replication_lag_seconds", "{{instance}}"),),
        unit="s",
        width=6,
    ),
    Panel(
        title="Replicas are behind by",
        about="What the slowest has not read; it would be lost if the primary died now. No line: there is none.",
        queries=(Query("blnk_redis_replication_lag_bytes", "{{instance}}"),),
        unit="bytes",
        width=6,
    ),
    Panel(
        title="Link to the primary",
        about="Where this Redis is itself a replica, whether it is linked to its primary. No line: it is a primary.",
        queries=(Query("blnk_redis_primary_link_up", "{{instance}}"),),
        kind="state-timeline",
        states={**UP, 0: ("DOWN", "blue")},
        width=6,
    ),
)
