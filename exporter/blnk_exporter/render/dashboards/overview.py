"""The first look: is it up, are customers served, does money flow, is anything about to be full."""

from dataclasses import replace

from ..board import UP, Board, Panel, Query, Row, stat

_RATE = "[$__rate_interval]"
_FIRING = (
    'count(ALERTS{{alertstate="firing",severity="{}",service="blnk"}}) or 0 * count(ALERTS{{alertname="Watchdog"}})'
)
_STATE = (
    stat(
        "API",
        "Whether every API server of Blnk answers that it is UP.",
        "min(blnk_server_up)",
        states=UP,
        alerts=("BlnkServerDown", "BlnkServerInstanceDown"),
    ),
    stat(
        "API answers in",
        "How long the slowest /health of Blnk's API servers takes.",
        "max(blnk_server_response_seconds)",
        unit="s",
        limit="server.response",
        nothing="no answer",
        alerts=("BlnkServerSlow",),
    ),
    stat("Workers", "Whether every worker answers; it does so without Redis, too.", "min(blnk_workers_up)", states=UP),
    stat(
        "Heartbeats",
        "Asynq servers that told Redis in the last seconds that they live; a worker runs two or three.",
        "sum(blnk_workers_servers)",
        states={0: ("NONE", "red"), 1: ("1", "green")},
    ),
    stat("PostgreSQL", "Whether every server answers.", "min(blnk_postgres_up)", states=UP),
    stat("Redis", "Whether Redis answers.", "min(blnk_redis_up)", states=UP),
    stat(
        "Blind spots",
        "Collectors and facts that could not be read: what they tell is unknown.",
        "count(blnk_exporter_collector_success == 0 or blnk_exporter_fact_missing == 1)"
        " or 0 * count(blnk_exporter_collector_success)",
        any_is="orange",
    ),
    stat(
        "Critical alerts",
        "What has woken somebody, or should have.",
        _FIRING.format("critical"),
        any_is="red",
        nothing="no rules",
    ),
    stat("Warnings", "What waits for a working day.", _FIRING.format("warning"), any_is="orange", nothing="no rules"),
    stat(
        "Books",
        "Balances and currencies that do not add up; the last check may be hours old.",
        "sum(blnk_books_mismatched_balances) + sum(blnk_books_unbalanced_currencies)"
        " or sum(blnk_books_mismatched_balances)",
        limit="books.unbalanced",
    ),
    stat(
        "Lost tasks",
        "Tasks without content, or left by a dead worker; transactions in PostgreSQL that have no task.",
        "sum(blnk_queues_stale_lease_tasks + blnk_queues_head_task_lost) + sum(blnk_ledger_transactions_without_task)"
        " or sum(blnk_queues_stale_lease_tasks + blnk_queues_head_task_lost)",
        limit="queues.lost",
    ),
    stat(
        "Guards off",
        "Triggers that keep transactions from being changed, or write the journal, and are missing or switched off.",
        'sum(1 - blnk_catalog_trigger_active{trigger=~"(prevent|log)_.+"})',
        limit="catalog.triggers",
    ),
)
_FLOW = (
    Panel(
        title="Transactions",
        about="Rows of the ledger per second by what they are. QUEUED is what is asked for, APPLIED what is done.",
        queries=(Query(f"sum by (status) (rate(blnk_ledger_transactions_total{_RATE}))", "{{status}}"),),
        unit="ops",
    ),
    Panel(
        title="Rejections",
        about="By reason. Funds and limits are the customers' affair; every other reason is ours.",
        queries=(Query(f"sum by (reason) (rate(blnk_ledger_rejections_total{_RATE}))", "{{reason}}"),),
        unit="ops",
        stacked=True,
    ),
    Panel(
        title="Oldest waiting",
        about="How long the oldest task waits in Redis, and the oldest transaction in PostgreSQL. No line: nothing waits.",
        queries=(
            Query('max(blnk_queues_oldest_pending_age_seconds{queue!~"@{side_queues}"})', "task"),
            Query("max(blnk_ledger_unresolved_oldest_age_seconds)", "transaction"),
        ),
        unit="s",
        limit="queues.oldest_pending",
        nothing="nothing waits, or unknown",
    ),
    Panel(
        title="Queue to apply",
        about="From a transaction's creation to its outcome: half, 95 % and 99 % of them were quicker.",
        queries=tuple(
            Query(
                f"histogram_quantile({share}, sum by (le) (rate(blnk_ledger_queue_to_apply_seconds_bucket{_RATE})))",
                f"p{share[2:]:0<2}",
            )
            for share in ("0.5", "0.95", "0.99")
        ),
        unit="s",
        limit="ledger.latency",
        nothing="no outcome, or unknown",
    ),
)
_FILLING = (
    Panel(
        title="Waiting tasks",
        about="The longest queues. Tasks that are scheduled for later do not count.",
        queries=(Query("topk(5, blnk_queues_pending_tasks)", "{{queue}}"),),
        limit="queues.depth",
    ),
    Panel(
        title="Redis memory",
        about="Of maxmemory; past the higher limit Blnk refuses transactions.",
        queries=(Query("redis:blnk_redis_memory_used:ratio", "used"),),
        unit="percentunit",
        limit="redis.memory",
        nothing="no maxmemory, or unknown",
    ),
    Panel(
        title="PostgreSQL connections",
        about="Of those that are not reserved for superusers.",
        queries=(Query("address:blnk_postgres_connections_used:ratio", "{{address}}"),),
        unit="percentunit",
        limit="postgres.connections",
    ),
    Panel(
        title="Disks",
        about="In use, as df counts.",
        queries=(Query("host:blnk_filesystem_used:ratio", "{{path}}"),),
        unit="percentunit",
        limit="host.disk",
    ),
    Panel(
        title="Memory",
        about="In use, of the hosts whose metrics are read.",
        queries=(Query("host:blnk_memory_used:ratio", "{{instance}}"),),
        unit="percentunit",
        limit="host.memory",
    ),
    Panel(
        title="CPU",
        about="Busy, of all CPUs of a host; waiting for a disk is not.",
        queries=(Query("host:blnk_cpu_busy:ratio_rate5m", "{{instance}}"),),
        unit="percentunit",
        limit="host.cpu",
    ),
)
_ALERTS = Panel(
    title="Pending and firing",
    about="Alerts of Blnk; each name leads to its runbook.",
    queries=(
        Query(
            'count by (instance, severity, alertname, alertstate) (ALERTS{service="blnk",alertname!="Watchdog"})',
            "how many",
        ),
    ),
    kind="table",
    labels=("instance", "severity", "alertname", "alertstate"),
    nothing="no alert, or no rules",
    width=24,
    height=6,
)
_REQUESTS = "http_server_duration_milliseconds_count"
_SHARES = (("1h", "1 h"), ("6h", "6 h"), ("1d", "1 day"), ("3d", "3 days"))


