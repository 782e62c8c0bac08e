"""Real servers for the tests of the sandbox, one of each kind per session."""

import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter.sandbox import account
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.sandbox.valkey import ValkeyServer

from ..programs import program


def is_empty(directory: Path) -> bool:
    return list(directory.iterdir()) == []


def is_owned_by_nobody(path: Path) -> bool:
    return path.stat().st_uid == pwd.getpwnam("nobody").pw_uid


def self_signed(directory: Path) -> tuple[Path, Path]:
    """Make a certificate and a key for localhost."""
    certificate, key = directory / "localhost.crt", directory / "localhost.key"
    key_kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-out", certificate, "-keyout", key]
    request = [program("openssl"), "req", "-x509", *key_kind, "-subj", "/CN=localhost", "-days", "2", *files]
    subprocess.run(request, check=True, capture_output=True)
    return certificate, key


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
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary directory of one test; whatever is in it when the test ends was left behind by the sandbox."""
    made = account.shared_directory("blnk-test")
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def servers_gone() -> Iterator[list[int]]:
    """Process ids that a test adds to; none of them may live when it ends."""
    pids: list[int] = []
    yield pids
    assert pids
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
