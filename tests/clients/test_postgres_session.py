"""What a session is like: settings that hold whatever server, database and role say, and row-level security."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from blnk_exporter.clients import postgres_session
from blnk_exporter.collectors import postgres as postgres_collector
from blnk_exporter.errors import Refused
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.table import TableReader

from ..conftest import PASSWORD, Database, postgres_client
from ..waiting import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("nothing_left")]

# What a database for a ledger, or an old application, may have: each is different from what we ask for.
ODD = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "default_transaction_read_only": "off",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "row_security": "on",
    "search_path": "blnk, public",
    "jit": "on",
    "plan_cache_mode": "force_custom_plan",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "client_encoding": "LATIN1",
    "application_name": "other",
}


@asynccontextmanager
async def defaults(database: Database, settings: dict[str, str]) -> AsyncIterator[None]:
    """Settings of the database for the time of the context."""
    async with database.admin() as admin:
        for name, value in settings.items():
            await admin.execute(f"ALTER DATABASE blnk SET {name} = {value if ',' in value else repr(value)}")
        try:
            yield
        finally:
            await admin.execute("SET default_transaction_read_only = off")
            await admin.execute("ALTER DATABASE blnk RESET ALL")


async def test_no_setting_of_the_database_reaches_a_session(each_postgres: Database) -> None:
    """All that our statements depend on is pinned, on every version."""
    later = {"transaction_timeout": "300"} if each_postgres.version >= 17 else {}
    async with defaults(each_postgres, ODD | later), postgres_client(each_postgres.dsn()) as client:
        found = {name: await client.fetch_text("SELECT setting FROM pg_settings WHERE name = $1", name) for name in ODD}
        assert {name for name, value in ODD.items() if found[name] == value} == set()
        isolation = await client.fetch_text("SELECT current_setting('transaction_isolation')")
        assert isolation == "read committed"
        if later:
            assert await client.fetch_text("SELECT current_setting('transaction_timeout')") == "0"


async def test_the_time_zone_of_the_database_stays(postgres: Database) -> None:
    """Blnk's columns without a zone hold the time of that zone, and are read in it."""
    async with defaults(postgres, {"TimeZone": "Asia/Kolkata"}), postgres_client(postgres.dsn()) as client:
        assert await client.fetch_text("SELECT current_setting('TimeZone')") == "Asia/Kolkata"


async def test_every_pinned_setting_is_tried() -> None:
    """A setting that is pinned tomorrow is in the list above."""
    timeouts = {"statement_timeout", "idle_in_transaction_session_timeout"}
    transaction = {f"default_{name}" for name in postgres_session._TRANSACTION}
    assert {*postgres_session._PINNED, *timeouts, *transaction, "client_encoding"} == set(ODD)


async def test_a_standby_is_read_whatever_the_default_isolation(tmp_path: Path) -> None:
    """A standby refuses serializable transactions: one setting of a ledger's database made each of them down."""
    primary = await PostgresServer.start(tmp_path, password=PASSWORD)
    try:
        admin = await asyncpg.connect(primary.dsn())
        await admin.execute("ALTER ROLE postgres SET default_transaction_isolation = 'serializable'")
        replica = await PostgresServer.start_replica(tmp_path, primary)
        try:
            database = Database(replica, 16, statements=False, tls=False)
            async with postgres_client(database.dsn("postgres", "postgres")) as client:

                async def follows() -> bool:
                    return (
                        await client.fetch_text("SELECT rolconfig::text FROM pg_roles WHERE rolname = 'postgres'") != ""
                    )

                await eventually(follows)
                reading = await postgres_collector.read(TableReader(client))
                assert {row["in_recovery"] for row in reading.rows["server"]} == {1}
        finally:
            await replica.stop()
        await admin.close()
    finally:
        await primary.stop()


@asynccontextmanager
async def secured(database: Database, *statements: str) -> AsyncIterator[None]:
    """Row-level security on all of Blnk's tables; undone afterwards."""
    async with database.admin() as admin:
        tables = [
            row["name"]
            for row in await admin.fetch(
                "SELECT c.oid::regclass::text AS name FROM pg_class c "
                "WHERE relnamespace = 'blnk'::regnamespace AND relkind IN ('r', 'p')"
            )
        ]
        for table in tables:
            await admin.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        try:
            for statement in statements:
                await admin.execute(statement)
            yield
        finally:
            for policy in ("part", "all_rows", "less"):
                await admin.execute(f"DROP POLICY IF EXISTS {policy} ON blnk.balances")
            await admin.execute("ALTER ROLE exporter NOBYPASSRLS")
            for table in tables:
                await admin.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")


