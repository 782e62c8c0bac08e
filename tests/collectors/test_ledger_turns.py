"""A ledger that is followed while its ground moves: restored, upgraded, gone for a moment, read in another zone, by two."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
import pytest_asyncio
from tests.collectors.ledger_rows import Ledger, new_ledger
from tests.conftest import Database, postgres_client

from blnk_exporter.collectors.ledger import COLLECTOR, LedgerSource
from blnk_exporter.errors import Malformed, TimedOut, TooDear
from blnk_exporter.ledger_facts.following import Following
from blnk_exporter.table import Table, TableReader

pytestmark = pytest.mark.sandbox


@pytest_asyncio.fixture(params=["0.13.2", "0.15.2"])
async def ledger(postgres: Database, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    """Both releases in turn."""
    async with new_ledger(postgres, request.param) as made:
        yield made


@pytest_asyncio.fixture
async def older(postgres: Database) -> AsyncIterator[Ledger]:
    """A ledger of 0.13.2, whose processes run in Tokyo."""
    async with new_ledger(postgres, "0.13.2") as made:
        made.zone = "Asia/Tokyo"
        yield made


async def test_tables_that_are_gone_for_a_moment(ledger: Ledger) -> None:
    """A restore drops them first; what comes after it is seen without a restart."""
    async with ledger.followed() as follower:
        await ledger.connection.execute("ALTER SCHEMA blnk RENAME TO away")
        await follower.read()
        with pytest.raises(Malformed, match="no tables of Blnk"):
            await follower.read()
        await ledger.connection.execute("ALTER SCHEMA away RENAME TO blnk")
        assert (await COLLECTOR.read(follower.source)).rows["release"][0]["problem"] is None


async def test_open_transactions_that_a_restore_took_away(ledger: Ledger) -> None:
    """The journal is as old as the rest and tells of no deletion; they would wait for ever."""
    kept = await ledger.write("QUEUED", age=50)
    async with ledger.followed() as follower:
        await ledger.write("QUEUED", age=500)
        assert await follower.value("unresolved_transactions") == 2
        await ledger.connection.execute("SET session_replication_role = replica")
        await ledger.connection.execute("DELETE FROM blnk.transactions WHERE transaction_id <> $1", kept)
        await follower.read()
        found = await follower.read()
    assert found["blnk_ledger_unresolved_transactions"] == {(): 1}
    assert 50 <= found["blnk_ledger_unresolved_oldest_age_seconds"][()] < 80


async def test_a_wrong_zone_hides_nobody_who_waits(older: Ledger) -> None:
    """Read in it they are not even created yet: they are counted, and since when they wait is not known."""
    async with older.followed(timezone="UTC") as follower:
        await older.write("QUEUED", age=60)
        found = await follower.read()
    assert follower.gaps == {"clocks": "malformed"}
    assert found["blnk_ledger_unresolved_transactions"] == {(): 1}
    assert "blnk_ledger_unresolved_oldest_age_seconds" not in found


async def test_a_zone_that_is_put_right(older: Ledger) -> None:
    """What was read in the wrong one is read again, and no latency of hours, or of nothing, stays behind."""
    async with older.followed(timezone="UTC") as follower:
        await older.outcome("APPLIED", await older.write("QUEUED", age=12))
        await older.write("QUEUED", age=60)
        await follower.read()
        follower.source.timezone = older.zone
        await older.outcome("APPLIED", await older.write("QUEUED", age=12))
        found = await follower.read()
    assert follower.gaps == {}
    assert 60 <= found["blnk_ledger_unresolved_oldest_age_seconds"][()] < 90
    assert found["blnk_ledger_queue_to_apply_seconds"] == {(): 1}


async def test_two_readings_at_a_time_count_once(ledger: Ledger) -> None:
    """A change of the configuration: the slower one's answer is older than what is known by then."""
    known, answered, go = Following(), asyncio.Event(), asyncio.Event()

    class Slow(TableReader):
        async def read(self, *given: Any, **options: Any) -> Any:
            answer = await super().read(*given, **options)
            answered.set()
            await go.wait()
            return answer

    dsn = ledger.server.dsn("postgres", database=ledger.name)
    async with postgres_client(dsn) as one, postgres_client(dsn) as other:
        new = LedgerSource(TableReader(other), known)
        await COLLECTOR.read(new)
        old = LedgerSource(Slow(one), known, release=new.release)
        await ledger.write("APPLIED")
        late = asyncio.create_task(COLLECTOR.read(old))
        await answered.wait()
        await ledger.write("APPLIED")
        await COLLECTOR.read(new)
        go.set()
        assert (await late).flow is None
        await COLLECTOR.read(new)
    assert known.transactions == {("APPLIED", "USD"): 2}


