"""What the exporter says of itself while its targets come and go."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blnk_exporter.sandbox import Sandbox

from .exporter import Running, serve
from .page import COLLECTORS

pytestmark = pytest.mark.sandbox

POSTGRES = ("postgres", "tables", "statements", "ledger", "catalog")


def _events(running: Running) -> list[tuple[str, str, str, str]]:
    found = []
    for line in running.err.splitlines():
        event = json.loads(line)
        assert {"timestamp", "level", "event"} <= event.keys()
        found.append((event["level"], event["event"], event.get("collector", ""), event.get("reason", "")))
    return found


@pytest.fixture
def json_lines(healthy: Sandbox, tmp_path: Path) -> Iterator[Running]:
    """An exporter that logs JSON, and reads every collector at every scrape."""
    (tmp_path / "exporter.yml").write_text("limits: {slow_interval_seconds: 0, health_timeout_seconds: 2}\n")
    with serve(healthy.blnk_json, tmp_path, "--log.format", "json") as running:
        yield running


async def test_one_line_per_change_of_state(healthy: Sandbox, json_lines: Running) -> None:
    """A night without Redis must be two lines per collector, not a full disk; a scrape by itself is none."""
    running = json_lines
    await running.ready()
    started = [("info", "listening", "", ""), *(("info", "collector works", name, "") for name in COLLECTORS)]
    for _ in range(10):
        await running.scrape()
    assert sorted(started) == sorted(_events(running))

    def since(lines: int) -> list[tuple[str, str, str, str]]:
        return sorted(_events(running)[lines:])

    # Down, for many scrapes.
    await healthy.postgres.halt()
    try:
        for _ in range(5):
            await running.scrape()
        down = [("warning", "collector failed", name, "unreachable") for name in POSTGRES]
        assert sorted(down) == since(len(started))
    finally:
        await healthy.postgres.restart()
    # Up.
    for _ in range(5):
        await running.scrape()
    up = [("info", "collector works", name, "") for name in POSTGRES]
    assert sorted(up) == since(len(started) + len(down))
    # Other kinds of requests are no events either.
    for path in ("/", "/-/healthy", "/nothing", "/metrics?collect[]=typo"):
        await running.get(path)
    so_far = len(started) + len(down) + len(up)
    assert since(so_far) == []
    await running.end(signal.SIGTERM)
    assert since(so_far) == [("info", "stopping", "", "")]


async def test_another_reason_is_another_line(healthy: Sandbox, json_lines: Running) -> None:
    """From "hangs" to "gone" is news, with the time at which it happened."""
    running = json_lines
    await running.ready()
    healthy.server.fault = "hang"
    await running.scrape()
    await running.scrape()
    healthy.server.fault = "html"
    await running.scrape()
    await running.scrape()
    healthy.server.fault = None
    await running.scrape()
    assert [event[3] for event in _events(running) if event[2] == "server"] == ["", "timeout", "malformed", ""]


PROGRAM = """
import logging, sys, structlog
from blnk_exporter import log
log.set_up("info", sys.argv[1])
def breaks(password):
    raise RuntimeError("first line\\nsecond line")
for logger in (structlog.get_logger(), logging.getLogger("asyncio")):
    try:
        breaks("s3cret")
    except RuntimeError:
        logger.exception("broken")
logging.getLogger("asyncio").warning("of no interest")
structlog.get_logger().debug("of no interest")
structlog.get_logger().info("a \\"quoted\\" thing", value="two\\nlines")
"""


@pytest.mark.parametrize("how", ["json", "logfmt"])
async def test_every_event_is_one_line(tmp_path: Path, how: str) -> None:
    """Tracebacks of our own and of libraries as well: a collector of logs reads lines, and no local variables."""
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    lines = ended.stderr.splitlines()
    assert len(lines) == 3
    assert "s3cret" not in ended.stderr
    if how == "json":
        assert [json.loads(line)["level"] for line in lines] == ["error", "error", "info"]
    else:
        assert all("timestamp=" in line and " level=" in line and " event=" in line for line in lines)
    assert "second line" in lines[0]
    # Of a library's exception only the kind is told: its text may hold what it stumbled over.
    assert "RuntimeError" in lines[1]
    assert "first line" not in lines[1]


async def test_reload_is_no_change_of_state(healthy: Sandbox, json_lines: Running) -> None:
    """A rotated password is one line; that everything still works is not worth eight more."""
    running = json_lines
    await running.ready()
    before = len(_events(running))
    running.process.send_signal(signal.SIGHUP)
    (Path(running.err_path).parent / "exporter.yml").write_text("limits: {slow_interval_seconds: 1}\n")
    for _ in range(3):
        page = await running.scrape()
    assert {event[1] for event in _events(running)[before:]} == {"configuration reloaded"}
    # Nor has anybody forgotten when it last worked.
    assert len(page.values("blnk_exporter_collector_last_success_timestamp_seconds")) == len(COLLECTORS)
