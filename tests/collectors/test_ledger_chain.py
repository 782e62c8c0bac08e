"""The hash chain of 0.15.2 on a real PostgreSQL: whole, behind, and in every way of being tampered with."""

from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio
from tests.collectors.ledger_rows import Ledger, new_ledger
from tests.conftest import Database

from blnk_exporter.sandbox import chain

pytestmark = pytest.mark.sandbox

WHOLE = "chain_head_consistent"
# Blnk's own triggers let the chain's columns be changed, and keep nobody from deleting.
CUT_HEAD = "DELETE FROM blnk.transactions WHERE chain_seq = (SELECT max(chain_seq) FROM blnk.transactions)"
BACK = """
    UPDATE blnk.chain_state
    SET (last_seq, head_hash) = (SELECT chain_seq, chain_hash FROM blnk.transactions WHERE chain_seq = 4)
"""
RESET = "UPDATE blnk.chain_state SET last_seq = 0, head_hash = genesis_hash"


@pytest_asyncio.fixture
async def newest(postgres: Database) -> AsyncIterator[Ledger]:
    """A ledger of 0.15.2 with five sealed rows."""
    async with new_ledger(postgres, "0.15.2") as made:
        await grow(made, 5)
        yield made


async def grow(ledger: Ledger, rows: int = 1) -> None:
    """Rows, and the seal of all."""
    for _ in range(rows):
        await ledger.write("APPLIED", age=60)
    await chain.seal(ledger.connection, datetime.max)  # noqa: DTZ901 - a column without a zone


async def test_a_chain_that_is_continued(newest: Ledger) -> None:
    """What is sealed is no more than what was written."""
    async with newest.followed() as follower:
        found = await follower.read()
        assert found["blnk_ledger_chain_last_sequence"] == {(): 5}
        assert found["blnk_ledger_chain_head_consistent"] == {(): 1}
        assert found["blnk_ledger_chain_unsealed_ids"] == {(): 0}
        assert "blnk_ledger_chain_unsealed_age_seconds" not in found
        await grow(newest, 3)
        assert await follower.value(WHOLE) == 1
        assert await follower.value(WHOLE) == 1


async def test_a_chain_that_falls_behind(newest: Ledger) -> None:
    """Since when, and by how many ids."""
    async with newest.followed() as follower:
        await newest.write("APPLIED", age=50)
        await newest.write("APPLIED", age=40)
        found = await follower.read()
        assert found["blnk_ledger_chain_unsealed_ids"] == {(): 2}
        assert 50 <= found["blnk_ledger_chain_unsealed_age_seconds"][()] < 80
        await grow(newest)
        # A row that is scheduled for later is written now; its outcome, which copies both times, when it is due.
        scheduled = await newest.write("SCHEDULED", age=300, due=-3600)
        assert 300 <= await follower.value("chain_unsealed_age_seconds") < 330
        await grow(newest)
        await newest.write("APPLIED", of=scheduled, age=300, due=70)
        assert 70 <= await follower.value("chain_unsealed_age_seconds") < 100


@pytest.mark.parametrize(
    "change",
    [
        CUT_HEAD,
        "UPDATE blnk.chain_state SET head_hash = repeat('f', 64)",
        "UPDATE blnk.transactions SET chain_hash = repeat('f', 64) WHERE chain_seq = 5",
        "UPDATE blnk.transactions SET chain_seq = 9, chain_hash = repeat('f', 64) WHERE chain_seq = 1",
    ],
    ids=["its last row cut off", "its record changed", "its last row changed", "a row beyond the record"],
)
async def test_a_head_that_is_not_the_record(newest: Ledger, change: str) -> None:
    """Seen also by who comes afterwards."""
    await newest.connection.execute(change)
    async with newest.followed() as follower:
        follower.source.following.sealed = None  # as if for the first time
        assert await follower.value(WHOLE) == 0


