"""Who is told of what, what follows from what, and what the messages say: Alertmanager itself on the shipped configuration."""

import asyncio
import email
import email.policy
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from aiohttp import web

from blnk_exporter import collectors
from blnk_exporter.render import quick, rules
from blnk_exporter.render.quick import Pace
from blnk_exporter.sandbox import alerted
from blnk_exporter.scrape import METRICS

from .story import seconds

SHIPPED = Path(__file__).parents[2] / "deploy" / "alertmanager"
CONFIG = (SHIPPED / "alertmanager.yml").read_text()
ALERTS = {alert.alert: template.name for template in rules.templates() for alert in template.alerts}
needs_amtool = pytest.mark.skipif(shutil.which("amtool") is None, reason="Debian's prometheus-alertmanager is not here")
needs_alertmanager = pytest.mark.skipif(
    shutil.which("prometheus-alertmanager") is None and shutil.which("alertmanager") is None,
    reason="Debian's prometheus-alertmanager is not here",
)
Labels = Mapping[str, str]


def amtool(*arguments: str) -> str:
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_amtool
def test_alertmanager_takes_the_configuration() -> None:
    """And finds the messages beside it."""
    said = amtool("check-config", str(SHIPPED / "alertmanager.yml"))
    assert "1 templates" in said
    assert said.rstrip().endswith("SUCCESS")


ROUTES = {
    "a page": ("pager", "alertname=BlnkLedgerTransactionsWithoutTask severity=critical service=blnk"),
    "a page of another site": ("pager", "alertname=BlnkPostgresDown severity=critical cluster=eu env=prod"),
    "a ticket": ("tickets", "alertname=BlnkQueuesBacklog severity=warning service=blnk"),
    "context": ("nowhere", "alertname=BlnkPostgresRestarted severity=info service=blnk"),
    "what only inhibits": ("nowhere", "alertname=Something severity=none"),
    "the watchdog": ("dead-mans-switch", "alertname=Watchdog severity=none service=blnk"),
    "a watchdog that somebody made critical": ("dead-mans-switch", "alertname=Watchdog severity=critical"),
    "a severity that nobody knows": ("tickets", "alertname=BlnkQueuesBacklog severity=page service=blnk"),
    "no severity": ("tickets", "alertname=BlnkQueuesBacklog"),
    "somebody else's": ("tickets", "alertname=NodeDown severity=emergency job=node"),
}


@needs_amtool
@pytest.mark.parametrize("what", ROUTES)
def test_each_alert_reaches_who_has_to_act(what: str) -> None:
    """Nothing is lost: what is unknown becomes a ticket."""
    receiver, labels = ROUTES[what]
    file = f"--config.file={SHIPPED}/alertmanager.yml"
    amtool("config", "routes", "test", file, f"--verify.receivers={receiver}", *labels.split())


def test_only_tickets_wait_for_the_morning() -> None:
    """A route that is muted at night loses its pages; and what nobody has thought of never waits."""
    route = yaml.safe_load(CONFIG)["route"]
    waiting = [child["matchers"] for child in route["routes"] if "active_time_intervals" in child]
    assert waiting == [['severity="warning"']]
    assert not {"active_time_intervals", "mute_time_intervals"} & route.keys()


def test_no_secret_stands_in_the_configuration() -> None:
    """Each is a file of its own, in one place."""
    files = re.findall(r"^.*?(\w+_file): (\S+?)[},]?$", CONFIG, re.MULTILINE)
    names = {name for name, _ in files}
    assert names == {"slack_api_url_file", "smtp_auth_password_file", "routing_key_file", "credentials_file"}
    assert all(path.startswith("/etc/alertmanager/secrets/") for _, path in files)
    assert re.findall(r"\b(?:api_url|routing_key|service_key|password|credentials|bearer_token):", CONFIG) == []


