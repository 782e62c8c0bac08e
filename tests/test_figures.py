"""Key figures out of samples: the worst is found, and what is not known is not taken for good."""

from collections.abc import Mapping
from typing import Any

import pytest

from blnk_exporter import thresholds
from blnk_exporter.collector import Gap, Outcome
from blnk_exporter.errors import NotAsked, Refused, Unreachable
from blnk_exporter.figures import STALE_SECONDS, Figure, Flow, instances, queue_rows, take
from blnk_exporter.figures.flow import SLOT_SECONDS, WINDOW_SECONDS
from blnk_exporter.figures.kinds import KINDS
from blnk_exporter.render import alarms, runbooks

from .scene import DECLARED, Series, outcome, queue

LIMITS = thresholds.load()
GIB = 2.0**30


def figure(name: str, *outcomes: Outcome, at: float = 0.0, **options: Any) -> Figure | None:
    by_name = {outcome.collector.name: outcome for outcome in outcomes}
    enabled = options.pop("enabled", dict.fromkeys(by_name, True))
    if "flow" not in options and "ledger" in by_name:
        options["flow"] = Flow()
        options["flow"].note(by_name["ledger"])
    taken = take(by_name, enabled, LIMITS, at=at, **options)
    return next((figure for figure in taken if figure.name == name), None)


def told(found: Figure | None) -> tuple[str, str, str] | None:
    return found and (found.state, found.text.replace("\u00a0", " "), found.note.replace("\u00a0", " "))


def server(up: float, address: str = "a:1", reason: str = "") -> Series:
    yield "server_up", {"address": address}, up
    if reason:
        yield "server_down", {"address": address, "reason": reason}, 1


def postgres(**facts: tuple[Mapping[str, str], float]) -> Outcome:
    return outcome("postgres", [(f"postgres_{name}", labels, value) for name, (labels, value) in facts.items()])


def disk(path: str, size: float, free: float, available: float) -> Series:
    for name, value in (("size", size), ("free", free), ("available", available)):
        yield f"host_filesystem_{name}_bytes", {"path": path}, value


def changes(**rows: float) -> Series:
    for action, value in rows.items():
        yield "ledger_journal_changes_total", {"action": action}, value


def lineage(**entries: float) -> Series:
    for state, value in entries.items():
        yield "ledger_lineage_entries", {"state": state}, value


def triggers(**active: float) -> Series:
    for name, value in active.items():
        yield "catalog_trigger_active", {"trigger": name}, value


def counted(reasons: Mapping[str, float] | None = None, **statuses: float) -> Series:
    for status, value in statuses.items():
        yield "ledger_transactions_total", {"status": status, "currency": "USD"}, value
    for reason, value in (reasons or {}).items():
        yield "ledger_rejections_total", {"reason": reason}, value


def flowed(*readings: tuple[float, Series]) -> tuple[Flow, Outcome]:
    """What is remembered after these readings of the ledger, and the last of them."""
    flow, last = Flow(), outcome("ledger")
    for at, series in readings:
        last = outcome("ledger", series, at=at)
        flow.note(last)
    return flow, last


RATE = "a rate needs two readings, some seconds apart"
FOLLOWED = "counted since the exporter began to follow the ledger"
A, B = {"address": "a:1"}, {"address": "b:1"}
AS = {"address": "a:1", "standby": "s"}
REDIS = {"memory_used_bytes": 9 * GIB, "memory_max_bytes": 10 * GIB, "memory_limited": 1.0}


def redis(**facts: float) -> Outcome:
    return outcome("redis", [(f"redis_{name}", {}, value) for name, value in facts.items()])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_figure_is_made_of_metrics_that_exist(kind: Any) -> None:
    """A renamed metric would leave the page without its figure, or worse, with a quiet one; one collector's all."""
    assert [name for name in kind.metrics if name not in DECLARED] == []
    assert {name.split("_")[1] for name in kind.metrics} == {kind.collector}


