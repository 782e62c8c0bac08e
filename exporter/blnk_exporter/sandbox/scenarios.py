"""The states that the sandbox can show, as data: what is changed and what to look at."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from . import ledger_trouble, trouble
from .stage import Stage


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One state: what goes wrong in a healthy deployment.

    ``alerts`` are all that this raises, within a minute of the rules' holds and windows. ``chain`` switches the hash
    chain on, where the release has it.
    """

    description: str
    alerts: tuple[str, ...] = ()
    trouble: Callable[[Stage], Awaitable[None]] = trouble.nothing
    valkey_args: tuple[str, ...] = ("--maxmemory", "256mb", "--maxmemory-policy", "noeviction", "--appendonly", "yes")
    chain: bool = False


SCENARIOS = {
    "healthy": Scenario(
        description="all is well: blnk_server_up and blnk_workers_up are 1, blnk_queues_processed_total grows",
        chain=True,
    ),
    "queue-backlog": Scenario(
        description="slow workers: blnk_queues_pending_tasks above 1000, blnk_queues_oldest_pending_age_seconds grows",
        alerts=(
            "BlnkLedgerTransactionsUnresolved",
            "BlnkQueuesBacklog",
            "BlnkQueuesStalled",
            "BlnkQueuesWaiting",
            "BlnkWorkersBusy",
        ),
        trouble=trouble.backlog,
    ),
    "worker-down": Scenario(
        description="killed worker: blnk_workers_servers 0, blnk_workers_queue_consumers 0, pending and overdue grow",
        alerts=(
            "BlnkExporterCollectorFailing",
            "BlnkLedgerScheduledOverdue",
            "BlnkLedgerTransactionsUnresolved",
            "BlnkQueuesOverdue",
            "BlnkQueuesStalled",
            "BlnkQueuesWaiting",
            "BlnkWorkersDown",
            "BlnkWorkersNone",
            "BlnkWorkersQueueUnserved",
            "BlnkWorkersQueueUnservedIdle",
        ),
        trouble=trouble.worker_down,
    ),
    "redis-memory": Scenario(
        description="Redis at 90 % with allkeys-lru: blnk_redis_memory_used_bytes, blnk_redis_eviction_policy",
        alerts=(
            "BlnkRedisEvictionPolicyUnsafe",
            "BlnkRedisMemoryHigh",
        ),
        trouble=trouble.memory_full,
        valkey_args=("--maxmemory", "24mb", "--maxmemory-policy", "allkeys-lru"),
    ),
    "tasks-lost": Scenario(
        description="evicted tasks: blnk_queues_head_task_lost is 1, blnk_queues_stale_lease_tasks above 0",
        alerts=(
            "BlnkLedgerTransactionsUnresolved",
            "BlnkQueuesStalled",
            "BlnkQueuesTasksLost",
            "BlnkQueuesWaiting",
            "BlnkWorkersBusy",
        ),
        trouble=trouble.tasks_lost,
    ),
    "database-down": Scenario(
        description="PostgreSQL stopped: blnk_postgres_up 0, blnk_server_up 0 while blnk_workers_up stays 1",
        alerts=(
            "BlnkExporterCollectorFailing",
            "BlnkPostgresDown",
            "BlnkServerDown",
        ),
        trouble=trouble.database_down,
    ),
    "redis-down": Scenario(
        description="Redis stopped: blnk_redis_up 0, no queue series, and blnk_server_up still says 1",
        alerts=(
            "BlnkExporterCollectorFailing",
            "BlnkExporterFactMissing",
            "BlnkRedisDown",
        ),
        trouble=trouble.redis_down,
    ),
    "webhook-archived": Scenario(
        description="webhooks given up: blnk_queues_archived_tasks and blnk_queues_last_archived_timestamp_seconds",
        alerts=("BlnkQueuesSideTasksArchived",),
        trouble=trouble.webhooks_archived,
    ),
    "queue-paused": Scenario(
        description="two paused queues: blnk_queues_paused 1, blnk_queues_paused_timestamp_seconds, pending grows",
        alerts=(
            "BlnkLedgerTransactionsUnresolved",
            "BlnkQueuesPaused",
            "BlnkQueuesWaiting",
        ),
        trouble=trouble.queue_paused,
    ),
    "disk-full": Scenario(
        description="a file system 97 % full: blnk_host_filesystem_available_bytes",
        alerts=("BlnkHostDiskHigh",),
        trouble=trouble.disk_full,
    ),
    "replica-lag": Scenario(
        description="a standby that applies nothing: blnk_postgres_standby_replay_lag_bytes, blnk_postgres_slot_active",
        alerts=("BlnkPostgresReplicationLag",),
        trouble=trouble.replica_late,
    ),
    "transactions-stuck": Scenario(
        description="accepted and lost: blnk_ledger_unresolved_transactions, blnk_ledger_transactions_without_task",
        alerts=(
            "BlnkLedgerScheduledOverdue",
            "BlnkLedgerTransactionsUnresolved",
            "BlnkLedgerTransactionsWithoutTask",
        ),
        trouble=ledger_trouble.transactions_stuck,
    ),
    "ledger-unbalanced": Scenario(
        description="wrong books: blnk_books_mismatched_balances 1, blnk_books_unbalanced_currencies 1",
        alerts=(
            "BlnkBooksBalancesMismatched",
            "BlnkBooksCurrenciesUnbalanced",
        ),
        trouble=ledger_trouble.ledger_unbalanced,
    ),
    "ledger-tampered": Scenario(
        description="rows are deleted: blnk_ledger_chain_head_consistent 0, blnk_catalog_trigger_active, _invalid_indexes",
        alerts=(
            "BlnkCatalogInvalidIndex",
            "BlnkCatalogTriggerMissing",
            "BlnkLedgerChainHeadInconsistent",
            "BlnkLedgerTransactionsDeleted",
            "BlnkTablesRowsDeleted",
        ),
        trouble=ledger_trouble.ledger_tampered,
        chain=True,
    ),
    "lineage-failed": Scenario(
        description="nobody traces funds: blnk_ledger_lineage_entries pending and failed; a reconciliation runs for hours",
        alerts=(
            "BlnkLedgerLineageFailed",
            "BlnkLedgerLineageStuck",
            "BlnkLedgerReconciliationStuck",
        ),
        trouble=ledger_trouble.lineage_failed,
    ),
}
