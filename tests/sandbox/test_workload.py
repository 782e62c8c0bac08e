"""The workload moves, its books balance, and it outlives the failures of what it writes to."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter.sandbox import ledger_trouble, schema, topology
from blnk_exporter.sandbox.asynq import Asynq
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.sandbox.task import Server, Task
from blnk_exporter.sandbox.valkey import ValkeyServer
from blnk_exporter.sandbox.worker import Consumer, Job
from blnk_exporter.sandbox.workload import Workload

from ..waiting import PATIENCE_SECONDS, until
from .ledger import CHAINED, DIVERGING, HELD, UNBALANCED, Pool, a_database

pytestmark = pytest.mark.sandbox
newest = pytest.mark.parametrize("pool", [schema.RELEASES[-1]], indirect=True)


@pytest_asyncio.fixture(params=schema.RELEASES)
async def pool(request: pytest.FixtureRequest, postgres: PostgresServer) -> AsyncIterator[Pool]:
    async with a_database(postgres, request.param) as made:
        yield made


@pytest_asyncio.fixture
async def workload(pool: Pool, redis: Redis, request: pytest.FixtureRequest) -> Workload:
    release = request.node.callspec.params["pool"]
    made = Workload(pool, redis, release, chain=True)
    made.wanted_now = time.time()
    await made.prepare(made.wanted_now)
    return made


async def live(workload: Workload, seconds: float) -> None:
    """Let time pass for the workload, faster than it does."""
    for tick in range(int(seconds * 2)):
        await workload.step(workload.wanted_now + tick / 2)


async def test_every_outcome_appears_and_the_books_balance(workload: Workload, pool: Pool) -> None:
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
    assert await pool.fetchval(HELD) == await pool.fetchval("SELECT sum(inflight_credit_balance) FROM blnk.balances")


async def test_server_works_off_the_outbox_and_continues_the_chain(workload: Workload, pool: Pool) -> None:
    """What the server does by itself goes on while clients post; an entry waits for a poll at most."""
    traced = await pool.fetchval("SELECT max(id) FROM blnk.lineage_outbox")
    await live(workload, 120)
    fresh = await pool.fetch("SELECT status, processed_at FROM blnk.lineage_outbox WHERE id > $1", traced)
    assert len(fresh) > 5
    assert sum(row["status"] == "pending" for row in fresh) < len(fresh) / 2
    assert all((row["processed_at"] is not None) == (row["status"] == "completed") for row in fresh)
    if workload.keeper.seals:
        whole, last, unsealed = await pool.fetchrow(CHAINED)
        assert whole
        assert last > await pool.fetchval("SELECT count(*) FROM blnk.transactions") / 2
        # What rests is not sealed yet.
        assert 0 < unsealed < 500


@newest
async def test_queues_are_worked_off(workload: Workload, redis: Redis) -> None:
    await live(workload, 30)
    names = [*topology.TRANSACTION_QUEUES, topology.WEBHOOK_QUEUE]
    pending = sum([await redis.llen(f"asynq:{{{name}}}:pending") for name in names])
    processed = [await redis.get(f"asynq:{{{name}}}:processed") for name in names]
    assert pending < 20
    assert sum(int(count or 0) for count in processed) > 200
    assert await redis.zcard(f"asynq:{{{topology.EXPIRY_QUEUE}}}:scheduled") > 0
    assert await redis.zcard("asynq:servers") == 2


@newest
async def test_trouble_with_redis_and_database_is_survived(
    workload: Workload, pool: Pool, postgres: PostgresServer, valkey: ValkeyServer
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


async def test_no_queue_starves_behind_full_ones(redis: Redis) -> None:
    """Commits have the last queue: in a fixed order they would wait until all others are empty."""
    jobs = {}
    server = Server(host="h", pid=1, concurrency=1, queues={"full": 1, "last": 1}, started_at=0)
    consumer = Consumer(asynq=Asynq(redis), server=server, jobs=jobs, task_seconds=0)
    for queue in ["full"] * 50 + ["last"]:
        job = Job(task=Task(type=queue, queue=queue, payload=b"{}"), work=AsyncMock())
        jobs[queue, job.task.id] = job
        await consumer.asynq.enqueue({job.task: 0})
    for now in range(50):
        await consumer.tick(now)
    assert job.work.await_count == 1
    assert await redis.llen("asynq:{full}:pending") > 0


@newest
async def test_clients_post_no_faster_than_the_worker_processes(workload: Workload, pool: Pool) -> None:
    """On a machine that is slow, queues would grow without end, and a healthy deployment would raise alerts."""
    (consumer, _), ticks = workload._consumers, []

    async def slow(_: float) -> None:
        ticks.append(1)
        await asyncio.sleep(0.5)

    count = "SELECT count(*) FROM blnk.transactions WHERE status IN ('QUEUED', 'SCHEDULED')"
    before, consumer.tick = await pool.fetchval(count), slow
    running = asyncio.create_task(workload.run())
    await until(lambda: len(ticks) > 4)
    running.cancel()
    await asyncio.wait([running])
    # A request of two has up to three transactions, seldom.
    assert await pool.fetchval(count) - before <= len(ticks) * 3


@newest
async def test_intruder_deletes_now_and_then_and_is_seen(workload: Workload, pool: Pool) -> None:
    """A row now and then, of which nothing stays but its trace; and the workload writes on."""
    deleted = "SELECT old_data ->> 'status' FROM blnk.transaction_journal WHERE action_type = 'DELETE'"
    workload.parts.append(ledger_trouble.Intruder(pool).tick)
    await live(workload, 2 * ledger_trouble.DELETION_SECONDS - 1)
    assert [row[0] for row in await pool.fetch(deleted)] == ["APPLIED"] * 2


@newest
async def test_it_is_light_and_stops_cleanly(workload: Workload, redis: Redis) -> None:
    """A demo must not be what it measures: ten seconds of it cost less than twice a second of arithmetic.

    On a machine of 2026 that is 3 % of a core. CPU time is compared with CPU time, not with the clock.
    """
    running = asyncio.create_task(workload.run())
    await workload.begun.wait()
    await until_ticks(workload, 2)
    began = time.process_time()
    await until_ticks(workload, 20)
    used = time.process_time() - began
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert await redis.keys("asynq:servers*") == []
    began = time.process_time()
    sum(number * number for number in range(10_000_000))
    # A busy machine slows both down, but not alike.
    assert used < 2 * (time.process_time() - began)


async def until_ticks(workload: Workload, ticks: int) -> None:
    """Let a running workload live through some of its half seconds."""
    lived = []

    async def tick(_: float) -> None:
        lived.append(1)

    part = asyncio.create_task(workload._repeat(tick))
    await until(lambda: len(lived) > ticks)
    part.cancel()
    await asyncio.wait([part])


@newest
async def test_it_stops_though_a_client_swallows_the_cancellation(workload: Workload) -> None:
    """As redis-py or asyncpg did, once in twenty ends: the end then took four seconds and left a task behind."""
    busy = asyncio.Event()

    async def swallow(_: float) -> None:
        if busy.is_set():
            return
        with contextlib.suppress(asyncio.CancelledError):
            busy.set()
            await asyncio.Event().wait()

    workload.parts.append(swallow)
    running = asyncio.create_task(workload.run())
    await busy.wait()
    running.cancel()
    _, late = await asyncio.wait([running], timeout=PATIENCE_SECONDS)
    assert not late


def test_shards_are_those_of_fnv_1a() -> None:
    """A published vector: FNV-1a of "foobar" is 0xbf9cf968."""
    assert topology.transaction_queue("foobar") == f"new:transaction_{0xBF9CF968 % 20 + 1}"
