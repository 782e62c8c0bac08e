"""What the page must show of every state that the sandbox can be in, and what it must not."""

from collections.abc import Callable
from dataclasses import dataclass, field

from .page import Page

Check = Callable[[Page], object]


@dataclass(frozen=True)
class Promise:
    """What a scenario must show: collectors that fail and why, what must be true, and what must not be there."""

    true: tuple[Check, ...]
    failures: dict[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


def no_trouble_in_queues(page: Page) -> bool:
    return not any(
        any(page.values(f"blnk_queues_{name}"))
        for name in ("archived_tasks", "paused", "head_task_lost", "stale_lease_tasks", "scheduled_overdue_tasks")
    )


def all_runs(page: Page) -> bool:
    """What is wrong with a ledger is seen neither by Blnk nor in queues and databases."""
    up = ("blnk_server_up", "blnk_workers_up", "blnk_redis_up", "blnk_postgres_up")
    return [page.value(name) for name in up] == [1] * 4 and page.value("blnk_workers_servers") == 2


PROMISES = {
    "healthy": Promise(
        true=(
            lambda page: page.value("blnk_ledger_unresolved_transactions") < 50,
            lambda page: max(page.values("blnk_ledger_unresolved_oldest_age_seconds"), default=0) < 30,
            lambda page: page.value("blnk_books_mismatched_balances") == 0,
            lambda page: page.value("blnk_books_unbalanced_currencies") == 0,
            lambda page: page.values("blnk_catalog_trigger_active") == [1] * 8,
            lambda page: page.value("blnk_catalog_invalid_indexes") == 0,
            lambda page: page.value("blnk_server_up") == 1,
            lambda page: page.value("blnk_workers_up") == 1,
            lambda page: page.value("blnk_redis_up") == 1,
            lambda page: page.value("blnk_postgres_up") == 1,
            lambda page: page.value("blnk_workers_servers") == 2,
            lambda page: len(page.values("blnk_queues_pending_tasks")) == 24,
            lambda page: page.values("blnk_workers_queue_consumers") == [1] * 24,
            lambda page: sum(page.values("blnk_queues_processed_total")) > 0,
            lambda page: page.value("blnk_redis_memory_max_bytes") == 256 * 2**20,
            lambda page: page.value("blnk_redis_aof_last_write_ok") == 1,
            lambda page: page.value("blnk_postgres_connections", role="exporter", state="active") == 1,
            lambda page: len(page.values("blnk_tables_size_bytes")) == 19,
            no_trouble_in_queues,
        ),
        # No standby, nothing given up: not zero, but nothing.
        absent=(
            "blnk_redis_replication_lag",
            "blnk_redis_primary",
            "blnk_queues_last_archived",
            "blnk_queues_paused_timestamp",
            "blnk_postgres_standby_",
            "blnk_postgres_slot_",
            "blnk_postgres_replica_",
            "blnk_exporter_fact_missing",
            "blnk_exporter_series_dropped",
        ),
    ),
    "queue-backlog": Promise(
        true=(
            lambda page: sum(depth > 1000 for depth in page.values("blnk_queues_pending_tasks")) == 3,
            lambda page: sum(age > 2300 for age in page.values("blnk_queues_oldest_pending_age_seconds")) == 3,
            lambda page: page.value("blnk_workers_servers") == 2,
        ),
    ),
    "worker-down": Promise(
        true=(
            lambda page: page.value("blnk_workers_up") == 0,
            lambda page: page.value("blnk_workers_down", reason="unreachable") == 1,
            lambda page: sum(page.values("blnk_workers_down")) == 1,
            lambda page: page.value("blnk_workers_servers") == 0,
            lambda page: page.value("blnk_workers_processes") == 0,
            lambda page: page.values("blnk_workers_queue_consumers") == [0] * 24,
            lambda page: sum(page.values("blnk_queues_pending_tasks")) > 200,
            lambda page: max(page.values("blnk_queues_oldest_pending_age_seconds")) > 590,
            lambda page: sum(page.values("blnk_queues_scheduled_overdue_tasks")) >= 10,
            lambda page: page.value("blnk_server_up") == 1,
        ),
        failures={"workers": "unreachable"},
        absent=(
            "blnk_workers_oldest_start",
            "blnk_workers_newest_start",
            "blnk_workers_response_seconds",
            "blnk_workers_response_status",
        ),
    ),
    "redis-memory": Promise(
        true=(
            lambda page: page.value("blnk_redis_memory_limited") == 1,
            lambda page: page.value("blnk_redis_memory_max_bytes") == 24 * 1024 * 1024,
            lambda page: page.value("blnk_redis_memory_used_bytes") > 0.85 * 24 * 1024 * 1024,
            lambda page: page.value("blnk_redis_eviction_policy", policy="allkeys-lru") == 1,
            lambda page: sum(page.values("blnk_redis_eviction_policy")) == 1,
        ),
    ),
    "tasks-lost": Promise(
        true=(
            lambda page: sum(page.values("blnk_queues_head_task_lost")) == 1,
            lambda page: sum(page.values("blnk_queues_stale_lease_tasks")) == 25,
            lambda page: max(page.values("blnk_queues_active_tasks")) >= 25,
        ),
    ),
    "database-down": Promise(
        true=(
            lambda page: page.value("blnk_postgres_up") == 0,
            lambda page: page.value("blnk_server_up") == 0,
            lambda page: page.value("blnk_server_down", reason="database_ping_failed") == 1,
            lambda page: page.value("blnk_server_response_status", **{"class": "5xx"}) == 1,
            lambda page: page.value("blnk_workers_up") == 1,
            lambda page: page.value("blnk_workers_servers") == 2,
            lambda page: page.value("blnk_redis_up") == 1,
            lambda page: len(page.values("blnk_queues_pending_tasks")) == 24,
            lambda page: page.names("blnk_postgres_") == ["blnk_postgres_up"],
        ),
        failures=dict.fromkeys(("postgres", "tables", "statements", "ledger", "books", "catalog"), "unreachable"),
        absent=("blnk_tables_", "blnk_statements_"),
    ),
    "redis-down": Promise(
        true=(
            lambda page: page.value("blnk_redis_up") == 0,
            lambda page: page.value("blnk_server_up") == 1,
            lambda page: page.value("blnk_workers_up") == 1,
            lambda page: page.value("blnk_postgres_up") == 1,
            lambda page: page.names("blnk_redis_") == ["blnk_redis_up"],
        ),
        failures=dict.fromkeys(("workers", "queues", "redis"), "unreachable"),
        # Nobody knows how many consume or wait.
        absent=("blnk_queues_", "blnk_workers_servers", "blnk_workers_processes", "blnk_workers_queue_"),
    ),
    "webhook-archived": Promise(
        true=(
            lambda page: page.value("blnk_queues_archived_tasks", queue="new:webhook") == 40,
            lambda page: sum(page.values("blnk_queues_archived_tasks")) == 40,
            lambda page: len(page.values("blnk_queues_last_archived_timestamp_seconds")) == 1,
            lambda page: page.value("blnk_queues_last_archived_timestamp_seconds", queue="new:webhook") > 1.7e9,
        ),
    ),
    "queue-paused": Promise(
        true=(
            lambda page: sum(page.values("blnk_queues_paused")) == 2,
            lambda page: page.value("blnk_queues_paused", queue="new:webhook") == 1,
            lambda page: len(page.values("blnk_queues_paused_timestamp_seconds")) == 2,
            lambda page: max(page.values("blnk_queues_pending_tasks")) >= 150,
            lambda page: max(page.values("blnk_queues_oldest_pending_age_seconds")) > 1190,
        ),
    ),
    "disk-full": Promise(
        true=(
            lambda page: page.value("blnk_host_filesystem_size_bytes", path="/") == 100 * 2**30,
            lambda page: 0.02 < page.value("blnk_host_filesystem_available_bytes") / (100 * 2**30) < 0.04,
        ),
    ),
    "replica-lag": Promise(
        true=(
            lambda page: page.values("blnk_postgres_up") == [1, 1],
            lambda page: sorted(page.values("blnk_postgres_in_recovery")) == [0, 1],
            lambda page: page.value("blnk_postgres_standby_replay_lag_bytes") > 0,
            lambda page: page.value("blnk_postgres_slot_active", slot="replica_1") == 1,
            lambda page: page.value("blnk_postgres_replica_replay_paused") == 1,
        ),
    ),
    "transactions-stuck": Promise(
        true=(
            all_runs,
            no_trouble_in_queues,
            lambda page: sum(page.values("blnk_queues_pending_tasks")) < 50,
            lambda page: sum(page.values("blnk_queues_processed_total")) > 0,
            lambda page: page.value("blnk_ledger_unresolved_transactions") >= 40,
            lambda page: page.value("blnk_ledger_unresolved_oldest_age_seconds") > 1190,
            lambda page: page.value("blnk_ledger_scheduled_overdue_transactions") >= 10,
            lambda page: page.value("blnk_ledger_inflight_oldest_age_seconds") > 86_400,
        ),
    ),
    "ledger-unbalanced": Promise(
        true=(
            all_runs,
            no_trouble_in_queues,
            lambda page: page.value("blnk_books_mismatched_balances") == 1,
            lambda page: page.value("blnk_books_unbalanced_currencies") >= 1,
        ),
    ),
    "ledger-tampered": Promise(
        true=(
            all_runs,
            no_trouble_in_queues,
            lambda page: len(page.values("blnk_tables_size_bytes")) == 19,
            lambda page: page.value("blnk_ledger_chain_head_consistent") == 0,
            lambda page: page.value("blnk_catalog_trigger_active", trigger="prevent_transaction_update_trigger") == 0,
            lambda page: page.value("blnk_catalog_invalid_indexes") == 1,
        ),
    ),
    "lineage-failed": Promise(
        true=(
            all_runs,
            no_trouble_in_queues,
            lambda page: page.value("blnk_ledger_lineage_entries", state="failed") >= 10,
            lambda page: page.value("blnk_ledger_lineage_oldest_pending_age_seconds") > 890,
            lambda page: page.value("blnk_ledger_reconciliation_oldest_running_age_seconds") > 6.9 * 3600,
        ),
    ),
}

MOVES = {
    "healthy": "blnk_queues_processed_total",
    "queue-backlog": "blnk_queues_oldest_pending_age_seconds",
    "worker-down": "blnk_queues_pending_tasks",
    "queue-paused": "blnk_queues_pending_tasks",
    "transactions-stuck": "blnk_ledger_unresolved_oldest_age_seconds",
}
