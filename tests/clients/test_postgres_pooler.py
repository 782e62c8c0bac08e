"""PostgreSQL through PgBouncer: each mode, each way to be refused, and what happens to the pooler meanwhile."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from blnk_exporter.clients import postgres_session
from blnk_exporter.clients.patient import PatientReader
from blnk_exporter.clients.postgres import PostgresClient
from blnk_exporter.collectors import postgres as postgres_collector
from blnk_exporter.errors import ReadingError, Refused, TimedOut, TooDear, Unreachable
from blnk_exporter.table import TableReader

from ..conftest import PASSWORD, Database, Pki, _pump, answering, postgres_client
from ..pgbouncer import IGNORED, PgBouncer, pgbouncer
from ..waiting import eventually
from .test_patient import ONE

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("nothing_left")]

MODES: dict[str, dict[str, Any]] = {
    "it refuses settings": {},
    "it ignores settings": {"ignore_startup_parameters": IGNORED},
    "a pool of one": {"default_pool_size": 1},
    "a pool of one, settings ignored": {"default_pool_size": 1, "ignore_startup_parameters": IGNORED},
    "session mode": {"pool_mode": "session"},
    "session mode, settings ignored": {"pool_mode": "session", "ignore_startup_parameters": IGNORED},
}
HARMLESS = """
    SELECT concat_ws(' ', current_setting('transaction_read_only'), current_setting('transaction_isolation'),
        current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('row_security'),
        current_setting('search_path'), current_setting('application_name'), $1::text)
"""
BUSY = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'exporter' AND state <> 'idle' AND backend_type = 'client backend'"


@asynccontextmanager
async def through(
    directory: Path, database: Database, **settings: Any
) -> AsyncIterator[tuple[PgBouncer, PostgresClient]]:
    """A PgBouncer and a client of ours behind it."""
    async with pgbouncer(directory, database, **settings) as pooler, postgres_client(pooler.dsn()) as client:
        yield pooler, client


async def busy(database: Database) -> int:
    """Sessions of our role that do something, or hold a transaction open."""
    async with database.admin() as admin:
        return int(await admin.fetchval(BUSY))


async def idle(database: Database) -> bool:
    """Whether nothing of ours is at work or open."""
    return await busy(database) == 0


@pytest.mark.parametrize("mode", MODES)
async def test_each_statement_has_its_settings(postgres: Database, tmp_path: Path, mode: str) -> None:
    """Whatever server session the pooler gives: read-only, bounded, and nothing left open."""
    async with through(tmp_path, postgres, **MODES[mode]) as (_, client):
        for word in ("a", "b", "c"):
            found = await client.fetch_text(HARMLESS, word)
            assert found == f"on read committed 5s 200ms off pg_catalog blnk_exporter {word}"
        with pytest.raises(ReadingError, match="read-only"):
            await client.fetch_text("INSERT INTO blnk.ledgers (ledger_id, name) VALUES ('l', 'n') RETURNING name")
        assert await client.fetch_text("SELECT 'next'") == "next"
        assert await idle(postgres)


@pytest.mark.parametrize("mode", MODES)
async def test_every_fact_of_postgresql_is_read(postgres: Database, tmp_path: Path, mode: str) -> None:
    """Three readings in a row, as from three exporters one after the other: facts vanished, and the server was down."""
    async with postgres_client(postgres.dsn()) as direct:
        expected = await postgres_collector.read(TableReader(direct, argument="blnk"))
    async with pgbouncer(tmp_path, postgres, **MODES[mode]) as pooler:
        for _ in range(3):
            async with postgres_client(pooler.dsn()) as client:
                reader = TableReader(client, argument="blnk")
                for _ in range(2):
                    reading = await postgres_collector.read(reader)
                    assert reading.gaps == ()
                    assert reading.rows.keys() == expected.rows.keys()
                    assert reading.rows["server"][0]["tls"] == 0


async def test_clients_that_share_a_session_do_not_meet(postgres: Database, tmp_path: Path) -> None:
    """Two exporters and a client that prepares statements, on one server session."""
    settings = {"default_pool_size": 1, "ignore_startup_parameters": IGNORED}
    async with through(tmp_path, postgres, **settings) as (pooler, first), postgres_client(pooler.dsn()) as second:
        other = await asyncpg.connect(
            host="127.0.0.1",
            port=pooler.port,
            user="exporter",
            password=PASSWORD,
            database="blnk",
            statement_cache_size=0,
        )
        try:
            for turn in range(10):
                texts = [f"SELECT '{turn % 3} {who}' || $1::text" for who in range(2)]
                answers = await asyncio.gather(first.fetch_text(texts[0], "x"), second.fetch_text(texts[1], "y"))
                assert answers == [f"{turn % 3} 0x", f"{turn % 3} 1y"]
                await other.execute(f"PREPARE __asyncpg_stmt_{turn + 1}__ AS SELECT 'not ours'")
                await other.execute("DEALLOCATE ALL")
                async with other.transaction():
                    assert await other.fetchval("SHOW transaction_read_only") == "off"
                    assert await other.fetchval("SHOW row_security") == "on"
        finally:
            other.terminate()


@pytest.mark.parametrize("ignored", [{}, {"ignore_startup_parameters": IGNORED}], ids=["refused", "ignored"])
async def test_a_pooler_of_statements_is_refused(postgres: Database, tmp_path: Path, ignored: dict[str, str]) -> None:
    """It forbids transactions, and without them there is nothing to hold the settings."""
    async with through(tmp_path, postgres, pool_mode="statement", **ignored) as (_, client):
        for _ in range(2):
            with pytest.raises(Refused, match="pool_mode = statement") as caught:
                await client.fetch_text("SELECT 'a'")
            assert caught.value.answered


async def test_postgresql_down_behind_a_pooler_is_down(postgres: Database, tmp_path: Path) -> None:
    """The pooler answers; customers are served by PostgreSQL."""
    settings = {"server_login_retry": 1, "query_wait_timeout": 2}
    async with through(tmp_path, postgres, **settings) as (_, client):
        assert await client.fetch_text("SELECT 'a'") == "a"
        await postgres.server.halt()
        try:
            for _ in range(3):
                with pytest.raises((Unreachable, TimedOut), match="the connection pooler") as caught:
                    await client.fetch_text("SELECT 'a'")
                assert caught.value.answered is False
        finally:
            await postgres.server.restart()

        async def answers() -> bool:
            try:
                return await client.fetch_text("SELECT 'b'") == "b"
            except ReadingError:
                return False

        await eventually(answers)


async def test_a_pool_that_others_hold_is_a_timeout(postgres: Database, tmp_path: Path) -> None:
    """Its only session is in another client's transaction."""
    async with through(tmp_path, postgres, default_pool_size=1, query_wait_timeout=1) as (pooler, client):
        assert await client.fetch_text("SELECT 'a'") == "a"
        other = await asyncpg.connect(
            host="127.0.0.1", port=pooler.port, user="exporter", password=PASSWORD, database="blnk"
        )
        try:
            await other.execute("BEGIN")
            with pytest.raises(TimedOut, match="query_wait_timeout"):
                await client.fetch_text("SELECT 'b'")
            await other.execute("ROLLBACK")
            assert await client.fetch_text("SELECT 'c'") == "c"
        finally:
            other.terminate()


