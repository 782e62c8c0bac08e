"""Several hosts in one connection string: which of them is the server, before and after a failover."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from blnk_exporter.clients import postgres_login
from blnk_exporter.errors import NotReady, Refused, TimedOut, Unreachable
from blnk_exporter.formats.dsn import PostgresDsn
from blnk_exporter.sandbox.postgres import PostgresServer

from ..conftest import PASSWORD, answering, postgres_client
from ..waiting import PATIENCE_SECONDS, eventually
from .hostile_postgres import (
    DESCRIBED,
    READY,
    answer,
    authentication,
    copied,
    hostile,
    message,
    parameter,
    read_back,
    read_request,
    row,
)

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("nothing_left")]
PORT = "SELECT current_setting('port')"


@dataclass(frozen=True)
class Pair:
    """A primary and its standby."""

    primary: PostgresServer
    standby: PostgresServer

    def dsn(self, *servers: PostgresServer, **fields: Any) -> PostgresDsn:
        """A string that names these servers in this order."""
        ports = tuple(server.port for server in servers)
        given = {"user": "postgres", "database": "postgres", "password": SecretStr(PASSWORD), "sslmode": "disable"}
        return PostgresDsn(**{"hosts": ("127.0.0.1",) * len(ports), "ports": ports} | given | fields)


@pytest_asyncio.fixture
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    primary = await PostgresServer.start(tmp_path_factory.mktemp("primary"), password=PASSWORD)
    try:
        standby = await PostgresServer.start_replica(tmp_path_factory.mktemp("standby"), primary)
        try:
            yield Pair(primary, standby)
        finally:
            await standby.stop()
    finally:
        await primary.stop()


async def _reached(dsn: PostgresDsn) -> int:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with postgres_client(dsn) as client:
            return int(await client.fetch_text(PORT))


async def test_the_target_is_found_in_any_order_and_after_a_failover(pair: Pair) -> None:
    """The standby first was watched as the primary: its books, and an alert that the database is read-only."""
    primary, standby = pair.primary, pair.standby
    for target, wanted in (("primary", primary), ("standby", standby), ("prefer-standby", standby)):
        for servers in ((standby, primary), (primary, standby)):
            assert await _reached(pair.dsn(*servers, target=target)) == wanted.port
    assert await _reached(pair.dsn(standby, primary)) == standby.port
    assert await _reached(pair.dsn(primary, target="prefer-standby")) == primary.port
    with pytest.raises(NotReady, match=rf"no primary found: 127\.0\.0\.1:{standby.port}: is in recovery"):
        await _reached(pair.dsn(standby, target="primary"))
    with pytest.raises(NotReady, match=rf"no standby found: 127\.0\.0\.1:{primary.port}: is not in recovery"):
        await _reached(pair.dsn(primary, target="standby"))

    async with postgres_client(pair.dsn(primary, standby, target="primary")) as client:
        assert int(await client.fetch_text(PORT)) == primary.port
        address = client.address
        await primary.halt()
        with pytest.raises(Unreachable, match=rf"no primary found: .*:{standby.port}: is in recovery"):
            await client.fetch_text(PORT)
        admin = await asyncpg.connect(
            host="127.0.0.1", port=standby.port, user="postgres", password=PASSWORD, database="postgres"
        )
        try:
            assert await admin.fetchval("SELECT pg_promote(wait_seconds => 60)")

            async def promoted() -> bool:
                return not await admin.fetchval("SELECT pg_is_in_recovery()")

            await eventually(promoted)
        finally:
            await admin.close()
        assert int(await client.fetch_text(PORT)) == standby.port
        assert client.address == address == f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"


def _closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def _server(hot_standby: str | None, said: str = "in") -> Any:
    """A login of a server that reports this state, or that is older and has to be asked."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state = parameter("in_hot_standby", hot_standby) if hot_standby else b""
        writer.write(authentication(0) + parameter("server_version", "13.9") + state)
        writer.write(message(b"K", b"\0" * 8) + READY)
        for reply in (*(() if hot_standby else (copied("on"),)), read_back(writer.settings), DESCRIBED):  # type: ignore[attr-defined]
            await read_request(reader)
            writer.write(reply)
        await read_request(reader)
        writer.write(answer(row(said.encode())))

    return talk


