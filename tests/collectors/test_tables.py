"""Blnk's tables: hand-built rows, both releases on real servers, a replica, a crash, and a database that is not Blnk's."""

import os
import signal
from pathlib import Path

import asyncpg
import pytest

from blnk_exporter.collector import Result
from blnk_exporter.collectors import tables
from blnk_exporter.collectors.tables import COLLECTOR, TablesReading
from blnk_exporter.errors import Malformed, Unreachable
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.table import TableReader

from ..conftest import RELEASES, Database, postgres_client
from ..waiting import eventually
from .conftest import Somewhere, page, read_page, unseen

# Vacuumed and analyzed tables only, which the test sees to.
MOMENTARY = {"blnk_tables_last_vacuum_timestamp_seconds", "blnk_tables_last_analyze_timestamp_seconds"}
# chain_state came with 0.15.
TABLES = {
    release: set(tables.NAMES) - ({"chain_state"} if release == "0.13.2" else set()) for release in RELEASES.values()
}


def test_samples_of_rows() -> None:
    """Each column under its own name; a table that was never vacuumed has no time of it; a gone server tells nothing."""
    row = dict.fromkeys(tables.ROWS.columns) | {
        "table": "ledgers",
        "live": 5,
        "dead": 2,
        "vacuumed_at": None,
    }
    reading = TablesReading(rows={"rows": [row], "database": [{"size": 4096}]})
    results = [Result(Somewhere("a:1"), reading), Result(Somewhere("b:2"), failure=Unreachable("gone"))]
    assert page(COLLECTOR.samples(results)) == {
        "blnk_tables_live_rows": {("a:1", "ledgers"): 5},
        "blnk_tables_dead_rows": {("a:1", "ledgers"): 2},
        "blnk_tables_database_size_bytes": {("a:1",): 4096},
    }


@pytest.mark.sandbox
async def test_both_releases_on_every_version(each_postgres: Database) -> None:
    """Every table of the release and no other; every metric once the tables have been vacuumed; one statement."""
    async with each_postgres.admin() as admin:
        await admin.execute("CREATE TABLE IF NOT EXISTS blnk.not_blnks_own (n int)")
        await admin.execute("VACUUM ANALYZE")
    async with postgres_client(each_postgres.dsn()) as client:
        reader = TableReader(client)
        before = each_postgres.log()
        found = await read_page(COLLECTOR, reader)
        assert each_postgres.executed(before) == 1
    assert unseen(COLLECTOR, found) == set()
    names = TABLES[RELEASES[each_postgres.version]]
    for name in ("live_rows", "size_bytes", "index_size_bytes"):
        assert {labels[1] for labels in found[f"blnk_tables_{name}"]} == names
    assert {labels[1] for labels in found["blnk_tables_last_vacuum_timestamp_seconds"]} >= {"ledgers"}
    assert found["blnk_tables_live_rows"][(reader.address, "gorp_migrations")] in {33, 37}
    assert found["blnk_tables_size_bytes"][(reader.address, "gorp_migrations")] % 8192 == 0


@pytest.mark.sandbox
async def test_a_role_without_any_right_on_the_tables(postgres: Database) -> None:
    """Statistics and sizes need none: no row of the ledger is read."""
    async with postgres_client(postgres.dsn("plain")) as client:
        reading = await COLLECTOR.read(TableReader(client))
    assert reading.gaps == ()
    assert len(reading.rows["sizes"]) == len(TABLES["0.13.2"])


@pytest.mark.sandbox
async def test_another_database_is_a_clear_failure(postgres: Database) -> None:
    """An empty page would look like an empty ledger."""
    async with postgres_client(postgres.dsn(database="empty")) as client:
        with pytest.raises(Malformed, match="schema blnk has no tables of Blnk; check the name of the database"):
            await COLLECTOR.read(TableReader(client))