async def test_no_connection_left_in_the_pooler_is_a_refusal(postgres: Database, tmp_path: Path) -> None:
    """As PostgreSQL's own limit."""
    async with (
        through(tmp_path, postgres, max_client_conn=1) as (pooler, client),
        postgres_client(pooler.dsn()) as second,
    ):

        async def is_in() -> bool:
            # The pooler may still count the connection that it has just refused for its startup parameters.
            with contextlib.suppress(Refused):
                return await client.fetch_text("SELECT 'a'") == "a"
            return False

        await eventually(is_in)
        with pytest.raises(Refused, match="max_client_conn") as caught:
            await second.fetch_text("SELECT 'a'")
        assert caught.value.answered


async def test_a_faulty_statement_is_rolled_back(postgres: Database, tmp_path: Path) -> None:
    """The pooler gets its session back, and the next statement is whole."""
    async with through(tmp_path, postgres, default_pool_size=1) as (_, client):
        for sql in ("SELECT nothing FROM pg_class", "SELEC", "SELECT rolpassword::text FROM pg_authid"):
            with pytest.raises(ReadingError):
                await client.fetch_text(sql)
            assert await client.fetch_text("SELECT 'next'") == "next"
        assert await idle(postgres)


async def test_a_long_statement_ends_itself(postgres: Database, tmp_path: Path) -> None:
    """By the time limit of its transaction."""
    async with (
        pgbouncer(tmp_path, postgres) as pooler,
        postgres_client(pooler.dsn(), statement_timeout_seconds=0.2) as client,
    ):
        with pytest.raises(TooDear):
            await client.fetch_text("SELECT pg_sleep(300)::text")
        assert await client.fetch_text("SELECT 'next'") == "next"


async def test_a_caller_that_leaves_leaves_no_transaction(postgres: Database, tmp_path: Path) -> None:
    """Its statement ends by its time limit, the transaction with it, and the next caller goes on."""
    async with (
        pgbouncer(tmp_path, postgres, default_pool_size=1) as pooler,
        postgres_client(pooler.dsn(), statement_timeout_seconds=1) as client,
    ):
        await client.fetch_text("SELECT 'a'")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.fetch_text("SELECT pg_sleep(300)::text"), 0.05)
            assert await busy(postgres) <= 1
        assert await client.fetch_text("SELECT 'b'") == "b"
        await eventually(lambda: idle(postgres))


async def test_closing_leaves_no_transaction(postgres: Database, tmp_path: Path) -> None:
    """A reload under a statement: the pooler ends what its client left."""
    async with through(tmp_path, postgres) as (_, client):
        await client.fetch_text("SELECT 'a'")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.fetch_text("SELECT pg_sleep(2)::text"), 0.05)
        await client.close()
        await eventually(lambda: idle(postgres))


