"""Queues and workers: what waits, for how long, who works on it, what went wrong."""

from ..board import Board, Panel, Query, Row, stat
from .workers import WORKERS

_RATE = "[$__rate_interval]"
_Q = '{queue=~"$queue"}'
_HASHED = '{queue=~"new:transaction_.+"}'
_QUIET = '{queue=~"$queue",queue!~"@{noisy_queues}"}'
_SIDE = '{queue=~"@{side_queues}"}'
_GROWTH = " + ".join(
    f"sum(deriv(blnk_queues_{state}_tasks{_Q}{_RATE}))"
    for state in ("pending", "active", "scheduled", "retry", "archived")
)
_MAIN = '{queue=~"$queue",queue!~"@{side_queues}"}'
_FAILING = '{queue=~"@{side_queues}",queue!~"@{noisy_queues}"}'
_SUMMARY = (
    stat(
        "Redis",
        "Whether Redis answers, and has loaded its data; without it all here is unknown.",
        "min(blnk_redis_up) * (2 - (max(blnk_redis_loading) or 0 * min(blnk_redis_up)))",
        states={0: ("DOWN", "red"), 1: ("LOADING", "red"), 2: ("UP", "green")},
        board="redis",
    ),
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
    stat("At work", "Tasks that a worker has taken.", f"sum(blnk_queues_active_tasks{_Q})"),
    stat(
        "Retrying",
        "Tasks of transactions that failed and will be tried again, in the queue that has most of them.",
        f"max(blnk_queues_retry_tasks{_MAIN})",
        limit="queues.retrying",
    ),
    stat(
        "Last given up",
        "Since a task of a transaction was last archived, which nobody tries again; grey: none is kept.",
        f"time() - max(blnk_queues_last_archived_timestamp_seconds{_MAIN})",
        unit="s",
        limit="queues.last_archived",
        nothing="none kept",
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
    about="One line for each, the longest waiting first; sort by a click on a column.",
    queries=(
        Query(f"sum by (instance, queue) (blnk_queues_pending_tasks{_Q})", "waiting", limit="queues.depth"),
        Query(
            f"max by (instance, queue) (blnk_queues_oldest_pending_age_seconds{_MAIN})",
            "oldest",
            unit="s",
            limit="queues.oldest_pending",
        ),
        Query(
            'max by (instance, queue) (blnk_queues_oldest_pending_age_seconds{queue=~"$queue",queue=~"@{side_queues}"})',
            "oldest, side",
            unit="s",
        ),
        Query(f"sum by (instance, queue) (blnk_queues_active_tasks{_Q})", "at work"),
        Query(f"sum by (instance, queue) (rate(blnk_queues_processed_total{_Q}{_RATE}))", "worked on", unit="ops"),
        Query(f"sum by (instance, queue) (blnk_queues_retry_tasks{_Q})", "retrying", limit="queues.retrying"),
        Query(f"sum by (instance, queue) (blnk_queues_archived_tasks{_Q})", "given up"),
        Query(f"sum by (instance, queue) (blnk_queues_scheduled_tasks{_Q})", "held"),
        Query(
            f"sum by (instance, queue) (blnk_queues_scheduled_overdue_tasks{_Q} + blnk_queues_retry_overdue_tasks{_Q})",
            "overdue",
            limit="queues.overdue",
        ),
        Query(f"sum by (instance, queue) (blnk_workers_queue_consumers{_Q})", "consumers", none_is="orange"),
        Query(f"sum by (instance, queue) (blnk_queues_paused{_Q})", "paused", limit="queues.paused"),
    ),
    kind="table",
    labels=("instance", "queue"),
    sort="-oldest",
    width=24,
    height=12,
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
        about="What customers feel. No line: nothing waits, or asynq did not note since when.",
        queries=(Query(f"topk(10, blnk_queues_oldest_pending_age_seconds{_MAIN})", "{{queue}}"),),
        unit="s",
        limit="queues.oldest_pending",
        nothing="nothing waits, or unknown",
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
        ),
        nothing="nothing waits, or unknown",
        unit="ops",
        alerts=("BlnkQueuesStalled",),
    ),
    Panel(
        title="Time to drain",
        about="How long the waiting tasks take at the pace of the last quarter of an hour, if no more come. A queue that"
        " nobody worked on has no line: it never drains.",
        queries=(
            Query(
                f"topk(10, blnk_queues_pending_tasks{_Q} / (queue:blnk_queues_processed:rate15m{_Q} > 0))", "{{queue}}"
            ),
        ),
        unit="s",
        nothing="no work for 15 min, or unknown",
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
        about="Of those of a quarter of an hour, by queue. No line: no work.",
        queries=(Query(f"topk(10, queue:blnk_queues_failed_per_processed:ratio_rate15m{_QUIET})", "{{queue}}"),),
        unit="percentunit",
        limit="queues.failing",
        nothing="no work, or unknown",
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
        about="Time since a task of a transaction was last archived: young is bad.",
        queries=(
            Query(
                'time() - blnk_queues_last_archived_timestamp_seconds{queue=~"$queue",queue!~"@{side_queues}"}',
                "{{queue}}",
            ),
        ),
        unit="s",
        limit="queues.last_archived",
        nothing="none is kept, or unknown",
        alerts=("BlnkQueuesTasksArchived",),
    ),
    Panel(
        title="Registry",
        about="Queues that asynq knows, and those of them beyond the limit of what is read. A fall: Redis lost them.",
        queries=(
            Query("sum(blnk_queues_registered)", "registered"),
            Query("blnk_queues_unlisted", "unlisted"),
        ),
        alerts=("BlnkQueuesRegistryLost", "BlnkQueuesUnlisted"),
    ),
)
_SKEW = (
    Panel(
        title="Waiting in the hashed queues",
        about="Blnk spreads transactions by their source balance: one account with much traffic fills one queue.",
        queries=(Query(f"blnk_queues_pending_tasks{_HASHED}", "{{queue}}"),),
        stacked=True,
        width=12,
    ),
    Panel(
        title="Skew",
        about="The longest of the hashed queues against their mean: 1 is even, as many as there are queues is all in one.",
        queries=(
            Query(
                f"max by (instance) (blnk_queues_pending_tasks{_HASHED})"
                f" / (avg by (instance) (blnk_queues_pending_tasks{_HASHED}) > 0)",
                "{{instance}}",
            ),
        ),
        decimals=1,
        nothing="nothing waits, or unknown",
        width=12,
    ),
)
_ASIDE = (
    Panel(
        title="Waiting on the side",
        about="Webhooks, the search index and the expiry of holds: no transaction waits for them.",
        queries=(Query(f"blnk_queues_pending_tasks{_SIDE}", "{{queue}}"),),
        nothing="no such queue, or unknown",
    ),
    Panel(
        title="Failing on the side",
        about="Tasks on the side that wait for their next attempt.",
        queries=(Query(f"blnk_queues_retry_tasks{_FAILING}", "{{queue}}"),),
        limit="queues.side_retrying",
        nothing="no such queue, or unknown",
        alerts=("BlnkQueuesSideWorkFailing",),
    ),
    Panel(
        title="Since one was given up",
        about="Time since a task on the side was last archived: young is bad.",
        queries=(Query(f"time() - blnk_queues_last_archived_timestamp_seconds{_FAILING}", "{{queue}}"),),
        unit="s",
        limit="queues.side_last_archived",
        nothing="none is kept, or unknown",
        alerts=("BlnkQueuesSideTasksArchived",),
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
        Row(title="Hashed transaction queues", panels=_SKEW, collapsed=True),
        Row(title="Webhooks, search and expiry (where they are used)", panels=_ASIDE, collapsed=True),
    ),
)
