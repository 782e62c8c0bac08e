"""What a scrape costs as the deployment grows, by counts alone: times would tell of the machine."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from blnk_exporter import config
from blnk_exporter.clients.postgres import PostgresClient
from blnk_exporter.sandbox import PostgresServer, ValkeyServer, schema
from blnk_exporter.sandbox.task import Task
from blnk_exporter.sandbox.topology import COMMIT_QUEUE, EXPIRY_QUEUE, INDEX_QUEUE, TRANSACTION_QUEUES, WEBHOOK_QUEUE
from blnk_exporter.service import Service

from ..conftest import Database
from .exporter import Exporter, listening
from .wire import wire

pytestmark = pytest.mark.sandbox

QUEUES = (*TRANSACTION_QUEUES, EXPIRY_QUEUE, COMMIT_QUEUE, WEBHOOK_QUEUE, INDEX_QUEUE)
GROWTH_MAX = 1.3
# KEYS: a queue's prefix. ARGV: a message, first and last number.
FILL = """
for number = ARGV[2], ARGV[3] do
    local id = string.format("%036d", number)
    redis.call("HSET", KEYS[1] .. "t:" .. id, "msg", ARGV[1], "state", "pending", "pending_since", "1700000000000000000")
    redis.call("LPUSH", KEYS[1] .. "pending", id)
end
for _, state in ipairs({"scheduled", "retry", "archived"}) do
    for number = ARGV[2], ARGV[3], 10 do redis.call("ZADD", KEYS[1] .. state, 1700000000 + number, state .. number) end
end
"""
# $1, $2: first and last number. Each is a queued transaction with its outcome, and both stand in the journal.
GROW = (
    """
INSERT INTO blnk.transactions (transaction_id, parent_transaction, source, destination, reference, precise_amount,
    currency, status, created_at, scheduled_for, meta_data)
SELECT 'txn_' || n || s, CASE s WHEN '' THEN '' ELSE 'txn_' || n END, 'a', 'b', 'ref_' || n || s, 100, 'USD',
    CASE s WHEN '' THEN 'QUEUED' ELSE 'APPLIED' END, now() AT TIME ZONE 'UTC', '0001-01-01', '{}'
FROM generate_series($1::int, $2::int) n, (VALUES (''), ('_q')) v(s) ORDER BY n, s
""",
    """
INSERT INTO blnk.transaction_journal (transaction_id, action_type, succeeded)
SELECT 'txn_' || n || s, 'INSERT', true
FROM generate_series($1::int, $2::int) n, (VALUES (''), ('_q')) v(s) ORDER BY n, s
""",
)


@asynccontextmanager
async def exporting(redis_port: int, postgres: PostgresServer, database: str) -> AsyncIterator[Exporter]:
    """Every collector of the two servers, the slow ones in turns at every scrape; nobody else is at work there."""
    environ = {
        "BLNK_REDIS_DNS": f"redis://127.0.0.1:{redis_port}",
        "BLNK_DATA_SOURCE_DNS": postgres.dsn(database=database, sslmode="disable"),
        "BLNK_EXPORTER_LIMITS_SLOW_INTERVAL_SECONDS": "0.001",
        **{f"BLNK_EXPORTER_COLLECTORS_{name}": "false" for name in ("SERVER", "WORKERS", "HOST")},
    }

    def load() -> config.Loaded:
        return config.load(flags={}, environ=environ, directory=Path("/"), config_file=None)

    async with listening(Service(load)) as exporter:
        for _ in range(100):
            page = await exporter.scrape()
            assert page.failures == {}
            if page.values("blnk_ledger_history_complete") == [1]:
                break
        else:
            pytest.fail("history is never complete")
        yield exporter


async def fill(redis: Redis, first: int, last: int) -> None:
    """So many more tasks in each queue."""
    for queue in QUEUES:
        await redis.sadd("asynq:queues", queue)
        message = Task(type=queue, queue=queue, payload=b"x" * 500, id=str(UUID(int=0))).encode()
        await redis.eval(FILL, 1, f"asynq:{{{queue}}}:", message, first, last)


@dataclass
class Traffic:
    """What one scrape sent to Redis: commands by round trip, and bytes that came back."""

    trips: list[int]
    received_bytes: int


async def traffic(exporter: Exporter, counted: Any, redis: Redis) -> Traffic:
    async def sent() -> int:
        return (await redis.info("stats"))["total_net_output_bytes"]

    # What the question itself costs.
    own = -await sent() + await sent()
    counted.trips.clear()
    before = await sent()
    assert (await exporter.scrape()).failures == {}
    return Traffic([*counted.trips], await sent() - before - own)


async def test_a_backlog_costs_redis_nothing(postgres: Database, store: ValkeyServer) -> None:
    """A million waiting tasks are the moment at which nobody may add to Redis' load."""
    async with (
        Redis.from_url(store.url()) as redis,
        database(postgres.server, "growth_backlog") as name,
        wire(store.host, store.port) as counted,
    ):
        await fill(redis, 1, 10)
        async with exporting(counted.port, postgres.server, name) as exporter:
            small = await traffic(exporter, counted, redis)
            await fill(redis, 11, 2000)
            large = await traffic(exporter, counted, redis)
            page = await exporter.scrape()
    assert sum(page.values("blnk_queues_pending_tasks")) == 2000 * len(QUEUES)
    assert small.trips == large.trips
    assert len(large.trips) <= 3
    assert small.received_bytes > 1000
    assert large.received_bytes <= small.received_bytes * 1.1


