"""What a scrape costs the servers that it reads, counted on the servers and on the wire."""

import re
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter.sandbox import PostgresServer, Sandbox

from ..waiting import eventually
from .exporter import serving
from .wire import wire

pytestmark = pytest.mark.sandbox

# Twenty queues of transactions are Blnk's default; inflight-expiry, inflight-commit, webhook and index come on top.
QUEUES = pytest.mark.parametrize(("queues", "shards"), [(24, 20), (500, 496)])
STATEMENT = re.compile(
    r"^<blnk_exporter> LOG: +(statement|execute [^:]+|duration: [\d.]+ ms +\w+ [^:]+): ", re.MULTILINE
)


@pytest_asyncio.fixture(scope="module")
async def busy(healthy: Sandbox) -> AsyncIterator[Sandbox]:
    """The healthy deployment with a task that waits in each of 500 queues, so that each of them has a head to look at."""
    names = [f"new:transaction_{shard}" for shard in range(21, 497)]
    redis = Redis.from_url(healthy.valkey.url())
    pipeline = redis.pipeline(transaction=False)
    for name in names:
        pipeline.sadd("asynq:queues", name)
        pipeline.lpush(f"asynq:{{{name}}}:pending", "waits")
        pipeline.hset(f"asynq:{{{name}}}:t:waits", mapping={"state": "pending", "pending_since": time.time_ns()})
    await pipeline.execute()
    yield healthy
    for name in names:
        pipeline.srem("asynq:queues", name)
        pipeline.delete(f"asynq:{{{name}}}:pending", f"asynq:{{{name}}}:t:waits")
    await pipeline.execute()
    await redis.aclose()


@pytest_asyncio.fixture(scope="module")
async def logging(healthy: Sandbox) -> AsyncIterator[PostgresServer]:
    """PostgreSQL that writes every statement to its log, with the name of the application that sent it."""
    postgres = healthy.postgres
    await _set(postgres, {"log_statement": "all", "log_line_prefix": "<%a> "})
    yield postgres
    await _set(postgres, {"log_statement": "none", "log_line_prefix": "%m [%p] %q%u@%d "})


async def _set(postgres: PostgresServer, settings: dict[str, str]) -> None:
    postgres.reload(settings)
    connection = await asyncpg.connect(postgres.dsn())

    async def taken_up() -> bool:
        return all([await connection.fetchval(f"SHOW {name}") == value for name, value in settings.items()])

    await eventually(taken_up)
    await connection.close()


def statements(postgres: PostgresServer, offset: int) -> list[str]:
    """What the exporter has sent since the log was so long."""
    log = postgres.log_path.read_bytes()[offset:].decode()
    return [match.group() for match in STATEMENT.finditer(log)]


@QUEUES
async def test_scrape_is_three_round_trips_to_redis(busy: Sandbox, queues: int, shards: int) -> None:
    """Redis is Blnk's hot path: the cost must not grow with the number of queues. The first scrape logs in besides."""
    async with wire(busy.valkey.host, busy.valkey.port) as counted:
        environ = {
            "BLNK_REDIS_DNS": f"redis://:{busy.valkey.password}@127.0.0.1:{counted.port}",
            "BLNK_QUEUE_NUMBER_OF_QUEUES": str(shards),
        }
        async with serving(busy, environ) as exporter:
            first = await exporter.scrape()
            login, *trips = counted.trips
            assert first.whole
            assert login == 1
            assert len(trips) <= 3
            # All of it was really asked: at least ten questions per queue.
            assert sum(trips) > 10 * queues
            for _ in range(3):
                counted.trips.clear()
                page = await exporter.scrape()
                assert page.whole
                assert len(counted.trips) <= 3
                assert len(page.values("blnk_queues_expected")) >= queues
                assert sum(page.values("blnk_queues_expected")) == queues
            assert counted.connections == 1


async def test_wire_counts_a_client_that_waits(healthy: Sandbox) -> None:
    """A counter that could not count would prove nothing: pipelined commands are one trip, single ones many."""
    async with wire(healthy.valkey.host, healthy.valkey.port) as counted:
        redis = Redis.from_url(
            f"redis://:{healthy.valkey.password}@127.0.0.1:{counted.port}", protocol=2, driver_info=None
        )
        for _ in range(4):
            await redis.ping()
        pipeline = redis.pipeline(transaction=False)
        for _ in range(5000):
            pipeline.echo("x" * 100)
        await pipeline.execute()
        await redis.aclose()
        assert counted.trips[-5:] == [1] * 4 + [5000]


@QUEUES
async def test_scrape_is_three_statements_to_postgres(
    busy: Sandbox, logging: PostgresServer, queues: int, shards: int
) -> None:
    """Counted in the server's own log: an ordinary scrape must not be felt, the first one hardly."""
    environ = {"BLNK_QUEUE_NUMBER_OF_QUEUES": str(shards)}
    async with serving(busy, environ) as exporter:
        for number in range(3):
            offset = logging.log_path.stat().st_size
            assert (await exporter.scrape()).whole
            sent = statements(logging, offset)
            # At first each collector has a statement, ledger and books two, and the books a connection. Each of the two
            # logins has one that reads the settings back.
            assert 1 <= len(sent) <= (10 if number == 0 else 2), sent


async def test_every_scrape_with_all_collectors_due_is_three_statements(
    healthy: Sandbox, logging: PostgresServer
) -> None:
    """Even when all slow collectors are due at each scrape: they take turns."""
    async with serving(healthy, limits__slow_interval_seconds=0.001) as exporter:
        await exporter.scrape()
        for _ in range(4):
            offset = logging.log_path.stat().st_size
            assert (await exporter.scrape()).whole
            assert len(statements(logging, offset)) == 3


async def test_no_statement_of_a_scrape_is_planned_again(healthy: Sandbox, logging: PostgresServer) -> None:
    """The driver prepares statements of up to 15 KiB for reuse by default, and the ledger's is longer."""
    async with serving(healthy) as exporter:
        await exporter.scrape()
        await exporter.scrape()
        offset = logging.log_path.stat().st_size
        assert (await exporter.scrape()).whole
        sent = statements(logging, offset)
    assert sent
    assert [one for one in sent if "<unnamed>" in one] == []


async def test_one_connection_to_each_server(healthy: Sandbox) -> None:
    """Blnk needs its connections itself: we take one from PostgreSQL and one from Redis."""
    watch = await asyncpg.connect(healthy.postgres.dsn())
    redis = Redis.from_url(healthy.valkey.url())
    async with serving(healthy) as exporter:
        for _ in range(3):
            await exporter.scrape()
        ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'blnk_exporter'"
        assert await watch.fetchval(ours) == 1
        assert [client["name"] for client in await redis.client_list()].count("blnk_exporter") == 1
    await watch.close()
    await redis.aclose()
