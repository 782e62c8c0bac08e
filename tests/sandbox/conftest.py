"""Real servers for the tests of the sandbox, one of each kind per session."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.sandbox.valkey import ValkeyServer
from redis.asyncio import Redis

DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15/bin")
DEBIAN_REDIS = Path("/usr/bin/redis-server")


@pytest_asyncio.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    server = await PostgresServer.start(tmp_path_factory.mktemp("postgres"))
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="session")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ValkeyServer]:
    server = await ValkeyServer.start(tmp_path_factory.mktemp("valkey"))
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey.url())
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def servers_gone() -> Iterator[list[int]]:
    """Process ids that a test adds to; none of them may live when it ends."""
    pids: list[int] = []
    yield pids
    assert pids
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
