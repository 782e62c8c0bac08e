"""Queues that are hashed, and those that no transaction waits for: rows of the dashboard of queues."""

from ..board import Panel, Query

# As Blnk numbers them, whatever their name is configured to be.
_HASHED = '{queue=~".+_[0-9]+"}'
_SIDE = '{queue=~"@{side_queues}"}'
_FAILING = '{queue=~"@{side_queues}",queue!~"@{noisy_queues}"}'
SKEW = (
    Panel(
        title="Waiting in the hashed queues",
        about="Blnk spreads transactions by their source balance: one account with much traffic fills one queue.",
        queries=(Query(f"blnk_queues_pending_tasks{_HASHED}", "{{queue}}"),),
        stacked=True,
        width=12,
    ),
    Panel(
        title="Skew",
        about="The longest of the hashed queues against their mean: 1 is even, as many as there are queues is all in one."
        " No line: nothing waits.",
        queries=(
            Query(
                f"max by (instance) (blnk_queues_pending_tasks{_HASHED})"
                f" / (avg by (instance) (blnk_queues_pending_tasks{_HASHED}) > 0)",
                "{{instance}}",
            ),
        ),
        decimals=1,
        width=12,
    ),
)
ASIDE = (
    Panel(
        title="Waiting on the side",
        about="Webhooks, the search index and the expiry of holds: no transaction waits for them. No line: no such queue.",
        queries=(Query(f"blnk_queues_pending_tasks{_SIDE}", "{{queue}}"),),
    ),
    Panel(
        title="Failing on the side",
        about="Tasks on the side that wait for their next attempt. No line: no such queue.",
        queries=(Query(f"blnk_queues_retry_tasks{_FAILING}", "{{queue}}"),),
        limit="queues.side_retrying",
        alerts=("BlnkQueuesSideWorkFailing",),
    ),
    Panel(
        title="Since one was given up",
        about="Time since a task on the side was last archived: young is bad. No line: none is kept.",
        queries=(Query(f"time() - blnk_queues_last_archived_timestamp_seconds{_FAILING}", "{{queue}}"),),
        unit="s",
        limit="queues.side_last_archived",
        alerts=("BlnkQueuesSideTasksArchived",),
    ),
)
