"""``make demo-alerts``: alerts as they go, and nothing left."""

import signal
from pathlib import Path

import pytest

from blnk_exporter.sandbox.process import descendants

from ..programs import ALERTMANAGER
from ..waiting import until
from .exporter import environment
from .test_demo import REPOSITORY, demo, gone, left, scratch

__all__ = ["scratch"]
pytestmark = pytest.mark.sandbox
ROUTING = str(REPOSITORY / "deploy" / "alertmanager" / "alertmanager.yml")
needs_servers = pytest.mark.needs("prometheus", ALERTMANAGER)


@needs_servers
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_alerts_are_told_as_they_go(scratch: Path, number: signal.Signals) -> None:
    """What fires and who is told of it, a line each; then both servers are gone with all they wrote."""
    arguments = ("--scenario", "redis-down", "--alertmanager", ROUTING, "--log.level", "error")
    with demo(scratch, *arguments) as running:
        await running.ready()
        await until(lambda: "  firing    critical  BlnkRedisDown" in running.out, "the alert")
        await until(lambda: "  told      pager     BlnkRedisDown firing" in running.out, "the message")
        assert "/alerts" in running.out
        pids = descendants(running.process.pid)
        assert (await running.end(number), running.err) == (0, "")
        assert running.out.endswith("stopped\n")
        await gone(pids, scratch)


async def test_without_the_programs(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that says what is missing, before anything is started."""
    monkeypatch.setenv("PATH", str(scratch))
    assert environment()["PATH"] == str(scratch)
    with demo(scratch, "--alertmanager", ROUTING) as running:
        await until(lambda: running.process.poll() is not None)
        assert running.process.returncode == 1
        assert running.err.startswith("Error: there is no prometheus in PATH")
        assert running.err.count("\n") == 1
        assert left(scratch) == []