def _dsn(*ports: int, **fields: Any) -> PostgresDsn:
    return PostgresDsn(hosts=("127.0.0.1",) * len(ports), ports=ports, user="u", sslmode="disable", **fields)


async def _said(dsn: PostgresDsn) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with postgres_client(dsn) as client:
            return await client.fetch_text("SELECT 'a'")


async def test_a_server_that_does_not_report_its_state_is_asked() -> None:
    """PostgreSQL before 14, and poolers."""
    async with hostile(at_login=_server(None, "old")) as old, hostile(at_login=_server("off", "new")) as new:
        assert await _said(_dsn(new, old, target="standby")) == "old"
        assert await _said(_dsn(old, new, target="primary")) == "new"


async def test_a_host_that_is_down_or_silent_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a scrape's deadline would end each attempt at the first host, and the second would never be reached."""
    monkeypatch.setattr(postgres_login, "_HOST_SECONDS", 0.2)

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        await asyncio.sleep(PATIENCE_SECONDS)

    starting = message(b"E", b"SFATAL\0C57P03\0Mstarting up\0\0")

    async def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(starting)

    async with answering(hang) as silent, answering(start) as booting, hostile(at_login=_server("off")) as good:
        assert await _said(_dsn(_closed_port(), silent, booting, good)) == "in"
        with pytest.raises(Unreachable) as caught:
            await _said(_dsn(_closed_port(), silent, booting))
        said = str(caught.value)
        assert said.startswith("no server found: 127.0.0.1:")
        assert "Connection refused" in said
        assert f":{silent}: no answer within 0.2 s" in said
        assert f":{booting}: the server is starting" in said
        with pytest.raises(TimedOut):
            await _said(_dsn(silent, connect_timeout_seconds=0.1))


async def test_a_host_that_does_not_say_its_state_is_left_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver would connect again, without TLS, to cancel the question; and its session must not be chosen later."""
    monkeypatch.setattr(postgres_login, "_HOST_SECONDS", 0.2)
    asked, left = 0, asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(authentication(0) + parameter("server_version", "13.9") + message(b"K", b"\0" * 8) + READY)
        await read_request(reader)
        await reader.read()
        left.set()

    async with hostile(at_login=hang) as silent, hostile(at_login=_server("off")) as other:
        assert await _said(_dsn(silent, other, target="primary")) == "in"
        async with asyncio.timeout(PATIENCE_SECONDS):
            await left.wait()
        dsn = _dsn(silent, other, target="prefer-standby", connect_timeout_seconds=0.2)
        assert await _said(dsn) == "in"
    assert asked == 2


async def test_a_refused_login_ends_the_search() -> None:
    """As in libpq: the password is wrong on the next host as well, where it would count as another attempt."""
    asked = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read(1)
        writer.write(message(b"E", b"SFATAL\0C28P01\0Mno\0\0"))

    async with answering(refuse) as first, answering(refuse) as second:
        with pytest.raises(Refused, match="password authentication failed"):
            await _said(_dsn(first, second))
    assert asked == 1


async def test_hostaddr_is_where_the_host_is_found() -> None:
    """The name is for the certificate and the label."""
    async with hostile(at_login=_server("off")) as port:
        dsn = PostgresDsn(
            hosts=("nosuch.invalid",), addresses=("127.0.0.1",), ports=(port,), user="u", sslmode="disable"
        )
        assert dsn.address == f"nosuch.invalid:{port}"
        assert await _said(dsn) == "in"


async def test_a_label_in_a_directory_of_sockets_with_colons(pair: Pair, tmp_path: Path) -> None:
    """Cloud SQL's are named project:region:instance."""
    directory = tmp_path / "proj:region:inst"
    directory.symlink_to(pair.primary.socket_directory)
    assert await _reached(pair.dsn(pair.primary, hosts=(str(directory),))) == pair.primary.port