CASES = [
    ("server.up", outcome("server", server(1)), ("ok", "up", "")),
    (
        "server.up",
        outcome("server", [*server(0, reason="database_ping_failed")]),
        ("critical", "down", "a:1: database ping failed"),
    ),
    ("server.up", outcome("server", [*server(1), *server(0, "b:1")]), ("warning", "1 of 2 up", "b:1")),
    ("server.up", outcome("server", [*server(0), *server(0, "b:1")]), ("critical", "0 of 2 up", "a:1; b:1")),
    (
        "server.response",
        outcome("server", [("server_response_seconds", A, 0.1), ("server_response_seconds", B, 3.5)]),
        ("critical", "3.5 s", "b:1"),
    ),
    ("redis.up", redis(up=1), ("ok", "up", "")),
    (
        "redis.policy",
        outcome("redis", [("redis_eviction_policy", {"policy": "volatile-lru"}, 1)]),
        ("ok", "volatile-lru", ""),
    ),
    (
        "redis.policy",
        outcome("redis", [("redis_eviction_policy", {"policy": "allkeys-lfu"}, 1)]),
        ("warning", "allkeys-lfu", ""),
    ),
    ("redis.memory", redis(**REDIS), ("critical", "90 %", "9.0 GiB of 10.0 GiB")),
    ("redis.memory", redis(**REDIS | {"memory_used_bytes": 8 * GIB}), ("ok", "80 %", "8.0 GiB of 10.0 GiB")),
    (
        "redis.memory",
        redis(memory_used_bytes=GIB, memory_limited=0),
        ("unknown", "unknown", "no maxmemory is set, so that nothing limits it; 1.0 GiB in use"),
    ),
    (
        "queues.depth",
        outcome("queues", [*queue("a", pending_tasks=1001), *queue("b", pending_tasks=5, scheduled_tasks=99999)]),
        ("warning", "1,001 tasks", "a"),
    ),
    ("queues.depth", outcome("queues", queue(pending_tasks=0)), ("ok", "0 tasks", "")),
    (
        "queues.oldest_pending",
        outcome("queues", queue(pending_tasks=3, oldest_pending_age_seconds=301)),
        ("critical", "5 min", "q"),
    ),
    ("queues.oldest_pending", outcome("queues", queue(pending_tasks=0)), ("ok", "none waits", "")),
    (
        "queues.oldest_pending",
        outcome("queues", queue(pending_tasks=3)),
        ("unknown", "unknown", "tasks wait, but asynq did not note since when"),
    ),
    ("queues.lost", outcome("queues", queue(stale_lease_tasks=0, head_task_lost=0)), ("ok", "0 tasks", "")),
    ("queues.lost", outcome("queues", queue(stale_lease_tasks=2, head_task_lost=1)), ("critical", "3 tasks", "q")),
    ("queues.lost", outcome("queues", queue(head_task_lost=1)), ("critical", "1 task", "q")),
    ("queues.lost", outcome("queues", queue(head_task_lost=0)), ("unknown", "unknown", "the source does not tell")),
    (
        "queues.last_archived",
        outcome("queues", queue(archived_tasks=7, last_archived_timestamp_seconds=-3600)),
        ("critical", "7 tasks", "last 60 min ago in q"),
    ),
    (
        "queues.last_archived",
        outcome(
            "queues",
            [
                *queue("new:webhook", archived_tasks=6, last_archived_timestamp_seconds=-60),
                *queue("new:transaction_1", archived_tasks=1, last_archived_timestamp_seconds=-3600),
            ],
        ),
        ("critical", "7 tasks", "last 60 min ago in new:transaction_1"),
    ),
    (
        "queues.last_archived",
        outcome("queues", queue("new:webhook", archived_tasks=7, last_archived_timestamp_seconds=-200000)),
        ("warning", "7 tasks", "last 2 d ago in new:webhook"),
    ),
    (
        "queues.last_archived",
        outcome("queues", queue(archived_tasks=7, last_archived_timestamp_seconds=-200000)),
        ("ok", "7 tasks", "last 2 d ago in q"),
    ),
    (
        "queues.last_archived",
        outcome("queues", queue(archived_tasks=7)),
        ("unknown", "7 tasks", "since when is not known"),
    ),
    ("queues.last_archived", outcome("queues", queue(archived_tasks=0)), ("ok", "0 tasks", "")),
    ("queues.paused", outcome("queues", [*queue("a", paused=1), *queue("b", paused=0)]), ("warning", "1 queue", "a")),
    (
        "workers.unserved_queues",
        outcome("workers", [("workers_queue_consumers", {"queue": name}, 0) for name in "abcde"]),
        ("critical", "5 queues", "a, b, c and 2 more"),
    ),
    (
        "workers.unserved_queues",
        outcome("workers", [("workers_queue_consumers", {"queue": "a"}, 1)]),
        ("ok", "none", ""),
    ),
    (
        "ledger.unresolved_age",
        outcome(
            "ledger", [("ledger_unresolved_transactions", {}, 2), ("ledger_unresolved_oldest_age_seconds", {}, 301)]
        ),
        ("warning", "5 min", "of 2 transactions"),
    ),
    ("ledger.without_task", outcome("ledger", [("ledger_transactions_without_task", {}, 0)]), ("ok", "none", "")),
    (
        "ledger.without_task",
        outcome("ledger", [("ledger_transactions_without_task", {}, 3)]),
        ("critical", "3 transactions", ""),
    ),
    (
        "books.unbalanced",
        outcome("books", [("books_mismatched_balances", {}, 0), ("books_unbalanced_currencies", {}, 0)]),
        ("ok", "none", ""),
    ),
    ("books.unbalanced", outcome("books", [("books_mismatched_balances", {}, 2)]), ("critical", "2 balances", "")),
    (
        "books.unbalanced",
        outcome("books", [("books_mismatched_balances", {}, 1), ("books_unbalanced_currencies", {}, 1)]),
        ("critical", "1 balance, 1 of the currencies", ""),
    ),
    (
        "ledger.unresolved_age",
        outcome("ledger", [("ledger_unresolved_transactions", {}, 0), ("ledger_history_complete", {}, 1)]),
        ("ok", "none", ""),
    ),
    (
        "ledger.unresolved_age",
        outcome("ledger", [("ledger_unresolved_transactions", {}, 0), ("ledger_history_complete", {}, 0)]),
        ("unknown", "unknown", "older transactions are still being looked through"),
    ),
    ("ledger.deleted", outcome("ledger", changes(INSERT=9, UPDATE=4, DELETE=0)), ("ok", "none", FOLLOWED)),
    ("ledger.deleted", outcome("ledger", changes(INSERT=9, DELETE=2)), ("critical", "2 transactions", FOLLOWED)),
    ("ledger.deleted", outcome("ledger"), None),
    ("ledger.chain_head", outcome("ledger", [("ledger_chain_head_consistent", {}, 1)]), ("ok", "whole", "")),
    (
        "ledger.chain_head",
        outcome("ledger", [("ledger_chain_head_consistent", {}, 0)]),
        ("critical", "broken", "its head and its rows do not agree"),
    ),
    ("ledger.chain_head", outcome("ledger"), None),
    ("ledger.lineage", outcome("ledger", lineage(pending=8, failed=0, abandoned=0)), ("ok", "none", "")),
    ("ledger.lineage", outcome("ledger", lineage(pending=8, failed=1, abandoned=0)), ("warning", "1 entry", "")),
    (
        "ledger.lineage",
        outcome("ledger", lineage(failed=12, abandoned=1)),
        ("warning", "12 entries", "and 1 entry begun and left"),
    ),
    ("ledger.lineage", outcome("ledger"), None),
    ("catalog.triggers", outcome("catalog", triggers(a=1, b=1)), ("ok", "none", "")),
    ("catalog.triggers", outcome("catalog", triggers(a=1, b=0)), ("critical", "1 trigger", "b")),
    (
        "catalog.triggers",
        outcome("catalog", triggers(a=0, b=0, c=0, d=0, e=0)),
        ("critical", "5 triggers", "a, b, c and 2 more"),
    ),
    ("catalog.triggers", outcome("catalog"), None),
    (
        "postgres.connections",
        postgres(backends=(A, 95), connections_max=(A, 100)),
        ("critical", "95 %", "95 of 100 on a:1"),
    ),
    ("postgres.connections", postgres(backends=(A, 95)), ("unknown", "unknown", "the source does not tell")),
    ("postgres.replication_lag", postgres(standby_replay_lag_seconds=(AS, 31)), ("warning", "31 s", "s")),
    ("postgres.replication_lag", postgres(replica_lag_seconds=(B, 0)), ("ok", "0 s", "b:1")),
    (
        "postgres.replication_lag",
        postgres(standby_replay_lag_bytes=(AS, 2**20)),
        ("unknown", "unknown", "s lacks 1.0 MiB, its time is not known"),
    ),
    ("postgres.replication_lag", postgres(up=(A, 1)), None),
    (
        "host.disk",
        outcome("host", [*disk("/", 100 * GIB, 25 * GIB, 20 * GIB), *disk("/db", 100 * GIB, 15 * GIB, 5 * GIB)]),
        ("critical", "94.4 %", "/db, 5.0 GiB left"),
    ),
    ("host.disk", outcome("host", disk("/", 100, 0, 0)), ("critical", "100 %", "/, 0 B left")),
    ("host.disk", outcome("host", [("host_filesystem_size_bytes", {"path": "/"}, 9)]), ("unknown", "unknown", "*")),
    ("ledger.flow", outcome("ledger", counted(APPLIED=5)), ("unknown", "unknown", RATE)),
    ("ledger.flow", outcome("ledger"), ("unknown", "unknown", "the source does not tell")),
    ("ledger.rejections", outcome("ledger", counted(APPLIED=5)), ("unknown", "unknown", "the source does not tell")),
    ("ledger.rejections", outcome("ledger", counted({"error": 1}, APPLIED=5)), ("unknown", "unknown", RATE)),
    (
        "host.memory",
        outcome("host", [("host_memory_total_bytes", {}, 8 * GIB), ("host_memory_available_bytes", {}, GIB)]),
        ("warning", "87.5 %", "1.0 GiB of 8.0 GiB left"),
    ),
]


