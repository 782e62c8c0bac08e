"""Workers: what each says of itself, and the truth behind it from asynq's heartbeats."""

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from blnk_exporter import config
from blnk_exporter.collector import Gap, Result
from blnk_exporter.collectors import workers
from blnk_exporter.collectors.workers import COLLECTOR, Heartbeats, HeartbeatSource
from blnk_exporter.errors import Malformed, Refused, Unreachable
from blnk_exporter.formats.asynq import Server
from blnk_exporter.health import Health
from blnk_exporter.sandbox.asynq import Asynq
from blnk_exporter.sandbox.task import Server as Beating
from blnk_exporter.sandbox.task import Task
from blnk_exporter.sandbox.valkey import ValkeyServer

from ..conftest import redis_client
from .conftest import Scripted, Somewhere, page, read_page, unseen

EXPECTED = ("new:transaction_1", "new:transaction_2", "new:webhook")


def beating(pid: int = 1, **fields: Any) -> Beating:
    given = {"host": "vm", "pid": pid, "concurrency": 4, "queues": {"new:transaction_1": 1}, "started_at": 1000.5}
    return Beating(**given | fields)


def told(*servers: Server, gaps: tuple[Gap, ...] = ()) -> dict[str, Any]:
    """The page of these heartbeats."""
    reading = Heartbeats(servers=servers, queues=EXPECTED, gaps=gaps)
    return page(COLLECTOR.samples([Result(HeartbeatSource(Scripted([]), EXPECTED), reading)]))


def test_samples_of_three_servers() -> None:
    """Two processes, one server on its way out, one queue that nobody was expected to serve and one that nobody does."""
    assert told(
        Server(("vm", 1), 4, 3, "active", 1000.0, {"new:transaction_1": 1, "extra": 1}),
        Server(("vm", 2), 20, 5, "active", 3000.0, {"new:transaction_1": 1, "new:webhook": 3}),
        Server(("vm", 2), 7, 1, "closed", 2000.0, {"new:transaction_2": 1}),
    ) == {
        "blnk_workers_servers": {(): 3},
        "blnk_workers_processes": {(): 2},
        "blnk_workers_stopping_servers": {(): 1},
        "blnk_workers_oldest_start_timestamp_seconds": {(): 1000},
        "blnk_workers_newest_start_timestamp_seconds": {(): 3000},
        "blnk_workers_queue_consumers": {
            ("new:transaction_1",): 2,
            ("new:transaction_2",): 0,
            ("new:webhook",): 1,
            ("extra",): 1,
        },
        "blnk_workers_queue_slots": {
            ("new:transaction_1",): 24,
            ("new:transaction_2",): 0,
            ("new:webhook",): 20,
            ("extra",): 4,
        },
        "blnk_workers_queue_busy_slots": {
            ("new:transaction_1",): 8,
            ("new:transaction_2",): 0,
            ("new:webhook",): 5,
            ("extra",): 3,
        },
    }


def test_no_heartbeat_at_all_is_zero_servers() -> None:
    """Redis was asked and there is nobody: that is known, and what the alert is for; a start time is not."""
    found = told()
    assert found["blnk_workers_servers"] == {(): 0}
    assert set(found["blnk_workers_queue_consumers"].values()) == {0}
    assert "blnk_workers_newest_start_timestamp_seconds" not in found


def test_an_unreadable_heartbeat_makes_all_of_them_unknown() -> None:
    """It may be the one consumer of a queue: then 0 would be a false alarm."""
    assert told(Server(("vm", 1), 4, 3, "active", 1000.0, {}), gaps=(Gap("heartbeat", "malformed"),)) == {}


def test_redis_gone_leaves_the_instances_own_word() -> None:
    """And says nothing of consumers, in place of zero."""
    results = [
        Result(Somewhere("w:1"), Health(status=200, elapsed_seconds=0.5)),
        Result(HeartbeatSource(Scripted([]), EXPECTED), failure=Unreachable("gone")),
    ]
    found = page(COLLECTOR.samples(results))
    assert found["blnk_workers_up"] == {("w:1",): 1}
    assert {name for name in found if "queue" in name or "servers" in name} == set()


