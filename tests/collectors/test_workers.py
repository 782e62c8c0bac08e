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


def told(*servers: Server, gaps: tuple[Gap, ...] = (), foreign: int = 0) -> dict[str, Any]:
    """The page of these heartbeats."""
    reading = Heartbeats(servers=servers, foreign=foreign, queues=EXPECTED, gaps=gaps)
    return page(COLLECTOR.samples([Result(HeartbeatSource(Scripted([]), EXPECTED), reading)]))


def test_samples_of_three_servers() -> None:
    """Two processes, one server about to stop, and one queue that only that one serves."""
    assert told(
        Server(("vm", 1), 4, 3, "active", 1000.0, {"new:transaction_1": 1, "extra": 1}, -7.0),
        Server(("vm", 2), 20, 5, "active", 3000.0, {"new:transaction_1": 1, "new:webhook": 3}, 2.0),
        Server(("vm", 2), 7, 1, "closed", 2000.0, {"new:transaction_2": 1}),
        foreign=4,
    ) == {
        "blnk_workers_servers": {(): 3},
        "blnk_workers_foreign_servers": {(): 4},
        "blnk_workers_clock_skew_seconds": {(): -7},
        "blnk_workers_processes": {(): 2},
        "blnk_workers_stopping_servers": {(): 1},
        "blnk_workers_oldest_start_timestamp_seconds": {(): 1000},
        "blnk_workers_newest_start_timestamp_seconds": {(): 3000},
        "blnk_workers_queue_consumers": {
            ("new:transaction_1",): 2,
            ("new:transaction_2",): 0,
            ("new:webhook",): 1,
        },
        "blnk_workers_queue_slots": {
            ("new:transaction_1",): 24,
            ("new:transaction_2",): 0,
            ("new:webhook",): 20,
        },
        "blnk_workers_queue_busy_slots": {
            ("new:transaction_1",): 8,
            ("new:transaction_2",): 0,
            ("new:webhook",): 5,
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
    servers, gaps = workers.parse({b"a": 9.0, b"b": 9.0}, [0.0, reply, -2, beating().encode(0), 9000])
    assert len(servers) == 1
    assert [gap.fact for gap in gaps] == ["heartbeat"]


@pytest.mark.parametrize("seconds_left", [-3600.0, -8.0, 0.5, 12.0, 3600.0, float("inf")])
def test_a_heartbeat_that_does_not_exist_is_not_a_server(seconds_left: float) -> None:
    """Entry and content end within the same second; a score beyond a heartbeat's life is another clock's."""
    assert workers.parse({b"a": seconds_left}, [0.0, b"", -2]) == ([], [])


@pytest.mark.parametrize(("seconds_left", "gaps"), [(9.0, 1), (-59.0, 1), (-61.0, 0)])
async def test_more_servers_than_are_read_is_a_gap(seconds_left: float, gaps: int) -> None:
    """A part of the truth is not shown as the whole; entries of servers that died long ago are left out first."""
    members = [part for number in range(1001) for part in (b"%d" % number, b"%f" % (1000 + seconds_left))]
    replies = [b"1000", b"0"], *([beating().encode(0), 9000] * 1000)
    scripted = Scripted([[[b"1000", b"0"], members, []], [replies[0], *replies[1:]]])
    reading = await COLLECTOR.read(HeartbeatSource(scripted, EXPECTED))
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("heartbeat", "refused")] * gaps
    assert len(reading.servers) == 1000


def test_only_keys_of_the_last_day_are_asked_for() -> None:
    """A killed worker's entry stays in the set for good; a living one's score is as wrong as its host's clock."""
    members = [b"ahead", b"103600", b"now", b"100000", b"behind", b"96400", b"dead", b"13599"]
    assert workers.candidates(100_000.0, members) == {b"ahead": 3600.0, b"now": 0.0, b"behind": -3600.0}
    assert workers.candidates(100.0, []) == {}


def test_skew_is_what_two_clocks_say_of_one_moment() -> None:
    """A heartbeat that lives another 4 seconds by Redis' clock and 12 by its own; half a second is rounded away."""
    (server,), gaps = workers.parse({b"a": 12.0}, [0.5, beating().encode(0), 4000])
    assert (server.clock_skew_seconds, gaps) == (8.0, [])


@pytest.mark.parametrize(
    ("passed", "ttl", "facts"),
    [
        (0.0, Refused("pttl"), ["clock_skew"]),
        (Refused("time"), 9000, ["clock_skew"]),
        (0.0, -1, []),
        (float("inf"), 9, []),
    ],
)
def test_without_either_clock_the_skew_is_unknown(passed: Any, ttl: Any, facts: list[str]) -> None:
    """The server is there all the same."""
    (server,), gaps = workers.parse({b"a": 9.0}, [passed, beating().encode(0), ttl])
    assert (server.clock_skew_seconds, [gap.fact for gap in gaps]) == (None, facts)


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
        source = HeartbeatSource(client, implied, ("new:inflight-commit",))
        found = await read_page(COLLECTOR, source)
        assert found["blnk_workers_queue_consumers"] == {(queue,): 1 for queue in served}
        await asynq.enqueue({Task(type="t", queue="new:inflight-commit", payload=b""): time.time()})
        found = await read_page(COLLECTOR, source)
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
    assert found["blnk_workers_queue_consumers"] == missing
    assert (found["blnk_workers_servers"], found["blnk_workers_foreign_servers"]) == ({(): 0}, {(): 1})


@pytest.mark.sandbox
@pytest.mark.parametrize("own", [0, 1])
async def test_another_application_in_the_same_redis_is_not_blnks_worker(
    each_store: ValkeyServer, redis: Redis, own: int
) -> None:
    """Its servers must not keep the alerts silent, nor its queues raise them."""
    asynq, now = Asynq(redis), time.time()
    await asynq.beat(beating(7, queues={"emails": 1, "default": 1}, started_at=9000.0), {}, now)
    await asynq.enqueue({Task(type="t", queue=queue, payload=b""): now for queue in ("emails", "reports_1")})
    for pid in range(own):
        await asynq.beat(beating(pid, queues={"new:transaction_1": 1, "emails": 1}), {}, now)
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, HeartbeatSource(client, EXPECTED))
        everything = await read_page(COLLECTOR, HeartbeatSource(client, ()))
    assert found["blnk_workers_servers"] == found["blnk_workers_processes"] == {(): own}
    assert found["blnk_workers_foreign_servers"] == {(): 1}
    starts = [found.get(f"blnk_workers_{which}_start_timestamp_seconds") for which in ("oldest", "newest")]
    assert starts == [{(): 1000.5} if own else None] * 2
    assert found["blnk_workers_queue_consumers"] == {(queue,): own * (queue == EXPECTED[0]) for queue in EXPECTED}
    # Without a configuration of Blnk nothing distinguishes them.
    assert everything["blnk_workers_servers"] == {(): own + 1}
    assert everything["blnk_workers_foreign_servers"] == {(): 0}


