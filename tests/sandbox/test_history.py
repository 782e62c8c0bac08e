"""The ledger has a past that cannot be told from one that was lived."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter.sandbox import history, schema
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.sandbox.workload import Workload

from .ledger import CHAINED, DIVERGING, HELD, UNBALANCED, Pool, a_database

pytestmark = pytest.mark.sandbox

# What has an outcome and is not the outcome itself.
KINDS = """
SELECT DISTINCT coalesce(p.status, CASE WHEN c.parent_transaction = '' THEN '' ELSE 'no row' END), c.status
FROM blnk.transactions c LEFT JOIN blnk.transactions p ON p.transaction_id = c.parent_transaction
"""


@pytest_asyncio.fixture(scope="module", params=schema.RELEASES)
async def release(request: pytest.FixtureRequest) -> schema.Release:
    made: schema.Release = request.param
    return made


@pytest_asyncio.fixture(scope="module")
async def began() -> float:
    return time.time()


@pytest_asyncio.fixture
async def pool(postgres: PostgresServer, redis: Redis, release: schema.Release, began: float) -> AsyncIterator[Pool]:
    async with a_database(postgres, release) as made:
        await Workload(made, redis, release, chain=True).prepare(began)
        yield made


async def test_past_is_whole(pool: Pool, release: schema.Release) -> None:
    """Books balance, every balance is what its rows say, and the chain of 0.15.2 links all that had time to rest."""
    assert await pool.fetch(UNBALANCED) == []
    assert await pool.fetch(DIVERGING) == []
    assert await pool.fetchval(HELD) == await pool.fetchval("SELECT sum(inflight_credit_balance) FROM blnk.balances")
    if release == "0.15.2":
        whole, last, unsealed = await pool.fetchrow(CHAINED)
        assert whole
        assert last > 10 * unsealed > 0


async def test_past_has_everything_and_nothing_is_forgotten_in_it(pool: Pool, began: float) -> None:
    """Each way of a transfer, by chance; before the last half minute none is without its outcome."""
    kinds = {tuple(row) for row in await pool.fetch(KINDS)}
    outcomes = {(parent, child) for parent in ("QUEUED", "SCHEDULED") for child in ("APPLIED",)}
    assert (
        outcomes | {("QUEUED", "REJECTED"), ("QUEUED", "INFLIGHT"), ("INFLIGHT", "APPLIED"), ("INFLIGHT", "VOID")}
        <= kinds
    )
    assert {("QUEUED", "VOID"), ("no row", "QUEUED"), ("", "APPLIED"), ("APPLIED", "QUEUED")} <= kinds
    assert await pool.fetchval("SELECT count(*) FROM blnk.transactions WHERE parent_transaction IS NULL") == 0
    waiting = await pool.fetchval(
        "SELECT count(*) FROM blnk.transactions q WHERE status IN ('QUEUED', 'SCHEDULED') AND created_at < to_timestamp($1)"
        " AT TIME ZONE 'UTC' AND NOT EXISTS (SELECT FROM blnk.transactions c WHERE c.reference = q.reference || '_q')",
        began - 31,
    )
    assert waiting == 0


async def test_children_copy_their_parents_time_and_the_journal_tells_their_own(pool: Pool, began: float) -> None:
    pairs = await pool.fetchrow(
        """
        SELECT count(*) AS pairs, count(*) FILTER (WHERE c.created_at = q.created_at AND c.scheduled_for = q.scheduled_for
            AND c.parent_transaction = q.transaction_id AND c.hash = q.hash) AS alike, min(q.created_at) AS first,
            extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY j.timestamp - c.created_at)) AS median,
            min(j.timestamp - c.created_at) >= '0' AS after, max(j.timestamp) AS last
        FROM blnk.transactions c JOIN blnk.transactions q ON c.reference = q.reference || '_q' AND q.status = 'QUEUED'
        JOIN blnk.transaction_journal j ON j.transaction_id = c.transaction_id AND j.action_type = 'INSERT'
        """
    )
    assert pairs["pairs"] > 1500
    assert pairs["alike"] == pairs["pairs"]
    assert 0 < pairs["median"] < 5
    assert pairs["after"]
    zone = await pool.fetchval("SELECT to_timestamp($1) AT TIME ZONE 'UTC'", began)
    # Both are made of one float, and may be rounded to neighbouring microseconds.
    assert pairs["last"] - zone <= timedelta(microseconds=1)
    assert history.HISTORY_SECONDS < (zone - pairs["first"]).total_seconds() < history.HISTORY_SECONDS + 60


async def test_nothing_is_asked_for_in_the_future(
    postgres: PostgresServer, redis: Redis, release: schema.Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even what is paid back a minute after it was settled."""
    monkeypatch.setattr(history, "_REFUNDED_SHARE", 1.0)
    until = time.time()
    async with a_database(postgres, release) as made:
        await Workload(made, redis, release, chain=True).prepare(until)
        last = await made.fetchval("SELECT max(created_at) FROM blnk.transactions")
        asked = await made.fetchval("SELECT count(*) FROM blnk.transactions WHERE status = 'QUEUED'")
    assert last <= datetime.fromtimestamp(until, UTC).replace(tzinfo=None)
    assert asked > 1.5 * history.HISTORY_REQUESTS


async def test_new_release_forgets_some_effective_dates(pool: Pool, release: schema.Release) -> None:
    """Those of children that were worked off together; never that of a row that was asked for."""
    found = await pool.fetch("SELECT status, count(*) FROM blnk.transactions WHERE effective_date IS NULL GROUP BY 1")
    statuses = {row["status"] for row in found}
    assert ("APPLIED" in statuses) == (release == "0.15.2")
    assert statuses <= {"APPLIED", "INFLIGHT"}


async def test_journal_has_each_row_once_and_in_its_order(pool: Pool) -> None:
    """Whoever follows both tables by id sees the same."""
    found = await pool.fetch(
        "SELECT j.transaction_id FROM blnk.transaction_journal j WHERE action_type = 'INSERT' ORDER BY j.id"
    )
    rows = await pool.fetch("SELECT transaction_id FROM blnk.transactions ORDER BY id")
    assert len(rows) > 4000
    assert [row[0] for row in found] == [row[0] for row in rows]


async def test_smaller_tables_are_furnished(pool: Pool) -> None:
    """A key in use, one that has some weeks left, one never used, one revoked; one reconciliation that ended well."""
    keys = await pool.fetch(
        "SELECT is_revoked, revoked_at IS NOT NULL AS revoked, expires_at < now() + interval '60 days' AS soon,"
        " last_used_at < '0002-01-01' AS unused, expires_at > now() AS valid FROM blnk.api_keys ORDER BY id"
    )
    assert [tuple(key) for key in keys] == [
        (False, False, False, False, True),
        (False, False, True, False, True),
        (False, False, False, True, True),
        (True, True, False, False, True),
    ]
    (run,) = await pool.fetch("SELECT status, completed_at > started_at AS ended FROM blnk.reconciliations")
    assert tuple(run) == ("completed", True)
    entries = await pool.fetch("SELECT status, count(*) AS entries FROM blnk.lineage_outbox GROUP BY 1")
    assert {row["status"]: row["entries"] for row in entries if row["status"] != "pending"}["completed"] > 50