@pytest.mark.parametrize("reply", [b"", b"garbage", Malformed("WRONGTYPE"), Refused("no permission")])
def test_a_heartbeat_that_is_none_is_a_gap(reply: Any) -> None:
    """Evicted, somebody else's bytes under the key, or no right to look: nobody knows what that server serves."""
    reading = workers.parse({b"a": 9.0, b"b": 9.0}, [reply, beating().encode(0)], EXPECTED)
    assert len(reading.servers) == 1
    assert [gap.fact for gap in reading.gaps] == ["heartbeat"]


@pytest.mark.parametrize("seconds_left", [0.5, float("inf")])
def test_a_heartbeat_that_just_expires_is_no_server(seconds_left: float) -> None:
    """Entry and content end within the same second; without a clock a missing content is a dead server's."""
    reading = workers.parse({b"a": seconds_left}, [b""], EXPECTED)
    assert (reading.servers, reading.gaps) == ((), ())


def test_more_servers_than_are_read_is_a_gap() -> None:
    """A part of the truth is not shown as the whole."""
    keys = {str(number).encode(): 9.0 for number in range(1001)}
    reading = workers.parse(keys, [beating().encode(0)] * 1001, EXPECTED)
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("heartbeat", "refused")]


def test_only_keys_that_have_not_expired_are_asked_for() -> None:
    """A killed worker's entry stays in the set for good."""
    members = [b"late", b"101", b"now", b"100", b"dead", b"99.5"]
    assert workers.live_keys(100.0, members) == {b"late": 1.0, b"now": 0.0}
    assert workers.live_keys(100.0, []) == {}


@pytest_asyncio.fixture
async def redis(each_store: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(each_store.url()) as client:
        yield client


@pytest.mark.sandbox
async def test_a_real_store_with_living_and_dead_workers(each_store: ValkeyServer, redis: Redis) -> None:
    """Written as asynq writes; one of them beat for the last time a minute ago."""
    now, asynq = time.time(), Asynq(redis)
    task = Task(type="t", queue="new:webhook", payload=b"")
    await asynq.beat(beating(1), {}, now)
    await asynq.beat(beating(1, concurrency=20, queues={"new:webhook": 3}, started_at=2000.5), {task: now}, now)
    await asynq.expire(beating(2, queues={"new:transaction_2": 1}), now - 60)
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, HeartbeatSource(client, EXPECTED))
    assert found["blnk_workers_servers"] == {(): 2}
    assert found["blnk_workers_processes"] == {(): 1}
    assert found["blnk_workers_queue_consumers"] == {
        ("new:transaction_1",): 1,
        ("new:transaction_2",): 0,
        ("new:webhook",): 1,
    }
    assert found["blnk_workers_queue_busy_slots"][("new:webhook",)] == 1
    assert found["blnk_workers_newest_start_timestamp_seconds"] == {(): 2000.5}
    health = page(COLLECTOR.samples([Result(Somewhere("w:1"), Health(status=200, elapsed_seconds=0.5))]))
    assert unseen(COLLECTOR, found, health) == set()


@pytest.mark.sandbox
async def test_an_empty_store_has_no_servers(each_store: ValkeyServer) -> None:
    """A key that does not exist is an empty set to Redis."""
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, HeartbeatSource(client, EXPECTED))
    assert found["blnk_workers_servers"] == {(): 0}


@pytest.mark.sandbox
async def test_a_set_of_another_type_is_a_failure(each_store: ValkeyServer, redis: Redis) -> None:
    """Other people's key under asynq's name: malformed, and no consumers made up."""
    await redis.set("asynq:servers", "mine")
    async with redis_client(each_store) as client:
        with pytest.raises(Malformed, match="WRONGTYPE"):
            await COLLECTOR.read(HeartbeatSource(client, EXPECTED))


@pytest.mark.sandbox
async def test_a_user_who_may_not_ask_for_the_time_still_sees_the_workers(new_store: Callable[..., Any]) -> None:
    """A dead server's key is gone by itself: without the clock nothing is lost."""
    users = {"exporter": "on >secret +zrevrangebyscore +getrange ~asynq:servers*"}
    async with new_store(users=users) as server, Redis.from_url(server.url()) as redis:
        await Asynq(redis).beat(beating(1), {}, time.time())
        await Asynq(redis).expire(beating(2), time.time() - 60)
        async with redis_client(server, username="exporter", password=SecretStr("secret")) as client:
            found = await read_page(COLLECTOR, HeartbeatSource(client, EXPECTED))
    assert found["blnk_workers_servers"] == {(): 1}