def _failing(window: str) -> str:
    # Blnk has no series for a status that it never gave.
    told = f"job:blnk_http_requests:rate{window}"
    return f"max((job:blnk_http_errors:rate{window} or 0 * {told}) / {told})"


_NATIVE = (
    Panel(
        title="Requests",
        about="Of Blnk's API by class of status.",
        queries=(
            Query(
                f'sum by (class) (label_replace(rate({_REQUESTS}{_RATE}), "class", "$1xx", "http_status_code", "(.).."))',
                "{{class}}",
            ),
        ),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        title="Share of requests that fail",
        about="Status 5xx, over windows of several lengths: a short one tells of now, a long one of the month's budget.",
        queries=tuple(Query(_failing(window), legend) for window, legend in _SHARES),
        unit="percentunit",
        limit="blnk.errors_fast",
        alerts=("BlnkApiErrors",),
    ),
    Panel(
        title="Errors that last",
        about="The same share over a day and more, in small.",
        queries=tuple(Query(_failing(window), legend) for window, legend in _SHARES[2:]),
        unit="percentunit",
        limit="blnk.errors_slow",
        alerts=("BlnkApiErrorsLasting",),
    ),
    Panel(
        title="Refused for backpressure",
        about="Requests per second that Blnk answered with 503 because Redis is short of memory.",
        queries=(Query(f"sum(rate(blnk_queue_backpressure_rejected_total{_RATE}))", "refused"),),
        unit="reqps",
        nothing="none yet, or before 0.15.2",
        alerts=("BlnkBackpressure",),
    ),
    Panel(
        title="Starts of Blnk's processes",
        about="In a quarter of an hour.",
        queries=(Query('changes(process_start_time_seconds{job=~"$blnk_job"}[15m])', "{{instance}}"),),
        limit="blnk.restarts",
        alerts=("BlnkProcessRestarting",),
    ),
    Panel(
        title="Blnk's own targets",
        about="Whether Prometheus can scrape Blnk itself.",
        queries=(Query('up{job=~"$blnk_job"}', "{{instance}}"),),
        kind="state-timeline",
        states=UP,
        alerts=("BlnkNativeMetricsMissing",),
    ),
)


def _sized(panels: tuple[Panel, ...], width: int, height: int) -> tuple[Panel, ...]:
    return tuple(replace(panel, width=width, height=height) for panel in panels)


OVERVIEW = Board(
    name="overview",
    title="Overview",
    question="Is Blnk up, are customers served, does money flow, and is anything about to be full?",
    rows=(
        Row(title="Is it up?", panels=_sized(_STATE, 2, 3)),
        Row(title="Does money flow?", panels=_sized(_FLOW, 6, 7)),
        Row(title="Is anything filling up?", panels=_sized(_FILLING, 4, 6)),
        Row(title="What is firing?", panels=(_ALERTS,)),
        Row(title="Blnk's own metrics (0.14 and later, where Prometheus scrapes them)", panels=_NATIVE, collapsed=True),
    ),
)