async def test_what_was_just_noticed_is_soon_forgotten(ledger: Ledger) -> None:
    """Also where there is no Redis to compare with."""
    async with ledger.followed() as follower:
        await ledger.write("QUEUED")
        await follower.read()
        known = follower.source.following
        assert len(known._noticed) == 1
        known._noticed = dict.fromkeys(known._noticed, -1000.0)
        await follower.read()
        assert known._noticed == {}


async def test_an_api_key_for_ever(ledger: Ledger) -> None:
    """It never expires, and costs no other fact."""
    await ledger.connection.execute(
        "INSERT INTO blnk.api_keys (api_key_id, key, name, owner_id, expires_at) VALUES ('k', 'k', 'k', 'o', 'infinity')"
    )
    async with ledger.followed() as follower:
        found = await follower.read()
    assert found["blnk_ledger_api_keys"][("active",)] == 1
    assert "blnk_ledger_api_key_next_expiry_timestamp_seconds" not in found


async def test_an_upgrade_while_we_watch(older: Ledger) -> None:
    """From the next reading on but one times are UTC; what a column tells of the release is looked at each time."""
    async with older.followed(timezone=older.zone) as follower:
        await older.write("SCHEDULED", due=60)
        assert await follower.value("scheduled_overdue_transactions") is None
        await older.connection.execute("ALTER TABLE blnk.transactions DROP COLUMN rate")
        for _ in range(2):
            await follower.read()
        assert await follower.value("scheduled_overdue_transactions") == 1


async def test_ids_that_have_passed_the_old_place_by_the_next_reading(ledger: Ledger) -> None:
    """A failover that lost the newest rows, and a busy ledger since: what stands there now is not what was remembered."""
    kept = await ledger.write("QUEUED", age=50)
    async with ledger.followed() as follower:
        for _ in range(2):
            await ledger.write("QUEUED", age=500)
        assert await follower.value("unresolved_transactions") == 3
        await ledger.connection.execute("SET session_replication_role = replica")
        await ledger.connection.execute("DELETE FROM blnk.transactions WHERE transaction_id <> $1", kept)
        await ledger.connection.execute("SELECT setval('blnk.transactions_id_seq', 1)")
        for status in ("APPLIED", "INFLIGHT", "APPLIED"):
            await ledger.write(status, age=70)
        await follower.read()
        found = await follower.read()
    assert found["blnk_ledger_unresolved_transactions"] == {(): 1}
    assert 50 <= found["blnk_ledger_unresolved_oldest_age_seconds"][()] < 80
    assert found["blnk_ledger_inflight_transactions"] == {(): 1}


async def test_an_outcome_that_nobody_saw(ledger: Ledger) -> None:
    """Its id was given up long ago; each open row is asked for again before long."""
    async with ledger.followed() as follower:
        queued, hold = await ledger.write("QUEUED", age=50), await ledger.write("INFLIGHT", age=50)
        assert await follower.value("unresolved_transactions") == 1
        await ledger.connection.execute("SET session_replication_role = replica")
        for parent in (queued, hold):
            outcome = await ledger.outcome("APPLIED", parent)
            await ledger.connection.execute("UPDATE blnk.transactions SET id = -id WHERE transaction_id = $1", outcome)
        found = await follower.read()
    assert found["blnk_ledger_unresolved_transactions"] == {(): 0}
    assert found["blnk_ledger_inflight_transactions"] == {(): 0}
    assert found["blnk_ledger_history_complete"] == {(): 1}


