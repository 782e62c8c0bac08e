"""Blnk's schema on every PostgreSQL that we know."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from blnk_exporter.sandbox import schema
from blnk_exporter.sandbox.postgres import PostgresServer

from .conftest import DEBIAN_POSTGRES

pytestmark = pytest.mark.sandbox

# Tables, indexes on transactions: facts/blnk.md §4.1 and §4.3.
EXPECTED = {"0.13.2": (18, 16), "0.15.2": (19, 23)}


@pytest_asyncio.fixture(scope="module", params=["16", "18", "debian-15"])
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> AsyncIterator[PostgresServer]:
    if request.param == "16":
        yield postgres
        return
    directory = tmp_path_factory.mktemp("schema")
    if request.param == "debian-15":
        if not DEBIAN_POSTGRES.exists():
            pytest.skip("no PostgreSQL 15 of Debian here")
        started = await PostgresServer.start(directory, bindir=DEBIAN_POSTGRES)
    else:
        started = await PostgresServer.start(directory, version=int(request.param))
    yield started
    await started.stop()


@pytest_asyncio.fixture(scope="module", params=schema.RELEASES)
async def database(request: pytest.FixtureRequest, server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f'CREATE DATABASE "blnk-{request.param}"')
    await admin.close()
    connection = await asyncpg.connect(server.dsn(database=f"blnk-{request.param}"))
    await schema.apply(connection, request.param)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def blnk(database: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A database with the schema; what a test does to it is taken back."""
    transaction = database.transaction()
    await transaction.start()
    yield database
    await transaction.rollback()


async def insert(connection: asyncpg.Connection, meta_data: str = "{}") -> None:
    await connection.execute(
        "INSERT INTO blnk.transactions (transaction_id, reference, status, amount, currency, meta_data)"
        " VALUES ('txn_1', 'ref_1', 'QUEUED', 1, 'USD', $1)",
        meta_data,
    )


async def test_tables_indexes_and_migrations(blnk: asyncpg.Connection, request: pytest.FixtureRequest) -> None:
    release = request.node.callspec.params["database"]
    tables = await blnk.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'blnk'")
    indexes = await blnk.fetchval("SELECT count(*) FROM pg_indexes WHERE tablename = 'transactions'")
    assert EXPECTED[release] == (tables, indexes)
    applied = [row["id"] for row in await blnk.fetch("SELECT id FROM blnk.gorp_migrations ORDER BY id")]
    assert applied == schema.migrations(release)
    assert applied[-1] == {"0.13.2": "1770611011.sql", "0.15.2": "1781162329.sql"}[release]


async def test_transactions_are_append_only_and_journalled(blnk: asyncpg.Connection) -> None:
    """Only meta_data may change; a deletion is not stopped but leaves its trace."""
    await insert(blnk)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        async with blnk.transaction():
            await blnk.execute("UPDATE blnk.transactions SET status = 'APPLIED'")
    await blnk.execute("""UPDATE blnk.transactions SET meta_data = '{"a": 1}'""")
    await blnk.execute("DELETE FROM blnk.transactions")
    journal = await blnk.fetch("SELECT action_type FROM blnk.transaction_journal ORDER BY id")
    assert [row["action_type"] for row in journal] == ["INSERT", "UPDATE", "DELETE"]


async def test_old_release_does_not_guard_the_precise_amount(
    blnk: asyncpg.Connection, request: pytest.FixtureRequest
) -> None:
    await insert(blnk)
    change = "UPDATE blnk.transactions SET precise_amount = 7"
    if request.node.callspec.params["database"] == "0.13.2":
        await blnk.execute(change)
    else:
        with pytest.raises(asyncpg.RaiseError):
            await blnk.execute(change)


async def test_a_row_too_long_for_notify_is_refused(blnk: asyncpg.Connection) -> None:
    """Blnk fails so, with nothing but a line in PostgreSQL's log."""
    with pytest.raises(asyncpg.PostgresError, match="payload string too long"):
        await insert(blnk, '{"a": "' + "x" * 9000 + '"}')


def test_sql_files_are_there_for_each_release() -> None:
    for release in schema.RELEASES:
        assert "CREATE SCHEMA blnk" in schema.statements(release)
    assert Path(schema.__file__).with_name("ddl").is_dir()
