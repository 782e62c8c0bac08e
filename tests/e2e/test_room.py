"""More clients than there is room for: in open files, and from addresses that never had a page."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from blnk_exporter import config
from blnk_exporter.config.settings import Web
from blnk_exporter.serve import listening
from blnk_exporter.service import Service

from ..waiting import until
from .bare import bare, value

FEW_FILES = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
# As where the system as a whole has no more files: the door does not see it coming.
NO_RESERVE = FEW_FILES + "from blnk_exporter.web import door\ndoor._FILES = -1000\n"
SILENT = 120


@contextlib.asynccontextmanager
async def _silent(port: int, count: int, address: str = "127.0.0.1") -> AsyncIterator[None]:
    """Connections that say nothing, from an address of loopback."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            stack.callback(writer.close)
        yield


@pytest.mark.parametrize("before", [FEW_FILES, NO_RESERVE])
async def test_few_open_files(tmp_path: Path, before: str) -> None:
    """Silent clients make room for those that ask, be it before or after the system refuses one more file."""
    with (tmp_path / "log").open("wb") as log, bare(tmp_path, before=before, output=log) as running:
        await running.ready()
        async with _silent(running.port, SILENT):
            for _ in range(3):
                page = await running.page()
                assert 'blnk_exporter_collector_failure{collector="server",reason="unreachable"} 1.0' in page
        assert value(page, "process_max_fds") == 64
        assert await running.terminate() == 0
    said = (tmp_path / "log").read_text()
    warned = 'event="fewer connections than limits.connections" connections=32 configured=256 open_files=64' in said
    assert warned == (before == FEW_FILES)
    assert ("connection not accepted" in said) == (before == NO_RESERVE)


@contextlib.asynccontextmanager
async def _serving(directory: Path, connections: int) -> AsyncIterator[tuple[Service, int]]:
    flags = {"servers": "http://127.0.0.1:1", "limits.connections": connections}
    service = Service(lambda: config.load(flags=flags, environ={}, directory=directory))
    await service.start()
    try:
        async with listening(service, Web(listen_address="127.0.0.1:0"), stop_seconds=0.1) as opened:
            yield service, opened.port
    finally:
        await service.close()


async def _scrapes(port: int, address: str, count: int) -> int:
    """How many of this many scrapes, each on a new connection from an address, are answered."""
    answered = 0
    for _ in range(count):
        connector = aiohttp.TCPConnector(force_close=True, local_addr=(address, 0))
        with contextlib.suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get(f"http://127.0.0.1:{port}/-/ready") as ready,
            ):
                answered += ready.status in {200, 503}
    return answered


@pytest.mark.parametrize("sources", [1, 40], ids=["one address", "many addresses"])
async def test_a_flood_puts_itself_out(tmp_path: Path, sources: int) -> None:
    """A client that reconnects for each scrape loses none of them to others that say nothing."""
    async with _serving(tmp_path, connections=16) as (service, port):
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.7", 0))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://127.0.0.1:{port}/metrics") as page,
        ):
            assert page.status == 200
        opened: list[asyncio.StreamWriter] = []

        async def flood() -> None:
            n = 0
            while True:
                address = f"127.0.1.{n % sources + 1}"
                _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
                opened.append(writer)
                n += 1

        flooding = [asyncio.create_task(flood()) for _ in range(4)]
        try:
            await until(lambda: service.turned_away["connections"] > 0)
            assert await _scrapes(port, "127.0.0.7", 50) == 50
        finally:
            for task in flooding:
                task.cancel()
            await asyncio.gather(*flooding, return_exceptions=True)
            for writer in opened:
                writer.close()