async def test_the_books_are_read_through_a_pooler(postgres: Database, tmp_path: Path) -> None:
    """With their own time limit, on a connection that is opened for them."""
    async with pgbouncer(tmp_path, postgres, ignore_startup_parameters=IGNORED) as pooler:
        reader = PatientReader(pooler.dsn(), statement_timeout_seconds=77)
        for _ in range(2):
            rows, gaps, _ = await reader.read((ONE,), patience_seconds=None)
            assert (rows["one"], gaps) == ([{"n": 1}], ())
    assert "SET LOCAL statement_timeout = '77000'" in postgres.log()


async def test_tls_and_scram_to_the_pooler(postgres: Database, pki: Pki, tmp_path: Path) -> None:
    """As to PostgreSQL itself."""
    home = tmp_path / "certificates"
    home.mkdir()
    async with pgbouncer(tmp_path, postgres, certificate=pki.server, client_tls_sslmode="require") as pooler:
        dsn = pooler.dsn(sslmode="verify-full", tls={"sslrootcert": str(pki.ca)})
        async with postgres_client(dsn) as client:
            reading = await postgres_collector.read(TableReader(client, argument="blnk"))
            # PgBouncer's own session is not encrypted.
            assert reading.rows["server"][0]["tls"] == 1
        async with postgres_client(pooler.dsn(password=None)) as client:
            with pytest.raises(ReadingError):
                await client.fetch_text("SELECT 'a'")


async def test_a_session_that_the_server_ends_is_replaced(postgres: Database, tmp_path: Path) -> None:
    """Between two statements, and the pooler takes another one."""
    async with through(tmp_path, postgres) as (_, client), postgres.admin() as admin:
        for _ in range(3):
            pid = await client.fetch_text("SELECT pg_backend_pid()::text")
            await admin.execute(f"SELECT pg_terminate_backend({pid})")
            assert await client.fetch_text("SELECT 'a'") == "a"


async def test_a_pooler_that_restarts_is_found_again(postgres: Database, tmp_path: Path) -> None:
    """Its clients are gone with it; one scrape may fail, the next is whole."""
    async with through(tmp_path, postgres) as (pooler, client):
        assert await client.fetch_text("SELECT 'a'") == "a"
        await pooler.restart()
        assert await client.fetch_text("SELECT 'b'") == "b"


async def test_a_pooler_that_pauses_is_waited_for(postgres: Database, tmp_path: Path) -> None:
    """Callers leave at their deadline; after RESUME the next is whole."""
    async with through(tmp_path, postgres) as (pooler, client):
        assert await client.fetch_text("SELECT 'a'") == "a"
        pooler.send(signal.SIGUSR1)
        await eventually(lambda: pooler.says("got SIGUSR1"))
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.fetch_text("SELECT 'b'"), 0.05)
        pooler.send(signal.SIGUSR2)
        assert await client.fetch_text("SELECT 'c'") == "c"


async def test_a_session_that_proves_shared_is_not_trusted_again(
    postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler that hands out the process id of a backend, and prepared statements of another client in it."""

    async def unchecked(sessions: postgres_session.Sessions) -> postgres_session.SafeSession:
        return postgres_session.SafeSession(await sessions._connect({}, 100))

    monkeypatch.setattr(postgres_session.Sessions, "_open_own", unchecked)
    async with (
        through(tmp_path, postgres, default_pool_size=1) as (pooler, first),
        postgres_client(pooler.dsn()) as second,
    ):
        for turn in range(4):
            for client in (first, second):
                assert await client.fetch_text(f"SELECT '{turn}' || $1::text", "a") == f"{turn}a"


async def test_postgresql_itself_in_place_of_a_pooler(postgres: Database, tmp_path: Path) -> None:
    """An address that changes hands: the session is our own again."""
    async with through(tmp_path, postgres) as (_, client):
        assert await client.fetch_text("SELECT current_setting('transaction_isolation')") == "read committed"
        assert client._session.begin is not None
        client._dsn = postgres.dsn()
        client._drop()
        assert await client.fetch_text("SELECT 'a'") == "a"
        assert client._session.begin is None


async def test_settings_that_are_dropped_are_a_refusal(postgres: Database) -> None:
    """Something between that lets SET pass and does not do it; one sentence says which setting."""
    async with (
        meddling(postgres.server.port, (b"row_security = 'off'", b"row_security = 'on' ")) as port,
        postgres_client(postgres.dsn(ports=(port,))) as client,
    ):
        client._sessions.lost_statement()
        with pytest.raises(Refused, match='row_security = "on" instead of "off"'):
            await client.fetch_text("SELECT 'a'")


@asynccontextmanager
async def meddling(port: int, *changes: tuple[bytes, bytes]) -> AsyncIterator[int]:
    """A relay that changes what the client says, length by length."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        replies = asyncio.create_task(_pump(there, writer))
        try:
            while data := await reader.read(65536):
                for before, after in changes:
                    data = data.replace(before, after)
                back.write(data)
        finally:
            back.close()
            replies.cancel()

    async with answering(relay) as at:
        yield at