@pytest.mark.sandbox
async def test_a_used_queue_that_nobody_expects_has_no_consumer(each_store: ValkeyServer, redis: Redis) -> None:
    """Its tasks were left behind when the number of queues was lowered."""
    await Asynq(redis).enqueue({Task(type="t", queue="new:transaction_9", payload=b""): time.time()})
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, HeartbeatSource(client, EXPECTED))
    assert found["blnk_workers_queue_consumers"] == {(queue,): 0 for queue in (*EXPECTED, "new:transaction_9")}


@pytest.fixture
def implied(tmp_path: Path) -> tuple[str, ...]:
    """The queues that an empty blnk.json implies, of a release that nobody has named."""
    environ = {"BLNK_DATA_SOURCE_DNS": "postgres://b@127.0.0.1/b", "BLNK_REDIS_DNS": "127.0.0.1:1"}
    return config.load(flags={}, environ=environ, directory=tmp_path).settings.queues


@pytest.mark.sandbox
async def test_a_release_that_nobody_named_lacks_no_consumer(
    each_store: ValkeyServer, redis: Redis, implied: tuple[str, ...]
) -> None:
    """What workers of 0.13.2 serve is all there is, until somebody sends to a queue that they do not know."""
    others = ("new:inflight-expiry", "new:webhook", "new:index")
    served = (*(f"new:transaction_{shard}" for shard in range(1, 21)), *others)
    asynq = Asynq(redis)
    await asynq.beat(beating(queues=dict.fromkeys(served, 1)), {}, time.time())
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, HeartbeatSource(client, implied))
        assert found["blnk_workers_queue_consumers"] == {(queue,): 1 for queue in served}
        await asynq.enqueue({Task(type="t", queue="new:inflight-commit", payload=b""): time.time()})
        found = await read_page(COLLECTOR, HeartbeatSource(client, implied))
    assert found["blnk_workers_queue_consumers"][("new:inflight-commit",)] == 0


@pytest.mark.sandbox
async def test_queues_of_transactions_are_expected_of_any_release(
    each_store: ValkeyServer, redis: Redis, implied: tuple[str, ...]
) -> None:
    """A worker that serves others than the server sends to is a real fault, also before the first task is sent."""
    await Asynq(redis).beat(beating(queues={"payments_1": 1}), {}, time.time())
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, HeartbeatSource(client, implied))
    missing = {(queue,): 0 for queue in implied}
    assert len(missing) == 23
    assert found["blnk_workers_queue_consumers"] == missing | {("payments_1",): 1}


@pytest.mark.parametrize("used", [Refused("no"), [b"x"] * 1001])
def test_an_unreadable_registry_leaves_the_expected(used: Any) -> None:
    """A right less is a queue less, not the room."""
    assert workers.in_use(EXPECTED, used) == EXPECTED


@pytest.mark.sandbox
async def test_an_evicted_heartbeat_is_not_taken_for_no_consumer(each_store: ValkeyServer, redis: Redis) -> None:
    """Policies that evict keys with a time to live take heartbeats too, while their servers work on."""
    await Asynq(redis).beat(beating(1), {}, time.time())
    await redis.delete(*await redis.keys("asynq:servers:*"))
    async with redis_client(each_store) as client:
        reading = await COLLECTOR.read(HeartbeatSource(client, EXPECTED))
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("heartbeat", "malformed")]
    assert page(COLLECTOR.samples([Result(HeartbeatSource(client, EXPECTED), reading)])) == {}


@pytest.mark.sandbox
async def test_a_user_who_may_not_read_heartbeats_gets_no_zero(new_store: Callable[..., Any]) -> None:
    """Whether anybody serves a queue is then unknown."""
    users = {"exporter": "on >secret +zrevrangebyscore +time +srandmember ~asynq:*"}
    async with new_store(users=users) as server, Redis.from_url(server.url()) as redis:
        await Asynq(redis).beat(beating(1), {}, time.time())
        async with redis_client(server, username="exporter", password=SecretStr("secret")) as client:
            reading = await COLLECTOR.read(HeartbeatSource(client, EXPECTED))
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("heartbeat", "refused")]
    assert page(COLLECTOR.samples([Result(HeartbeatSource(client, EXPECTED), reading)])) == {}
