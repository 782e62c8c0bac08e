"""Blnk's tables: hand-built rows, both releases on real servers, and a database that is not Blnk's."""

import pytest

from blnk_exporter.collector import Result
from blnk_exporter.collectors import tables
from blnk_exporter.collectors.tables import COLLECTOR, TablesReading
from blnk_exporter.errors import Malformed, Unreachable
from blnk_exporter.table import TableReader

from ..conftest import RELEASES, Database, postgres_client
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
        "n_live_tup": 5,
        "n_dead_tup": 2,
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
        await admin.execute("VACUUM ANALYZE blnk.ledgers")
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
        with pytest.raises(Malformed, match="no table of Blnk in schema blnk; is this Blnk's database"):
            await COLLECTOR.read(TableReader(client))


@pytest.mark.sandbox
async def test_a_table_under_alter_costs_the_sizes_only(postgres: Database) -> None:
    """A migration holds the strongest lock there is: the rest is told, and nobody waits behind us."""
    async with postgres_client(postgres.dsn()) as client, postgres.admin() as admin, admin.transaction():
        await admin.execute("LOCK TABLE blnk.balances IN ACCESS EXCLUSIVE MODE")
        reading = await COLLECTOR.read(TableReader(client))
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("sizes", "timeout")]
    assert sorted(reading.rows) == ["database", "rows"]