def test_inhibition_names_alerts_that_exist() -> None:
    """A rule for an alert that was renamed would mute nothing, and nobody would notice."""
    known = {"alertname": set(ALERTS), "component": set(ALERTS.values())}
    known["collector"] = {collector.name for collector, _ in collectors.ROOMS}
    for rule in yaml.safe_load(CONFIG)["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, value = re.fullmatch(r'(\w+)(?:=~|!=|!~|=)"(.+)"', matcher).groups()
            if label in known:
                assert set(value.split("|")) <= known[label], matcher


def test_a_critical_alert_mutes_only_its_own_warning() -> None:
    """`equal` must hold every label that tells one queue, disk or server from another."""
    (rule,) = (rule for rule in yaml.safe_load(CONFIG)["inhibit_rules"] if "alertname" in rule["equal"])
    declared = {
        metric.name: set(metric.labels)
        for metric in (*METRICS, *(metric for collector, _ in collectors.ROOMS for metric in collector.metrics))
    }
    for template in rules.templates():
        for alert in template.alerts:
            if alert.severity.keys() >= {"warning", "critical"}:
                texts = [alert.expr, *(str(text) for name, text in template.records.items() if name in alert.expr)]
                names = set(re.findall(r"\bblnk_[a-z0-9_]+", " ".join(texts)))
                labels = set().union(*(declared.get(name, set()) for name in names))
                assert labels <= set(rule["equal"]), alert.alert


# What ends with its cause: were it to fire on for longer, somebody would be called when all is well again.
FOLLOWERS = {
    "BlnkPostgresDown": ("BlnkServerDown", "BlnkServerSlow", "BlnkQueuesWaiting"),
    "BlnkRedisDown": ("BlnkQueuesWaiting", "BlnkWorkersNone"),
    "BlnkWorkersDown": ("BlnkWorkersNone", "BlnkWorkersQueueUnserved", "BlnkQueuesWaiting"),
}


@pytest.mark.parametrize("cause", FOLLOWERS)
def test_a_cause_outlasts_what_follows_from_it(cause: str) -> None:
    """A cause that no longer fires mutes nothing."""
    kept = {alert.alert: seconds(alert.keep_firing_for) for template in rules.templates() for alert in template.alerts}
    assert {name: kept[name] for name in FOLLOWERS[cause] if kept[name] > kept[cause]} == {}


@dataclass
class Inbox:
    """What has arrived from Alertmanager, by the way that it came."""

    slack: list[dict[str, Any]] = field(default_factory=list)
    pagerduty: list[dict[str, Any]] = field(default_factory=list)
    switch: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    mail: list[EmailMessage] = field(default_factory=list)


async def until(true: Any, seconds: float = 20.0) -> Any:
    """Poll until it holds and give what it gave."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := true()):
        assert asyncio.get_running_loop().time() < deadline, "waited in vain"
        await asyncio.sleep(0.01)
    return found


async def post(address: str, *alerts: Labels, annotations: Labels | None = None, ended: bool = False) -> None:
    """What Prometheus sends."""
    began = datetime.now(UTC) - timedelta(minutes=5)
    times = {"startsAt": began.isoformat()} | ({"endsAt": datetime.now(UTC).isoformat()} if ended else {})
    body = [{"labels": dict(labels), "annotations": dict(annotations or {}), **times} for labels in alerts]
    async with aiohttp.ClientSession() as session, session.post(f"http://{address}/api/v2/alerts", json=body) as reply:
        assert reply.status == 200, await reply.text()


@pytest_asyncio.fixture(scope="module")
async def inhibiting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """An Alertmanager with the shipped routes and inhibitions, whose messages nobody takes."""
    local = quick.alertmanager(CONFIG, Pace(), "http://127.0.0.1:9")
    async with alerted(tmp_path_factory.mktemp("alertmanager"), local) as address:
        yield address


def alert(name: str, severity: str = "critical", **labels: str) -> dict[str, str]:
    """The labels of an alert of the pack as Prometheus gives them; an empty one is taken away."""
    own = {"job": "blnk-exporter", "instance": "exporter:10501", "service": "blnk"}
    given = own | {"alertname": name, "severity": severity, "component": ALERTS.get(name, "exporter")} | labels
    return {key: value for key, value in given.items() if value}


DOWN = alert("BlnkExporterDown")
REDIS, POSTGRES = alert("BlnkRedisDown"), alert("BlnkPostgresDown", address="db-1:5432")
WORKERS = alert("BlnkWorkersNone")
ABSENT = alert("BlnkExporterAbsent", job="", instance="")
WAITING, MISMATCH = alert("BlnkQueuesWaiting", queue="q1"), alert("BlnkBooksBalancesMismatched")
WATCHDOG = alert("Watchdog", "none", component="exporter", job="", instance="")
QUEUES_FAIL = alert("BlnkExporterCollectorFailing", "warning", collector="queues")
LEDGER_FAILS = alert("BlnkExporterCollectorFailing", "warning", collector="ledger")
WORKERS_FAIL = alert("BlnkExporterCollectorFailing", "warning", collector="workers")
TASKS_MISSING = alert("BlnkExporterFactMissing", "warning", collector="ledger", fact="tasks", reason="unreachable")
# What fires, and what of it is not told.
INHIBITIONS: Mapping[str, tuple[tuple[Labels, ...], tuple[Labels, ...]]] = {
    "a blind exporter": ((DOWN, WAITING, MISMATCH, LEDGER_FAILS, WATCHDOG), (WAITING, MISMATCH, LEDGER_FAILS)),
    "another exporter sees": ((DOWN, WAITING | {"instance": "other:10501"}), ()),
    "another site's exporter": ((DOWN, WAITING | {"env": "staging"}), ()),
    "Blnk's own metrics go on": (
        (DOWN, ABSENT, alert("BlnkApiErrors", "warning", job="blnk", instance="api:5001", component="blnk")),
        (),
    ),
    "an exporter that is no target": ((ABSENT, WAITING, MISMATCH, WATCHDOG), (WAITING, MISMATCH)),
    "a collector that fails": ((QUEUES_FAIL, WAITING, MISMATCH), (WAITING,)),
    "one server that fails": (
        (alert("BlnkExporterCollectorFailing", "warning", collector="postgres"), alert("BlnkPostgresDown")),
        (alert("BlnkExporterCollectorFailing", "warning", collector="postgres"),),
    ),
    "no PostgreSQL": (
        (POSTGRES, alert("BlnkServerDown", address="a:1"), WAITING, LEDGER_FAILS, QUEUES_FAIL, WATCHDOG),
        (alert("BlnkServerDown", address="a:1"), WAITING, LEDGER_FAILS),
    ),
    "no PostgreSQL, but its disk is full": ((POSTGRES, alert("BlnkHostDiskHigh", path="/data")), ()),
    "a replica that is down": ((alert("BlnkPostgresReplicaDown", "warning", address="db-2:1"), WAITING), ()),
    "no Redis": (
        (REDIS, WAITING, QUEUES_FAIL, TASKS_MISSING, MISMATCH, LEDGER_FAILS),
        (WAITING, QUEUES_FAIL, TASKS_MISSING),
    ),
    "a worker that is down": (
        (alert("BlnkWorkersInstanceDown", "warning", address="w:1"), WORKERS_FAIL, WAITING),
        (WORKERS_FAIL,),
    ),
    "no heartbeats": ((WORKERS, WAITING, WORKERS_FAIL, MISMATCH), (WAITING,)),
    "no workers": ((alert("BlnkWorkersDown"), WORKERS, WORKERS_FAIL, MISMATCH), (WORKERS, WORKERS_FAIL)),
    "the higher of two limits": ((WAITING, WAITING | {"severity": "warning"}), (WAITING | {"severity": "warning"},)),
    "limits of two queues": ((WAITING, WAITING | {"severity": "warning", "queue": "q2"}), ()),
    "limits of two servers": (
        (
            alert("BlnkPostgresConnectionsHigh", address="a:1"),
            alert("BlnkPostgresConnectionsHigh", "warning", address="b:1"),
        ),
        (),
    ),
    "limits of two disks": (
        (alert("BlnkHostDiskHigh", path="/"), alert("BlnkHostDiskHigh", "warning", path="/data")),
        (),
    ),
    "two alerts that have nothing to tell them apart but their names": (
        (alert("BlnkRedisMemoryHigh"), alert("BlnkHostMemoryHigh", "warning")),
        (),
    ),
    "not ours": ((WAITING, {"alertname": "NodeDown", "severity": "warning"}, DOWN), (WAITING,)),
}


@needs_alertmanager
@pytest.mark.parametrize("what", INHIBITIONS)
async def test_what_follows_is_not_told(inhibiting: str, what: str) -> None:
    """The cause is told, what follows from it is not, and everything else is."""
    fires, muted = INHIBITIONS[what]
    here = {"cluster": what}
    await post(inhibiting, *({**labels, **here} for labels in fires))
    # Causes become known in turn: once this one is, those before it are.
    last = {"cluster": f"after {what}"}
    await post(inhibiting, {**REDIS, **last}, {**WAITING, **last})

    async def found(cluster: str) -> dict[frozenset[tuple[str, str]], bool]:
        query = {"filter": f'cluster="{cluster}"'}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{inhibiting}/api/v2/alerts", params=query) as reply,
        ):
            alerts = await reply.json()
        return {frozenset(one["labels"].items()): bool(one["status"]["inhibitedBy"]) for one in alerts}

    async with asyncio.timeout(20):
        while not any((await found(last["cluster"])).values()):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)
    expected = {frozenset({**labels, **here}.items()): labels in muted for labels in fires}
    assert await found(what) == expected


async def _smtp(inbox: Inbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As much of a mail server as one message needs."""
    writer.write(b"220 here\r\n")
    while command := (await reader.readline()).decode().strip().upper():
        if command == "DATA":
            writer.write(b"354 go on\r\n")
            text = (await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
            message = email.message_from_bytes(text, policy=email.policy.default)
            inbox.mail.append(message)
        writer.write(b"221 bye\r\n" if command == "QUIT" else b"250 yes\r\n")
        await writer.drain()
    writer.close()


@pytest_asyncio.fixture(scope="module")
async def inbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Inbox]]:
    """An Alertmanager with the shipped receivers and messages, and what it would have sent to the world."""
    inbox, directory = Inbox(), tmp_path_factory.mktemp("receivers")

    async def slack(request: web.Request) -> web.Response:
        inbox.slack.append(await request.json())
        return web.Response(text="ok")

    async def pagerduty(request: web.Request) -> web.Response:
        inbox.pagerduty.append(await request.json())
        return web.json_response({"status": "success"}, status=202)

    async def switch(request: web.Request) -> web.Response:
        inbox.switch.append((request.headers["Authorization"], await request.json()))
        return web.Response()

    application = web.Application()
    application.add_routes([web.post("/slack", slack), web.post("/v2/enqueue", pagerduty), web.post("/switch", switch)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    mail = await asyncio.start_server(lambda *pair: _smtp(inbox, *pair), "127.0.0.1", 0)
    world = f"http://127.0.0.1:{runner.addresses[0][1]}"
    secrets = {
        "slack_url": f"{world}/slack",
        "smtp_password": "m",
        "pagerduty_key": "p" * 32,
        "dead_mans_switch_token": "t",
    }
    for name, value in secrets.items():
        (directory / name).write_text(f"{value}\n")
    text = CONFIG.replace("/etc/alertmanager/secrets", str(directory))
    text = text.replace("https://dead-mans-switch.example.com/blnk", f"{world}/switch")
    text = text.replace("smtp.example.com:587", f"127.0.0.1:{mail.sockets[0].getsockname()[1]}")
    text = text.replace("[blnk.tmpl]", f"[{SHIPPED}/blnk.tmpl]")
    # Plain text on loopback, and no long waits; all else is what is shipped.
    text = text.replace("\nglobal:\n", f"\nglobal:\n  smtp_require_tls: false\n  pagerduty_url: {world}/v2/enqueue\n")
    text = re.sub(r"group_wait: \w+", "group_wait: 0s", text)
    text = re.sub(r"group_interval: \w+", "group_interval: 100ms", text)
    async with alerted(directory, text) as address:
        yield address, inbox
    mail.close()
    await runner.cleanup()


LINKS = {
    "summary": "Transactions wait in the queue.",
    "runbook_url": "http://blnk-exporter:10501/runbooks/BlnkQueuesWaiting",
    "dashboard_url": "http://grafana:3000/d/blnk-queues",
}


@needs_alertmanager
async def test_a_page_says_what_to_do(inbox: tuple[str, Inbox]) -> None:
    """On a phone: how many, which alert, where, what is the matter, and links to tap on; then that it is over."""
    address, arrived = inbox
    site = {"cluster": "prod eu", "env": "live"}
    both = [{**WAITING, **site, "queue": queue} for queue in ("new:transaction_1", "new:transaction_2")]
    annotations = LINKS | {"description": "The oldest task has waited for <20m> & more."}
    await post(address, *both, annotations=annotations)
    title = "[FIRING 2] critical BlnkQueuesWaiting in prod eu (live): Transactions wait in the queue."
    page = await until(lambda: next((one for one in arrived.pagerduty if one["payload"]["summary"] == title), None))
    assert (page["event_action"], page["routing_key"]) == ("trigger", "p" * 32)
    assert page["payload"]["severity"] == "critical"
    assert page["payload"]["class"] == "BlnkQueuesWaiting"
    assert page["payload"]["component"] == "queues"
    assert page["links"][0] == {"href": LINKS["runbook_url"], "text": "Runbook"}
    assert page["links"][1] == {"href": LINKS["dashboard_url"], "text": "Dashboard"}
    text = page["payload"]["custom_details"]["text"]
    for line in (
        "The oldest task has waited for <20m> & more.",
        f"Runbook: {LINKS['runbook_url']}",
        f"Dashboard: {LINKS['dashboard_url']}",
        "queue=new:transaction_1",
        "queue=new:transaction_2",
        "alertname%3D%22BlnkQueuesWaiting%22%2C%20cluster%3D%22prod%20eu%22%2C%20env%3D%22live%22%7D",
    ):
        assert line in text
    (told,) = [one["attachments"][0] for one in arrived.slack if one["attachments"][0]["title"] == title]
    assert told["color"] == "danger"
    assert told["title_link"] == LINKS["runbook_url"]
    assert "The oldest task has waited for &lt;20m&gt; &amp; more." in told["text"]
    assert f"<{LINKS['runbook_url']}|Runbook>" in told["text"]
    assert "queue=new:transaction_2" in told["text"]
    await post(address, *both, annotations=annotations, ended=True)
    over = title.replace("FIRING", "RESOLVED")
    await until(lambda: [one for one in arrived.pagerduty if one["event_action"] == "resolve"])
    ended = await until(lambda: next((o for o in arrived.slack if o["attachments"][0]["title"] == over), None))
    assert ended["attachments"][0]["color"] == "good"
    assert arrived.mail == []


@needs_alertmanager
async def test_a_ticket_comes_by_mail(inbox: tuple[str, Inbox]) -> None:
    """With nothing but a name and labels, too; and nothing in it is HTML that it should not be."""
    address, arrived = inbox
    odd = {"alertname": "SomethingElse", "severity": "odd", "cluster": "<b>&"}
    await post(address, odd, annotations={"description": "<script>x</script>"})
    mail = await until(lambda: next(iter(arrived.mail), None))
    assert mail["Subject"] == "[FIRING 1] odd SomethingElse in <b>&"
    assert mail["To"] == "blnk-tickets@example.com"
    plain, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert "<script>x</script>" in plain
    assert "&lt;script&gt;x&lt;/script&gt;" in html
    assert "<script>" not in html
    assert "Runbook" not in plain + html
    assert arrived.switch == []


@needs_alertmanager
async def test_the_dead_mans_switch_is_held(inbox: tuple[str, Inbox]) -> None:
    """What says that the whole chain works, with the secret out of its file."""
    address, arrived = inbox
    await post(address, WATCHDOG)
    authorization, message = await until(lambda: next(iter(arrived.switch), None))
    assert authorization == "Bearer t"
    assert [one["labels"]["alertname"] for one in message["alerts"]] == ["Watchdog"]
    assert message["status"] == "firing"