@pytest.mark.sandbox
@pytest.mark.parametrize("skew", [-3600, -60, -12, -8, -5, 0, 5, 60, 3600])
async def test_a_worker_with_a_wrong_clock_lives(each_store: ValkeyServer, redis: Redis, skew: int) -> None:
    """Its key exists, by Redis' clock; how far its own clock is off is a fact. One that died is dead by any clock."""
    asynq, now = Asynq(redis), time.time()
    await asynq.beat(beating(1), {}, now)
    await asynq.beat(beating(2), {}, now + skew)
    await asynq.expire(beating(3), now - 600 + skew)
    async with redis_client(each_store) as client:
        reading = await COLLECTOR.read(HeartbeatSource(client, EXPECTED))
        found = page(COLLECTOR.samples([Result(HeartbeatSource(client, EXPECTED), reading)]))
    assert found["blnk_workers_servers"] == {(): 2}
    assert found["blnk_workers_queue_consumers"][("new:transaction_1",)] == 2
    assert found["blnk_workers_clock_skew_seconds"][()] == pytest.approx(skew, abs=1)


def test_shards_beyond_the_expected_ones_are_blnks() -> None:
    """They are left behind when the number of queues is lowered; a hot lane may have been switched off."""
    source = HeartbeatSource(Scripted([]), EXPECTED, ("hot_transactions",))
    owned = ("new:transaction_1", "new:transaction_99", "new:webhook", "hot_transactions")
    assert all(map(source.owns, owned))
    foreign = ("new:transaction_", "transaction_1", "emails_1", "new:webhook_1", "new:transaction_1_x", "")
    assert not any(map(source.owns, foreign))


@pytest.mark.parametrize("used", [Refused("no"), [b"x"] * 1001])
def test_an_unreadable_registry_leaves_the_expected(used: Any) -> None:
    """A right less is a queue less, not the room."""
    assert workers.in_use(HeartbeatSource(Scripted([]), EXPECTED), used, ()) == EXPECTED


async def test_heartbeats_are_read_within_a_bound() -> None:
    """A thousand servers with as many queues as fit: the bytes of all of them together are bounded."""
    asked: list[tuple[Any, ...]] = []

    class Asked(Scripted):
        async def execute(self, *commands: tuple[Any, ...]) -> list[Any]:
            asked.extend(commands)
            return await super().execute(*commands)

    for count in (1, 1000):
        asked.clear()
        members = [part for number in range(count) for part in (b"%d" % number, b"1009")]
        replies = [[b"1000", b"0"], *[b"", -2] * count]
        await COLLECTOR.read(HeartbeatSource(Asked([[[b"1000", b"0"], members, []], replies]), EXPECTED))
        sizes = [command[3] for command in asked if command[0] == "GETRANGE"]
        assert len(sizes) == count
        assert 1000 < sizes[0] < 65_536
        assert sum(sizes) <= 2 << 20


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
    assert {(gap.fact, gap.reason) for gap in reading.gaps} == {("heartbeat", "refused"), ("clock_skew", "refused")}
    assert page(COLLECTOR.samples([Result(HeartbeatSource(client, EXPECTED), reading)])) == {}
