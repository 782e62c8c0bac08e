"""``blnk-exporter demo``: one command, something to see within seconds, and nothing left however it ends."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from blnk_exporter.sandbox.process import descendants, free_port

from ..programs import program
from ..waiting import eventually, until
from .exporter import Running, environment, fetch, run, started
from .page import lint

pytestmark = pytest.mark.sandbox

REPOSITORY = Path(__file__).parents[2]


@contextlib.contextmanager
def demo(directory: Path, *arguments: str, port: int = 0, prefix: tuple[str, ...] = ()) -> Iterator[Running]:
    """The demo as a process that works below a directory of its own."""
    port = port or free_port()
    # Short: the path of PostgreSQL's socket has 108 bytes.
    command = [sys.executable, "-m", "blnk_exporter", "demo", "--web.listen-address", f"127.0.0.1:{port}", *arguments]
    with started([*prefix, *command], directory, port=port, environ=environment(TMPDIR=str(directory))) as running:
        yield running


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A short temporary directory that everyone may enter, as /tmp is; the demo's files must be gone from it."""
    # One for each test: a fixed name let one test that failed, and left servers that still wrote, fail all after it.
    directory = Path(tempfile.mkdtemp(prefix="d"))
    directory.chmod(0o1777)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def left(scratch: Path) -> list[str]:
    """What the demo has left there; its output is ours."""
    return sorted(path.name for path in scratch.iterdir() if path.suffix not in {".out", ".err", ".path"})


def alive(pids: list[int]) -> list[int]:
    """Which of these still run; a zombie does not."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


def owners(pids: list[int]) -> set[int]:
    """The users that these processes run as."""
    return {Path(f"/proc/{pid}").stat().st_uid for pid in pids}


async def gone(pids: list[int], scratch: Path) -> None:
    """Wait until no process and no file is left."""
    await until(lambda: not alive(pids), f"the end of {pids}")
    await until(lambda: not left(scratch), "the removal of the demo's files")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_demo_from_start_to_end(scratch: Path, number: signal.Signals) -> None:
    """Says where to look, and is gone with its servers when its terminal says so."""
    with demo(scratch) as running:
        await running.ready()
        assert f"{running.url}/metrics" in running.out
        assert "all is well" in running.out
        assert "starting PostgreSQL and Valkey" in running.out
        page = await running.scrape()
        assert page.whole
        assert lint(page.body) == ""
        pids = descendants(running.process.pid)
        assert len(pids) > 3
        assert left(scratch)
        assert await running.end(number) == 0, running.err
        assert running.out.endswith("stopped\n")
        assert running.err == ""
        await gone(pids, scratch)


async def test_the_page_moves_without_a_prometheus(scratch: Path) -> None:
    """A reader who only opens the page sees the last seconds, not the demo's first reading for ever."""
    seen: set[str] = set()

    async def moves() -> bool:
        async with aiohttp.ClientSession() as session, session.get(f"{running.url}/") as reply:
            seen.update(re.findall(r"Last scrape <time[^>]*>([0-9:]+)", await reply.text()))
        return len(seen) > 2

    with demo(scratch) as running:
        await running.ready()
        await eventually(moves)
        await running.end(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_stopped_while_it_starts(scratch: Path, number: signal.Signals) -> None:
    """Who changes their mind during the start must not find a PostgreSQL running in the evening."""
    with demo(scratch) as running:
        await until(lambda: "starting PostgreSQL" in running.out)
        await until(lambda: len(descendants(running.process.pid)) > 1)
        pids = descendants(running.process.pid)
        assert await running.end(number) == 1, running.err
        assert "stopped before it was ready" in running.out
        assert "Traceback" not in running.err
        await gone(pids, scratch)


async def test_killed(scratch: Path) -> None:
    """Kill -9 and the out-of-memory killer give no chance to clean up; the servers go all the same."""
    with demo(scratch) as running:
        await running.ready()
        pids = descendants(running.process.pid)
        running.process.kill()
        await gone(pids, scratch)


async def test_trouble_on_demand(scratch: Path) -> None:
    """--scenario shows a trouble that the reader can then look for on the page."""
    with demo(scratch, "--scenario", "redis-down") as running:
        await running.ready()
        assert "Redis stopped" in running.out
        assert (await running.scrape()).value("blnk_redis_up") == 0
        assert await running.end(signal.SIGINT) == 0


async def test_address_in_use(scratch: Path) -> None:
    """The usual reason is a second demo: one sentence, at once, and nothing started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo(scratch, port=port) as running:
            await until(lambda: running.process.poll() is not None)
            assert running.process.returncode == 1
            assert running.err == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
            assert running.out == ""
            assert left(scratch) == []


async def test_unknown_scenario(scratch: Path) -> None:
    """A slip in a name is answered with the names."""
    ended = await run("demo", "--scenario", "helthy", cwd=scratch)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: unknown scenario 'helthy'; known are healthy, queue-backlog")
    assert ended.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="who is no root runs every other test of this file as an ordinary user")
async def test_as_an_ordinary_user(scratch: Path) -> None:
    """Most people are not root: then the servers run as they themselves, and nothing needs another account."""
    prefix = (str(program("setpriv")), "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", f"HOME={scratch}")
    command, path = _reachable_python(prefix, scratch)
    port = free_port()
    environ = environment(TMPDIR=str(scratch), PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")
    arguments = ("-m", "blnk_exporter", "demo", "--web.listen-address", f"127.0.0.1:{port}")
    with started([*prefix, command, *arguments], scratch, port=port, environ=environ) as running:
        await running.ready()
        assert (await running.scrape()).whole
        pids = descendants(running.process.pid)
        assert 0 not in owners([running.process.pid, *pids])
        assert await running.end(signal.SIGINT) == 0, running.err
        assert "Traceback" not in running.err
        await gone(pids, scratch)


def _reachable_python(prefix: tuple[str, ...], scratch: Path) -> tuple[str, str]:
    """An interpreter that the user can run and a path on which it finds us; skips the test where there is none.

    Ours may lie below /root. The system's then does as well if it is of the same version.
    """
    extra = scratch / "extra.path"
    extra.mkdir()
    # What redis needs besides on Python before 3.11.3, and all that async-timeout 5 is on 3.11.
    (extra / "async_timeout.py").write_text("from asyncio import timeout\n")
    packages = os.pathsep.join((str(REPOSITORY / "exporter"), sysconfig.get_path("purelib"), str(extra)))
    version = f"python3.{sys.version_info.minor}"
    for command in (sys.executable, f"/usr/bin/{version}"):
        if Path(command).exists():
            tried = [*prefix, f"PYTHONPATH={packages}", command, "-c", "import blnk_exporter.demo"]
            if subprocess.run(tried, capture_output=True, check=False, cwd="/").returncode == 0:
                return command, packages
    pytest.skip(f"the user nobody can reach no {version} that has our packages")


async def test_two_at_once(scratch: Path) -> None:
    """Free ports and directories of their own: a second demo disturbs nobody."""
    with demo(scratch) as one, demo(scratch, "--scenario", "queue-paused") as other:
        await asyncio.gather(one.ready(), other.ready())
        assert sum((await fetch(f"{other.url}/metrics")).values("blnk_queues_paused")) == 2
        assert sum((await fetch(f"{one.url}/metrics")).values("blnk_queues_paused")) == 0
        pids = descendants(one.process.pid) + descendants(other.process.pid)
        await one.end(signal.SIGINT)
        assert (await other.scrape()).whole
        await other.end(signal.SIGINT)
        await gone(pids, scratch)
