"""pg_stat_statements: there, not there, not allowed, not loaded, and moved while we watch."""

from pathlib import Path

import pytest
import pytest_asyncio

from blnk_exporter.collector import Result
from blnk_exporter.collectors.statements import COLLECTOR, StatementsReading, StatementsSource
from blnk_exporter.errors import Unreachable
from blnk_exporter.sandbox.postgres import PostgresServer

from ..conftest import Database, Farm, postgres_client
from ..programs import debian_postgres
from .conftest import Somewhere, page, read_page, unseen

ROW = {"role": "blnk", "seconds": 1.5, "calls": 2, "rows": 3, "blocks_read": 4, "blocks_temporary": 5}


def test_samples() -> None:
    """Totals by role; a server without the extension says so; one that is gone says nothing."""
    results = [
        Result(Somewhere("a:1"), StatementsReading(installed=True, rows=[ROW])),
        Result(Somewhere("b:2"), StatementsReading(installed=False)),
        Result(Somewhere("c:3"), failure=Unreachable("gone")),
    ]
    assert page(COLLECTOR.samples(results)) == {
        "blnk_statements_installed": {("a:1",): 1, ("b:2",): 0},
        "blnk_statements_seconds_total": {("a:1", "blnk"): 1.5},
        "blnk_statements_calls_total": {("a:1", "blnk"): 2},
        "blnk_statements_rows_total": {("a:1", "blnk"): 3},
        "blnk_statements_blocks_read_total": {("a:1", "blnk"): 4},
        "blnk_statements_temporary_blocks_written_total": {("a:1", "blnk"): 5},
    }


@pytest.mark.sandbox
async def test_a_server_without_it(postgres: Database) -> None:
    """The wheel's: known to be absent, no totals, and no word on a role that nobody asks for."""
    async with postgres_client(postgres.dsn()) as client:
        before = postgres.log()
        found = await read_page(COLLECTOR, StatementsSource(client, "blnk"))
        assert postgres.executed(before) == 1
        assert (await COLLECTOR.read(StatementsSource(client, None))).gaps == ()
    assert found == {"blnk_statements_installed": {(client.address,): 0}}


@pytest_asyncio.fixture
async def debian(farm: Farm) -> Database:
    """The only server here that comes with the extension."""
    return await farm.database(15)


@pytest.mark.sandbox
async def test_a_server_with_it(debian: Database) -> None:
    """Blnk's statements against all others, within Blnk's database; every metric; one statement, the first time too."""
    async with postgres_client(debian.dsn()) as client, postgres_client(debian.dsn("blnk")) as blnk:
        # A login has statements as well.
        await blnk.fetch_text("SELECT count(*)::text FROM blnk.ledgers")
        source = StatementsSource(client, "blnk")
        log = debian.log()
        before = await read_page(COLLECTOR, source)
        assert debian.executed(log) == 1
        for _ in range(5):
            await blnk.fetch_text("SELECT count(*)::text FROM blnk.ledgers")
        log = debian.log()
        after = await read_page(COLLECTOR, source)
        assert debian.executed(log) == 1
    assert unseen(COLLECTOR, after) == set()
    calls = [found["blnk_statements_calls_total"][(client.address, "blnk")] for found in (before, after)]
    assert calls[1] - calls[0] == 5
    assert after["blnk_statements_calls_total"][(client.address, "other")] > 0


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("role", "words"), [(None, "Blnk's role is not known"), ("o'blnk", "there is no role 'o''blnk'")]
)
async def test_without_blnks_role_all_are_others(debian: Database, role: str | None, words: str) -> None:
    """Blnk's statements were run, whoever they are called; none of them would be a lie."""
    async with postgres_client(debian.dsn("blnk")) as blnk:
        await blnk.fetch_text("SELECT count(*)::text FROM blnk.ledgers")
    async with postgres_client(debian.dsn()) as client:
        known = {row["role"]: row for row in (await COLLECTOR.read(StatementsSource(client, "blnk"))).rows}
        reading = await COLLECTOR.read(StatementsSource(client, role))
    assert [row["role"] for row in reading.rows] == ["other"]
    assert known["blnk"]["calls"] > 0
    for column in ("calls", "seconds", "rows"):
        assert reading.rows[0][column] >= known["blnk"][column] + known["other"][column] > 0
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("blnk_role", "refused")]
    assert reading.gaps[0].detail.startswith(words)
    assert reading.gaps[0].fact in COLLECTOR.facts


