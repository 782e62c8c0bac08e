"""Queues in Redis."""

from ..story import LIMITS, Ago, Case, Rate

Q = '{queue="new:transaction_1"}'
WEBHOOK = '{queue="new:webhook"}'


def _waiting(limit: float | None, severity: str) -> Case:
    assert limit is not None
    name = f"blnk_queues_oldest_pending_age_seconds{Q}"
    # Holds that expire are late for all the world to see, and for nobody to be woken.
    expiry = 'blnk_queues_oldest_pending_age_seconds{queue="new:inflight-expiry"}'
    return Case(quiet={name: limit, expiry: 1e6}, loud={name: limit + 1}, severity=severity)


def _either(one: str, other: str) -> tuple[Case, ...]:
    """Each of two numbers alone."""
    return tuple(
        Case(
            quiet={f"blnk_queues_{name}{Q}": 0},
            loud={f"blnk_queues_{name}{Q}": 1},
            always={f"blnk_queues_{rest}{Q}": 0},
        )
        for name, rest in ((one, other), (other, one))
    )


def _archived(queue: str) -> str:
    return f'blnk_queues_last_archived_timestamp_seconds{{queue="{queue}"}}'


_PAGED = LIMITS["queues.last_archived"].critical or 0
_TOLD = LIMITS["queues.side_last_archived"].warning or 0
_LEAST = LIMITS["queues.failing_least"].warning or 0
_SHARE = LIMITS["queues.failing"].warning or 0

CASES = {
    "BlnkQueuesWaiting": (
        _waiting(LIMITS["queues.oldest_pending"].warning, "warning"),
        _waiting(LIMITS["queues.oldest_pending"].critical, "critical"),
    ),
    "BlnkQueuesStalled": (
        Case(
            quiet={f"blnk_queues_pending_tasks{Q}": 5, f"blnk_queues_processed_total{Q}": Rate(0.01)},
            loud={f"blnk_queues_pending_tasks{Q}": 1, f"blnk_queues_processed_total{Q}": Rate(0)},
        ),
        # An idle queue, and one that is paused, which has an alert of its own.
        Case(
            quiet={f"blnk_queues_pending_tasks{Q}": 0, f"blnk_queues_processed_total{Q}": Rate(0)},
            loud={f"blnk_queues_pending_tasks{Q}": 1, f"blnk_queues_processed_total{Q}": Rate(0)},
        ),
        Case(
            quiet={f"blnk_queues_paused{Q}": 1},
            loud={f"blnk_queues_paused{Q}": 0},
            always={f"blnk_queues_pending_tasks{Q}": 1, f"blnk_queues_processed_total{Q}": Rate(0)},
        ),
        # On the side, where nobody waits.
        Case(
            quiet={f"blnk_queues_pending_tasks{WEBHOOK}": 9, f"blnk_queues_processed_total{WEBHOOK}": Rate(0)},
            loud={f"blnk_queues_pending_tasks{Q}": 1, f"blnk_queues_processed_total{Q}": Rate(0)},
        ),
    ),
    "BlnkQueuesBacklog": Case(
        quiet={f"blnk_queues_pending_tasks{Q}": 1000, f"blnk_queues_scheduled_tasks{Q}": 1e6},
        loud={f"blnk_queues_pending_tasks{Q}": 1001},
    ),
    "BlnkQueuesPaused": Case(quiet={f"blnk_queues_paused{Q}": 0}, loud={f"blnk_queues_paused{Q}": 1}),
    "BlnkQueuesOverdue": _either("scheduled_overdue_tasks", "retry_overdue_tasks"),
    "BlnkQueuesTasksLost": _either("stale_lease_tasks", "head_task_lost"),
    "BlnkQueuesRegistryLost": Case(
        quiet={f"blnk_queues_registered{Q}": 1}, loud={f"blnk_queues_registered{Q}": 0}, seconds=600
    ),
    "BlnkQueuesTasksArchived": Case(
        quiet={_archived("new:transaction_1"): Ago(_PAGED), _archived("new:webhook"): Ago(1)},
        loud={_archived("new:transaction_1"): Ago(_PAGED - 1)},
    ),
    "BlnkQueuesSideTasksArchived": Case(
        quiet={_archived("new:webhook"): Ago(_TOLD), _archived("new:inflight-expiry"): Ago(1)},
        loud={_archived("new:webhook"): Ago(_TOLD - 1)},
    ),
    "BlnkQueuesRetrying": Case(quiet={f"blnk_queues_retry_tasks{Q}": 50}, loud={f"blnk_queues_retry_tasks{Q}": 51}),
    "BlnkQueuesSideWorkFailing": Case(
        quiet={f"blnk_queues_retry_tasks{WEBHOOK}": 100}, loud={f"blnk_queues_retry_tasks{WEBHOOK}": 101}
    ),
    "BlnkQueuesFailing": (
        Case(
            quiet={f"blnk_queues_failed_total{Q}": Rate(_SHARE * 0.99)},
            loud={f"blnk_queues_failed_total{Q}": Rate(_SHARE * 1.01)},
            always={f"blnk_queues_processed_total{Q}": Rate(1)},
        ),
        # All of a few.
        Case(
            quiet={f"blnk_queues_failed_total{Q}": Rate(_LEAST * 0.99 / 900)},
            loud={f"blnk_queues_failed_total{Q}": Rate(_LEAST * 1.05 / 900)},
            always={f"blnk_queues_processed_total{Q}": Rate(_LEAST / 900)},
        ),
    ),
    "BlnkQueuesUnlisted": Case(quiet={"blnk_queues_unlisted": 0}, loud={"blnk_queues_unlisted": 1}),
}
