"""A small workload that moves: clients that post transactions, and a worker process that works them off."""

import asyncio
import contextlib
import json
import logging
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from . import books, topology
from .asynq import HEARTBEAT_SECONDS, Asynq
from .books import Account, Status, Transfer
from .task import Server, Task
from .worker import Consumer, Job, Jobs, WorkFailed

_TICK_SECONDS = 0.5
_HISTORY_SECONDS = 30
_TRANSFERS_PER_TICK = 2
_TASK_SECONDS = 0.4
_COMMIT_SECONDS, _EXPIRY_SECONDS, _SCHEDULE_SECONDS = 20, 180, 60
_REJECTED_SHARE, _INFLIGHT_SHARE, _SCHEDULED_SHARE, _WEBHOOK_FAILS_SHARE = 0.04, 0.08, 0.04, 0.02
_TRANSACTION_RETRIES = 5
_DATABASE_TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
_log = logging.getLogger(__name__)


class Workload:
    """Posts and works off about four transactions a second between a handful of customers.

    A database or a Redis that fails is survived: what clients post meanwhile is lost, tasks are tried again.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", redis: Redis) -> None:
        self.asynq = Asynq(redis)
        self.accounts: Sequence[Account] = ()
        self._pool = pool
        self._random = random.Random()
        self._jobs: Jobs = {}
        self._consumers = self._hire()
        self._beaten_at = 0.0

    async def prepare(self, now: float) -> None:
        """Open the books and live through the last half minute at once, so that there is something to see."""
        beginning = now - _HISTORY_SECONDS
        async with self._pool.acquire() as connection:
            self.accounts = await books.found(connection, beginning)
        for tick in range(int(_HISTORY_SECONDS / _TICK_SECONDS) + 1):
            await self._step(beginning + tick * _TICK_SECONDS)
        # A deployment that has lived a while has been looked at by autovacuum.
        await self._pool.execute("ANALYZE")

    async def run(self) -> None:
        """Work until cancelled; the worker then takes its leave as one that stops in order."""
        try:
            # Each part for itself: a database that says nothing must not stop the heartbeats.
            async with asyncio.TaskGroup() as group:
                for part in self._parts:
                    group.create_task(self._repeat(part))
        finally:
            with contextlib.suppress(OSError, RedisError):
                for consumer in self._consumers:
                    await self.asynq.clear(consumer.server)

    def slow_down(self, task_seconds: float) -> None:
        """Let each transaction keep a worker's hand busy for so long."""
        self._consumers[0].task_seconds = task_seconds

    async def kill_worker(self, died_at: float) -> None:
        """Lose the worker as SIGKILL does: what it worked on stays taken, its heartbeats have run out."""
        consumers, self._consumers = self._consumers, ()
        for consumer in consumers:
            await self.asynq.expire(consumer.server, died_at)

    def transfer(self, created_at: float, source: Account | None = None) -> Transfer:
        """Make up a plain transfer between two customers."""
        source = source or self._random.choice([account for account in self.accounts if not account.world])
        others = [other for other in self.accounts if other.currency == source.currency and other != source]
        return Transfer(
            source=source.id,
            destination=self._random.choice(others).id,
            currency=source.currency,
            cents=self._random.randint(100, 20_000),
            created_at=created_at,
        )

    async def post(self, transfers: Sequence[Transfer]) -> Sequence[Job]:
        """Write down transfers and give them to the worker, as if posted when they say; the oldest first."""
        async with self._pool.acquire() as connection:
            await books.post(connection, transfers)
        jobs = [self._settling(transfer) for transfer in transfers]
        pending: dict[Job, float] = {}
        for transfer, job in zip(transfers, jobs, strict=True):
            if transfer.scheduled_at:
                await self.schedule(job, transfer.scheduled_at)
            else:
                pending[job] = transfer.created_at
        await self.enqueue(pending)
        return jobs

    async def enqueue(self, jobs: Mapping[Job, float]) -> None:
        """Make jobs pending, each since its time; the oldest first."""
        self._jobs.update({(job.task.queue, job.task.id): job for job in jobs})
        if jobs:
            await self.asynq.enqueue({job.task: since for job, since in jobs.items()})

    async def schedule(self, job: Job, at: float) -> None:
        """Let a job become pending later."""
        self._jobs[job.task.queue, job.task.id] = job
        await self.asynq.schedule(job.task, at)

    def webhook(self, event: str, subject: str) -> Job:
        """Make the job that tells an event to the outside; a few of them fail at first."""

        async def deliver(_: float) -> None:
            if self._random.random() < _WEBHOOK_FAILS_SHARE:
                raise WorkFailed("webhook delivery failed with status 500")

        payload = json.dumps({"event": event, "data": {"transaction_id": subject}}).encode()
        queue = topology.WEBHOOK_QUEUE
        return Job(task=Task(type=queue, queue=queue, payload=payload), work=deliver)

    @property
    def _parts(self) -> tuple[Callable[[float], Awaitable[None]], ...]:
        return self._post_some, self._work, self._beat

    async def _repeat(self, part: Callable[[float], Awaitable[None]]) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        while True:
            await self._survive(part, time.time())
            if task.cancelling():  # a client that is cancelled at a bad moment may keep that to itself
                return
            await asyncio.sleep(_TICK_SECONDS)

    async def _survive(self, part: Callable[[float], Awaitable[None]], now: float) -> None:
        try:
            await part(now)
        except (*_DATABASE_TROUBLE, RedisError) as error:
            _log.debug("workload: %s", error)

    async def _step(self, now: float) -> None:
        for part in self._parts:
            await self._survive(part, now)

    async def _post_some(self, now: float) -> None:
        await self.post([self._varied(self.transfer(now)) for _ in range(_TRANSFERS_PER_TICK)])

    async def _work(self, now: float) -> None:
        for consumer in self._consumers:
            await consumer.tick(now)

    async def _beat(self, now: float) -> None:
        if now - self._beaten_at >= HEARTBEAT_SECONDS:
            self._beaten_at = now
            for consumer in self._consumers:
                await consumer.beat(now)

    def _varied(self, transfer: Transfer) -> Transfer:
        kind = self._random.random()
        for share, changes in (
            (_REJECTED_SHARE, {"rejected": True}),
            (_INFLIGHT_SHARE, {"inflight": True}),
            (_SCHEDULED_SHARE, {"scheduled_at": transfer.created_at + _SCHEDULE_SECONDS}),
        ):
            if kind < share:
                return replace(transfer, **changes)
            kind -= share
        return transfer

    def _settling(self, transfer: Transfer) -> Job:
        async def settle(now: float) -> None:
            settled = await self._settle(transfer, now)
            if not settled:
                return
            status, child = settled
            await self.enqueue({self.webhook(f"transaction.{status.lower()}", child): now})
            if status == "INFLIGHT":
                # Most are committed in time; what is left is given back when it expires.
                if self._random.random() < 0.8:
                    await self.schedule(self._finishing(transfer, child, "APPLIED"), now + _COMMIT_SECONDS)
                await self.schedule(self._finishing(transfer, child, "VOID"), now + _EXPIRY_SECONDS)

        queue = topology.transaction_queue(transfer.source)
        payload = transfer.payload()
        return Job(
            task=Task(type=queue, queue=queue, payload=payload, id=transfer.id, retry=_TRANSACTION_RETRIES), work=settle
        )

    async def _settle(self, transfer: Transfer, now: float) -> tuple[Status, str] | None:
        try:
            async with self._pool.acquire() as connection:
                return await books.settle(connection, transfer, now)
        except asyncpg.UniqueViolationError:
            return None  # done before; only its record in Redis failed
        except _DATABASE_TROUBLE as error:
            raise WorkFailed(f"database: {error}") from error

    def _finishing(self, transfer: Transfer, child: str, status: Status) -> Job:
        async def finish(now: float) -> None:
            # One that was finished before is no failure here; Blnk's expiry would be tried again for 20 days.
            try:
                async with self._pool.acquire() as connection:
                    await books.finish(connection, transfer, child, status, now)
            except _DATABASE_TROUBLE as error:
                raise WorkFailed(f"database: {error}") from error

        queue = topology.COMMIT_QUEUE if status == "APPLIED" else topology.EXPIRY_QUEUE
        return Job(task=Task(type=queue, queue=queue, payload=transfer.payload(), id=transfer.id), work=finish)

    def _hire(self) -> tuple[Consumer, ...]:
        def consumer(concurrency: int, queues: Mapping[str, int]) -> Consumer:
            server = Server(
                host=socket.gethostname(),
                pid=os.getpid(),
                concurrency=concurrency,
                queues=queues,
                started_at=time.time(),
            )
            return Consumer(asynq=self.asynq, jobs=self._jobs, task_seconds=_TASK_SECONDS, server=server)

        return (
            consumer(topology.TRANSACTION_CONCURRENCY, topology.TRANSACTION_WEIGHTS),
            consumer(topology.WEBHOOK_CONCURRENCY, topology.WEBHOOK_WEIGHTS),
        )