@pytest.mark.parametrize(("name", "given", "wanted"), CASES)
def test_a_figure_in_words(name: str, given: Outcome, wanted: tuple[str, str, str] | None) -> None:
    """State, value and where the worst is, as the page shows them; a star stands for more words."""
    found = told(figure(name, given))
    if found and wanted and wanted[2].endswith("*"):
        assert found[2].startswith(wanted[2][:-1])
        assert found[2]
        wanted = (*wanted[:2], found[2])
    assert found == wanted


def test_every_figure_has_a_case() -> None:
    """A figure that nobody tries is a figure that nobody can trust; two more are up or down as server.up is."""
    assert {kind.name for kind in KINDS} - {case[0] for case in CASES} == {"workers.up", "postgres.up"}


def test_how_many_transactions_have_an_outcome() -> None:
    """Rows that only wait do not count; the rate is of the last five minutes, however long it was followed."""
    flow, last = flowed(
        *((at, counted(APPLIED=at, INFLIGHT=at / 2, REJECTED=0, QUEUED=9 * at)) for at in range(0, 900, 15))
    )
    assert told(figure("ledger.flow", last, flow=flow)) == ("ok", "1.5/s", "with an outcome, over the last 5 min")
    flow, last = flowed((0, counted(APPLIED=10)), (30, counted(APPLIED=10)))
    assert told(figure("ledger.flow", last, flow=flow))[:2] == ("ok", "0/s")


