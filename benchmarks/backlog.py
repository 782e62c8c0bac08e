"""Fills queues as asynq fills them, a million tasks in seconds: the server itself writes them out of one pattern."""

import json
import time
from typing import Any, cast
from uuid import UUID

from redis.asyncio import Redis

from blnk_exporter.sandbox.asynq import Asynq, prefix
from blnk_exporter.sandbox.task import Server, Task
from blnk_exporter.sandbox.topology import (
    TRANSACTION_CONCURRENCY,
    WEBHOOK_CONCURRENCY,
    WEBHOOK_WEIGHTS,
)

# Of so many pending tasks there is one in each other state.
_OTHERS = 100
_OTHER_STATES = ("scheduled", "retry", "archived", "completed")
_CHUNK = 5000
_YEAR_SECONDS = 365 * 86_400
_ID = str(UUID(int=0))
_PAYLOAD_BYTES = 480
# KEYS: the queue's prefix. ARGV: state, first and last number, the message before and after its id, Unix seconds.
_WRITE = """
local state, prefix = ARGV[1], KEYS[1]
for number = tonumber(ARGV[2]), tonumber(ARGV[3]) do
    local id = string.format("00000000-0000-4000-8000-%012d", number)
    local key = prefix .. "t:" .. id
    redis.call("HSET", key, "msg", ARGV[4] .. id .. ARGV[5], "state", state)
    if state == "pending" then
        redis.call("HSET", key, "pending_since", ARGV[6] .. "000000000")
        redis.call("LPUSH", prefix .. "pending", id)
    else
        redis.call("ZADD", prefix .. state, ARGV[6], id)
    end
end
"""


async def fill(redis: Redis, queues: tuple[str, ...], tasks: int) -> None:
    """Announce the queues, give each its share of the pending tasks and some in the other states, and two consumers."""
    now = time.time()
    for place, queue in enumerate(queues):
        await cast("Any", redis.sadd("asynq:queues", queue))
        share = tasks // len(queues) + (place < tasks % len(queues))
        await _write(redis, queue, "pending", 0, share, now)
        for number, state in enumerate(_OTHER_STATES, 1):
            await _write(redis, queue, state, number * 10**9, -(-share // _OTHERS), now)
        for counter in ("processed", "failed"):
            await redis.set(f"{prefix(queue)}{counter}", tasks)
            await redis.set(f"{prefix(queue)}{counter}:{time.strftime('%Y-%m-%d', time.gmtime(now))}", share)
    await _beat(redis, queues, now)


async def _write(redis: Redis, queue: str, state: str, first: int, count: int, now: float) -> None:
    body = json.dumps({"transaction_id": "txn", "meta_data": "x" * _PAYLOAD_BYTES}).encode()
    head, _, tail = Task(type=queue, queue=queue, payload=body, id=_ID).encode().partition(_ID.encode())
    for begin in range(first, first + count, _CHUNK):
        last = min(begin + _CHUNK, first + count) - 1
        arguments = (state, str(begin), str(last), head, tail, str(int(now)))
        await cast("Any", redis.eval(_WRITE, 1, prefix(queue), *cast("Any", arguments)))


async def _beat(redis: Redis, queues: tuple[str, ...], now: float) -> None:
    """The heartbeats of one worker process, which stay: nobody is there to renew them."""
    transactions = dict.fromkeys((name for name in queues if name not in WEBHOOK_WEIGHTS), 1)
    consumers = ((transactions, TRANSACTION_CONCURRENCY), (WEBHOOK_WEIGHTS, WEBHOOK_CONCURRENCY))
    for weights, concurrency in consumers:
        server = Server(host="worker", pid=1, concurrency=concurrency, queues=weights, started_at=now)
        await Asynq(redis).beat(server, {}, now + _YEAR_SECONDS)
        await redis.persist(f"asynq:servers:{server.key}")