@pytest.mark.sandbox
async def test_a_table_under_alter_costs_the_sizes_only(postgres: Database) -> None:
    """A migration holds the strongest lock there is: the rest is told, and nobody waits behind us."""
    async with postgres_client(postgres.dsn()) as client, postgres.admin() as admin, admin.transaction():
        await admin.execute("LOCK TABLE blnk.balances IN ACCESS EXCLUSIVE MODE")
        reader = TableReader(client)
        reading = await COLLECTOR.read(reader)
        assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("sizes", "timeout")]
        assert sorted(reading.rows) == ["database", "rows", "schema"]
        # The migration is done: so is the gap.
        await admin.execute("COMMIT; BEGIN")
        reading = await COLLECTOR.read(reader)
        assert (reading.gaps, sorted(reading.rows)) == ((), ["database", "rows", "schema", "sizes"])


@pytest.mark.sandbox
async def test_a_replica_does_not_know_what_its_primary_did(each_postgres: Database, tmp_path: Path) -> None:
    """Its own statistics say that nothing was ever written; what comes with the table itself is as true as there."""
    async with each_postgres.admin() as admin:
        await admin.execute("VACUUM ANALYZE")
    replica = await PostgresServer.start_replica(tmp_path, each_postgres.server)
    try:
        server = Database(replica, each_postgres.version, each_postgres.statements, each_postgres.tls)
        async with postgres_client(server.dsn()) as client:
            reader = TableReader(client)
            reading = await COLLECTOR.read(reader)
            found = page(COLLECTOR.samples([Result(reader, reading)]))
    finally:
        await replica.stop()
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("rows", "refused")]
    assert set(found) == {
        f"blnk_tables_{name}" for name in ("live_rows", "size_bytes", "index_size_bytes", "database_size_bytes")
    }
    assert found["blnk_tables_live_rows"][(reader.address, "gorp_migrations")] in {33, 37}


@pytest.mark.sandbox
async def test_statistics_that_a_crash_has_lost_are_not_zero(tmp_path: Path) -> None:
    """A thousand rows, half of them dead: after a crash the server counts from 0, and the table is what it was."""
    server = await PostgresServer.start(tmp_path, settings={"autovacuum": "off"})
    database = Database(server, 16, statements=False, tls=False)

    async def told() -> dict[str, float]:
        async with postgres_client(database.dsn("postgres", database="postgres", password=None)) as client:
            found = await read_page(COLLECTOR, TableReader(client))
        return {name.removeprefix("blnk_tables_"): value for name, series in found.items() for value in series.values()}

    try:
        async with database.admin("postgres") as admin:
            await admin.execute("CREATE SCHEMA blnk")
            await admin.execute("CREATE TABLE blnk.ledgers AS SELECT n FROM generate_series(1, 1000) n")
            # What tells Blnk's schema from another one; a view has no series.
            await admin.execute(
                "CREATE VIEW blnk.transactions AS SELECT '' AS transaction_id, '' AS reference, '' AS status, '' AS currency"
            )
            fresh = await told()
            # Counted when a session reports: what it wrote before must not come after the look of ANALYZE.
            await admin.execute("SELECT pg_stat_force_next_flush()")
            await admin.execute("ANALYZE blnk.ledgers")
            await admin.execute("DELETE FROM blnk.ledgers WHERE n <= 500")
            await admin.execute("SELECT pg_stat_force_next_flush()")
            before = await told()
            victim = await admin.fetchval("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
        os.kill(victim, signal.SIGKILL)

        async def back() -> bool:
            # The server takes a moment to see its child's death; until then it lets us in as ever.
            new = "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'checkpointer' AND pid <> $1"
            try:
                async with database.admin("postgres") as admin:
                    return await admin.fetchval(new, victim)
            except (asyncpg.PostgresError, OSError):
                return False

        await eventually(back)
        after = await told()
        async with database.admin("postgres") as admin:
            await admin.execute("VACUUM ANALYZE blnk.ledgers")
        cleaned = await told()
    finally:
        await server.stop()
    assert "live_rows" not in fresh
    assert (before["live_rows"], before["dead_rows"], before["rows_modified_since_analyze"]) == (1000, 500, 500)
    assert after["live_rows"] == 1000
    assert {"dead_rows", "rows_modified_since_analyze"} & set(after) == set()
    assert (cleaned["live_rows"], cleaned["dead_rows"], cleaned["rows_modified_since_analyze"]) == (500, 0, 0)
