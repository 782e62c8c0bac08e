"""A ledger a hundred times as large costs its monitor no more, counted in round trips, commands, bytes, rows."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from benchmarks import backlog, ledger
from benchmarks.relay import relay
from benchmarks.site import queue_names
from redis.asyncio import Redis

from blnk_exporter import config
from blnk_exporter.sandbox import PostgresServer, ValkeyServer
from blnk_exporter.service import Service

from .exporter import Exporter, eventually, listening
from .page import Page
from .wire import wire

pytestmark = pytest.mark.sandbox

QUEUES = queue_names(24)
FEW, MANY = 240, 24_000
SCRAPES = 4
# Every collector of PostgreSQL's at every scrape, so that no interval hides what one costs.
FLAGS = {"limits.slow_interval_seconds": 0, "books.interval_seconds": 3600}
# All rows that were read of Blnk's tables but the balances, which are meant to be read as a whole, now and then.
ROWS_READ = """
SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'blnk' AND relname <> 'balances')
     + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'blnk' AND relname <> 'balances')
"""
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'blnk_exporter'"


def watching(directory: Path, *collectors: str, **environ: str) -> AbstractAsyncContextManager[Exporter]:
    """An exporter with these collectors only."""
    every = config.load(flags={}, environ={}, directory=directory).settings.own.collectors
    flags: dict[str, Any] = {f"collectors.{name}": name in collectors for name in type(every).model_fields}
    return listening(Service(lambda: config.load(flags=FLAGS | flags, environ=environ, directory=directory)))


@pytest_asyncio.fixture(scope="module")
async def databases(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    """One PostgreSQL with a small ledger and a large one, both at rest."""
    settings = {"autovacuum": "off", "log_statement": "all", "log_line_prefix": "<%a> "}
    server = await PostgresServer.start(tmp_path_factory.mktemp("growth"), settings=settings)
    for name, rows in (("few", FEW), ("many", MANY)):
        owner = await asyncpg.connect(server.dsn())
        await owner.execute(f"CREATE DATABASE {name}")
        await owner.close()
        owner = await asyncpg.connect(server.dsn(database=name))
        await ledger.create(owner, rows)
        await owner.close()
    yield server
    await server.stop()


async def followed(exporter: Exporter) -> Page:
    """The first page after which all of history is known."""

    async def page() -> Page | None:
        found = await exporter.scrape()
        assert found.failures == {}
        return found if found.values("blnk_ledger_history_complete") == [1.0] else None

    return await eventually(page)


async def cost_of_redis(tmp_path: Path, tasks: int) -> Mapping[str, float]:
    """What a scrape sends and receives when so many tasks wait."""
    server = await ValkeyServer.start(tmp_path)
    async with Redis.from_url(server.url()) as redis:
        await backlog.fill(redis, QUEUES, tasks)
    async with relay(server.port, 0.0) as bytes_, wire("127.0.0.1", bytes_.port) as counted:
        environ = {"BLNK_REDIS_DNS": f"redis://127.0.0.1:{counted.port}"}
        async with watching(tmp_path, "queues", "redis", **environ) as exporter:
            page = await exporter.scrape()
            assert page.failures == {}
            assert sum(page.values("blnk_queues_pending_tasks")) == tasks
            before = counted.commands, len(counted.trips), bytes_.received_bytes
            for _ in range(SCRAPES):
                await exporter.scrape()
            after = counted.commands, len(counted.trips), bytes_.received_bytes
    await server.stop()
    names = ("commands", "trips", "received_bytes")
    return {name: (end - begin) / SCRAPES for name, begin, end in zip(names, before, after, strict=True)}


async def test_a_backlog_costs_redis_no_more(tmp_path: Path) -> None:
    """When work piles up is no time to slow Redis down: nothing is listed, nothing scanned."""
    few, many = await cost_of_redis(tmp_path, FEW), await cost_of_redis(tmp_path, MANY)
    assert many["trips"] == few["trips"] <= 3
    assert many["commands"] == few["commands"] > 10 * len(QUEUES)
    # The digits of larger numbers.
    assert 10_000 < many["received_bytes"] < 1.1 * few["received_bytes"]


async def cost_of_postgres(server: PostgresServer, tmp_path: Path, database: str) -> Mapping[str, float]:
    """What a scrape reads of a ledger at rest, once its history is known."""
    watch = await asyncpg.connect(server.dsn(database=database))
    read: list[int] = []
    totals = []

    async def gone() -> bool:
        return await watch.fetchval(SESSIONS) == 0

    # A session tells what it has read when it ends: what more scrapes read is the difference of two sessions.
    for scrapes in (0, SCRAPES):
        async with relay(server.port, 0.0) as counted:
            dsn = f"postgres://postgres@127.0.0.1:{counted.port}/{database}?sslmode=disable"
            names = ("postgres", "tables", "statements", "ledger", "books", "catalog")
            before = await watch.fetchval(ROWS_READ)
            async with watching(tmp_path, *names, BLNK_DATA_SOURCE_DNS=dsn) as exporter:
                await followed(exporter)
                log, bytes_ = server.log_path.stat().st_size, counted.received_bytes
                for _ in range(scrapes):
                    assert (await exporter.scrape()).failures == {}
                sent = server.log_path.read_bytes()[log:].decode()
                totals = [len(re.findall(r"^<blnk_exporter> LOG:  execute", sent, re.MULTILINE))]
                totals += [counted.received_bytes - bytes_]
            await eventually(gone)
            read.append(await watch.fetchval(ROWS_READ) - before)
    await watch.close()
    names = ("statements", "received_bytes", "rows")
    return {name: total / SCRAPES for name, total in zip(names, (*totals, read[1] - read[0]), strict=True)}


async def test_a_large_ledger_costs_postgres_no_more(databases: PostgresServer, tmp_path: Path) -> None:
    """A ledger only ever grows: what read all of it would be fine for a year and then be felt by everybody."""
    few = await cost_of_postgres(databases, tmp_path, "few")
    many = await cost_of_postgres(databases, tmp_path, "many")
    assert many["statements"] == few["statements"] == 5
    assert 5_000 < many["received_bytes"] < 1.1 * few["received_bytes"]
    assert many["rows"] < MANY / 20
    assert many["rows"] <= few["rows"] + 100
    print(few, many)
