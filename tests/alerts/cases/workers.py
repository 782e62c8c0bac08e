"""Blnk's workers."""

from ..story import LIMITS, Ago, Case

ONE, OTHER = ('blnk_workers_up{address="worker-1:5004"}', 'blnk_workers_up{address="worker-2:5004"}')
Q = '{queue="new:transaction_1"}'
SERVERS, START = "blnk_workers_servers", "blnk_workers_newest_start_timestamp_seconds"
CONSUMERS, PENDING = f"blnk_workers_queue_consumers{Q}", f"blnk_queues_pending_tasks{Q}"
OVERDUE = {f"blnk_queues_{kind}_overdue_tasks{Q}": 0 for kind in ("scheduled", "retry")}
# A queue that is served, and the same queue of another site.
_ELSEWHERE = ('{queue="new:transaction_2"}', '{queue="new:transaction_1",cluster="other"}')
OTHER_QUEUE, OTHER_SITE = (f"blnk_queues_pending_tasks{where}" for where in _ELSEWHERE)
_OTHERS = {
    f"{name}{where}": value
    for where in _ELSEWHERE
    for name, value in (
        ("blnk_workers_queue_consumers", 1),
        ("blnk_queues_scheduled_overdue_tasks", 0),
        ("blnk_queues_retry_overdue_tasks", 0),
    )
}
BUSY, SLOTS = f"blnk_workers_queue_busy_slots{Q}", f"blnk_workers_queue_slots{Q}"
FOREIGN, SKEW = "blnk_workers_foreign_servers", "blnk_workers_clock_skew_seconds"
CLOCK = LIMITS["workers.clock_skew"].warning or 0
SHARE = LIMITS["workers.busy"].warning or 0

CASES = {
    "BlnkWorkersDown": (
        Case(quiet={ONE: 0, OTHER: 1}, loud={ONE: 0, OTHER: 0}),
        # Their port is out of reach, and they work; then nobody does, or nobody knows.
        Case(quiet={SERVERS: 2}, loud={SERVERS: 0}, always={ONE: 0}),
        Case(quiet={SERVERS: 2}, loud={SERVERS: None}, always={ONE: 0}),
        # Another application's servers live on.
        Case(quiet={SERVERS: 2}, loud={SERVERS: 0}, always={ONE: 0, FOREIGN: 3}),
    ),
    "BlnkWorkersInstanceDown": (
        Case(quiet={ONE: 1, OTHER: 1}, loud={ONE: 0, OTHER: 1}),
        Case(quiet={ONE: 0, OTHER: 0}, loud={ONE: 0, OTHER: 1}),
        Case(quiet={ONE: 0, SERVERS: 0}, loud={ONE: 0, SERVERS: 2}),
        Case(quiet={ONE: 0, SERVERS: 0}, loud={ONE: 0, SERVERS: 2}, always={FOREIGN: 3}),
    ),
    "BlnkWorkersNone": (
        Case(quiet={SERVERS: 1}, loud={SERVERS: 0}),
        Case(quiet={SERVERS: 1}, loud={SERVERS: 0}, always={FOREIGN: 1}),
    ),
    "BlnkWorkersClockSkew": tuple(
        Case(quiet={SKEW: sign * CLOCK}, loud={SKEW: sign * (CLOCK + 0.001)}) for sign in (1, -1)
    ),
    "BlnkWorkersQueueUnserved": (
        Case(quiet={CONSUMERS: 1, PENDING: 5}, loud={CONSUMERS: 0, PENDING: 1}, always=OVERDUE),
        # Nobody serves it, and nobody needs to; another queue and another site have tasks, and workers.
        Case(
            quiet={CONSUMERS: 0, PENDING: 0, OTHER_QUEUE: 7, OTHER_SITE: 7},
            loud={CONSUMERS: 0, PENDING: 1},
            always=OVERDUE | _OTHERS,
        ),
        # What is due waits as well.
        *(
            Case(
                quiet={late: 0},
                loud={late: 1},
                always={CONSUMERS: 0, PENDING: 0} | {name: 0 for name in OVERDUE if name != late},
            )
            for late in OVERDUE
        ),
    ),
    "BlnkWorkersQueueUnservedIdle": Case(quiet={CONSUMERS: 1}, loud={CONSUMERS: 0}),
    "BlnkWorkersBusy": (
        Case(quiet={BUSY: 100 * SHARE, PENDING: 1}, loud={BUSY: 100 * SHARE + 1, PENDING: 1}, always={SLOTS: 100}),
        # Busy, and nothing waits.
        Case(quiet={BUSY: 100, PENDING: 0}, loud={BUSY: 100, PENDING: 1}, always={SLOTS: 100}),
    ),
    "BlnkWorkersRestarting": (
        Case(quiet={START: 5}, loud={START: Ago(5)}, always={"blnk_workers_processes": 1}),
        # Each of many is started once.
        Case(quiet={START: Ago(5), "blnk_workers_processes": 60}, loud={START: Ago(5), "blnk_workers_processes": 1}),
    ),
}
