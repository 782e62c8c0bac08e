"""Ways in which a deployment of Blnk goes wrong, each done to a stage that was healthy a moment ago."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import asyncpg

from . import topology
from .asynq import prefix
from .history import backdated
from .postgres import PostgresServer
from .stage import Stage
from .worker import Job

BACKLOG_QUEUES = 3
BACKLOG_DEPTH = 1200
BACKLOG_AGE_SECONDS = 40 * 60
DOWN_SECONDS = 10 * 60
LOST_TASKS = 25
ARCHIVED_WEBHOOKS = 40
DISK_USED_RATIO = 0.97

_SLOW_SECONDS = 600
_CACHE_VALUE = "x" * 65_536
_CACHE_SECONDS = 3600
_MEMORY_USED_RATIO = 0.9
_GIBIBYTE = 1 << 30


async def nothing(_: Stage) -> None:
    """Leave all as it is."""


async def backlog(stage: Stage) -> None:
    """Fill some queues with transactions that have waited for many minutes."""
    now = time.time()
    stage.workload.slow_down(_SLOW_SECONDS)
    await _queue_up(stage, now - BACKLOG_AGE_SECONDS, now - 60, queues=BACKLOG_QUEUES, depth=BACKLOG_DEPTH)


async def worker_down(stage: Stage) -> None:
    """Kill the worker: its port is closed, its heartbeats expired, transactions and schedules wait."""
    now = time.time()
    await stage.sandbox.worker.stop()
    await stage.workload.kill_worker(now - DOWN_SECONDS)
    await _queue_up(stage, now - DOWN_SECONDS, now, queues=len(topology.TRANSACTION_QUEUES), depth=20)
    overdue = [
        replace(stage.workload.customers.transfer(now - DOWN_SECONDS), scheduled_at=now - DOWN_SECONDS + 10 * number)
        for number in range(15)
    ]
    async with backdated(stage.pool):
        await stage.workload.post(overdue)


async def memory_full(stage: Stage) -> None:
    """Fill Redis with Blnk's cache up to nine tenths of its limit."""
    maximum = int((await stage.redis.info("memory"))["maxmemory"])
    while (await stage.redis.info("memory"))["used_memory"] < _MEMORY_USED_RATIO * maximum:
        for _ in range(4):
            await stage.redis.set(f"transactions:paginated:{uuid4()}", _CACHE_VALUE, ex=_CACHE_SECONDS)


async def tasks_lost(stage: Stage) -> None:
    """Take the content of waiting tasks away, as eviction does, and leave taken ones that nobody works on."""
    now = time.time()
    stage.workload.slow_down(_SLOW_SECONDS)  # else the lost ones would soon have left the queue's head
    jobs = await _queue_up(stage, now - DOWN_SECONDS, now, queues=2, depth=2 * LOST_TASKS)
    queue = prefix(jobs[0].task.queue)
    for lost in await cast("Any", stage.redis.lrange(f"{queue}pending", -LOST_TASKS, -1)):
        await stage.redis.delete(f"{queue}t:{lost.decode()}")
    for _ in range(LOST_TASKS):
        stub = f"txn_{uuid4()}"
        await cast("Any", stage.redis.lpush(f"{queue}active", stub))
        await stage.redis.zadd(f"{queue}lease", {stub: int(now - DOWN_SECONDS)})
        await cast("Any", stage.redis.hset(f"{queue}t:{stub}", "state", "active"))


async def database_down(stage: Stage) -> None:
    """Stop PostgreSQL."""
    await stage.sandbox.postgres.halt()


async def redis_down(stage: Stage) -> None:
    """Stop Redis; Blnk's server will not notice."""
    await stage.sandbox.valkey.halt()


async def webhooks_archived(stage: Stage) -> None:
    """Let webhooks have failed for three weeks, until asynq gave them up."""
    now = time.time()
    for number in range(ARCHIVED_WEBHOOKS):
        task = stage.workload.webhook("transaction.applied", f"txn_{uuid4()}").task
        dead = replace(task, retried=task.retry, error="webhook delivery failed with status 503", last_failed_at=now)
        await stage.workload.asynq.archive(dead, now - 600 * (ARCHIVED_WEBHOOKS - number))


async def queue_paused(stage: Stage) -> None:
    """Pause two queues and forget about it."""
    now = time.time()
    jobs = await _queue_up(stage, now - 2 * DOWN_SECONDS, now, queues=1, depth=150)
    for queue in (jobs[0].task.queue, topology.WEBHOOK_QUEUE):
        await stage.workload.asynq.pause(queue, now - 2 * DOWN_SECONDS)


async def disk_full(stage: Stage) -> None:
    """Report every file system as nearly full: a real one cannot be filled without rights and harm."""
    size = 100 * _GIBIBYTE // 4096
    free = int(size * (1 - DISK_USED_RATIO))
    full = os.statvfs_result((4096, 4096, size, free, free, 6_553_600, 6_000_000, 6_000_000, 0, 255))
    stage.sandbox.statvfs = lambda _: full


async def replica_late(stage: Stage) -> None:
    """Add a standby that has stopped to apply what it receives."""
    sandbox = stage.sandbox
    replica = await PostgresServer.start_replica(sandbox.directory, sandbox.postgres, slot="replica_1")
    stage.stack.push_async_callback(replica.stop)
    stage.exporter["postgres"] = {"replicas": [replica.dsn(database="blnk", sslmode="disable")]}
    connection = await asyncpg.connect(replica.dsn())
    await connection.execute("SELECT pg_wal_replay_pause()")
    await connection.close()


async def _queue_up(stage: Stage, oldest: float, newest: float, *, queues: int, depth: int) -> Sequence[Job]:
    """Post transactions into some queues; their ages are spread evenly between two times."""
    sources = {topology.transaction_queue(account.id): account for account in stage.workload.accounts}
    chosen = list(sources.values())[:queues]
    step = (newest - oldest) / depth
    transfers = [
        stage.workload.customers.transfer(oldest + number * step, source)
        for number in range(depth)
        for source in chosen
    ]
    async with backdated(stage.pool):
        return await stage.workload.post(transfers)
