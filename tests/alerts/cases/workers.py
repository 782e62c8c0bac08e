"""Blnk's workers."""

from ..story import LIMITS, Ago, Case

ONE, OTHER = ('blnk_workers_up{address="worker-1:5004"}', 'blnk_workers_up{address="worker-2:5004"}')
Q = '{queue="new:transaction_1"}'
CONSUMERS, PENDING = f"blnk_workers_queue_consumers{Q}", f"blnk_queues_pending_tasks{Q}"
OVERDUE = {f"blnk_queues_{kind}_overdue_tasks{Q}": 0 for kind in ("scheduled", "retry")}
BUSY, SLOTS = f"blnk_workers_queue_busy_slots{Q}", f"blnk_workers_queue_slots{Q}"
SHARE = LIMITS["workers.busy"].warning or 0

CASES = {
    "BlnkWorkersDown": Case(quiet={ONE: 0, OTHER: 1}, loud={ONE: 0, OTHER: 0}),
    "BlnkWorkersInstanceDown": (
        Case(quiet={ONE: 1, OTHER: 1}, loud={ONE: 0, OTHER: 1}),
        Case(quiet={ONE: 0, OTHER: 0}, loud={ONE: 0, OTHER: 1}),
    ),
    "BlnkWorkersNone": Case(quiet={"blnk_workers_servers": 1}, loud={"blnk_workers_servers": 0}),
    "BlnkWorkersQueueUnserved": (
        Case(quiet={CONSUMERS: 1, PENDING: 5}, loud={CONSUMERS: 0, PENDING: 1}, always=OVERDUE),
        # Nobody serves it, and nobody needs to.
        Case(quiet={CONSUMERS: 0, PENDING: 0}, loud={CONSUMERS: 0, PENDING: 1}, always=OVERDUE),
    ),
    "BlnkWorkersQueueUnservedIdle": Case(quiet={CONSUMERS: 1}, loud={CONSUMERS: 0}),
    "BlnkWorkersBusy": (
        Case(quiet={BUSY: 100 * SHARE, PENDING: 1}, loud={BUSY: 100 * SHARE + 1, PENDING: 1}, always={SLOTS: 100}),
        # Busy, and nothing waits.
        Case(quiet={BUSY: 100, PENDING: 0}, loud={BUSY: 100, PENDING: 1}, always={SLOTS: 100}),
    ),
    "BlnkWorkersRestarting": Case(
        quiet={"blnk_workers_newest_start_timestamp_seconds": 5},
        loud={"blnk_workers_newest_start_timestamp_seconds": Ago(5)},
    ),
}
