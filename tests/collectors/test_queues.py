"""asynq's queues: hand-built readings, and real stores in every state that one finds them in."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from blnk_exporter.collector import Result, Room
from blnk_exporter.collectors import queues, redis, workers
from blnk_exporter.collectors.queues import COLLECTOR, QueueSource, QueuesReading
from blnk_exporter.collectors.workers import HeartbeatSource
from blnk_exporter.errors import Malformed, Refused, Unreachable
from blnk_exporter.formats.asynq_queue import Queue
from blnk_exporter.sandbox.asynq import Asynq, prefix
from blnk_exporter.sandbox.task import Task
from blnk_exporter.sandbox.valkey import ValkeyServer
from blnk_exporter.scrape import Scraper

from ..conftest import redis_client, wire_to
from ..waiting import PATIENCE_SECONDS
from .conftest import Scripted, Somewhere, page, read_page, unseen

NOW = 1_795_384_291.5
# Every fact of one queue, each with a number of its own.
FULL = Queue(
    "q", expected=True, registered=True, pending=1, active=2, scheduled=3, retry=4, archived=5, processed=6, failed=7,
    paused=True, paused_at=NOW - 8, scheduled_due_at=NOW - 90, retry_due_at=NOW - 100, scheduled_overdue=11,
    retry_overdue=12, stale_leases=13, last_death_at=NOW - 14, pending_since=NOW - 15, head_lost=False,
)  # fmt: skip


def task(queue: str, number: int = 0, **fields: Any) -> Task:
    return Task(type=queue, queue=queue, payload=b"{}", id=f"txn_{queue}_{number}", **fields)


def told(*found: Queue, now: float | None = NOW, unlisted: int | None = 0) -> dict[str, Any]:
    """The page of these queues, without the room's prefix."""
    reading = QueuesReading(now=now, queues=found, registry_size=unlisted, unlisted=unlisted, limit=100)
    whole = page(COLLECTOR.samples([Result(Somewhere(), reading)]))
    return {name.removeprefix("blnk_queues_"): series for name, series in whole.items()}


def test_samples_of_a_queue_with_everything() -> None:
    """Each fact under its own name, times as they are, ages against Redis' clock."""
    assert told(FULL) == {
        "limit": {(): 100},
        "registry_size": {(): 0},
        "unlisted": {(): 0},
        **{name: {("q",): 1} for name in ("expected", "registered", "pending_tasks", "paused")},
        "active_tasks": {("q",): 2},
        "scheduled_tasks": {("q",): 3},
        "retry_tasks": {("q",): 4},
        "archived_tasks": {("q",): 5},
        "processed_total": {("q",): 6},
        "failed_total": {("q",): 7},
        "paused_timestamp_seconds": {("q",): NOW - 8},
        "scheduled_overdue_age_seconds": {("q",): 90},
        "retry_overdue_age_seconds": {("q",): 100},
        "scheduled_overdue_tasks": {("q",): 11},
        "retry_overdue_tasks": {("q",): 12},
        "stale_lease_tasks": {("q",): 13},
        "last_archived_timestamp_seconds": {("q",): NOW - 14},
        "oldest_pending_age_seconds": {("q",): 15},
        "head_task_lost": {("q",): 0},
    }


def test_what_is_not_known_of_a_queue_is_absent() -> None:
    """Only that it is expected is known without Redis' word."""
    assert told(Queue("q", expected=True, registered=None), unlisted=None) == {
        "limit": {(): 100},
        "expected": {("q",): 1},
    }


def test_ages_need_a_clock_and_are_never_negative() -> None:
    """Blnk's clock may run ahead of Redis'."""
    assert told(replace(FULL, pending_since=NOW + 5))["oldest_pending_age_seconds"] == {("q",): 0}
    assert {name for name in told(FULL, now=None) if "age" in name.split("_")} == set()


def test_redis_gone_is_no_queue() -> None:
    """A failure is told by the collector's success, not by zeros."""
    assert page(COLLECTOR.samples([Result(Somewhere(), failure=Unreachable("gone"))])) == {}