def test_a_ledger_that_cannot_be_read_has_no_rate() -> None:
    """What is remembered of it says nothing of the present."""
    flow, _ = flowed((0, counted({"error": 0}, APPLIED=0)), (30, counted({"error": 0}, APPLIED=60)))
    failed = outcome("ledger", failures={"db:1": Unreachable("Connection refused")}, at=45)
    flow.note(failed)
    for name in ("ledger.flow", "ledger.rejections"):
        assert told(figure(name, failed, flow=flow)) == ("unknown", "unknown", "db:1: Connection refused")


def test_a_counter_that_begins_again_has_no_rate() -> None:
    """A restart of what counts, and a clock that was set back."""
    for readings in (
        ((0, counted(APPLIED=100)), (30, counted(APPLIED=5))),
        ((100, counted(APPLIED=100)), (0, counted(APPLIED=200))),
    ):
        flow, last = flowed(*readings)
        assert told(figure("ledger.flow", last, flow=flow)) == ("unknown", "unknown", RATE)


def test_rejections_are_judged_as_the_rule_judges_them() -> None:
    """Funds and overdraft limits are business; more than 1 % is a warning, unless it is of five or fewer."""

    def judged(technical: float, business: float, outcomes: float) -> tuple[str, str, str] | None:
        before = counted({"error": 1, "insufficient_funds": 1}, APPLIED=7)
        after = counted({"error": 1 + technical, "insufficient_funds": 1 + business}, APPLIED=7 + outcomes)
        flow, last = flowed((0, before), (900, after))
        return told(figure("ledger.rejections", last, flow=flow))

    assert judged(10, 0, 1000) == ("ok", "1 %", "10 of 1,000 transactions over the last 15 min")
    words = "11 of 1,000 transactions over the last 15 min; 300 more for lack of funds or an overdraft limit"
    assert judged(11, 300, 1000) == ("warning", "1.1 %", words)
    assert judged(5, 0, 10) == ("ok", "50 %", "5 of 10 transactions over the last 15 min")
    assert judged(6, 0, 10)[0] == "warning"
    # An idle ledger has rejected nothing, and its page is not unknown for it.
    assert judged(0, 0, 0) == ("ok", "none", "no transaction had an outcome over the last 15 min")


