"""What asynq would find in Redis after each step: keys, types, counters."""

from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter.sandbox.asynq import Asynq
from blnk_exporter.sandbox.task import Server, Task

pytestmark = pytest.mark.sandbox

NOW = 1_795_384_152.5
QUEUE = "new:transaction_4"
TASK = Task(type=QUEUE, queue=QUEUE, payload=b"{}", id="txn_1", retry=5)


@pytest_asyncio.fixture
async def asynq(redis: Redis) -> Asynq:
    return Asynq(redis)


async def contents(redis: Redis) -> dict[str, Any]:
    """Every key of the queue with its value, the task's message left out."""
    found: dict[str, Any] = {}
    for key in sorted(await redis.keys("asynq:{*")):
        name = key.decode().partition("}:")[2]
        match await redis.type(key):
            case b"list":
                found[name] = [item.decode() for item in await redis.lrange(key, 0, -1)]
            case b"zset":
                found[name] = {
                    member.decode(): score for member, score in await redis.zrange(key, 0, -1, withscores=True)
                }
            case b"hash":
                found[name] = {
                    field.decode(): value.decode()
                    for field, value in (await redis.hgetall(key)).items()
                    if field != b"msg"
                }
            case _:
                found[name] = (await redis.get(key)).decode()
    return found


async def test_enqueue(asynq: Asynq, redis: Redis) -> None:
    later = Task(type=QUEUE, queue=QUEUE, payload=b"", id="txn_2")
    await asynq.enqueue({TASK: NOW, later: NOW + 1})
    assert await redis.smembers("asynq:queues") == {QUEUE.encode()}
    assert await contents(redis) == {
        "pending": ["txn_2", "txn_1"],  # the oldest is the last
        "t:txn_1": {"state": "pending", "pending_since": "1795384152500000000"},
        "t:txn_2": {"state": "pending", "pending_since": "1795384153500000000"},
    }
    assert await redis.hget(f"asynq:{{{QUEUE}}}:t:txn_1", "msg") == TASK.encode()


async def test_an_id_that_is_taken_is_refused(asynq: Asynq, redis: Redis) -> None:
    """As long as its task is anywhere in the queue: else the end of the one would take the content of the other."""
    assert await asynq.enqueue({TASK: NOW}) == []
    before = await contents(redis)
    assert await asynq.enqueue({TASK: NOW + 5}) == [TASK]
    assert await contents(redis) == before
    await asynq.dequeue([QUEUE], NOW)
    assert await asynq.enqueue({TASK: NOW + 6}) == [TASK]
    await asynq.complete([TASK], NOW + 7)
    assert await asynq.enqueue({TASK: NOW + 8}) == []


async def test_dequeue_takes_the_oldest_with_a_lease(asynq: Asynq, redis: Redis) -> None:
    await asynq.enqueue({TASK: NOW})
    assert await asynq.dequeue(["new:other", QUEUE], NOW) == (QUEUE, "txn_1")
    assert await asynq.dequeue([QUEUE], NOW) is None
    expected = {"active": ["txn_1"], "lease": {"txn_1": 1_795_384_182.0}, "t:txn_1": {"state": "active"}}
    assert await contents(redis) == expected
    await asynq.extend([TASK], NOW + 5)
    assert (await contents(redis))["lease"] == {"txn_1": 1_795_384_187.0}


async def test_complete_counts_for_ever_and_for_the_day(asynq: Asynq, redis: Redis) -> None:
    await asynq.enqueue({TASK: NOW})
    await asynq.dequeue([QUEUE], NOW)
    await asynq.complete([TASK], NOW)
    assert await contents(redis) == {"processed": "1", "processed:2026-11-22": "1"}
    assert await redis.ttl(f"asynq:{{{QUEUE}}}:processed") == -1
    assert await redis.expiretime(f"asynq:{{{QUEUE}}}:processed:2026-11-22") == int(NOW) + 90 * 86400


