"""The first look: is it up, are customers served, does money flow, is anything about to be full."""

from dataclasses import replace

from ..board import UP, Board, Panel, Query, Row, stat
from . import needs
from .ledger import BOOKS
from .native import NATIVE

_RATE = "[$__rate_interval]"
_SEVERE = 'ALERTS{{severity="{}",service="blnk"}}'.format
# A warning of what is already critical tells nothing more.
_HIDDEN = f'unless ignoring (severity, alertstate) ({_SEVERE("critical")} and ALERTS{{alertstate="firing"}})'
_LOUD = f"({_SEVERE('critical')} or ({_SEVERE('warning')} {_HIDDEN}))"
_WAITING = 'blnk_queues_{}{{queue!~"@{{side_queues}}"}}'.format
_OLDEST = f"max({_WAITING('oldest_pending_age_seconds')}) or 0 * (sum({_WAITING('pending_tasks')}) == 0)"
_LOST = "sum(max_over_time(blnk_queues_stale_lease_tasks[2m]) + max_over_time(blnk_queues_head_task_lost[2m]))"
_WITHOUT = "sum(max_over_time(blnk_ledger_transactions_without_task[2m]))"
_TAMPERED = (
    *("BlnkCatalogTriggerMissing", "BlnkLedgerChainHeadInconsistent", "BlnkLedgerTransactionsDeleted"),
    *("BlnkTablesRowsDeleted", "BlnkTablesShrunk"),
)
_JUDGED = 'count(ALERTS{alertname="Watchdog",service="blnk"})'
_ALIKE = "count(count by (alertname) ({}))".format


def _firing(severity: str) -> str:
    found = f'{_LOUD} and ALERTS{{alertstate="firing",severity="{severity}"}}'
    return f"{_ALIKE(f'{found} and ({needs.OUR_ALERTS})')} or 0 * {_JUDGED}"


_STATE = (
    needs.exporter(board="host"),
    needs.api(),
    needs.workers(),
    needs.postgres(first=False),
    needs.redis(first=False),
    stat(
        "Oldest waits for",
        "How long the oldest transaction's task waits; 0: none waits. What customers feel.",
        _OLDEST,
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
        runbooks=("BlnkLedgerTransactionsWithoutTask",),
        board="ledger",
    ),
    stat(
        "Books",
        "Balances and currencies that do not add up; the last check may be hours old.",
        BOOKS,
        limit="books.unbalanced",
        board="ledger",
    ),
    stat(
        "Tampering",
        "Alerts that fire on it: a trigger that guards transactions is off, the hash chain is broken, rows of what only grows"
        " were deleted.",
        _ALIKE(f'ALERTS{{alertname=~"{"|".join(_TAMPERED)}",alertstate="firing",instance="$instance"}}')
        # Nobody would know where one of these could not be read, or where nobody judges it.
        + " or 0 * (sum(blnk_catalog_trigger_active) + sum(blnk_ledger_unresolved_transactions) + sum(blnk_tables_size_bytes)"
        f" + {_JUDGED})",
        any_is="red",
        runbooks=_TAMPERED,
        board="ledger",
    ),
    stat(
        "Not read",
        "Collectors and facts that could not be read, and exporters that are down: what they tell is unknown.",
        "count(blnk_exporter_collector_success == 0 or blnk_exporter_fact_missing == 1 or up == 0) or 0 * count(up)",
        any_is="orange",
        runbooks=("BlnkExporterCollectorFailing", "BlnkExporterFactMissing"),
        board="host",
    ),
    stat(
        "Critical alerts",
        "What has woken somebody, or should have: of the chosen Blnk, of all hosts and of all of Blnk's own processes. The"
        " list below has those of every Blnk.",
        _firing("critical"),
        any_is="red",
        nothing="no rules",
        alarm=True,
        runbooks=("Watchdog",),
    ),
    stat(
        "Warnings",
        "What waits for a working day, of the same, without what is critical already.",
        _firing("warning"),
        any_is="orange",
        nothing="no rules",
        alarm=True,
        runbooks=("Watchdog",),
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
    ),
    Panel(
        title="API answers in",
        about="How long the /health of each API server takes. One that is down may say so quickly. No line: no answer.",
        queries=(
            Query("blnk_server_response_seconds and on (job, instance, address) blnk_server_up == 1", "{{address}}"),
            Query(
                "blnk_server_response_seconds and on (job, instance, address) blnk_server_up == 0",
                "{{address}} is down",
            ),
        ),
        unit="s",
        limit="server.response",
        alerts=("BlnkServerSlow",),
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
        about="How long the oldest task of a transaction waits in Redis; 0: none waits.",
        queries=(Query(_OLDEST, "task"),),
        unit="s",
        limit="queues.oldest_pending",
    ),
    Panel(
        title="Queue to apply",
        about="From a transaction's creation to its outcome: half, 95 % and 99 % of them were quicker. No line: no outcome.",
        queries=tuple(
            Query(
                f"histogram_quantile({share}, sum by (le) (rate(blnk_ledger_queue_to_apply_seconds_bucket{_RATE}))) >= 0",
                f"p{share[2:]:0<2}",
            )
            for share in ("0.5", "0.95", "0.99")
        ),
        unit="s",
        limit="ledger.latency",
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
        about="Of maxmemory; past the higher limit Blnk refuses transactions. No line: nothing limits it.",
        queries=(Query("redis:blnk_redis_memory_used:ratio", "used"),),
        unit="percentunit",
        limit="redis.memory",
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
)
_ALERTS = Panel(
    title="Pending and firing, of every Blnk",
    about="Each name leads to its runbook, an exporter's instance to its overview; hosts and Blnk's own processes have none."
    " What is critical is not a warning, too.",
    queries=(
        Query(
            f"count by (instance, severity, alertname, alertstate) {_LOUD}",
            "how many",
        ),
    ),
    kind="table",
    labels=("severity", "alertstate", "alertname", "instance"),
    words={"severity": {"critical": "red", "warning": "orange"}, "alertstate": {"firing": "text", "pending": "blue"}},
    sort=("severity", "alertstate"),
    nothing="none",
    width=24,
    height=9,
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
        Row(title="Is anything filling up?", panels=(*_sized(_FILLING[:1], 8, 5), *_sized(_FILLING[1:], 4, 5))),
        Row(title="Are customers served?", panels=_sized(_SERVERS, 12, 5)),
        Row(title="Blnk's own metrics (0.14 and later, where Prometheus scrapes them)", panels=NATIVE, collapsed=True),
    ),
)
