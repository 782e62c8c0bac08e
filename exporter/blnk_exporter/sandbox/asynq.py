"""Writes to Redis what asynq v0.25.1 writes: the same keys, the same types, each step at once.

Source: asynq ``internal/rdb/rdb.go``. What Blnk does not use is left out: unique locks, groups, retention. The
archive is not trimmed; the sandbox never comes near asynq's 10 000.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from redis.asyncio import Redis

from .task import Server, Task

# redis-py types a pipeline's commands as awaitables, though it only collects them.
_Pipe = Any

LEASE_SECONDS = 30
HEARTBEAT_SECONDS = 5
_HEARTBEAT_TTL_SECONDS = 10
_DAY_COUNTER_TTL_SECONDS = 90 * 24 * 3600

# KEYS: for each queue its prefix. A paused queue is passed over; so is, as in asynq, a task whose hash was lost,
# which then stays in active and lease for ever.
_DEQUEUE = """
for number, prefix in ipairs(KEYS) do
    if redis.call("EXISTS", prefix .. "paused") == 0 then
        local id = redis.call("RPOPLPUSH", prefix .. "pending", prefix .. "active")
        if id then
            local key = prefix .. "t:" .. id
            redis.call("HSET", key, "state", "active")
            redis.call("HDEL", key, "pending_since")
            redis.call("ZADD", prefix .. "lease", ARGV[1], id)
            if redis.call("HEXISTS", key, "msg") == 1 then return {number, id} end
        end
    end
end
return false
"""
# KEYS: prefixes. ARGV: now in seconds, now in nanoseconds.
_FORWARD = """
local moved = 0
for _, prefix in ipairs(KEYS) do
    for _, state in ipairs({"scheduled", "retry"}) do
        for _, id in ipairs(redis.call("ZRANGEBYSCORE", prefix .. state, "-inf", ARGV[1], "LIMIT", 0, 100)) do
            redis.call("LPUSH", prefix .. "pending", id)
            redis.call("ZREM", prefix .. state, id)
            redis.call("HSET", prefix .. "t:" .. id, "state", "pending", "pending_since", ARGV[2])
            moved = moved + 1
        end
    end
