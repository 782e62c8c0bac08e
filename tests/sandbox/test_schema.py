"""Blnk's schema on every PostgreSQL that we know."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from blnk_exporter.sandbox import books, schema
from blnk_exporter.sandbox.postgres import PostgresServer

from ..programs import debian_postgres

pytestmark = pytest.mark.sandbox

# Tables, indexes of all tables, indexes on transactions, as a running Blnk of that release has them.
EXPECTED = {"0.13.2": (18, 68, 16), "0.15.2": (19, 76, 23)}
# Trigger, table, when, enabled; the same in both.
TRIGGERS = {
    ("prevent_transaction_update_trigger", "transactions", "BEFORE UPDATE", "O"),
    ("log_transaction_changes_trigger", "transactions", "AFTER INSERT OR DELETE OR UPDATE", "O"),
    ("transaction_after_insert", "transactions", "AFTER INSERT", "O"),
    ("ledger_after_insert", "ledgers", "AFTER INSERT", "O"),
    ("balance_after_insert", "balances", "AFTER INSERT", "O"),
    ("balance_after_update", "balances", "AFTER UPDATE", "O"),
    ("reconcile_balance_trigger", "balances", "BEFORE UPDATE", "O"),
    ("prevent_snapshot_update_trigger", "balance_snapshots", "BEFORE UPDATE", "O"),
}


@pytest_asyncio.fixture(scope="module", params=["16", "18", "debian-15"])
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> AsyncIterator[PostgresServer]:
    if request.param == "16":
        yield postgres
        return
    directory = tmp_path_factory.mktemp("schema")
    if request.param == "debian-15":
        started = await PostgresServer.start(directory, bindir=debian_postgres())
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


def release_of(request: pytest.FixtureRequest) -> schema.Release:
    release: schema.Release = request.node.callspec.params["database"]
    return release


async def insert(
    connection: asyncpg.Connection, release: schema.Release, meta_data: str = "{}", description: str | None = ""
) -> None:
    accounts = await books.found(connection, release, 0)
    await connection.execute(
        "INSERT INTO blnk.transactions (transaction_id, reference, status, amount, currency, hash, source, destination,"
        " scheduled_for, meta_data, description)"
        " VALUES ('txn_1', 'ref_1', 'QUEUED', 1, 'USD', '', $1, $1, '0001-01-01', $2, $3)",
        *(accounts[0].id, meta_data, description),
    )


async def test_tables_indexes_and_migrations(blnk: asyncpg.Connection, request: pytest.FixtureRequest) -> None:
    release = release_of(request)
    tables = await blnk.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'blnk'")
    indexes = await blnk.fetchrow(
        "SELECT count(*), count(*) FILTER (WHERE tablename = 'transactions') FROM pg_indexes WHERE schemaname = 'blnk'"
    )
    assert EXPECTED[release] == (tables, *indexes)
    applied = [row["id"] for row in await blnk.fetch("SELECT id FROM blnk.gorp_migrations ORDER BY id")]
    assert applied == schema.migrations(release)
    assert applied[-1] == {"0.13.2": "1770611011.sql", "0.15.2": "1781162329.sql"}[release]


async def test_triggers_are_those_of_a_running_blnk(blnk: asyncpg.Connection) -> None:
    """A monitor that looks for them by name and state finds here what it finds there."""
    rows = await blnk.fetch(
        "SELECT t.tgname, c.relname, substring(pg_get_triggerdef(t.oid) FROM '(?:BEFORE|AFTER) [A-Z ]+?(?= ON )'),"
        " t.tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE NOT t.tgisinternal AND c.relnamespace = 'blnk'::regnamespace"
    )
    assert {tuple(row) for row in rows} == TRIGGERS


async def test_ids_run_out_where_they_do_in_blnk(blnk: asyncpg.Connection) -> None:
    """Four bytes everywhere, but for the outbox."""
    rows = await blnk.fetch("SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'blnk'")
    assert {row["sequencename"] for row in rows if row["data_type"] == "bigint"} == {"lineage_outbox_id_seq"}
    assert {"transactions_id_seq", "transaction_journal_id_seq", "balances_id_seq"} < {r["sequencename"] for r in rows}


async def test_transactions_are_append_only_and_journalled(
    blnk: asyncpg.Connection, request: pytest.FixtureRequest
) -> None:
    """Only meta_data may change; a deletion is not stopped but leaves its trace."""
    await insert(blnk, release_of(request))
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        async with blnk.transaction():
            await blnk.execute("UPDATE blnk.transactions SET status = 'VOID' WHERE transaction_id = 'txn_1'")
    await blnk.execute("""UPDATE blnk.transactions SET meta_data = '{"a": 1}' WHERE transaction_id = 'txn_1'""")
    await blnk.execute("DELETE FROM blnk.transactions WHERE transaction_id = 'txn_1'")
    journal = await blnk.fetch(
        "SELECT action_type FROM blnk.transaction_journal WHERE transaction_id = 'txn_1' ORDER BY id"
    )
    assert [row["action_type"] for row in journal] == ["INSERT", "UPDATE", "DELETE"]


@pytest.mark.parametrize("column", ["precise_amount = 7", "precision = 7"])
async def test_old_release_does_not_guard_the_precise_amount(
    blnk: asyncpg.Connection, request: pytest.FixtureRequest, column: str
) -> None:
    await insert(blnk, release_of(request))
    change = f"UPDATE blnk.transactions SET {column} WHERE transaction_id = 'txn_1'"
    if release_of(request) == "0.13.2":
        await blnk.execute(change)
    else:
        with pytest.raises(asyncpg.RaiseError):
            await blnk.execute(change)


async def test_old_release_lets_nothing_change_where_something_is_null(
    blnk: asyncpg.Connection, request: pytest.FixtureRequest
) -> None:
    """Its trigger asks whether all is equal, which NULL is to nothing."""
    await insert(blnk, release_of(request), description=None)
    change = "UPDATE blnk.transactions SET meta_data = '[]' WHERE transaction_id = 'txn_1'"
    if release_of(request) == "0.13.2":
        with pytest.raises(asyncpg.RaiseError):
            await blnk.execute(change)
    else:
        assert await blnk.execute(change) == "UPDATE 1"


async def test_a_balance_is_computed_anew_on_demand(blnk: asyncpg.Connection, request: pytest.FixtureRequest) -> None:
    """As Blnk's trigger does for whoever writes the word into meta_data; nothing else sets it off."""
    accounts = await books.found(blnk, release_of(request), 0)
    world = next(account.id for account in accounts if account.world)
    before = await blnk.fetchrow("SELECT balance, debit_balance FROM blnk.balances WHERE balance_id = $1", world)
    await blnk.execute("UPDATE blnk.balances SET balance = 5, debit_balance = 7 WHERE balance_id = $1", world)
    assert await blnk.fetchval("SELECT balance FROM blnk.balances WHERE balance_id = $1", world) == 5
    after = await blnk.fetchrow(
        """UPDATE blnk.balances SET meta_data = '{"BLNK_RUN_RECONCILIATION": "SOURCE"}' WHERE balance_id = $1"""
        " RETURNING balance, debit_balance, meta_data",
        world,
    )
    assert tuple(after) == (*before, "{}")


