"""The embedded PostgreSQL: starts quickly, obeys, and is gone afterwards."""

import asyncio
import os
import shutil
import threading
from pathlib import Path

import asyncpg
import pytest

from blnk_exporter.sandbox import ServerError, account
from blnk_exporter.sandbox.binaries import postgres_bindir
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.sandbox.process import descendants

from ..programs import debian_postgres
from ..waiting import PATIENCE_SECONDS, eventually, until
from .conftest import is_empty, is_owned_by_nobody, self_signed

pytestmark = pytest.mark.sandbox
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop privileges")


async def ask(dsn: str, sql: str = "SELECT current_setting('server_version_num')::int / 10000") -> object:
    connection = await asyncpg.connect(dsn, timeout=PATIENCE_SECONDS)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@pytest.mark.parametrize("version", [16, 18])
async def test_each_version_answers_once_it_is_started(version: int, tmp_path: Path, servers_gone: list[int]) -> None:
    server = await PostgresServer.start(tmp_path, version=version)
    servers_gone += [server.pid, *descendants(server.pid)]
    assert await ask(server.dsn()) == version
    await server.stop()
    assert not server.data_directory.exists()
    assert is_empty(tmp_path)


async def test_other_binaries_can_be_given(tmp_path: Path) -> None:
    server = await PostgresServer.start(tmp_path, bindir=debian_postgres())
    assert await ask(server.dsn()) == int(debian_postgres().parent.name)
    await server.stop()


async def test_unknown_version_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="PostgreSQL 17: the sandbox has 16, 18"):
        await PostgresServer.start(tmp_path, version=17)


@as_root
async def test_root_drops_to_nobody(postgres: PostgresServer) -> None:
    """PostgreSQL refuses root, and nobody's files must be nobody's."""
    assert is_owned_by_nobody(Path(f"/proc/{postgres.pid}"))
    assert is_owned_by_nobody(postgres.data_directory)


@pytest.fixture(scope="module")
def closed_bindir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PostgreSQL 16 where nobody cannot reach it."""
    closed = tmp_path_factory.mktemp("closed")
    package = postgres_bindir(16).parent.parent
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.name, ignore=shutil.ignore_patterns("pginstall18", "include"))
    assert not account.passable(closed)
    return closed / package.name / "pginstall" / "bin"


@as_root
async def test_cancelled_copy_of_programs_leaves_nothing(tmp_path: Path, temporary: Path, closed_bindir: Path) -> None:
    """It runs in a thread, which no cancellation stops: it went on in the directory that had been removed."""
    starting = asyncio.create_task(PostgresServer.start(tmp_path, bindir=closed_bindir))
    await until(lambda: list(temporary.glob("*/programs")))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert is_empty(temporary)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")] == []


@as_root
async def test_programs_out_of_reach_are_copied(tmp_path: Path, closed_bindir: Path) -> None:
    """A virtual environment below /root is closed to nobody; pytest's directories are closed as well."""
    server = await PostgresServer.start(tmp_path, bindir=closed_bindir)
    assert await ask(server.dsn()) == 16
    home = server.socket_directory
    await server.stop()
    assert not home.exists()


async def test_password_is_asked_for(tmp_path: Path) -> None:
    """With every character that a URL gives a meaning to."""
    server = await PostgresServer.start(tmp_path, password="p@s:/ #%=w'\"")
    assert await ask(server.dsn()) == 16
    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(server.dsn(password="wrong"))
    assert server.password not in repr(server)
    await server.stop()


async def test_tls_is_offered(tmp_path: Path) -> None:
    server = await PostgresServer.start(tmp_path, bindir=debian_postgres(), tls=self_signed(tmp_path))
    sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert await ask(server.dsn(sslmode="require"), sql) is True
    assert await ask(server.dsn(sslmode="disable"), sql) is False
    await server.stop()


async def test_settings_survive_restart_and_reload(tmp_path: Path) -> None:
    server = await PostgresServer.start(tmp_path, settings={"max_connections": "33", "application_name": "it's"})
    port = server.port
    await server.restart()
    assert server.port == port
    assert await ask(server.dsn(), "SHOW max_connections") == "33"
    assert await ask(server.dsn(), "SHOW application_name") == "it's"
    server.reload({"application_name": "new"})

    async def reloaded() -> bool:
        return await ask(server.dsn(), "SHOW application_name") == "new"

    await eventually(reloaded)
    await server.stop()


async def test_bad_setting_shows_the_log(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no_such_setting"):
        await PostgresServer.start(tmp_path, settings={"no_such_setting": "1"})
    assert is_empty(tmp_path)


async def test_pause_freezes_backends_too(tmp_path: Path, servers_gone: list[int]) -> None:
    """A frozen postmaster alone would leave open connections working."""
    server = await PostgresServer.start(tmp_path)
    connection = await asyncpg.connect(server.dsn())
    server.pause()
    servers_gone += [server.pid, *descendants(server.pid)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connection.fetchval("SELECT 1"), 0.3)
    server.resume()
    connection.terminate()
    assert await ask(server.dsn()) == 16
    server.pause()
    await server.stop()
    await server.stop()
    assert not server.running


async def test_replica_follows_through_its_slot(tmp_path: Path) -> None:
    primary = await PostgresServer.start(tmp_path, password="secret")
    replica = await PostgresServer.start_replica(tmp_path, primary, slot="one")
    assert await ask(replica.dsn(), "SELECT pg_is_in_recovery()") is True
    active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'one'"
    await eventually(lambda: ask(primary.dsn(), active))
    # Its own interval of 5 s would be a long wait for a slot that is taken for a moment.
    assert await ask(replica.dsn(), "SHOW wal_retrieve_retry_interval") == "100ms"
    await replica.stop()
    await primary.stop()


async def test_taken_port_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    """Between finding a free port and using it, somebody else may take it."""
    ports = iter([postgres.port])
    found = __import__("blnk_exporter.sandbox.process", fromlist=["free_port"]).free_port
    monkeypatch.setattr("blnk_exporter.sandbox.process.free_port", lambda: next(ports, None) or found())
    server = await PostgresServer.start(tmp_path)
    assert server.port != postgres.port
    await server.stop()


@pytest.mark.parametrize("after_seconds", [0.0, 0.05, 0.2, 0.3])
async def test_cancelled_start_leaves_nothing(after_seconds: float, tmp_path: Path) -> None:
    before = set(descendants(os.getpid()))
    starting = asyncio.create_task(PostgresServer.start(tmp_path))
    await asyncio.sleep(after_seconds)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert is_empty(tmp_path)
    assert set(descendants(os.getpid())) <= before