@pytest_asyncio.fixture
async def admin(each_store: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(each_store.url()) as client:
        yield client


@pytest.mark.sandbox
async def test_a_real_store_with_a_queue_in_every_state(each_store: ValkeyServer, admin: Redis) -> None:
    """Written as asynq writes, by Redis' clock; every declared metric is seen."""
    asynq, (seconds, _) = Asynq(admin), await admin.time()
    first, second, busy = (task("busy", number) for number in range(3))
    await asynq.enqueue({busy: seconds - 300})
    await asynq.dequeue(["busy"], seconds - 250)
    await asynq.enqueue({first: seconds - 120, second: seconds - 5})
    await asynq.schedule(task("busy", 4), seconds + 3600)
    await asynq.schedule(task("busy", 5), seconds - 200)
    await asynq.retry(task("busy", 6).failed("no", seconds), seconds - 100, seconds)
    await asynq.archive(task("busy", 7), seconds - 1000)
    await asynq.complete([task("busy", 8)], seconds)
    await asynq.pause("busy", seconds - 60)
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, QueueSource(client, ("busy", "idle"), 100))
    assert unseen(COLLECTOR, found) == set()
    at = {name.removeprefix("blnk_queues_"): series.get(("busy",)) for name, series in found.items()}
    assert (at["pending_tasks"], at["active_tasks"], at["scheduled_tasks"], at["retry_tasks"]) == (2, 1, 2, 1)
    assert (at["archived_tasks"], at["processed_total"], at["failed_total"]) == (1, 3, 2)
    assert (at["paused"], at["paused_timestamp_seconds"]) == (1, seconds - 60)
    assert (at["scheduled_overdue_tasks"], at["retry_overdue_tasks"], at["stale_lease_tasks"]) == (1, 1, 1)
    assert at["last_archived_timestamp_seconds"] == seconds - 1000
    assert at["head_task_lost"] == 0
    assert at["oldest_pending_age_seconds"] == pytest.approx(120, abs=5)
    assert at["scheduled_overdue_age_seconds"] == pytest.approx(200, abs=5)
    assert at["retry_overdue_age_seconds"] == pytest.approx(100, abs=5)
    idle = {name.removeprefix("blnk_queues_"): series.get(("idle",)) for name, series in found.items()}
    assert (idle["expected"], idle["registered"], idle["pending_tasks"], idle["processed_total"]) == (1, 0, 0, 0)
    assert idle["oldest_pending_age_seconds"] is None
    assert idle["last_archived_timestamp_seconds"] is None


@pytest.mark.sandbox
async def test_a_task_that_lost_its_content_is_seen(each_store: ValkeyServer, admin: Redis) -> None:
    """Eviction under allkeys-lru: asynq itself says nothing of it."""
    await Asynq(admin).enqueue({task("q", 1): time.time(), task("q", 2): time.time()})
    await admin.delete(f"{prefix('q')}t:{task('q', 1).id}")
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, QueueSource(client, (), 100))
    assert found["blnk_queues_head_task_lost"] == {("q",): 1}
    assert "blnk_queues_oldest_pending_age_seconds" not in found


@pytest.mark.sandbox
async def test_odd_names_come_through(each_store: ValkeyServer, admin: Redis) -> None:
    """Quotes, newlines, every alphabet, bytes that are no text."""
    names = [b'quo"te', b"new\nline", "Ünïcøde 🐘".encode(), b"\xff\xfe", b"{}:pending"]
    await admin.sadd("asynq:queues", *names)
    for place, name in enumerate(names):
        await admin.lpush(b"asynq:{" + name + b"}:pending", *map(str, range(place + 1)))
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, QueueSource(client, ('quo"te',), 100))
    assert found["blnk_queues_pending_tasks"] == {
        ('quo"te',): 1,
        ("new\nline",): 2,
        ("Ünïcøde 🐘",): 3,
        ("\\xff\\xfe",): 4,
        ("{}:pending",): 5,
    }
    assert found["blnk_queues_expected"][('quo"te',)] == 1


@pytest.mark.sandbox
async def test_a_store_full_of_other_peoples_keys(each_store: ValkeyServer, admin: Redis) -> None:
    """No scan, no label of theirs, nothing counted that is not asynq's."""
    await admin.mset({f"asynq-like:{number}": "x" for number in range(20_000)})
    await admin.sadd("queues", "theirs")
    async with redis_client(each_store) as client:
        found = await read_page(COLLECTOR, QueueSource(client, ("ours",), 100))
    assert {labels for series in found.values() for labels in series} == {("ours",), ()}
    assert found["blnk_queues_pending_tasks"] == {("ours",): 0}