end
return moved
"""


def prefix(queue: str) -> str:
    """Begin every key of a queue."""
    return f"asynq:{{{queue}}}:"


class Asynq:
    """The writing half of asynq on one Redis. Times are Unix seconds and given by the caller."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # asynq, too, announces a queue only once per process: evicted, the name stays away until a restart.
        self._announced: set[str] = set()

    async def enqueue(self, tasks: Mapping[Task, float]) -> Sequence[Task]:
        """Make tasks pending, each since its time; give the oldest first. Gives those whose id is taken, which it refuses."""
        async with self._begin() as pipe:
            for task in tasks:
                pipe.exists(f"{prefix(task.queue)}t:{task.id}")
            taken = [task for task, exists in zip(tasks, await pipe.execute(), strict=True) if exists]
        async with self._begin() as pipe:
            for task, since in tasks.items():
                if task in taken:
                    continue
                self._announce(pipe, task.queue)
                self._store(pipe, task, "pending", {"pending_since": int(since * 1_000_000_000)})
                pipe.lpush(f"{prefix(task.queue)}pending", task.id)
            await pipe.execute()
        return taken

    async def schedule(self, task: Task, at: float) -> None:
        """Let a task become pending later."""
        async with self._begin() as pipe:
            self._announce(pipe, task.queue)
            self._store(pipe, task, "scheduled")
            pipe.zadd(f"{prefix(task.queue)}scheduled", {task.id: int(at)})
            await pipe.execute()

    async def dequeue(self, queues: Sequence[str], now: float) -> tuple[str, str] | None:
        """Take the oldest task of the first queue that has one: its queue and id."""
        keys = [prefix(queue) for queue in queues]
        taken = await cast("Any", self._redis.eval(_DEQUEUE, len(keys), *keys, str(int(now) + LEASE_SECONDS)))
        return (queues[taken[0] - 1], taken[1].decode()) if taken else None

    async def forward(self, queues: Sequence[str], now: float) -> None:
        """Make scheduled and retried tasks pending whose time has come."""
        keys = [prefix(queue) for queue in queues]
        await cast("Any", self._redis.eval(_FORWARD, len(keys), *keys, str(now), str(int(now * 1_000_000_000))))

    async def complete(self, tasks: Iterable[Task], now: float) -> None:
        """Forget tasks that went well and count them."""
        async with self._begin() as pipe:
            for task in tasks:
                self._release(pipe, task)
                pipe.delete(f"{prefix(task.queue)}t:{task.id}")
                self._count(pipe, task.queue, ("processed",), now)
            await pipe.execute()

    async def retry(self, task: Task, at: float, now: float) -> None:
        """Put off a task that failed; ``task`` as it is after the failure."""
        await self._fail(task, "retry", at, now)

    async def archive(self, task: Task, now: float) -> None:
        """Give a task up for good; ``task`` as it is after its last failure."""
        await self._fail(task, "archived", now, now)

    async def extend(self, tasks: Iterable[Task], now: float) -> None:
        """Renew the leases of tasks that are worked on."""
        async with self._begin() as pipe:
            for task in tasks:
                pipe.zadd(f"{prefix(task.queue)}lease", {task.id: int(now) + LEASE_SECONDS}, xx=True)
            await pipe.execute()

    async def pause(self, queue: str, now: float) -> None:
        """Stop the consumers of a queue."""
        await self._redis.set(f"{prefix(queue)}paused", int(now), nx=True)

    async def unpause(self, queue: str) -> None:
        """Undo ``pause``."""
        await self._redis.delete(f"{prefix(queue)}paused")

    async def beat(self, server: Server, working: Mapping[Task, float], now: float) -> None:
        """Write a server's heartbeat; ``working`` maps its tasks to when it took them."""
        servers, workers = f"asynq:servers:{server.key}", f"asynq:workers:{server.key}"
        expires = int(now) + _HEARTBEAT_TTL_SECONDS
        async with self._begin() as pipe:
            pipe.zadd("asynq:servers", {servers: expires})
            pipe.set(servers, server.encode(len(working)), ex=_HEARTBEAT_TTL_SECONDS)
            pipe.zadd("asynq:workers", {workers: expires})
            pipe.delete(workers)
            if working:
                fields = {task.id: server.encode_worker(task, since) for task, since in working.items()}
                pipe.hset(workers, mapping=cast("Any", fields))
                pipe.expire(workers, _HEARTBEAT_TTL_SECONDS)
            await pipe.execute()

    async def clear(self, server: Server) -> None:
        """Remove a server's heartbeat, as it does itself when it stops in order."""
        async with self._begin() as pipe:
            for kind in ("asynq:servers", "asynq:workers"):
                pipe.zrem(kind, f"{kind}:{server.key}")
                pipe.delete(f"{kind}:{server.key}")
            await pipe.execute()

    async def expire(self, server: Server, beaten_at: float) -> None:
        """Leave what is left of a server that died: its keys have run out, the entries that name them stay."""
        async with self._begin() as pipe:
            for kind in ("asynq:servers", "asynq:workers"):
                pipe.zadd(kind, {f"{kind}:{server.key}": int(beaten_at) + _HEARTBEAT_TTL_SECONDS})
                pipe.delete(f"{kind}:{server.key}")
            await pipe.execute()

    async def _fail(self, task: Task, state: str, score: float, now: float) -> None:
        async with self._begin() as pipe:
            self._announce(pipe, task.queue)
            self._release(pipe, task)
            self._store(pipe, task, state)
            pipe.zadd(f"{prefix(task.queue)}{state}", {task.id: int(score)})
            self._count(pipe, task.queue, ("processed", "failed"), now)
            await pipe.execute()

    def _begin(self) -> _Pipe:
        return self._redis.pipeline(transaction=True)

    def _announce(self, pipe: _Pipe, queue: str) -> None:
        if queue not in self._announced:
            pipe.sadd("asynq:queues", queue)
            self._announced.add(queue)

    @staticmethod
    def _store(pipe: _Pipe, task: Task, state: str, extra: Mapping[str, int] | None = None) -> None:
        fields = {"msg": task.encode(), "state": state, **(extra or {})}
        pipe.hset(f"{prefix(task.queue)}t:{task.id}", mapping=cast("Any", fields))

    @staticmethod
    def _release(pipe: _Pipe, task: Task) -> None:
        pipe.lrem(f"{prefix(task.queue)}active", 0, task.id)
        pipe.zrem(f"{prefix(task.queue)}lease", task.id)

    @staticmethod
    def _count(pipe: _Pipe, queue: str, counters: Iterable[str], now: float) -> None:
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        for counter in counters:
            pipe.incr(f"{prefix(queue)}{counter}:{day}")
            pipe.expireat(f"{prefix(queue)}{counter}:{day}", int(now) + _DAY_COUNTER_TTL_SECONDS)
            pipe.incr(f"{prefix(queue)}{counter}")
