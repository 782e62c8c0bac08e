"""A thousand scrapes cost no more than one: connections, tasks, descriptors and memory of the exporter's own process."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter.sandbox import Sandbox
from blnk_exporter.sandbox.process import free_port

from ..waiting import eventually, until
from .exporter import HEADER, Running, started
from .page import COLLECTORS

pytestmark = pytest.mark.sandbox

PROGRAM = Path(__file__).with_name("watched.py")
SCRAPES, WARM = 1000, 300
# A page's worth of strings comes and goes with each scrape; a leak of one page per ten scrapes would be 9 MB.
GROWTH_BYTES_MAX = 4 * 2**20


@dataclass
class Watched:
    """The exporter in a process of its own, and what can be seen of it from outside."""

    running: Running
    session: aiohttp.ClientSession
    owner: asyncpg.Connection
    redis: Redis

    async def scrape(self, count: int, budget: str | None = None) -> None:
        """As fast as they go."""
        headers = {HEADER: budget} if budget else {}
        for _ in range(count):
            async with self.session.get(f"{self.running.url}/metrics", headers=headers) as reply:
                assert reply.status == 200
                # With next to no time, next to nothing may be known.
                assert len(await reply.read()) > (0 if budget else 10_000)

    async def tasks(self) -> int:
        """How many tasks its event loop has at this moment."""
        before = len(self.running.out.splitlines())
        self.running.process.send_signal(signal.SIGUSR1)
        lines = await until(lambda: self.running.out.splitlines()[before:])
        return int(lines[0])

    @property
    def memory_bytes(self) -> int:
        """Its resident memory."""
        pages = Path(f"/proc/{self.running.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        """Its open file descriptors."""
        return len(list(Path(f"/proc/{self.running.process.pid}/fd").iterdir()))

    @property
    def threads(self) -> int:
        """Its threads."""
        return len(list(Path(f"/proc/{self.running.process.pid}/task").iterdir()))

    async def connections(self) -> tuple[int, int]:
        """How many connections PostgreSQL and Valkey hold for it."""
        ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'blnk_exporter'"
        names = [client["name"] for client in await self.redis.client_list()]
        return await self.owner.fetchval(ours), names.count("blnk_exporter")


@pytest_asyncio.fixture(scope="module")
async def watched(healthy: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """One process for all tests of this file: they come after each other as the days of a deployment do."""
    directory, port = tmp_path_factory.mktemp("watched"), free_port()
    command = [sys.executable, str(PROGRAM), "serve", "--blnk-config", str(healthy.blnk_json)]
    owner, redis = await asyncpg.connect(healthy.postgres.dsn()), Redis.from_url(healthy.valkey.url())
    # Every collector at every scrape: a leak in a slow one counts as well.
    (directory / "exporter.yml").write_text("limits: {slow_interval_seconds: 0}\n")
    with started([*command, "--web.listen-address", f"127.0.0.1:{port}"], directory, port=port) as running:
        await running.ready()
        async with aiohttp.ClientSession() as session:
            yield Watched(running, session, owner, redis)
    await owner.close()
    await redis.aclose()


async def test_a_thousand_scrapes(watched: Watched) -> None:
    """A monitor is started once and runs for months: what grows with each scrape ends in its death."""
    await watched.scrape(WARM)
    tasks, descriptors, memory, threads = (
        await watched.tasks(),
        watched.descriptors,
        watched.memory_bytes,
        watched.threads,
    )
    for _ in range(7):
        await watched.scrape((SCRAPES - WARM) // 7)
        assert await watched.connections() == (1, 1)
    assert (await watched.tasks(), watched.descriptors, watched.threads) == (tasks, descriptors, threads)
    assert watched.memory_bytes - memory < GROWTH_BYTES_MAX
    # One when it listens, one for each collector, none for a scrape.
    assert watched.running.err.count("\n") == 1 + len(COLLECTORS)


@pytest.mark.parametrize("frozen", ["valkey", "postgres"])
async def test_impatient_scrapes_of_a_frozen_server(healthy: Sandbox, watched: Watched, frozen: str) -> None:
    """Two hundred scrapes that each give up after 25 ms leave nothing that waits for a server's return."""
    await watched.scrape(3)
    tasks, descriptors, memory = await watched.tasks(), watched.descriptors, watched.memory_bytes
    server = {"valkey": healthy.valkey, "postgres": healthy.postgres}[frozen]
    server.pause()
    try:
        for _ in range(4):
            await watched.scrape(50, budget="0.05")
            assert await watched.tasks() <= tasks + 4
            assert watched.descriptors <= descriptors + 4
    finally:
        server.resume()

    async def as_before() -> bool:
        await watched.scrape(1)
        return await watched.connections() == (1, 1) and await watched.tasks() == tasks

    await eventually(as_before)
    assert watched.descriptors <= descriptors
    assert watched.memory_bytes - memory < GROWTH_BYTES_MAX


async def test_many_scrapers_at_once(watched: Watched) -> None:
    """A pair of Prometheus servers and a curious person cost the databases no second connection."""
    tasks, descriptors = await watched.tasks(), watched.descriptors
    for _ in range(10):
        await asyncio.gather(*(watched.scrape(1) for _ in range(20)))
        assert await watched.connections() == (1, 1)

    async def as_before() -> bool:
        # Connections of our own side are kept alive for further scrapes.
        return await watched.tasks() <= tasks + 20 and watched.descriptors <= descriptors + 20

    await eventually(as_before)