@pytest.mark.parametrize(
    "change",
    [
        CUT_HEAD,
        "DELETE FROM blnk.transactions",
        "UPDATE blnk.transactions SET chain_hash = repeat('f', 64) WHERE chain_seq = 5",
        f"{CUT_HEAD}; {BACK}",
        "DELETE FROM blnk.transactions WHERE chain_seq = 1; UPDATE blnk.transactions SET chain_seq = NULL; " + RESET,
    ],
    ids=["cut off", "all gone", "changed", "cut off with its record", "sealed anew without one"],
)
async def test_the_next_seal_hides_nothing_from_who_has_looked_before(newest: Ledger, change: str) -> None:
    """Blnk goes on from its record; who comes afterwards finds a head that is whole."""
    async with newest.followed() as follower:
        await newest.connection.execute(change)
        for _ in range(3):
            await grow(newest, 2)
            assert await follower.value(WHOLE) == 0
        async with newest.followed() as other:
            assert await other.value(WHOLE) == 1


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM blnk.transactions WHERE chain_seq = 6",
        "DELETE FROM blnk.transactions WHERE chain_seq = 7",
        "UPDATE blnk.transactions SET chain_prev_hash = repeat('f', 64) WHERE chain_seq = 7",
        "UPDATE blnk.transactions SET chain_hash = NULL WHERE chain_seq = 7",
    ],
    ids=["the first gone", "another gone", "not continued", "without a hash"],
)
async def test_each_new_row_continues_the_one_before(newest: Ledger, change: str) -> None:
    """What was cut out between two readings is missed between its neighbours."""
    async with newest.followed() as follower:
        await grow(newest, 3)
        await newest.connection.execute(change)
        assert await follower.value(WHOLE) == 0


async def test_a_record_that_is_begun_anew_is_seen_before_the_next_seal(newest: Ledger) -> None:
    """To who has seen the chain, an empty one is not one that was never on."""
    async with newest.followed() as follower:
        await newest.connection.execute("UPDATE blnk.transactions SET chain_seq = NULL; " + RESET)
        assert await follower.value(WHOLE) == 0


async def test_rows_that_are_put_back(newest: Ledger) -> None:
    """Then all is as it was."""
    async with newest.followed() as follower:
        await newest.connection.execute(f"CREATE TABLE away AS {CUT_HEAD.replace('DELETE', 'SELECT *')}; {CUT_HEAD}")
        await grow(newest)
        assert await follower.value(WHOLE) == 0
        await newest.connection.execute("INSERT INTO blnk.transactions SELECT * FROM away")
        assert await follower.value(WHOLE) == 1


async def test_more_rows_than_are_looked_at(newest: Ledger) -> None:
    """Switched on late, Blnk seals thousands at once: their head is the one to continue from then on."""
    async with newest.followed() as follower:
        await newest.connection.execute("""
            INSERT INTO blnk.transactions (transaction_id, reference, precise_amount, currency, status, chain_seq, chain_hash, chain_prev_hash)
            SELECT 't' || n, 'r' || n, 100, 'USD', 'APPLIED', n, lpad(n::text, 64, '0'),
                   coalesce((SELECT chain_hash FROM blnk.transactions WHERE chain_seq = n - 1), lpad((n - 1)::text, 64, '0'))
            FROM generate_series(6, 2000) n;
            UPDATE blnk.chain_state SET last_seq = 2000, head_hash = lpad('2000', 64, '0');
        """)
        assert await follower.value(WHOLE) == 1
        await newest.connection.execute(CUT_HEAD)
        await grow(newest)
        assert await follower.value(WHOLE) == 0


async def test_a_chain_that_was_never_on(postgres: Database) -> None:
    """Its record is there and empty; it begins with what is sealed first."""
    async with new_ledger(postgres, "0.15.2") as ledger, ledger.followed() as follower:
        assert not [name for name in await follower.read() if "chain" in name]
        await grow(ledger)
        assert await follower.value(WHOLE) == 1