@asynccontextmanager
async def database(server: PostgresServer, name: str) -> AsyncIterator[str]:
    """A database with Blnk's tables, empty, and dropped afterwards."""
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        connection = await asyncpg.connect(server.dsn(database=name))
        await schema.apply(connection)
        await connection.close()
        yield name
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def grow(connection: asyncpg.Connection, first: int, last: int) -> None:
    """So many more transactions with their outcomes."""
    async with connection.transaction():
        # As fast as may be: no trigger writes the journal, no balance is looked up.
        await connection.execute("SET LOCAL session_replication_role = replica")
        for statement in GROW:
            await connection.execute(statement, first, last)


@dataclass
class Recorder:
    """All statements that our client has sent."""

    sent: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    async def blocks(self, connection: asyncpg.Connection) -> int:
        """How many blocks PostgreSQL has to look at to answer them again."""
        looked_at = 0
        for sql, arguments in self.sent:
            plan = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *arguments)
            top = json.loads(plan)[0]["Plan"]
            looked_at += top["Shared Hit Blocks"] + top["Shared Read Blocks"]
        return looked_at


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Writes down what goes to PostgreSQL, and lets it go there."""
    made, fetch_text = Recorder(), PostgresClient.fetch_text

    async def recorded(self: PostgresClient, sql: str, *arguments: Any, **options: Any) -> str:
        made.sent.append((sql, arguments))
        return await fetch_text(self, sql, *arguments, **options)

    monkeypatch.setattr(PostgresClient, "fetch_text", recorded)
    return made


@dataclass
class Cost:
    """What some scrapes asked of PostgreSQL; ``blocks`` is how many it had to look at."""

    statements: int = 0
    sent_bytes: int = 0
    blocks: int = 0


async def cost(recorder: Recorder, exporter: Exporter, connection: asyncpg.Connection, number: int) -> Cost:
    """Three scrapes, so that each slow collector has its turn, and before each one five transactions with outcomes."""
    found = Cost()
    for scrape in range(3):
        await grow(connection, number + 5 * scrape, number + 5 * scrape + 4)
        recorder.sent.clear()
        assert (await exporter.scrape()).failures == {}
        found.statements += len(recorder.sent)
        found.sent_bytes += sum(len("".join((sql, *filter(None, given)))) for sql, given in recorder.sent)
        found.blocks += await recorder.blocks(connection)
    return found


async def test_a_large_ledger_costs_no_more_than_a_small_one(
    postgres: Database, store: ValkeyServer, recorder: Recorder
) -> None:
    """Once history was looked through, a scrape looks at what is new; the rows before it are as good as not there."""
    found, scans = [], []
    for rows in (4_000, 40_000):
        async with database(postgres.server, f"growth_{rows}") as name:
            connection = await asyncpg.connect(postgres.server.dsn(database=name))
            await grow(connection, 1, rows // 2)
            await connection.execute("VACUUM ANALYZE")
            async with exporting(store.port, postgres.server, name) as exporter:
                found.append(await cost(recorder, exporter, connection, rows))
            scans.append(await Recorder([("SELECT count(meta_data) FROM blnk.transactions", ())]).blocks(connection))
            await connection.close()
    small, large = found
    assert small.statements == large.statements <= 3 * 3
    assert large.sent_bytes <= small.sent_bytes * GROWTH_MAX
    assert 100 < large.blocks <= small.blocks * GROWTH_MAX
    # What such a count says of a statement that does grow.
    assert scans[1] > scans[0] * 5
