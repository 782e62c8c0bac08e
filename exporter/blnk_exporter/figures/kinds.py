"""Which key figures there are, and how each is made of samples."""

from . import measures, money
from .kind import Kind


def _names(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"blnk_{prefix}_{name}" for name in names)


_UP = "each is up"
_SERVED = "No customer is served by one that is down."
_WORKED = "What is queued stays queued while no worker is up."
_QUEUED = "Transactions are accepted and not worked on: neither Blnk's API nor its workers notice that Redis is gone."
_STORED = "Without its database Blnk neither accepts nor applies anything."
_SPARED = "allkeys-lru and its like delete keys of waiting transactions as soon as memory is full, and say so nowhere."

KINDS = (
    Kind(
        "server.up",
        "API servers",
        "instances",
        _names("server", "up", "down"),
        measures.up,
        limited=False,
        judged=_UP,
        why=_SERVED,
    ),
    Kind(
        "workers.up",
        "Workers",
        "instances",
        _names("workers", "up", "down"),
        measures.up,
        limited=False,
        judged=_UP,
        why=_WORKED,
    ),
    Kind("redis.up", "Redis", "instances", _names("redis", "up"), measures.up, limited=False, judged=_UP, why=_QUEUED),
    Kind(
        "postgres.up",
        "PostgreSQL",
        "instances",
        _names("postgres", "up"),
        measures.up,
        limited=False,
        judged=_UP,
        why=_STORED,
    ),
    Kind("server.response", "Slowest health answer", "seconds", _names("server", "response_seconds"), measures.worst),
    Kind(
        "workers.unserved_queues",
        "Queues nobody consumes",
        "queues",
        _names("workers", "queue_consumers"),
        measures.unserved,
    ),
    Kind("queues.depth", "Deepest queue", "tasks", _names("queues", "pending_tasks"), measures.worst),
    Kind(
        "queues.oldest_pending",
        "Oldest waiting task",
        "seconds",
        _names("queues", "pending_tasks", "oldest_pending_age_seconds"),
        measures.oldest_pending,
    ),
    Kind("queues.lost", "Lost tasks", "tasks", _names("queues", "stale_lease_tasks", "head_task_lost"), measures.lost),
    Kind(
        "queues.last_archived",
        "Tasks given up",
        "tasks",
        _names("queues", "archived_tasks", "last_archived_timestamp_seconds"),
        measures.archived,
        judged="time since the last",
    ),
    Kind("queues.paused", "Paused queues", "queues", _names("queues", "paused"), measures.paused),
    Kind(
        "ledger.unresolved_age",
        "Oldest open transaction",
        "seconds",
        _names("ledger", "history_complete", "unresolved_transactions", "unresolved_oldest_age_seconds"),
        money.unresolved,
    ),
    Kind(
        "ledger.without_task",
        "Transactions without a task",
        "transactions",
        _names("ledger", "transactions_without_task"),
        money.without_task,
    ),
    Kind(
        "books.unbalanced",
        "Books out of balance",
        "balances",
        _names("books", "mismatched_balances", "unbalanced_currencies"),
        money.unbalanced,
    ),
    Kind(
        "ledger.deleted",
        "Deleted transactions",
        "transactions",
        _names("ledger", "journal_changes_total"),
        money.deleted,
    ),
    Kind("ledger.chain_head", "Hash chain", "chains", _names("ledger", "chain_head_consistent"), money.chain_head),
    Kind("catalog.triggers", "Missing triggers", "triggers", _names("catalog", "trigger_active"), money.triggers),
    Kind("ledger.lineage", "Failed lineage", "entries", _names("ledger", "lineage_entries"), money.lineage),
    Kind(
        "redis.memory",
        "Redis memory",
        "ratio",
        _names("redis", "memory_used_bytes", "memory_max_bytes", "memory_limited"),
        measures.redis_memory,
    ),
    Kind(
        "redis.policy",
        "Eviction policy",
        "instances",
        _names("redis", "eviction_policy"),
        measures.policy,
        limited=False,
        judged="spares queued tasks",
        why=_SPARED,
    ),
    Kind(
        "postgres.connections",
        "PostgreSQL connections",
        "ratio",
        _names("postgres", "backends", "connections_max", "connections_reserved"),
        measures.connections,
    ),
    Kind(
        "postgres.replication_lag",
        "Replication lag",
        "seconds",
        _names("postgres", "standby_replay_lag_seconds", "standby_replay_lag_bytes", "replica_lag_seconds"),
        measures.lag,
    ),
    Kind(
        "host.disk",
        "Fullest file system",
        "ratio",
        _names("host", "filesystem_size_bytes", "filesystem_free_bytes", "filesystem_available_bytes"),
        measures.disk,
    ),
    Kind(
        "host.memory",
        "Host memory",
        "ratio",
        _names("host", "memory_total_bytes", "memory_available_bytes"),
        measures.memory,
    ),
)