async def test_retry_and_archive_count_as_failures(asynq: Asynq, redis: Redis) -> None:
    await asynq.enqueue({TASK: NOW})
    await asynq.dequeue([QUEUE], NOW)
    await asynq.retry(TASK.failed("no", NOW), NOW + 16, NOW)
    assert await contents(redis) == {
        "retry": {"txn_1": 1_795_384_168.0},
        "t:txn_1": {"state": "retry"},
        **dict.fromkeys(("processed", "processed:2026-11-22", "failed", "failed:2026-11-22"), "1"),
    }
    await asynq.forward([QUEUE], NOW + 15)
    assert "pending" not in await contents(redis)
    await asynq.forward([QUEUE], NOW + 16)
    assert (await contents(redis))["pending"] == ["txn_1"]
    await asynq.dequeue([QUEUE], NOW + 16)
    await asynq.archive(TASK, NOW + 20)
    found = await contents(redis)
    assert (found["archived"], found["failed"]) == ({"txn_1": 1_795_384_172.0}, "2")
    assert "active" not in found


async def test_schedule_becomes_pending_when_due(asynq: Asynq, redis: Redis) -> None:
    await asynq.schedule(TASK, NOW + 60)
    assert await contents(redis) == {"scheduled": {"txn_1": 1_795_384_212.0}, "t:txn_1": {"state": "scheduled"}}
    await asynq.forward([QUEUE], NOW + 61)
    assert (await contents(redis))["t:txn_1"] == {"state": "pending", "pending_since": "1795384213500000000"}


async def test_paused_queue_is_passed_over(asynq: Asynq, redis: Redis) -> None:
    await asynq.enqueue({TASK: NOW})
    await asynq.pause(QUEUE, NOW)
    await asynq.pause(QUEUE, NOW + 99)
    assert await asynq.dequeue([QUEUE], NOW) is None
    assert await redis.get(f"asynq:{{{QUEUE}}}:paused") == b"1795384152"
    await asynq.unpause(QUEUE)
    assert await asynq.dequeue([QUEUE], NOW) == (QUEUE, "txn_1")


async def test_evicted_task_stays_active_as_a_stub(asynq: Asynq, redis: Redis) -> None:
    """The loss that nobody logs: facts/blnk.md §6.1."""
    await asynq.enqueue({TASK: NOW})
    await redis.delete(f"asynq:{{{QUEUE}}}:t:txn_1")
    assert await asynq.dequeue([QUEUE], NOW) is None
    expected = {"active": ["txn_1"], "lease": {"txn_1": 1_795_384_182.0}, "t:txn_1": {"state": "active"}}
    assert await contents(redis) == expected


async def test_heartbeat_and_its_ends(asynq: Asynq, redis: Redis) -> None:
    server = Server(host="vm", pid=7, concurrency=4, queues={QUEUE: 1}, started_at=NOW)
    servers, workers = f"asynq:servers:{server.key}", f"asynq:workers:{server.key}"
    await asynq.beat(server, {TASK: NOW}, NOW)
    assert await redis.zrange("asynq:servers", 0, -1, withscores=True) == [(servers.encode(), 1_795_384_162.0)]
    assert await redis.zrange("asynq:workers", 0, -1, withscores=True) == [(workers.encode(), 1_795_384_162.0)]
    assert await redis.get(servers) == server.encode(1)
    assert await redis.hgetall(workers) == {b"txn_1": server.encode_worker(TASK, NOW)}
    assert 8 < await redis.ttl(servers) <= 10
    assert 8 < await redis.ttl(workers) <= 10
    await asynq.beat(server, {}, NOW + 5)
    assert await redis.exists(workers) == 0
    await asynq.expire(server, NOW - 600)
    assert await redis.exists(servers) == 0
    assert await redis.zscore("asynq:servers", servers) == 1_795_383_562.0
    await asynq.clear(server)
    assert await redis.keys("asynq:*") == []
