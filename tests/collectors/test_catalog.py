"""Migrations, ids, triggers and indexes on a real PostgreSQL, whole and in trouble."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.collectors.conftest import read_page, unseen
from tests.collectors.ledger_rows import Ledger, new_ledger
from tests.conftest import Database, postgres_client

from blnk_exporter.collectors.catalog import BANDS, COLLECTOR
from blnk_exporter.errors import Malformed
from blnk_exporter.table import TableReader

pytestmark = pytest.mark.sandbox


@pytest_asyncio.fixture(params=["0.13.2", "0.15.2"])
async def ledger(postgres: Database, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    """Both releases in turn."""
    async with new_ledger(postgres, request.param) as made:
        yield made


async def told(ledger: Ledger, user: str = "postgres") -> dict[str, Any]:
    """The page of one reading, by short names."""
    async with postgres_client(ledger.server.dsn(user, database=ledger.name)) as client:
        found = await read_page(COLLECTOR, TableReader(client))
    return {name.removeprefix("blnk_catalog_"): series for name, series in found.items()}


async def test_a_healthy_schema(ledger: Ledger) -> None:
    """All triggers fire, all indexes are whole, the release is known by its migrations."""
    await ledger.write("APPLIED")
    found = await told(ledger)
    assert set(found["trigger_active"].values()) == {1}
    assert len(found["trigger_active"]) == 8
    assert found["invalid_indexes"] == {(): 0}
    assert found["indexes"][()] > 20
    count, last, band = {
        "0.13.2": (33, 1770611011, "0.13.2 to 0.14.5"),
        "0.15.2": (37, 1781162329, "0.15.0 to 0.15.2"),
    }[ledger.release]
    assert (found["migrations_applied"], found["last_migration"]) == ({(): count}, {(): last})
    assert found["release"] == {(name,): name == band for name in BANDS}
    assert found["ids_used_ratio"][("transactions",)] == pytest.approx(1 / 2147483647)
    assert {f"blnk_catalog_{name}" for name in found} == {metric.name for metric in COLLECTOR.metrics}


@pytest.mark.parametrize(
    ("last", "band"),
    [(1768315575, "before 0.13.2"), (1780963200, "between"), (1781162330, "newer")],
)
async def test_other_migrations(postgres: Database, last: int, band: str) -> None:
    """Half a migration is no release, and one that we do not know is a newer one."""
    async with new_ledger(postgres, "0.15.2") as ledger:
        await ledger.connection.execute(
            "DELETE FROM blnk.gorp_migrations WHERE id > $1; ".replace("$1", f"'{last}.sql'")
            + f"INSERT INTO blnk.gorp_migrations VALUES ('{last}.sql', now()) ON CONFLICT DO NOTHING"
        )
        assert (await told(ledger))["release"] == {(name,): name == band for name in BANDS}


async def test_trouble_is_seen(ledger: Ledger) -> None:
    """A guard switched off, one dropped, an index that a migration left behind, ids that run out."""
    await ledger.connection.execute("ALTER TABLE blnk.transactions DISABLE TRIGGER prevent_transaction_update_trigger")
    await ledger.connection.execute("DROP TRIGGER log_transaction_changes_trigger ON blnk.transactions")
    await ledger.connection.execute("SELECT setval('blnk.transactions_id_seq', 1717986917)")
    for _ in range(2):
        await ledger.write("APPLIED")
    with pytest.raises(asyncpg.UniqueViolationError):
        await ledger.connection.execute("CREATE UNIQUE INDEX CONCURRENTLY half ON blnk.transactions (status)")
    found = await told(ledger)
    silent = {labels[0] for labels, active in found["trigger_active"].items() if not active}
    assert silent == {"prevent_transaction_update_trigger", "log_transaction_changes_trigger"}
    assert found["invalid_indexes"] == {(): 1}
    assert found["ids_used_ratio"][("transactions",)] == pytest.approx(0.8)


async def test_a_trigger_that_fires_on_replicas_only_is_no_guard(ledger: Ledger) -> None:
    """One that fires always is."""
    table = "ALTER TABLE blnk.transactions ENABLE"
    await ledger.connection.execute(f"{table} REPLICA TRIGGER prevent_transaction_update_trigger")
    await ledger.connection.execute(f"{table} ALWAYS TRIGGER log_transaction_changes_trigger")
    active = (await told(ledger))["trigger_active"]
    assert active[("prevent_transaction_update_trigger",)] == 0
    assert active[("log_transaction_changes_trigger",)] == 1


async def test_ids_that_were_widened(ledger: Ledger) -> None:
    """Of eight bytes, two thousand million are next to nothing."""
    for view in ("transactions",):
        await ledger.connection.execute(f"ALTER TABLE blnk.{view} ALTER COLUMN id TYPE bigint")
    await ledger.connection.execute("ALTER SEQUENCE blnk.transactions_id_seq AS bigint")
    await ledger.connection.execute("SELECT setval('blnk.transactions_id_seq', 3000000000)")
    await ledger.write("APPLIED")
    assert (await told(ledger))["ids_used_ratio"][("transactions",)] < 1e-6


async def test_an_empty_table_has_used_nothing_that_we_know_of(ledger: Ledger) -> None:
    """No newest id, no ratio."""
    found = await told(ledger)
    assert set(found["ids_used_ratio"]) == {("balances",)}


async def test_a_database_without_blnks_tables(postgres: Database) -> None:
    """No trigger is missing where there is no table."""
    async with postgres_client(postgres.dsn(database="empty")) as client:
        with pytest.raises(Malformed, match="no tables of Blnk"):
            await COLLECTOR.read(TableReader(client))


async def test_every_metric_is_seen_and_declared(postgres: Database) -> None:
    """One reading shows them all."""
    async with (
        new_ledger(postgres, "0.15.2") as ledger,
        postgres_client(postgres.dsn("postgres", database=ledger.name)) as client,
    ):
        assert unseen(COLLECTOR, await read_page(COLLECTOR, TableReader(client))) == set()