async def readable_tables(database: Database) -> list[str]:
    """Blnk's tables."""
    async with database.admin() as admin:
        rows = await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'blnk' ORDER BY 1")
        return [row["tablename"] for row in rows]


PART = "CREATE POLICY part ON blnk.balances FOR SELECT TO exporter USING (currency = 'USD')"
WHOLE = "CREATE POLICY all_rows ON blnk.balances FOR SELECT TO {} USING (true)"
LESS = "CREATE POLICY less ON blnk.balances AS RESTRICTIVE FOR SELECT TO PUBLIC USING (currency = 'USD')"
FORCED = "ALTER TABLE blnk.balances FORCE ROW LEVEL SECURITY"


async def test_hidden_rows_are_refused_on_each_table(each_postgres: Database) -> None:
    """Without a policy every count was 0 and the page said OK."""
    tables = await readable_tables(each_postgres)
    async with postgres_client(each_postgres.dsn()) as client, secured(each_postgres):
        for table in tables:
            with pytest.raises(Refused, match="BYPASSRLS") as caught:
                await client.fetch_text(f"SELECT count(*)::text FROM blnk.{table}")
            assert f"blnk.{table}:" in str(caught.value)
            assert "grants" not in str(caught.value)
            assert caught.value.answered


@pytest.mark.parametrize(
    ("user", "statements"),
    [
        ("exporter", (PART,)),
        ("blnk", (FORCED,)),
        ("exporter", (FORCED, PART)),
        ("exporter", (WHOLE.format("plain"),)),
        ("exporter", (WHOLE.format("exporter"), LESS)),
    ],
    ids=["a policy for a part", "the owner is forced", "both", "a policy for another", "a restriction"],
)
async def test_rows_that_are_hidden_in_part_are_refused(
    postgres: Database, user: str, statements: tuple[str, ...]
) -> None:
    """A part of the balances made the books unbalanced: a false critical alert."""
    async with secured(postgres, *statements), postgres_client(postgres.dsn(user)) as client:
        with pytest.raises(Refused, match="BYPASSRLS"):
            await client.fetch_text("SELECT count(*)::text FROM blnk.balances")


@pytest.mark.parametrize("role", ["exporter", "PUBLIC", "pg_monitor"])
async def test_a_policy_that_shows_all_rows_is_enough(each_postgres: Database, role: str) -> None:
    """Until it shows a part, even while the exporter runs."""
    count = "SELECT count(*)::text FROM blnk.balances"
    async with postgres_client(each_postgres.dsn()) as client:
        async with secured(each_postgres, WHOLE.format(role)), each_postgres.admin() as admin:
            for _ in range(2):
                assert await client.fetch_text(count) == "0"
            with pytest.raises(Refused, match=r"blnk\.ledgers: give"):
                await client.fetch_text("SELECT count(*)::text FROM blnk.ledgers")
            await admin.execute(PART)
            assert await client.fetch_text(count) == "0"
            await admin.execute("DROP POLICY all_rows ON blnk.balances")
            with pytest.raises(Refused, match="BYPASSRLS"):
                await client.fetch_text(count)
        assert await client.fetch_text(count) == "0"


async def test_security_that_is_switched_on_meanwhile_is_refused(postgres: Database) -> None:
    """The statement is prepared already, and planned without a policy."""
    async with postgres_client(postgres.dsn()) as client:
        count = "SELECT count(*)::text FROM blnk.balances"
        assert await client.fetch_text(count) == "0"
        async with secured(postgres):
            with pytest.raises(Refused, match="BYPASSRLS"):
                await client.fetch_text(count)
        assert await client.fetch_text(count) == "0"


async def test_a_role_with_bypassrls_reads_all(postgres: Database) -> None:
    """What the message asks for helps."""
    async with secured(postgres, "ALTER ROLE exporter BYPASSRLS"), postgres_client(postgres.dsn()) as client:
        assert await client.fetch_text("SELECT count(*)::text FROM blnk.balances") == "0"
