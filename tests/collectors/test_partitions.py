"""Tables that are partitioned, or that others inherit from: their numbers are those of all parts, or absent with a reason."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from blnk_exporter.collector import Result
from blnk_exporter.collectors import catalog, tables
from blnk_exporter.collectors.books import COLLECTOR as BOOKS
from blnk_exporter.table import TableReader

from ..conftest import Database, postgres_client
from .conftest import page
from .ledger_rows import Ledger, new_ledger
from .test_books import source

pytestmark = pytest.mark.sandbox

# As it is done to a live table: the old one becomes the first partition. The next one is made ahead of its time.
PARTITION = """
    ALTER TABLE blnk.transaction_journal RENAME TO journal_old;
    CREATE TABLE blnk.transaction_journal (LIKE blnk.journal_old INCLUDING ALL) PARTITION BY RANGE (id);
    ALTER TABLE blnk.transaction_journal ATTACH PARTITION blnk.journal_old FOR VALUES FROM (0) TO (1000000);
    CREATE SCHEMA parts;
    CREATE TABLE parts.journal_next PARTITION OF blnk.transaction_journal FOR VALUES FROM (1000000) TO (2000000);
"""
JOURNAL = "INSERT INTO blnk.{} (id, transaction_id, action_type, succeeded) SELECT n, 't', 'INSERT', true FROM generate_series({}) n"
FLUSH = "SELECT pg_stat_force_next_flush()"


@pytest_asyncio.fixture(params=["0.13.2", "0.15.2"])
async def ledger(each_postgres: Database, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    """Both releases on each server."""
    async with new_ledger(each_postgres, request.param) as made:
        yield made


async def read(ledger: Ledger, module: Any, *, user: str = "postgres") -> tuple[dict[str, Any], dict[str, str]]:
    """The page of one reading by short names, and the reasons for what is missing."""
    async with postgres_client(ledger.server.dsn(user, database=ledger.name)) as client:
        reader = TableReader(client)
        reading = await module.COLLECTOR.read(reader)
        found = page(module.COLLECTOR.samples([Result(reader, reading)]))
    prefix = f"blnk_{module.COLLECTOR.name}_"
    return {name.removeprefix(prefix): series for name, series in found.items()}, {
        gap.fact: gap.detail for gap in reading.gaps
    }


def of(found: dict[str, Any], table: str = "transaction_journal") -> dict[str, float]:
    """The numbers of one table."""
    return {name: value for name, series in found.items() for labels, value in series.items() if labels[1:] == (table,)}


async def test_a_partitioned_table_is_its_partitions(ledger: Ledger) -> None:
    """Sizes, rows, inserts and scans are those that the table had before, and grow with each partition."""
    run = ledger.connection.execute
    await run(JOURNAL.format("transaction_journal", "1, 3000"))
    await run(FLUSH)
    await run("VACUUM ANALYZE blnk.transaction_journal")
    before = of((await read(ledger, tables))[0])
    await run(PARTITION)
    after = of((await read(ledger, tables))[0])
    assert before["size_bytes"] > 100_000
    assert before["rows_inserted_total"] == 3000
    for name in ("rows_inserted_total", "live_rows", "last_vacuum_timestamp_seconds", "last_analyze_timestamp_seconds"):
        assert (name, after[name]) == (name, before[name])
    assert after["size_bytes"] >= before["size_bytes"]
    assert after["index_size_bytes"] >= before["index_size_bytes"] > 0
    await run(JOURNAL.format("transaction_journal", "1000001, 1000500"))
    await run("DELETE FROM blnk.transaction_journal WHERE id > 1000400")
    await run(FLUSH)
    more, gaps = await read(ledger, tables)
    grown = of(more)
    assert (grown["rows_inserted_total"], grown["dead_rows"], grown["live_rows"]) == (3500, 100, 3400)
    assert grown["size_bytes"] > after["size_bytes"]
    # The new partition holds rows, and was never vacuumed.
    assert "last_vacuum_timestamp_seconds" not in grown
    assert gaps == {}


async def test_inheritance_children_count(ledger: Ledger) -> None:
    """As the chunks of a hypertable do, in another schema; the parent is empty."""
    run = ledger.connection.execute
    await run("CREATE SCHEMA chunks; CREATE TABLE chunks.one (CHECK (id > 0)) INHERITS (blnk.transaction_journal)")
    await run(JOURNAL.replace("blnk.{}", "chunks.{}").format("one", "1, 3000"))
    await run(FLUSH)
    found = of((await read(ledger, tables))[0])
    assert (found["rows_inserted_total"], found["live_rows"], found["dead_rows"]) == (3000, 3000, 0)
    assert found["size_bytes"] > 100_000


async def test_what_cannot_be_summed_is_absent(ledger: Ledger) -> None:
    """More partitions than the bound, one on another server, none at all: no number for this table, and the reason."""
    run = ledger.connection.execute
    await run(PARTITION)
    # All tables and one of the two partitions.
    most = 1 + await ledger.connection.fetchval(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'blnk' AND tablename = ANY ($1)", list(tables.NAMES)
    )
    small = [replace(tables.ROWS, sql={0: tables.rows_of(most)}), replace(tables.SIZES, sql={0: tables.sizes_of(most)})]
    async with postgres_client(ledger.server.dsn("postgres", database=ledger.name)) as client:
        rows, gaps = await TableReader(client).read(small, now=0.0)
    assert {gap.detail for gap in gaps} == {f"Blnk's tables have more than {most} partitions"}
    (sizes,) = (row for row in rows["sizes"] if row["table"] == "transaction_journal")
    assert sizes["heap"] is None
    await run("CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere")
    await run("CREATE FOREIGN TABLE parts.far () INHERITS (blnk.reconciliations) SERVER elsewhere")
    found, gaps = await read(ledger, tables)
    assert of(found, "reconciliations") == {}
    assert gaps == dict.fromkeys(("rows", "sizes"), "the sizes of foreign partitions are unknown")
    assert of(found)["size_bytes"] > 0
    await run("DROP FOREIGN TABLE parts.far; DROP TABLE blnk.journal_old, parts.journal_next CASCADE")
    found, gaps = await read(ledger, tables)
    assert of(found) == {}
    assert gaps == dict.fromkeys(("rows", "sizes"), "a partitioned table has no partitions")


async def test_a_partition_without_its_trigger_is_unguarded(ledger: Ledger) -> None:
    """One that was switched off on a part, and a child that never had it."""
    run, name = ledger.connection.execute, "prevent_snapshot_update_trigger"

    async def active() -> float:
        return (await read(ledger, catalog))[0]["trigger_active"][(name,)]

    assert await active() == 1
    await run("CREATE TABLE blnk.child () INHERITS (blnk.balance_snapshots)")
    assert await active() == 0
    text = await ledger.connection.fetchval("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = $1", name)
    await run(text.replace("blnk.balance_snapshots", "blnk.child"))
    assert await active() == 1
    await run(f"ALTER TABLE blnk.child DISABLE TRIGGER {name}")
    assert await active() == 0


async def test_indexes_of_partitions_count_once(ledger: Ledger) -> None:
    """Also those in another schema; one that is not valid is seen there."""
    before = (await read(ledger, catalog))[0]["indexes"][()]
    await ledger.connection.execute(PARTITION)
    found, gaps = await read(ledger, catalog)
    own = await ledger.connection.fetchval(
        "SELECT count(*) FROM pg_index WHERE indrelid = 'blnk.journal_old'::regclass"
    )
    assert (found["indexes"], found["invalid_indexes"], gaps) == ({(): before + 2 * own}, {(): 0}, {})
    await ledger.connection.execute("CREATE INDEX half ON ONLY blnk.transaction_journal (action_type)")
    assert (await read(ledger, catalog))[0]["invalid_indexes"] == {(): 1}
    await ledger.connection.execute("CREATE TABLE blnk.empty (id int) PARTITION BY RANGE (id)")
    found, gaps = await read(ledger, catalog)
    assert (found["invalid_indexes"], gaps) == ({(): 1}, {})


async def test_what_is_read_through_the_parent_is_whole(ledger: Ledger) -> None:
    """New rows, their ids and the books, with rights on the parents alone."""
    run = ledger.connection.execute
    await run(PARTITION.replace("1000000)", "1)").replace("FROM (1000000)", "FROM (1)"))
    await run("GRANT USAGE ON SCHEMA blnk TO plain")
    names = "transactions, transaction_journal, balances, gorp_migrations, reconciliations, api_keys, lineage_outbox"
    chain = ", chain_state" if ledger.release == "0.15.2" else ""
    await run(f"GRANT SELECT ON {', '.join(f'blnk.{name.strip()}' for name in (names + chain).split(','))} TO plain")
    async with ledger.followed("plain") as follower:
        # Blnk's own trigger keeps the journal.
        await ledger.write("APPLIED")
        await ledger.write("QUEUED")
        found = await follower.read()
        assert follower.gaps == {}
    assert found["blnk_ledger_journal_changes_total"][("INSERT",)] == 2
    used = (await read(ledger, catalog, user="plain"))[0]["ids_used_ratio"]
    assert used[("transaction_journal",)] == pytest.approx(2 / 2147483647)
    assert (await BOOKS.read(source(ledger, "plain"))).gaps == ()
