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

from . import books, furnish, history, rows, topology
from .asynq import HEARTBEAT_SECONDS, Asynq
from .books import Account
from .customers import Customers
from .heartbeat import beating
from .keeper import Keeper
from .rows import Action, Transfer
from .schema import Release
from .task import Server, Task
from .worker import Consumer, Job, Jobs, WorkFailed

_TICK_SECONDS = 0.5
_LIVED_SECONDS = 30
_REQUESTS_PER_TICK = 2
_TASK_SECONDS = 0.4
_DECISION_SECONDS, _EXPIRY_SECONDS = 20, 180
_WEBHOOK_FAILS_SHARE = 0.02
# What a client does with a hold some time later: commit it, commit half of it and the rest later, void it, forget it.
_DECISIONS, _DECISION_WEIGHTS = ("commit", "half", "void", "forget"), (6, 1, 1, 2)
_TRANSACTION_RETRIES = 5
# A server that is frozen or killed under a client raises more than the client's own errors.
_TROUBLE = (OSError, EOFError, RuntimeError)
_DATABASE_TROUBLE = (*_TROUBLE, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_log = logging.getLogger(__name__)

# Something that is done every half second; it gets the time.
Part = Callable[[float], Awaitable[None]]


class Workload:
    """Posts and works off about four transactions a second between a handful of customers.

    A database or a Redis that fails is survived: what clients post meanwhile is lost, tasks are tried again.
    """

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", redis: Redis, release: Release = "0.15.2", *, chain: bool = False
    ) -> None:
        self.asynq = Asynq(redis)
        self.keeper = Keeper(pool, seals=chain and release == "0.15.2")
        self.customers = Customers(accounts=(), release=release, random=random.Random())
        self.begun = asyncio.Event()
        self._redis = redis
        self._pool = pool
        self._release: Release = release
        self._jobs: Jobs = {}
        self._holds: list[tuple[float, Transfer, str]] = []
        self._consumers = self._hire()
        self._beaten_at = 0.0
        # Each part has its own loop: a database that says nothing must not stop the heartbeats.
        self.parts: list[Part] = [self._trade, self._beat, self.keeper.tick]

    @property
    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """The database's connections; another pool may take over between two steps."""
        return self._pool

    @pool.setter
    def pool(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = self.keeper.pool = pool

    @property
    def accounts(self) -> Sequence[Account]:
        """The balances that it moves money between."""
        return self.customers.accounts

    async def prepare(self, now: float) -> None:
        """Open the books with a past, and live through the last half minute at once: there is something to see."""
        beginning = now - _LIVED_SECONDS
        async with history.backdated(self._pool), self._pool.acquire() as connection:
            accounts = await books.found(connection, self._release, beginning - history.HISTORY_SECONDS)
        self.customers = replace(self.customers, accounts=accounts)
        async with self._pool.acquire() as connection:
            await history.seed(connection, self.customers, until=beginning, sealed=self.keeper.seals)
            await furnish.api_keys(connection)
            await furnish.reconciliations(connection)
        for tick in range(int(_LIVED_SECONDS / _TICK_SECONDS) + 1):
            at = beginning + tick * _TICK_SECONDS
            async with history.backdated(self._pool, at):
                await self.step(at)
        # A deployment that has lived a while has been looked at by autovacuum.
        await self._pool.execute("ANALYZE")

    async def step(self, now: float) -> None:
        """Do once what ``run`` does every half second."""
        await self._in_turn(self.parts, now)

    async def run(self) -> None:
        """Work until cancelled; the worker then takes its leave as one that stops in order.

        ``begun`` is set after the first heartbeat, or the first failure to write one.
        """
        try:
            async with beating(self._redis, lambda: self._consumers), asyncio.TaskGroup() as group:
                self.begun.set()
                for part in self.parts:
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

    async def post(self, transfers: Sequence[Transfer]) -> Sequence[Job]:
        """Write down transfers and give them to the worker, as if posted when they say; the oldest first."""
        async with self._pool.acquire() as connection:
            await books.post(connection, self._release, transfers)
        jobs = [self._settling(transfer) for transfer in transfers]
        pending: dict[Job, float] = {}
        for transfer, job in zip(transfers, jobs, strict=True):
            if transfer.scheduled_at:
                await self.schedule(job, transfer.scheduled_at)
            else:
                pending[job] = transfer.created_at
            if transfer.inflight:
                await self.schedule(self._expiring(transfer), transfer.created_at + _EXPIRY_SECONDS)
        await self.enqueue(pending)
        return jobs

    async def enqueue(self, jobs: Mapping[Job, float]) -> bool:
        """Make jobs pending, each since its time; the oldest first. False if one was refused for the id of another."""
        if not jobs:
            return True
        # Before they can be taken; what is refused has its elder there already.
        for job in jobs:
            self._jobs.setdefault((job.task.queue, job.task.id), job)
        return not await self.asynq.enqueue({job.task: since for job, since in jobs.items()})

    async def schedule(self, job: Job, at: float) -> None:
        """Let a job become pending later."""
        self._jobs[job.task.queue, job.task.id] = job
        await self.asynq.schedule(job.task, at)

    def webhook(self, event: str, subject: str) -> Job:
        """Make the job that tells an event to the outside; a few of them fail at first."""

        async def deliver(_: float) -> None:
            if self.customers.random.random() < _WEBHOOK_FAILS_SHARE:
                raise WorkFailed("webhook delivery failed with status 500")

        payload = json.dumps({"event": event, "data": {"transaction_id": subject}}).encode()
        queue = topology.WEBHOOK_QUEUE
        return Job(task=Task(type=queue, queue=queue, payload=payload), work=deliver)

    async def _repeat(self, part: Part) -> None:
        while True:
            await self._in_turn((part,), time.time())
            await asyncio.sleep(_TICK_SECONDS)

    async def _survive(self, part: Part, now: float) -> None:
        try:
            await part(now)
        except (*_DATABASE_TROUBLE, RedisError) as error:
            _log.debug("workload: %s", error)

    async def _in_turn(self, parts: Sequence[Part], now: float) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        for part in parts:
            await self._survive(part, now)
            if task.cancelling():  # a client library may have swallowed the cancellation
                raise asyncio.CancelledError

    async def _trade(self, now: float) -> None:
        """Post and process in turn: with a loop for each, a slow machine would process less than it posts."""
        await self._in_turn((self._post_some, self._decide, self._work), now)

    async def _post_some(self, now: float) -> None:
        await self.post([transfer for _ in range(_REQUESTS_PER_TICK) for transfer in self.customers.some(now)])

    async def _decide(self, now: float) -> None:
        due = [hold for hold in self._holds if hold[0] <= now]
        self._holds = [hold for hold in self._holds if hold[0] > now]
        for _, transfer, decided in due:
            decision = decided or self.customers.random.choices(_DECISIONS, _DECISION_WEIGHTS)[0]
            if decision == "half":
                # Nothing may be left to the expiry of such a hold: Blnk would give back all of it.
                self._holds.append((now + _DECISION_SECONDS, transfer, "commit"))
                await self._act(transfer, "commit", transfer.cents // 2, now)
            elif decision != "forget":
                await self._act(transfer, "commit" if decision == "commit" else "void", None, now)

    async def _work(self, now: float) -> None:
        for consumer in self._consumers:
            await consumer.tick(now)

    async def _beat(self, now: float) -> None:
        if now - self._beaten_at >= HEARTBEAT_SECONDS:
            self._beaten_at = now
            for consumer in self._consumers:
                await consumer.beat(now)

    def _settling(self, transfer: Transfer) -> Job:
        async def settle(now: float) -> None:
            if not await self._settle(transfer, now):
                return
            await self.enqueue({self.webhook(f"transaction.{transfer.outcome.lower()}", transfer.child_id): now})
            if transfer.outcome == "INFLIGHT":
                self._holds.append((now + _DECISION_SECONDS, transfer, ""))

        queue = topology.transaction_queue(transfer.source)
        payload = rows.payload(transfer, self._release)
        # The task has the id that the outcome will have, not that of the queued row.
        task = Task(type=queue, queue=queue, payload=payload, id=transfer.child_id, retry=_TRANSACTION_RETRIES)
        return Job(task=task, work=settle)

    async def _settle(self, transfer: Transfer, now: float) -> bool:
        try:
            async with self._pool.acquire() as connection:
                await books.settle(connection, self._release, transfer, now)
        except asyncpg.UniqueViolationError:
            return False  # done before; only its record in Redis failed
        except _DATABASE_TROUBLE as error:
            raise WorkFailed(f"database: {error}") from error
        return True

    async def _act(self, transfer: Transfer, action: Action, cents: int | None, now: float) -> None:
        """Do as the client says: since 0.15 by a task, before in the request itself."""
        job = self._resolving(transfer, action, cents)
        if self._release == "0.15.2":
            # The task of the decision before is not done yet: the client is refused, and comes again.
            if not await self.enqueue({job: now}):
                self._holds.append((now + _DECISION_SECONDS, transfer, action))
        else:
            with contextlib.suppress(WorkFailed):
                await job.work(now)

    def _expiring(self, transfer: Transfer) -> Job:
        # It knows the queued row alone: there is no other yet when it is scheduled.
        queue, payload = topology.EXPIRY_QUEUE, json.dumps(transfer.id).encode()
        work = self._resolving(transfer, "expiry", None).work
        return Job(task=Task(type=queue, queue=queue, payload=payload, id=transfer.id), work=work)

    def _resolving(self, transfer: Transfer, action: Action, cents: int | None) -> Job:
        async def resolve(now: float) -> None:
            # One that was resolved before is no failure here; Blnk's expiry would be tried again for 20 days.
            try:
                async with self._pool.acquire() as connection:
                    await books.resolve(connection, self._release, transfer, action, now, cents=cents)
            except books.NoHold as error:
                raise WorkFailed(f"NOT_FOUND: transaction with id {error} not found") from error
            except _DATABASE_TROUBLE as error:
                raise WorkFailed(f"database: {error}") from error

        queue, hold = topology.COMMIT_QUEUE, transfer.child_id
        payload = {"transaction_id": hold, "action": action, "precise_amount": str(cents or 0)}
        task = Task(
            type=queue,
            queue=queue,
            payload=json.dumps(payload).encode(),
            id=f"inflight-action:{hold}",
            retry=_TRANSACTION_RETRIES,
        )
        return Job(task=task, work=resolve)

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