@pytest.mark.sandbox
async def test_a_registry_of_another_type_is_a_gap(each_store: ValkeyServer, admin: Redis) -> None:
    """The expected queues are read all the same."""
    await admin.set("asynq:queues", "mine")
    async with redis_client(each_store) as client:
        reading = await COLLECTOR.read(QueueSource(client, ("q",), 100))
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("registered", "malformed")]
    assert [(queue.name, queue.registered, queue.pending) for queue in reading.queues] == [("q", None, 0)]
    assert reading.unlisted is None


@pytest.mark.sandbox
async def test_a_list_of_another_type_costs_its_facts(each_store: ValkeyServer, admin: Redis) -> None:
    """One key of one queue is not what it should be: the rest of the page stands."""
    await admin.set(f"{prefix('q')}pending", "mine")
    async with redis_client(each_store) as client:
        reading = await COLLECTOR.read(QueueSource(client, ("q", "r"), 100))
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("pending", "malformed"), ("head", "malformed")]
    first, second = reading.queues
    assert (first.pending, first.head_lost, first.retry) == (None, None, 0)
    assert (second.pending, second.head_lost) == (0, False)


# What each command tells of a queue: fields of the reading that are lost with it, and the fact that the gap names.
COMMANDS: dict[str, tuple[set[str], set[str]]] = {
    "time": ({"now"}, {"clock"}),
    "scard": ({"registered", "unlisted"}, {"registered"}),
    "srandmember": ({"registered", "unlisted"}, {"registered"}),
    "llen": ({"pending", "active"}, {"pending", "active"}),
    "zcard": ({"scheduled", "retry", "archived"}, {"scheduled", "retry", "archived"}),
    "mget": ({"processed", "failed", "paused", "paused_at"}, {"counters"}),
    "zrange": (
        {"scheduled_due_at", "retry_due_at", "last_death_at"},
        {"scheduled_due_at", "retry_due_at", "last_death_at"},
    ),
    "zcount": (
        {"scheduled_overdue", "retry_overdue", "stale_leases"},
        {"scheduled_overdue", "retry_overdue", "stale_leases"},
    ),
    "lindex": ({"head_lost", "pending_since"}, {"head"}),
    "exists": ({"head_lost", "pending_since"}, {"head"}),
    "hget": ({"head_lost", "pending_since"}, {"head"}),
}
TIMED = {"scheduled_due_at", "retry_due_at", "scheduled_overdue", "retry_overdue", "stale_leases"}


@pytest.mark.sandbox
async def test_each_command_may_be_forbidden_by_itself(new_store: Callable[..., Any]) -> None:
    """Only what the command tells is missing, and the gap says which fact and why; all else is as with every right."""
    users = {
        name: f"on >secret {' '.join(f'+{c}' for c in COMMANDS if c != name)} ~asynq:*" for name in (*COMMANDS, "all")
    }
    async with new_store(users=users) as server, Redis.from_url(server.url()) as admin:
        asynq, (seconds, _) = Asynq(admin), await admin.time()
        await asynq.enqueue({task("q", number): seconds - 100 for number in range(3)})
        await asynq.dequeue(["q"], seconds - 300)
        await asynq.schedule(task("q", 4), seconds - 200)
        await asynq.retry(task("q", 5), seconds - 200, seconds)
        await asynq.archive(task("q", 6), seconds)
        await asynq.pause("q", seconds)

        async def reading_of(user: str) -> QueuesReading:
            async with redis_client(server, username=user, password=SecretStr("secret")) as client:
                return await COLLECTOR.read(QueueSource(client, ("q",), 100))

        whole = await reading_of("all")
        assert whole.gaps == ()
        assert [name for name in Queue.__dataclass_fields__ if getattr(whole.queues[0], name) is None] == []
        for command, (lost, facts) in COMMANDS.items():
            part = await reading_of(command)
            assert {gap.fact for gap in part.gaps} == facts, command
            assert {gap.reason for gap in part.gaps} == {"refused"}, command
            assert all(command in gap.detail.lower() for gap in part.gaps), command
            gone = {name for name in Queue.__dataclass_fields__ if getattr(part.queues[0], name) is None}
            gone |= {name for name in ("now", "unlisted") if getattr(part, name) is None}
            assert gone == lost | (TIMED if command == "time" else set()), command