async def test_a_snapshot_is_append_only(blnk: asyncpg.Connection, request: pytest.FixtureRequest) -> None:
    accounts = await books.found(blnk, release_of(request), 0)
    await blnk.execute(
        "INSERT INTO blnk.balance_snapshots (balance_id, ledger_id, currency, balance, credit_balance, debit_balance,"
        " inflight_balance, inflight_credit_balance, inflight_debit_balance, snapshot_time, created_at, last_tx_id)"
        " VALUES ($1, 'general_ledger_id', 'USD', 1, 1, 0, 0, 0, 0, now(), now(), 'txn_1')",
        accounts[0].id,
    )
    assert await blnk.execute("UPDATE blnk.balance_snapshots SET meta_data = '{}'") == "UPDATE 1"
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await blnk.execute("UPDATE blnk.balance_snapshots SET balance = 2, meta_data = '[]'")


async def test_a_row_too_long_for_notify_is_refused(blnk: asyncpg.Connection, request: pytest.FixtureRequest) -> None:
    """Blnk fails so, with nothing but a line in PostgreSQL's log."""
    with pytest.raises(asyncpg.PostgresError, match="payload string too long"):
        await insert(blnk, release_of(request), '{"a": "' + "x" * 9000 + '"}')


def test_sql_files_are_there_for_each_release() -> None:
    for release in schema.RELEASES:
        assert "CREATE SCHEMA blnk" in schema.statements(release)
    assert Path(schema.__file__).with_name("ddl").is_dir()