def test_rejections_whose_reasons_cannot_be_read() -> None:
    """Without the grant for reasons no share is known; with it again, there is after two readings."""
    flow, last = flowed((0, counted(APPLIED=0)), (30, counted({"error": 0}, APPLIED=60)))
    assert told(figure("ledger.rejections", last, flow=flow)) == ("unknown", "unknown", RATE)


def test_the_counters_that_are_remembered_are_bounded() -> None:
    """However often the exporter is scraped."""
    flow, _ = flowed(*((at, counted(APPLIED=at)) for at in range(0, 7200, 3)))
    assert len(flow._counts) <= WINDOW_SECONDS / SLOT_SECONDS + 3
    first, last = flow.span(WINDOW_SECONDS)
    assert last.at - first.at > WINDOW_SECONDS - 2 * SLOT_SECONDS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_figure_names_the_alert_of_its_limit(kind: Any) -> None:
    """From a red line the way leads to the runbook of the rule that compares with the same number."""
    assert set(kind.alerts) <= runbooks.alerts().keys()
    assert kind.alerts
    if kind.limited:
        assert {alert.alert for alert in alarms.comparing()[kind.name]} <= set(kind.alerts)


def test_the_alert_is_that_of_what_is_wrong() -> None:
    """One of several instances, a currency and not a balance, a webhook and not a transaction."""
    down, up = ("server_up", {"address": "a:1"}, 0), ("server_up", {"address": "b:1"}, 1)
    assert figure("server.up", outcome("server", [down])).alert == "BlnkServerDown"
    assert figure("server.up", outcome("server", [down, up])).alert == "BlnkServerInstanceDown"
    for balances, currencies, name in ((1, 1, "BalancesMismatched"), (0, 1, "CurrenciesUnbalanced")):
        series = [("books_mismatched_balances", {}, balances), ("books_unbalanced_currencies", {}, currencies)]
        assert figure("books.unbalanced", outcome("books", series)).alert == f"BlnkBooks{name}"
    for name, alert in (("new:webhook", "SideTasksArchived"), ("new:transaction_1", "TasksArchived")):
        series = queue(name, archived_tasks=1, last_archived_timestamp_seconds=0)
        assert figure("queues.last_archived", outcome("queues", series)).alert == f"BlnkQueues{alert}"