class Dear(TableReader):
    """PostgreSQL, which gives up on what a test finds too dear, and what it was asked for."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: list[list[str]] = []
        self.too_dear: Callable[[list[str]], Any] = lambda names: False

    async def read(self, tables: Iterable[Table], **options: Any) -> Any:
        """What the server has, or its word."""
        names = [table.name for table in tables]
        self.asked.append(names)
        if self.too_dear(names):
            raise TooDear("canceling statement due to statement timeout")
        return await super().read(tables, **options)


@pytest_asyncio.fixture
async def dear(ledger: Ledger) -> AsyncIterator[LedgerSource]:
    """A ledger that was read once, and asks for as few rows as it can."""
    async with postgres_client(ledger.server.dsn("postgres", database=ledger.name)) as client:
        source = LedgerSource(Dear(client), Following())
        await COLLECTOR.read(source)
        source.following.span = 200
        source.reader.asked.clear()
        yield source


async def missing(source: LedgerSource) -> dict[str, str]:
    return {gap.fact: gap.detail for gap in (await COLLECTOR.read(source)).gaps}


TIMEOUT, LATER = "canceling statement due to statement timeout", "another fact took too long"


async def test_a_ledger_that_is_too_dear_is_asked_for_fewer_rows(dear: LedgerSource) -> None:
    """And only then for each fact by itself."""
    dear.following.span = 1_000
    dear.reader.too_dear = lambda names: True
    for less in ("fewer rows", "each fact by itself", "each fact by itself"):
        with pytest.raises(TimedOut, match=f"timeout; the next reading asks for {less}"):
            await COLLECTOR.read(dear)
    assert [len(asked) > 1 for asked in dear.reader.asked] == [True, True, False]


async def test_one_fact_that_is_too_dear_is_one_fact_less(ledger: Ledger, dear: LedgerSource) -> None:
    """It says why, the rest is in one statement again, and five minutes later it is asked for by itself."""
    dear.reader.too_dear = lambda names: "api_keys" in names
    with pytest.raises(TimedOut):
        await COLLECTOR.read(dear)
    assert await missing(dear) == {"api_keys": TIMEOUT, "api_key_expiry": LATER}
    dear.reader.asked.clear()
    await ledger.write("APPLIED")
    reading = await COLLECTOR.read(dear)
    assert [(gap.fact, gap.reason, gap.detail) for gap in reading.gaps] == [("api_keys", "timeout", TIMEOUT)]
    assert reading.flow.transactions == {("APPLIED", "USD"): 1}
    assert len(dear.reader.asked) == 1
    for still in (True, False):
        dear.reader.too_dear = lambda names, still=still: still and "api_keys" in names
        dear.dear["api_keys"] = (0.0, dear.dear["api_keys"][1])
        assert await missing(dear) == ({"api_keys": TIMEOUT} if still else {})
        assert dear.reader.asked[-1] == ["release", "api_keys"]
    dear.reader.asked.clear()
    assert await missing(dear) == {}
    assert len(dear.reader.asked) == 1


async def test_several_dear_facts_are_found_one_by_one(dear: LedgerSource) -> None:
    """Each costs the time that a statement may take, so one in a reading; new rows may be one of them."""
    dear.reader.too_dear = lambda names: {"transactions", "reconciliations"} & {*names}
    known = []
    for _ in range(5):
        try:
            known.append({fact for fact, detail in (await missing(dear)).items() if detail == TIMEOUT})
        except TimedOut:
            known.append(None)
    both = {"transactions", "reconciliations"}
    assert known == [None, {"transactions"}, None, both, both]
    reading = await COLLECTOR.read(dear)
    assert reading.flow is None
    assert reading.rows["api_keys"]


async def test_facts_that_are_too_dear_together_only(ledger: Ledger, dear: LedgerSource) -> None:
    """For five minutes there is a statement for each, and nothing is missing."""
    dear.reader.too_dear = lambda names: len(names) > 2
    with pytest.raises(TimedOut):
        await COLLECTOR.read(dear)
    for number in (1, 2):
        await ledger.write("APPLIED")
        reading = await COLLECTOR.read(dear)
        assert (reading.gaps, reading.flow.transactions) == ((), {("APPLIED", "USD"): number})
    dear.apart_until = 0.0
    dear.reader.too_dear = lambda names: False
    dear.reader.asked.clear()
    await COLLECTOR.read(dear)
    assert len(dear.reader.asked) == 1


async def test_a_dear_fact_of_a_real_server(postgres: Database) -> None:
    """As statement_timeout ends it."""
    async with new_ledger(postgres, "0.15.2") as ledger:
        await ledger.connection.execute("""
            ALTER TABLE blnk.chain_state RENAME TO sleeping;
            CREATE VIEW blnk.chain_state AS SELECT s.*, pg_sleep(60)::text FROM blnk.sleeping s OFFSET 0;
        """)
        dsn = ledger.server.dsn("postgres", database=ledger.name)
        async with postgres_client(dsn, statement_timeout_seconds=4) as client:
            source = LedgerSource(TableReader(client), Following(span=200))
            with pytest.raises(TimedOut, match="statement timeout"):
                await COLLECTOR.read(source)
            assert (await missing(source))["chain"] == TIMEOUT
            assert await missing(source) == {"chain": TIMEOUT}