@pytest.mark.sandbox
async def test_an_extension_whose_library_is_not_loaded(debian: Database, tmp_path: Path) -> None:
    """Created, and yet it counts nothing: installed, with the reason why there are no totals."""
    server = await PostgresServer.start(tmp_path, bindir=debian_postgres())
    database = Database(server, 15, statements=False, tls=False)
    try:
        async with database.admin("postgres") as admin:
            await admin.execute("CREATE EXTENSION pg_stat_statements")
        async with postgres_client(database.dsn("postgres", database="postgres", password=None)) as client:
            reading = await COLLECTOR.read(StatementsSource(client, "postgres"))
    finally:
        await server.stop()
    assert (reading.installed, reading.rows) == (True, ())
    assert [gap.detail for gap in reading.gaps] == ["pg_stat_statements is not in shared_preload_libraries"]


@pytest.mark.sandbox
async def test_an_extension_older_than_its_server(debian: Database) -> None:
    """As pg_upgrade leaves it: installed, with the command that helps, and no error in the server's log."""
    words = "pg_stat_statements 1.7 is too old, 1.8 is needed: run ALTER EXTENSION pg_stat_statements UPDATE"
    async with debian.admin("empty") as admin, postgres_client(debian.dsn(database="empty")) as client:
        source = StatementsSource(client, "blnk")
        await admin.execute("CREATE EXTENSION pg_stat_statements VERSION '1.7'")
        try:
            before = debian.log()
            reading = await COLLECTOR.read(source)
            assert (reading.installed, reading.rows) == (True, ())
            assert [(gap.fact, gap.reason, gap.detail) for gap in reading.gaps] == [("totals", "refused", words)]
            assert "ERROR" not in debian.log()[len(before) :]
            for version in ("1.8", "1.10"):
                await admin.execute(f"ALTER EXTENSION pg_stat_statements UPDATE TO '{version}'")
                reading = await COLLECTOR.read(source)
                assert (reading.gaps, len(reading.rows)) == ((), 2)
        finally:
            await admin.execute("DROP EXTENSION pg_stat_statements")


@pytest.mark.sandbox
async def test_a_function_that_may_not_be_executed(debian: Database) -> None:
    """Said before it is tried: a refusal is a line in the server's log each time."""
    function = "FUNCTION pg_stat_statements(boolean)"
    async with postgres_client(debian.dsn()) as client, debian.admin() as admin:
        await admin.execute(f"REVOKE EXECUTE ON {function} FROM PUBLIC")
        try:
            before = debian.log()
            reading = await COLLECTOR.read(StatementsSource(client, "blnk"))
        finally:
            await admin.execute(f"GRANT EXECUTE ON {function} TO PUBLIC")
    assert reading.installed
    assert [gap.detail for gap in reading.gaps] == ["needs EXECUTE on the function public.pg_stat_statements(boolean)"]
    assert "ERROR" not in debian.log()[len(before) :]


@pytest.mark.sandbox
async def test_a_role_that_may_not_see_others_gets_a_gap(debian: Database) -> None:
    """It would see its own statements only, and call that Blnk's."""
    async with postgres_client(debian.dsn("plain")) as client:
        reading = await COLLECTOR.read(StatementsSource(client, "blnk"))
    assert (reading.installed, reading.rows) == (True, ())
    assert [(gap.fact, gap.reason, gap.detail) for gap in reading.gaps] == [
        ("totals", "refused", "needs the role pg_read_all_stats, which pg_monitor has")
    ]


@pytest.mark.sandbox
async def test_an_extension_in_a_schema_with_an_odd_name(debian: Database) -> None:
    """Quoted by the server itself; moved while we watch."""
    async with postgres_client(debian.dsn()) as client, debian.admin() as admin:
        source = StatementsSource(client, "blnk")
        assert (await COLLECTOR.read(source)).gaps == ()
        await admin.execute(
            'CREATE SCHEMA "o\'dd ""name"; ALTER EXTENSION pg_stat_statements SET SCHEMA "o\'dd ""name"'
        )
        try:
            reading = await COLLECTOR.read(source)
            assert [gap.detail for gap in reading.gaps] == ['needs USAGE on the schema "o\'dd ""name"']
            await admin.execute('GRANT USAGE ON SCHEMA "o\'dd ""name" TO PUBLIC')
            reading = await COLLECTOR.read(source)
            assert (reading.installed, reading.gaps, len(reading.rows)) == (True, (), 2)
        finally:
            await admin.execute("ALTER EXTENSION pg_stat_statements SET SCHEMA public")
            await admin.execute('DROP SCHEMA "o\'dd ""name"')