@pytest.mark.parametrize("name", ["queues.depth", "queues.lost", "queues.last_archived", "queues.paused"])
def test_unknown_has_the_collectors_reason(name: str) -> None:
    """Neither 0 nor OK: what stood in the way, in the source's own words."""
    failed = outcome("queues", failures={"h:1": Unreachable("Connection refused")})
    assert told(figure(name, failed)) == ("unknown", "unknown", "h:1: Connection refused")
    lacking = outcome("queues", gaps=(Gap("depth", "refused", "NOPERM"), Gap("clock", "error")))
    assert told(figure(name, lacking)) == ("unknown", "unknown", "no depth: NOPERM; no clock: error")


@pytest.mark.parametrize("name", ["ledger.deleted", "ledger.lineage", "ledger.chain_head"])
def test_what_a_deployment_may_lack_is_unknown_while_nobody_can_tell(name: str) -> None:
    """A card that is gone reads as one that was never there; with an answer and without such a thing, there is none."""
    failed = outcome("ledger", failures={"db:5432": Unreachable("Connection refused")})
    assert told(figure(name, failed)) == ("unknown", "unknown", "db:5432: Connection refused")
    assert figure(name, outcome("ledger")) is None


def test_down_has_the_collectors_reason() -> None:
    """In the words of the failure."""
    gone = outcome("redis", [("redis_up", {}, 0)], failures={"h:1": Unreachable("Connection refused")})
    assert told(figure("redis.up", gone)) == ("critical", "down", "h:1: Connection refused")


def test_what_refuses_the_exporter_is_not_down() -> None:
    """It answers; whether it works is not known, and what it said is shown."""
    refused = outcome("redis", [("redis_up", {}, 1)], failures={"h:1": Refused("WRONGPASS")})
    assert told(figure("redis.up", refused)) == ("unknown", "refuses the exporter", "h:1: WRONGPASS")
    (row,) = instances({"redis": refused})
    assert (row.state, row.word, row.note) == ("unknown", "refuses the exporter", "WRONGPASS")
    not_asked = outcome("redis", failures={"h:1": NotAsked("ca.crt cannot be read")})
    assert told(figure("redis.up", not_asked)) == ("unknown", "unknown", "h:1: ca.crt cannot be read")
    (row,) = instances({"redis": not_asked})
    assert (row.state, row.word, row.note) == ("unknown", "unknown", "ca.crt cannot be read")


def test_a_collector_that_is_off_or_waits() -> None:
    """Off is no trouble; not read yet is unknown; one that this exporter does not have is not spoken of."""
    assert figure("host.disk", enabled={"host": False}).state == "off"
    assert told(figure("host.disk", enabled={"host": True})) == ("unknown", "unknown", "not read yet")
    assert figure("host.disk", enabled={"redis": True}) is None


def test_an_old_reading_is_not_relied_on() -> None:
    """Green from an hour ago is not green; slow collectors are given their interval."""
    read = outcome("redis", [("redis_up", {}, 1)])
    assert figure("redis.up", read, at=STALE_SECONDS, intervals={}).state == "ok"
    state, text, note = told(figure("redis.up", read, at=STALE_SECONDS + 1, intervals={}))
    assert (state, text) == ("unknown", "up")
    assert note == "read 2 min ago, too long to rely on"
    # Only those that keep their readings are given more.
    assert figure("redis.up", read, at=STALE_SECONDS + 1, intervals={"books": 900}).state == "unknown"
    books = outcome("books", [("books_mismatched_balances", {}, 2)])
    assert figure("books.unbalanced", books, at=STALE_SECONDS + 900, intervals={"books": 900}).state == "critical"
    # As long as it may be kept, it says how old it is.
    assert figure("books.unbalanced", books, at=STALE_SECONDS, intervals={"books": 900}).note == ""
    assert told(figure("books.unbalanced", books, at=300, intervals={"books": 900}))[2] == "read 5 min ago"
    assert figure("books.unbalanced", books, at=STALE_SECONDS + 901, intervals={"books": 900}).state == "unknown"


