"""A process that cannot answer ends, so that its supervisor starts it again; one that was only stopped does not."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from ..waiting import PATIENCE_SECONDS, until
from .bare import Bare, bare

# Long enough for a loaded machine to turn the loop, and short enough for a test.
SECONDS = 6
PATIENT = f"from blnk_exporter import watchdog\nwatchdog.STILL_SECONDS = {SECONDS}\n"
FREEZING = (
    PATIENT
    + """
import re, time
from blnk_exporter.web import health
async def freeze(_):
    {how}
health.healthy = freeze
"""
)
SPINS, WAITS, HOLDS_THE_LOCK = "while True: pass", "time.sleep(1e6)", 're.match(r"(a+)+$", "a" * 64 + "b")'


@contextlib.contextmanager
def _freezing(running: Bare) -> Iterator[None]:
    """Ask for the page that never comes, and go on waiting for it."""
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
        yield


@pytest.mark.parametrize(("how", "status"), [(SPINS, 70), (WAITS, 70), (HOLDS_THE_LOCK, 27)])
async def test_a_loop_that_stands_still_ends_the_process(tmp_path: Path, how: str, status: int) -> None:
    """Also one that keeps every other thread from running; the log says where it stood."""
    with (tmp_path / "log").open("wb") as log, bare(tmp_path, before=FREEZING.format(how=how), output=log) as running:
        await running.ready()
        with _freezing(running):
            assert await running.ended() == status
    last = (tmp_path / "log").read_text()
    assert ("event loop stood still" in last) == (status == 70)
    assert "freeze" in last


async def test_no_line_of_the_log_holds_up_the_end(tmp_path: Path) -> None:
    """A reader of the log that stalls must not keep a process that is deaf."""
    reading, writing = socket.socketpair()
    with reading, writing:
        writing.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                writing.send(b"x" * 4096)
        writing.setblocking(True)
        with bare(tmp_path, before=FREEZING.format(how=HOLDS_THE_LOCK), output=writing) as running:
            await running.ready()
            with _freezing(running):
                assert await running.ended() == 27


async def test_a_process_that_was_stopped_goes_on(tmp_path: Path) -> None:
    """For longer than the limit, as another process shows that has the same one and does stand still."""
    with (
        bare(tmp_path, before=PATIENT) as stopped,
        bare(tmp_path, before=FREEZING.format(how=SPINS)) as control,
    ):
        await asyncio.gather(stopped.ready(), control.ready())
        stopped.process.send_signal(signal.SIGSTOP)
        await until(lambda: psutil.Process(stopped.process.pid).status() == psutil.STATUS_STOPPED)
        with _freezing(control):
            assert await control.ended() == 70
        stopped.process.send_signal(signal.SIGCONT)
        for _ in range(3):
            assert "healthy" in await stopped.page("/-/healthy")
        assert await stopped.terminate() == 0


HOARDING = """
import resource
from blnk_exporter.web import health
hoard = []
async def keep(_):
    resource.setrlimit(resource.RLIMIT_AS, (1, resource.RLIM_INFINITY))
    for size in (1 << 20, 1 << 18, 1 << 17):
        try:
            while True:
                hoard.append(bytearray(size))
        except MemoryError:
            pass
health.healthy = keep
"""


async def test_without_memory_it_ends(tmp_path: Path) -> None:
    """It would close every connection without a byte, for good: asyncio cannot receive without a buffer."""
    with (tmp_path / "log").open("wb") as log, bare(tmp_path, before=HOARDING, output=log) as running:
        await running.ready()
        with _freezing(running):
            assert await running.ended() == 70


async def test_memory_that_comes_back_is_used(tmp_path: Path) -> None:
    """One allocation that failed, in the reading of a collector, costs one reading."""
    before = """
from blnk_exporter.collectors import server
from dataclasses import replace
real, failed = server.COLLECTOR.read, []
async def read(source):
    if len(failed) < 2:
        failed.append(1)
        bytearray(1 << 60)
    return await real(source)
object.__setattr__(server.COLLECTOR, "read", read)
"""
    with bare(tmp_path, before=before) as running:
        await running.ready()
        page = await running.page()
        assert 'blnk_exporter_collector_failure{collector="server",reason="error"} 1.0' in page
        page = await running.page()
        assert 'blnk_exporter_collector_failure{collector="server",reason="unreachable"} 1.0' in page


@contextlib.asynccontextmanager
async def _manager(address: str) -> AsyncIterator[tuple[socket.socket, asyncio.Queue[str]]]:
    """A service manager's socket, and the messages it received."""
    told: asyncio.Queue[str] = asyncio.Queue()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(listener, lambda: told.put_nowait(listener.recv(4096).decode()))
        yield listener, told
        loop.remove_reader(listener)


async def _told(messages: "asyncio.Queue[str]", expected: str) -> None:
    """Wait for a message, past any number of signs of life."""
    while True:
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await messages.get()
        if message.startswith(expected):
            return
        assert message == "WATCHDOG=1"


@pytest.mark.parametrize("abstract", [False, True])
async def test_the_service_manager_hears_each_state(tmp_path: Path, abstract: bool) -> None:
    """READY when it listens, WATCHDOG while its loop turns, RELOADING around a reload, STOPPING at the end."""
    name = f"{tmp_path.name}-notify"
    address = f"\0{name}" if abstract else str(tmp_path / "notify")
    async with _manager(address) as (_, told):
        variables = {"NOTIFY_SOCKET": f"@{name}" if abstract else address, "WATCHDOG_USEC": "4000000"}
        with bare(tmp_path, **variables) as running:
            await _told(told, "READY=1")
            assert "healthy" in await running.page("/-/healthy")
            await _told(told, "WATCHDOG=1")
            running.process.send_signal(signal.SIGHUP)
            await _told(told, "RELOADING=1\nMONOTONIC_USEC=")
            await _told(told, "READY=1")
            running.process.send_signal(signal.SIGTERM)
            await _told(told, "STOPPING=1")
            assert await running.ended() == 0


async def test_no_sign_of_life_from_a_loop_that_stands_still(tmp_path: Path) -> None:
    """The manager's own watchdog must not be calmed by a thread."""
    address = str(tmp_path / "notify")
    async with _manager(address) as (_, told):
        variables = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"}
        with bare(tmp_path, before=FREEZING.format(how=SPINS), **variables) as running:
            await running.ready()
            await _told(told, "WATCHDOG=1")
            before = told.qsize()
            with _freezing(running):
                assert await running.ended() == 70
            # Ordinarily one each second.
            assert told.qsize() - before < SECONDS / 2
