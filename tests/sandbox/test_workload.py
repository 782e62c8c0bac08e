"""The workload moves, its books balance, and it outlives the failures of what it writes to."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter.sandbox import schema, topology
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.sandbox.valkey import ValkeyServer
from blnk_exporter.sandbox.workload import Workload

pytestmark = pytest.mark.sandbox

UNBALANCED = (
    "SELECT currency FROM blnk.balances GROUP BY currency"
    " HAVING sum(balance) <> 0 OR sum(inflight_balance) <> 0 OR sum(credit_balance) <> sum(debit_balance)"
)
# A balance is what its own rows say: the check that an auditor would make.
DIVERGING = """
SELECT balance_id FROM blnk.balances b
WHERE balance <> (SELECT coalesce(sum(CASE WHEN destination = balance_id THEN precise_amount ELSE -precise_amount END), 0)
                  FROM blnk.transactions t WHERE status = 'APPLIED' AND balance_id IN (source, destination))
"""


@pytest_asyncio.fixture
async def pool(postgres: PostgresServer) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    admin = await asyncpg.connect(postgres.dsn())
    await admin.execute("DROP DATABASE IF EXISTS workload WITH (FORCE)")
    await admin.execute("CREATE DATABASE workload")
    await admin.close()
    async with asyncpg.create_pool(
        postgres.dsn(database="workload"), min_size=0, max_size=2, command_timeout=2
    ) as made:
        async with made.acquire() as connection:
            await schema.apply(connection)
        yield made


@pytest_asyncio.fixture
async def workload(pool: "asyncpg.Pool[asyncpg.Record]", redis: Redis) -> Workload:
    made = Workload(pool, redis)
    made.wanted_now = time.time()
    await made.prepare(made.wanted_now)
    return made


async def live(workload: Workload, seconds: float) -> None:
    """Let time pass for the workload, faster than it does."""
    for tick in range(int(seconds * 2)):
        await workload._step(workload.wanted_now + tick / 2)


async def test_every_outcome_appears_and_the_books_balance(
    workload: Workload, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    """By chance, some outcomes take longer to come; none may stay away."""
    wanted, found = {"QUEUED", "SCHEDULED", "APPLIED", "REJECTED", "INFLIGHT", "VOID"}, set[str]()
    for _ in range(8):
        await live(workload, 240)
        found = {row["status"] for row in await pool.fetch("SELECT DISTINCT status FROM blnk.transactions")}
        if found == wanted:
            break
        workload.wanted_now += 240
    assert found == wanted
    assert await pool.fetch(UNBALANCED) == []
    assert await pool.fetch(DIVERGING) == []
    open_holds = await pool.fetchval(
        "SELECT coalesce(sum(precise_amount), 0) FROM blnk.transactions i WHERE status = 'INFLIGHT' AND NOT EXISTS"
        " (SELECT 1 FROM blnk.transactions c WHERE c.parent_transaction = i.transaction_id)"
    )
    assert open_holds == await pool.fetchval("SELECT sum(inflight_credit_balance) FROM blnk.balances")


async def test_children_name_their_parents(workload: Workload, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """The status model of facts/blnk.md §4.2."""
    await live(workload, 60)
    kinds = await pool.fetch(
        "SELECT DISTINCT p.status AS parent, c.status AS child FROM blnk.transactions c"
        " JOIN blnk.transactions p ON p.transaction_id = c.parent_transaction"
        " WHERE c.reference = p.reference || '_q' OR p.status = 'INFLIGHT'"
    )
    allowed = {(parent, child) for parent in ("QUEUED", "SCHEDULED") for child in ("APPLIED", "REJECTED", "INFLIGHT")}
    assert {tuple(kind) for kind in kinds} <= allowed | {("INFLIGHT", "APPLIED"), ("INFLIGHT", "VOID")}
    reasons = await pool.fetch("SELECT meta_data FROM blnk.transactions WHERE status = 'REJECTED'")
    assert all(json.loads(row["meta_data"])["blnk_rejection_reason"] for row in reasons)


async def test_queues_are_worked_off(workload: Workload, redis: Redis) -> None:
    await live(workload, 30)
    names = [*topology.TRANSACTION_QUEUES, topology.WEBHOOK_QUEUE]
    pending = sum([await redis.llen(f"asynq:{{{name}}}:pending") for name in names])
    processed = [await redis.get(f"asynq:{{{name}}}:processed") for name in names]
    assert pending < 20
    assert sum(int(count or 0) for count in processed) > 200
    assert await redis.zcard(f"asynq:{{{topology.EXPIRY_QUEUE}}}:scheduled") > 0
    assert await redis.zcard("asynq:servers") == 2


async def test_trouble_with_redis_and_database_is_survived(
    workload: Workload, pool: "asyncpg.Pool[asyncpg.Record]", postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    before = await pool.fetchval("SELECT count(*) FROM blnk.transactions")
    await valkey.halt()
    await live(workload, 1)
    await postgres.halt()
    await live(workload, 1)
    await valkey.restart()
    await live(workload, 1)
    await postgres.restart()
    await live(workload, 60)
    assert await pool.fetchval("SELECT count(*) FROM blnk.transactions") > before + 100
    assert await pool.fetch(UNBALANCED) == []
    assert await pool.fetch(DIVERGING) == []


async def test_it_is_light_and_stops_cleanly(workload: Workload, redis: Redis) -> None:
    """A demo must not be what it measures: the brief is 3 % of a core."""
    used, began = time.process_time(), time.monotonic()
    running = asyncio.create_task(workload.run())
    await asyncio.sleep(4)
    share = (time.process_time() - used) / (time.monotonic() - began)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert await redis.keys("asynq:servers*") == []
    assert share < 0.05


async def test_it_stops_though_a_client_swallows_the_cancellation(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As redis-py or asyncpg did, once in twenty ends: the end then took four seconds and left a task behind."""
    busy = asyncio.Event()

    async def swallow(_: float) -> None:
        if busy.is_set():
            return
        with contextlib.suppress(asyncio.CancelledError):
            busy.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(workload, "_work", swallow)
    running = asyncio.create_task(workload.run())
    await busy.wait()
    running.cancel()
    _, late = await asyncio.wait([running], timeout=1)
    assert not late


def test_shards_are_those_of_fnv_1a() -> None:
    """A published vector: FNV-1a of "foobar" is 0xbf9cf968."""
    assert topology.transaction_queue("foobar") == f"new:transaction_{0xBF9CF968 % 20 + 1}"