def test_instances_one_by_one() -> None:
    """Each with its address, and why it is down."""
    servers = outcome("server", [*server(1), *server(0, "b:1", "redirect"), ("server_response_seconds", A, 0.2)])
    store = outcome("redis", [("redis_up", {}, 0)], failures={"h:1": Unreachable("gone")})
    rows = list(instances({"server": servers, "redis": store}))
    assert [(row.kind, row.address, row.state, row.response_seconds, row.note) for row in rows] == [
        ("API server", "a:1", "ok", 0.2, ""),
        ("API server", "b:1", "critical", None, "redirect"),
        ("Redis", "h:1", "critical", None, "gone"),
    ]


def test_an_instance_that_refuses_us_is_not_down() -> None:
    """It replied; where no reply says how it is, that is unknown."""
    servers = outcome("server", [("server_down", {"address": "a:1", "reason": "rate_limited"}, 1)])
    store = outcome("redis", [("redis_up", {}, 1)], failures={"h:1": Refused("NOAUTH")})
    databases = outcome("postgres", [], failures={"db:1": NotAsked("no such file")})
    rows = instances({"server": servers, "redis": store, "postgres": databases})
    assert [(row.kind, row.address, row.state, row.note) for row in rows] == [
        ("API server", "a:1", "unknown", "rate limited"),
        ("Redis", "h:1", "unknown", "NOAUTH"),
        ("PostgreSQL", "db:1", "unknown", "no such file"),
    ]


def test_queues_worst_first() -> None:
    """Trouble before depth, depth before the alphabet; several troubles of one queue are all named."""
    series = [
        *queue("quiet", pending_tasks=0, paused=0),
        *queue("busy", pending_tasks=999, oldest_pending_age_seconds=2),
        *queue("deep", pending_tasks=5000, oldest_pending_age_seconds=61, paused=1),
        *queue("lost", pending_tasks=1, head_task_lost=1),
        *queue("odd", active_tasks=1),
        *queue("new:index", pending_tasks=0, archived_tasks=1, last_archived_timestamp_seconds=-10),
        *queue("dead", pending_tasks=0, archived_tasks=1, last_archived_timestamp_seconds=-10),
    ]
    consumers = outcome("workers", [("workers_queue_consumers", {"queue": "alone"}, 0)])
    rows = queue_rows({"queues": outcome("queues", series), "workers": consumers}, LIMITS, at=0)
    assert [(row.name, row.state, row.words) for row in rows] == [
        ("lost", "critical", ("tasks lost",)),
        ("alone", "critical", ("depth not known", "nobody consumes it")),
        ("dead", "critical", ("tasks given up",)),
        ("deep", "warning", ("waits too long", "too deep", "paused")),
        ("new:index", "warning", ("tasks given up",)),
        ("odd", "unknown", ("depth not known",)),
        ("busy", "ok", ()),
        ("quiet", "ok", ()),
    ]


@pytest.mark.parametrize(
    ("unlisted", "names"), [(0, ["alone", "a"]), (2, ["alone", "a", "idle"]), (None, ["alone", "a", "idle"])]
)
def test_a_queue_that_was_never_used_has_no_row(unlisted: float | None, names: list[str]) -> None:
    """Its depth is not unknown: there is nothing to be deep, as long as all queues that were used are seen."""
    consumers = {"alone": 0, "idle": 2, "a": 1}
    workers = outcome("workers", [("workers_queue_consumers", {"queue": name}, n) for name, n in consumers.items()])
    listed = [] if unlisted is None else [("queues_unlisted", {}, unlisted)]
    queues = outcome("queues", [*queue("a", pending_tasks=5), *listed])
    rows = queue_rows({"queues": queues, "workers": workers}, LIMITS, at=0)
    assert sorted(row.name for row in rows) == sorted(names)
