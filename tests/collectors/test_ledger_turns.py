"""A ledger that is followed while its ground moves: restored, gone for a moment, read in another zone, read by two."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.collectors.ledger_rows import Ledger, new_ledger
from tests.conftest import Database, postgres_client

from blnk_exporter.collectors.ledger import COLLECTOR, LedgerSource
from blnk_exporter.errors import Malformed
from blnk_exporter.ledger_facts.following import Following
from blnk_exporter.table import TableReader

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
        with pytest.raises(Malformed, match="no table of Blnk"):
            await follower.read()
        await ledger.connection.execute("ALTER SCHEMA away RENAME TO blnk")
        assert (await COLLECTOR.read(follower.source)).rows["release"][0]["found"]


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
