"""What the messages say: a live Alertmanager with the shipped receivers, and the world that it tells."""

import asyncio
import email
import email.policy
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from blnk_exporter.sandbox import alerted

from ..waiting import until
from .alertmanager import CONFIG, SHIPPED, alert, needs_alertmanager, post

WAITING = alert("BlnkQueuesWaiting", queue="q1")
WATCHDOG = alert("Watchdog", "none", component="exporter", job="", instance="")


@dataclass
class Inbox:
    """What has arrived from Alertmanager, by the way that it came."""

    slack: list[dict[str, Any]] = field(default_factory=list)
    pagerduty: list[dict[str, Any]] = field(default_factory=list)
    switch: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    mail: list[EmailMessage] = field(default_factory=list)


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
    (told,) = await until(
        lambda: [one["attachments"][0] for one in arrived.slack if one["attachments"][0]["title"] == title]
    )
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
