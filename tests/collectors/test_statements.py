"""pg_stat_statements: there, not there, not allowed, and dropped while we watch."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from blnk_exporter.collector import Result
from blnk_exporter.collectors.statements import COLLECTOR, StatementsReading, StatementsSource
from blnk_exporter.errors import Malformed, ReadingError, Unreachable

from ..conftest import Database, Farm, postgres_client
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


@dataclass
class Script:
    """A database that gives a test's answers."""

    answers: list[Any]
    address: str = "a:1"
    asked: list[str] = field(default_factory=list)

    async def version(self) -> int:
        """Any."""
        return 160000

    async def fetch_text(self, sql: str, *arguments: str | None) -> str:
        """The next answer."""
        self.asked.append(sql)
        answer = self.answers.pop(0)
        if isinstance(answer, ReadingError):
            raise answer
        return json.dumps(answer)


async def test_the_extension_is_looked_for_until_it_is_found() -> None:
    """Then its schema is known and every reading is one statement."""
    totals = {"privileged": True, "rows": [ROW]}
    database = Script([{"schema": None}, {"schema": "ext"}, totals, totals])
    source = StatementsSource(database, "blnk")
    readings = [await COLLECTOR.read(source) for _ in range(3)]
    assert [reading.installed for reading in readings] == [False, True, True]
    assert database.answers == []
    assert "ext.pg_stat_statements(false)" in database.asked[-1]


async def test_an_extension_that_goes_is_looked_for_anew() -> None:
    """Dropped, moved or its library not loaded: a gap, and the next reading finds out."""
    database = Script([{"schema": "ext"}, Malformed("must be loaded"), {"schema": None}])
    source = StatementsSource(database, "blnk")
    reading = await COLLECTOR.read(source)
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("totals", "malformed")]
    assert not (await COLLECTOR.read(source)).installed


@pytest.mark.sandbox
async def test_a_server_without_it(postgres: Database) -> None:
    """The wheel's: known to be absent, no totals."""
    async with postgres_client(postgres.dsn()) as client:
        found = await read_page(COLLECTOR, StatementsSource(client, "blnk"))
    assert found == {"blnk_statements_installed": {(client.address,): 0}}


@pytest_asyncio.fixture
async def debian(farm: Farm) -> Database:
    """The only server here that comes with the extension."""
    return await farm.database(15)


@pytest.mark.sandbox
async def test_a_server_with_it(debian: Database) -> None:
    """Blnk's statements against all others, within Blnk's database; every metric; one statement once it was found."""
    async with postgres_client(debian.dsn()) as client:
        source = StatementsSource(client, "blnk")
        before = await read_page(COLLECTOR, source)
        async with postgres_client(debian.dsn("blnk")) as blnk:
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
async def test_a_role_that_may_not_see_others_gets_a_gap(debian: Database) -> None:
    """It would see its own statements only, and call that Blnk's."""
    async with postgres_client(debian.dsn("plain")) as client:
        reading = await COLLECTOR.read(StatementsSource(client, "blnk"))
    assert (reading.installed, reading.rows) == (True, ())
    assert [(gap.fact, gap.reason, gap.detail) for gap in reading.gaps] == [
        ("totals", "refused", "needs the role pg_read_all_stats")
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
            await admin.execute('GRANT USAGE ON SCHEMA "o\'dd ""name" TO PUBLIC')
            assert [gap.fact for gap in (await COLLECTOR.read(source)).gaps] == ["totals"]
            reading = await COLLECTOR.read(source)
            assert (reading.installed, reading.gaps, len(reading.rows)) == (True, (), 2)
        finally:
            await admin.execute("ALTER EXTENSION pg_stat_statements SET SCHEMA public")
            await admin.execute('DROP SCHEMA "o\'dd ""name"')
