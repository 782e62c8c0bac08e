"""The first look: is it up, are customers served, does money flow, is anything about to be full."""

from dataclasses import replace

from ..board import PARTLY_UP, UP, Board, Panel, Query, Row, stat
from .native import NATIVE

_RATE = "[$__rate_interval]"
# Those of the chosen Blnk, those that name none, and those of hosts, which have an instance of their own.
_OF_HERE = 'ALERTS{{alertstate="firing",severity="{0}",service="blnk",{1}}}'
_FIRING = (
    "count(count by (alertname) ("
    + " or ".join(_OF_HERE.replace("{1}", which) for which in ('instance=~"$instance|"', 'component="host"'))
    + ')) or 0 * count(ALERTS{{alertname="Watchdog",service="blnk"}})'
)
_SOME = "min({0}) + max({0})"
_WAITING = 'blnk_queues_{}{{queue!~"@{{side_queues}}"}}'
_LOST = "sum(max_over_time(blnk_queues_stale_lease_tasks[2m]) + max_over_time(blnk_queues_head_task_lost[2m]))"
_WITHOUT = "sum(max_over_time(blnk_ledger_transactions_without_task[2m]))"
_GUARDS = 'sum(1 - blnk_catalog_trigger_active{trigger=~"(prevent|log)_.+"})'
_CHAIN = "sum(1 - min_over_time(blnk_ledger_chain_head_consistent[2m]))"
_STATE = (
    stat(
        "Exporter",
        "Whether Prometheus can read the exporter. While it cannot, all the others here are unknown.",
        "min(up)",
        states=UP,
        nothing="NOT SCRAPED",
        alarm=True,
        board="host",
    ),
    stat(
        "API",
        "Whether Blnk's API servers answer that they are UP; some, or all of them.",
        _SOME.format("blnk_server_up"),
        states=PARTLY_UP,
    ),
    stat(
        "Workers",
        "Whether workers answer and their beats reach Redis; some, or all of them. Without Redis they answer, and cannot work.",
        f"({_SOME.format('blnk_workers_up')}) * clamp_max(sum(blnk_workers_servers), 1)",
        states={0: ("NONE", "red"), 1: ("PARTLY", "orange"), 2: ("UP", "green")},
        board="queues",
    ),
    stat(
        "PostgreSQL",
        "Whether the servers answer; some, or all of them.",
        _SOME.format("blnk_postgres_up"),
        states=PARTLY_UP,
        board="postgres",
    ),
    stat(
        "Redis",
        "Whether Redis answers, and has loaded its data.",
        "min(blnk_redis_up) * (2 - (max(blnk_redis_loading) or 0 * min(blnk_redis_up)))",
        states={0: ("DOWN", "red"), 1: ("LOADING", "red"), 2: ("UP", "green")},
        board="redis",
    ),
    stat(
        "Oldest waits for",
        "How long the oldest transaction's task waits; 0: none waits. What customers feel.",
        f"max({_WAITING.format('oldest_pending_age_seconds')}) or 0 * (sum({_WAITING.format('pending_tasks')}) == 0)",
        unit="s",
        limit="queues.oldest_pending",
        board="queues",
    ),
    stat(
        "Lost",
        "Tasks without content, or left by a dead worker; transactions in PostgreSQL that have no task.",
        # Half of an answer is no 0.
        f"({_LOST} + {_WITHOUT}) or ({_LOST} > 0) or ({_WITHOUT} > 0)",
        limit="queues.lost",
        board="ledger",
    ),
    stat(
        "Books",
        "Balances and currencies that do not add up; the last check may be hours old.",
        "sum(blnk_books_mismatched_balances) + sum(blnk_books_unbalanced_currencies)"
        " or sum(blnk_books_mismatched_balances)",
        limit="books.unbalanced",
        board="ledger",
    ),
    stat(
        "Tampering",
        "Triggers that guard transactions and are off, a hash chain that is broken, rows that were deleted in the last"
        " quarter of an hour.",
        f"({_GUARDS} + ({_CHAIN} or 0 * {_GUARDS})"
        ' + (sum(clamp_min(delta(blnk_ledger_journal_changes_total{action="DELETE"}[15m]), 0)) or 0 * ' + _GUARDS + "))"
        f" or ({_CHAIN} > 0)",
        limit="catalog.triggers",
        board="ledger",
    ),
    stat(
        "Not read",
        "Collectors and facts that could not be read, and exporters that are down: what they tell is unknown.",
        "count(blnk_exporter_collector_success == 0 or blnk_exporter_fact_missing == 1 or up == 0) or 0 * count(up)",
        any_is="orange",
        board="host",
    ),
    stat(
        "Critical alerts",
        "What has woken somebody, or should have: of the chosen Blnk. The list below has those of all.",
        _FIRING.format("critical"),
        any_is="red",
        nothing="no rules",
        alarm=True,
    ),
    stat(
        "Warnings",
        "What waits for a working day: of the chosen Blnk.",
        _FIRING.format("warning"),
        any_is="orange",
        nothing="no rules",
        alarm=True,
    ),
)
_SERVERS = (
    Panel(
        title="API servers",
        about="What each of Blnk's API servers answers.",
        queries=(Query("blnk_server_up", "{{address}}"),),
        kind="state-timeline",
        states=UP,
        alerts=("BlnkServerDown", "BlnkServerInstanceDown"),
        width=12,
    ),
    Panel(
        title="API answers in",
        about="How long the /health of each API server takes. A server that is down may say so quickly.",
        queries=(Query("blnk_server_response_seconds", "{{address}}"),),
        unit="s",
        limit="server.response",
        nothing="no answer",
        alerts=("BlnkServerSlow",),
        width=12,
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
        about="How long the oldest task of a transaction waits in Redis. No line: nothing waits.",
        queries=(Query('max(blnk_queues_oldest_pending_age_seconds{queue!~"@{side_queues}"})', "task"),),
        unit="s",
        limit="queues.oldest_pending",
        nothing="nothing waits, or unknown",
    ),
    Panel(
        title="Queue to apply",
        about="From a transaction's creation to its outcome: half, 95 % and 99 % of them were quicker.",
        queries=tuple(
            Query(
                f"histogram_quantile({share}, sum by (le) (rate(blnk_ledger_queue_to_apply_seconds_bucket{_RATE}))) >= 0",
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
        queries=(Query("host:blnk_filesystem_used:ratio", "{{instance}} {{path}}"),),
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
    title="Pending and firing, of every Blnk",
    about="Each name leads to its runbook, each instance to its board.",
    queries=(
        Query(
            "count by (instance, severity, alertname, alertstate)"
            ' (ALERTS{service="blnk",severity=~"critical|warning",alertname!="Watchdog"})',
            "how many",
        ),
    ),
    kind="table",
    labels=("severity", "alertstate", "alertname", "instance"),
    words={"severity": {"critical": "red", "warning": "orange"}, "alertstate": {"firing": "text", "pending": "blue"}},
    sort="severity",
    nothing="no alert, or no rules",
    width=24,
    height=7,
)


def _sized(panels: tuple[Panel, ...], width: int, height: int) -> tuple[Panel, ...]:
    return tuple(replace(panel, width=width, height=height) for panel in panels)


OVERVIEW = Board(
    name="overview",
    title="Overview",
    question="Is Blnk up, are customers served, does money flow, and is anything about to be full?",
    rows=(
        Row(title="Is it up?", panels=_sized(_STATE, 2, 3)),
        Row(title="What is firing?", panels=(_ALERTS,)),
        Row(title="Does money flow?", panels=_sized(_FLOW, 6, 6)),
        Row(title="Is anything filling up?", panels=_sized(_FILLING, 4, 5)),
        Row(title="Are customers served?", panels=_SERVERS),
        Row(title="Blnk's own metrics (0.14 and later, where Prometheus scrapes them)", panels=NATIVE, collapsed=True),
    ),
)
