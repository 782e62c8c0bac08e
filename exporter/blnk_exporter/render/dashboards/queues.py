"""Queues and workers: what waits, for how long, who works on it, what went wrong."""

from ..board import Board, Panel, Query, Row, stat
from . import needs
from .queues_details import ASIDE, SKEW
from .workers import UNTAKEN, WORKERS

_RATE = "[$__rate_interval]"
_Q = '{queue=~"$queue"}'
_QUIET = '{queue=~"$queue",queue!~"@{noisy_queues}"}'
_SIDE = '{queue=~"@{side_queues}"}'
_GROWTH = " + ".join(
    f"sum(deriv(blnk_queues_{state}_tasks{_Q}{_RATE}))"
    for state in ("pending", "active", "scheduled", "retry", "archived")
)
_MAIN = '{queue=~"$queue",queue!~"@{side_queues}"}'
# A worker that dies leaves its tasks among those at work.
_TAKEN = f"blnk_queues_active_tasks{_Q} - blnk_queues_stale_lease_tasks{_Q}"
_NONE_WAITS = f"0 * (sum(blnk_queues_pending_tasks{_Q}) == 0)"
_LONGEST = f"topk(10, blnk_queues_pending_tasks{_Q} > 0)"
_PACE = f"queue:blnk_queues_processed:rate15m{_Q}"
_SUMMARY = (
    needs.redis(),
    stat(
        "Waiting",
        "Tasks that a worker could take now, in all queues chosen.",
        f"sum(blnk_queues_pending_tasks{_Q})",
    ),
    stat(
        "Oldest waits for",
        "The longest that a task of a transaction waits in any of the queues chosen; 0: none waits.",
        f"max(blnk_queues_oldest_pending_age_seconds{_MAIN}) or 0 * (sum(blnk_queues_pending_tasks{_MAIN}) == 0)",
        unit="s",
        limit="queues.oldest_pending",
    ),
    stat(
        "At work",
        "Tasks that a worker which beats has taken, less those that a dead one left.",
        f"sum({_TAKEN}) * clamp_max(sum(blnk_workers_servers), 1)",
    ),
    stat(
        "Retrying",
        "Tasks of transactions that failed and will be tried again, in the queue that has most of them.",
        f"max(blnk_queues_retry_tasks{_MAIN})",
        limit="queues.retrying",
    ),
    stat(
        "Last given up",
        "Since a task of a transaction was last archived, which nobody tries again.",
        f"time() - max(blnk_queues_last_archived_timestamp_seconds{_MAIN}) or (sum(blnk_queues_archived_tasks{_MAIN}) == 0) - 1",
        unit="s",
        limit="queues.last_archived",
        states={-1: ("NONE KEPT", "green")},
    ),
    stat(
        "Without consumer",
        "Queues that are expected or used and that no live worker takes tasks from.",
        f"count(blnk_workers_queue_consumers{_Q} == 0) or 0 * count(blnk_workers_queue_consumers{_Q})",
        any_is="orange",
        alerts=("BlnkWorkersQueueUnservedIdle",),
    ),
    stat(
        "Paused",
        "Queues that stand still until a person resumes them.",
        f"sum(blnk_queues_paused{_Q})",
        limit="queues.paused",
        alerts=("BlnkQueuesPaused",),
    ),
)
_EACH = Panel(
    title="Every queue",
    about="One line for each, the longest waiting first; sort by a click on a column. Nobody takes: what waits or is due"
    " without a consumer.",
    queries=(
        Query(f"sum by (queue) (blnk_queues_pending_tasks{_Q})", "waiting", limit="queues.depth"),
        Query(
            f"max by (queue) (blnk_queues_oldest_pending_age_seconds{_MAIN})",
            "oldest",
            unit="s",
            limit="queues.oldest_pending",
        ),
        Query(
            'max by (queue) (blnk_queues_oldest_pending_age_seconds{queue=~"$queue",queue=~"@{side_queues}"})',
            "oldest, side",
            unit="s",
        ),
        Query(f"sum by (queue) ({UNTAKEN})", "nobody takes", limit="workers.unserved_tasks"),
        Query(f"sum by (queue) ({_TAKEN})", "at work"),
        Query(f"sum by (queue) (rate(blnk_queues_processed_total{_Q}{_RATE}))", "worked on", unit="ops"),
        Query(f"sum by (queue) (blnk_queues_retry_tasks{_MAIN})", "retrying", limit="queues.retrying"),
        Query(f"sum by (queue) (blnk_queues_retry_tasks{_SIDE})", "retrying, side"),
        Query(f"sum by (queue) (blnk_queues_archived_tasks{_Q})", "given up"),
        Query(f"sum by (queue) (blnk_queues_scheduled_tasks{_Q})", "for later"),
        Query(
            f"sum by (queue) (blnk_queues_scheduled_overdue_tasks{_Q} + blnk_queues_retry_overdue_tasks{_Q})",
            "overdue",
            limit="queues.overdue",
        ),
        Query(f"sum by (queue) (blnk_workers_queue_consumers{_Q})", "consumers", none_is="orange"),
        Query(f"sum by (queue) (blnk_queues_paused{_Q})", "paused", limit="queues.paused"),
    ),
    kind="table",
    labels=("queue",),
    sort=("-oldest",),
    width=24,
    height=14,
)
_FLOW = (
    Panel(
        title="Waiting by queue",
        about="The ten longest. Tasks that are scheduled for later do not count.",
        queries=(Query(f"topk(10, blnk_queues_pending_tasks{_Q})", "{{queue}}"),),
        limit="queues.depth",
        alerts=("BlnkQueuesBacklog",),
    ),
    Panel(
        title="Oldest waiting by queue",
        about="What customers feel. No line: asynq did not note since when.",
        queries=(
            Query(f"topk(10, blnk_queues_oldest_pending_age_seconds{_MAIN})", "{{queue}}"),
            Query(f"0 * (sum(blnk_queues_pending_tasks{_MAIN}) == 0)", "nothing waits"),
        ),
        unit="s",
        limit="queues.oldest_pending",
        alerts=("BlnkQueuesWaiting",),
    ),
    Panel(
        title="In and out",
        about="Done: attempts without failure. Put in is reckoned from that and from how the queues grow.",
        queries=(
            Query(
                f"clamp_min({_GROWTH} + sum(rate(blnk_queues_processed_total{_Q}{_RATE})"
                f" - rate(blnk_queues_failed_total{_Q}{_RATE})), 0)",
                "put in",
            ),
            Query(
                f"sum(rate(blnk_queues_processed_total{_Q}{_RATE}) - rate(blnk_queues_failed_total{_Q}{_RATE}))", "done"
            ),
            Query(f"sum(rate(blnk_queues_failed_total{_Q}{_RATE}))", "failed attempts"),
        ),
        unit="ops",
    ),
    Panel(
        title="Worked on by queue",
        about="Attempts per second, of those queues that have waiting tasks, the ten slowest: one that has 0 stands still.",
        queries=(
            Query(
                f"bottomk(10, rate(blnk_queues_processed_total{_Q}{_RATE})"
                f" and on (job, instance, queue) blnk_queues_pending_tasks{_Q} > 0)",
                "{{queue}}",
            ),
            Query(_NONE_WAITS, "nothing waits"),
        ),
        unit="ops",
        alerts=("BlnkQueuesStalled",),
    ),
    Panel(
        title="Time to drain",
        about="How long the waiting tasks take at the pace of the last quarter of an hour, if no more come. Never: nobody"
        " worked on that queue. The ten longest; no line: nothing waits.",
        queries=(
            Query(_LONGEST, "waiting"),
            Query(
                f"{_LONGEST} / ({_PACE} > 0) or 0 * ({_LONGEST} and {_PACE} == 0) - 1",
                "drained in",
                unit="s",
                states={-1: ("never", "text")},
            ),
        ),
        kind="table",
        labels=("queue",),
        sort=("-waiting",),
        nothing="nothing is known to wait",
    ),
    Panel(
        title="Tasks by state",
        about="Of all queues chosen: what waits, what is at work, what is held, what has failed.",
        queries=tuple(
            Query(f"sum(blnk_queues_{state}_tasks{_Q})", state)
            for state in ("pending", "active", "scheduled", "retry", "archived")
        ),
        stacked=True,
    ),
)
_TROUBLE = (
    Panel(
        title="Overdue",
        about="Scheduled tasks and retries that are due and that nobody moves into their queue.",
        queries=(
            Query(
                f"topk(5, blnk_queues_scheduled_overdue_tasks{_Q} + blnk_queues_retry_overdue_tasks{_Q})", "{{queue}}"
            ),
        ),
        limit="queues.overdue",
        alerts=("BlnkQueuesOverdue",),
    ),
    Panel(
        title="Lost tasks",
        about="Without content, or left by a worker that died and taken up by no other.",
        queries=(Query(f"topk(5, blnk_queues_stale_lease_tasks{_Q} + blnk_queues_head_task_lost{_Q})", "{{queue}}"),),
        limit="queues.lost",
        alerts=("BlnkQueuesTasksLost",),
    ),
    Panel(
        title="Attempts that fail",
        about="Of those of a quarter of an hour, by queue.",
        queries=(
            Query(f"topk(10, queue:blnk_queues_failed_per_processed:ratio_rate15m{_QUIET})", "{{queue}}"),
            Query(f"0 * (sum({_PACE}) == 0)", "no work"),
        ),
        unit="percentunit",
        limit="queues.failing",
        alerts=("BlnkQueuesFailing",),
    ),
    Panel(
        title="Retrying by queue",
        about="Tasks that wait for their next attempt; the ten queues with most of them.",
        queries=(Query(f"topk(10, blnk_queues_retry_tasks{_MAIN})", "{{queue}}"),),
        limit="queues.retrying",
        alerts=("BlnkQueuesRetrying",),
    ),
    Panel(
        title="Since a transaction was given up",
        about="Time since a task of a transaction was last archived: young is bad. No line: none is kept.",
        queries=(
            Query(
                'time() - blnk_queues_last_archived_timestamp_seconds{queue=~"$queue",queue!~"@{side_queues}"}',
                "{{queue}}",
            ),
        ),
        unit="s",
        limit="queues.last_archived",
        alerts=("BlnkQueuesTasksArchived",),
    ),
    Panel(
        title="Queues that asynq knows",
        about="Those in its list, and those of them beyond the limit of what is read. A fall: Redis lost them.",
        queries=(
            Query("sum(blnk_queues_registered)", "registered"),
            Query("blnk_queues_unlisted", "unlisted"),
        ),
        alerts=("BlnkQueuesRegistryLost", "BlnkQueuesUnlisted"),
    ),
)
QUEUES = Board(
    name="queues",
    title="Queues and workers",
    question="What waits, for how long, who works on it, and what went wrong?",
    rows=(
        Row(title="Now", panels=_SUMMARY),
        Row(title="Queues", panels=(_EACH,)),
        Row(title="Flow", panels=_FLOW),
        Row(title="Workers", panels=WORKERS),
        Row(title="What goes wrong", panels=_TROUBLE),
        Row(title="Hashed transaction queues", panels=SKEW, collapsed=True),
        Row(title="Webhooks, search and expiry (where they are used)", panels=ASIDE, collapsed=True),
    ),
)