@pytest.mark.sandbox
async def test_a_user_without_any_right_is_a_failure(new_store: Callable[..., Any]) -> None:
    """Nothing was learned of any queue: that is no success with gaps."""
    async with (
        new_store(users={"exporter": "on >secret +time"}) as server,
        redis_client(server, username="exporter", password=SecretStr("secret")) as client,
    ):
        with pytest.raises(Refused, match="permission"):
            await COLLECTOR.read(QueueSource(client, ("q",), 100))


@pytest.mark.sandbox
@pytest.mark.parametrize("number", [24, 500])
async def test_three_round_trips_for_all_rooms_of_redis(each_store: ValkeyServer, admin: Redis, number: int) -> None:
    """Counted on the wire, in one scrape of queues, workers and redis together, on a connection that is open."""
    asynq, names = Asynq(admin), tuple(f"q{place}" for place in range(number))
    await asynq.enqueue({task(name): time.time() for name in names})
    async with wire_to(each_store.port) as wire, redis_client(each_store, port=wire.port) as client:
        rooms = [
            Room(queues.COLLECTOR, (QueueSource(client, names, 1000),)),
            Room(workers.COLLECTOR, (HeartbeatSource(client, names),)),
            Room(redis.COLLECTOR, (redis.RedisSource(client),)),
        ]
        scraper = Scraper(rooms)
        await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
        before = wire.round_trips
        snapshot = await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
        assert [outcome.failure for outcome in snapshot.outcomes] == [None, None, None]
        assert wire.round_trips - before == 3
        assert wire.connections == 1
        found = page(snapshot.samples())
        assert set(found["blnk_queues_pending_tasks"].values()) == {1}
        assert len(found["blnk_queues_oldest_pending_age_seconds"]) == number


@pytest.mark.sandbox
async def test_a_scrape_writes_nothing(each_store: ValkeyServer, admin: Redis) -> None:
    """The server's own count of changes is the witness."""
    await Asynq(admin).enqueue({task("q"): time.time()})
    before = (await admin.info("persistence"))["rdb_changes_since_last_save"]
    async with redis_client(each_store) as client:
        await COLLECTOR.read(QueueSource(client, ("q", "r"), 100))
    assert (await admin.info("persistence"))["rdb_changes_since_last_save"] == before


def source(expected: tuple[str, ...], limit: int) -> QueueSource:
    return QueueSource(Scripted([]), expected, limit)


def test_expected_queues_come_first_and_others_while_there_is_room() -> None:
    """A limit must not drop what the configuration names for what happens to be there."""
    members = [b"z", b"b", b"a", b"y"]
    names, registered, unlisted = queues.choose(source(("z", "x"), 4), 4, members)
    assert (names, registered, unlisted) == ([b"z", b"x", b"a", b"b"], frozenset(members), 1)


def test_a_registry_beyond_the_limit_is_not_read_in_part() -> None:
    """Its random part would be another one at each scrape: series would come and go."""
    names, registered, unlisted = queues.choose(source(("z",), 3), 1000, [b"a", b"b", b"c", b"d"])
    assert (names, registered, unlisted) == ([b"z"], None, None)


def test_a_name_too_long_for_a_queue_is_left_out_and_counted() -> None:
    """A megabyte is nobody's queue and no label."""
    names, _, unlisted = queues.choose(source((), 10), 2, [b"a", b"x" * 257])
    assert (names, unlisted) == ([b"a"], 1)


@pytest.mark.parametrize(("size", "members"), [(Refused("no"), []), (3, Malformed("odd"))])
def test_an_unreadable_registry_leaves_the_expected(size: Any, members: Any) -> None:
    """What is registered is then not known."""
    assert queues.choose(source(("a",), 10), size, members) == ([b"a"], None, None)


async def test_nothing_expected_and_nothing_there_is_one_round_trip() -> None:
    """An idle Blnk has no queue registered."""
    store = Scripted([[[b"1000", b"0"], 0, []]])
    reading = await COLLECTOR.read(QueueSource(store, (), 10))
    assert (reading.queues, reading.unlisted, reading.gaps) == ((), 0, ())
    assert store.replies == []
