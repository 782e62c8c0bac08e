"""Who works on the queues: rows of the dashboard of queues."""

from ..board import UP, Panel, Query

_Q = '{queue=~"$queue"}'
UNTAKEN = (
    f"(blnk_queues_pending_tasks{_Q} + blnk_queues_scheduled_overdue_tasks{_Q} + blnk_queues_retry_overdue_tasks{_Q})"
    f" and on (job, instance, queue) blnk_workers_queue_consumers{_Q} == 0"
)
WORKERS = (
    Panel(
        title="Living workers",
        about="Processes with a heartbeat in Redis, and the asynq servers in them, two or three each; none: no task is processed."
        " Servers of other applications in the same Redis do not count.",
        queries=(
            Query("sum(blnk_workers_processes)", "processes"),
            Query("sum(blnk_workers_servers)", "servers"),
            Query("sum(blnk_workers_stopping_servers)", "about to stop"),
            Query("sum(blnk_workers_foreign_servers)", "servers of others"),
        ),
        alerts=("BlnkWorkersNone",),
    ),
    Panel(
        title="Workers' health",
        about="What each worker's own check says.",
        queries=(Query("blnk_workers_up", "{{address}}"),),
        kind="state-timeline",
        states=UP,
        alerts=("BlnkWorkersDown", "BlnkWorkersInstanceDown"),
    ),
    Panel(
        title="Busy slots",
        about="Of the servers behind each queue, which share them among their queues; the ten busiest.",
        queries=(Query(f"topk(10, queue:blnk_workers_busy_slots:ratio{_Q})", "{{queue}}"),),
        unit="percentunit",
        limit="workers.busy",
        alerts=("BlnkWorkersBusy",),
    ),
    Panel(
        title="Starts of workers",
        about="In a quarter of an hour, of each process.",
        queries=(
            Query(
                "changes(blnk_workers_newest_start_timestamp_seconds[15m])"
                " / clamp_min(max_over_time(blnk_workers_processes[15m]), 1)",
                "{{instance}}",
            ),
        ),
        limit="workers.restarts",
        alerts=("BlnkWorkersRestarting",),
        width=6,
    ),
    Panel(
        title="Tasks that nobody takes",
        about="What waits or is due in queues that no live worker serves.",
        queries=(
            Query(UNTAKEN, "{{queue}}"),
            Query(f"0 * (min(blnk_workers_queue_consumers{_Q}) > 0)", "every queue is served"),
        ),
        limit="workers.unserved_tasks",
        alerts=("BlnkWorkersQueueUnserved",),
        width=6,
    ),
    Panel(
        title="Slots",
        about="Tasks that the servers behind the queue with most of them can work on at a time, and most that a queue's do.",
        queries=(
            Query(f"max by (instance) (blnk_workers_queue_slots{_Q})", "slots {{instance}}"),
            Query(f"max by (instance) (blnk_workers_queue_busy_slots{_Q})", "busy {{instance}}"),
        ),
        width=6,
    ),
    Panel(
        title="Clock of a worker",
        about="How far it and Redis' clock are apart, of several the furthest. Workers decide by their own clocks what is due.",
        queries=(Query("abs(blnk_workers_clock_skew_seconds)", "{{instance}}"),),
        unit="s",
        limit="workers.clock_skew",
        alerts=("BlnkWorkersClockSkew",),
        width=6,
    ),
)
