"""Redis itself: captured INFO texts, hand-built ones, and real servers with a replica."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from blnk_exporter.collector import Result
from blnk_exporter.collectors import redis as room
from blnk_exporter.collectors.redis import COLLECTOR, RedisReading, RedisSource, Server
from blnk_exporter.errors import Malformed, NotAsked, NotReady, ReadingError, Refused, TimedOut, Unreachable
from blnk_exporter.formats.redis_info import parse
from blnk_exporter.sandbox.valkey import ValkeyServer

from ..conftest import Farm, redis_client
from ..redis_relay import before_seven, relay_to
from ..waiting import eventually
from .conftest import Page, Scripted, Somewhere, page, read_page, unseen

FIXTURES = Path(__file__).parents[1] / "formats/fixtures"
POLICIES = ("noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random")
POLICIES += ("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl")


def told(info: str, slow_log: int | None = 0) -> Page:
    """The page of an INFO, without the room's prefix."""
    reading = RedisReading(info=parse(info.replace("\n", "\r\n").encode()), slow_log=slow_log)
    whole = page(COLLECTOR.samples([Result(Somewhere(), reading)]))
    return {name.removeprefix("blnk_redis_"): series for name, series in whole.items()}


def test_samples_of_a_small_info() -> None:
    """Exactly what the text says: fields that are not there are no series."""
    assert told(
        "redis_version:7.2.0\nused_memory:1000\nmaxmemory:0\nmaxmemory_policy:noeviction\n# Replication\nrole:master\n# CPU\n",
        3,
    ) == {
        "up": {(): 1},
        "slow_log_entries": {(): 3},
        "server_changes_total": {(): 0},
        "info": {("redis", "7.2.0", ""): 1},
        "memory_used_bytes": {(): 1000},
        "memory_limited": {(): 0},
        "eviction_policy": {(policy,): float(policy == "noeviction") for policy in POLICIES},
        "role": {("primary",): 1, ("replica",): 0},
        "replicas": {("online",): 0, ("other",): 0},
    }


@pytest.mark.parametrize(
    ("name", "info"),
    [("valkey_9_1_2", ("valkey", "9.1.2", "standalone")), ("redis_7_0_15", ("redis", "7.0.15", "standalone"))],
)
def test_samples_of_a_captured_primary(name: str, info: tuple[str, ...]) -> None:
    """Both families fill the same series; the figures are the text's own."""
    text = (FIXTURES / f"info_{name}.txt").read_text()
    fields, found = parse(text.replace("\n", "\r\n").encode()), told(text)
    assert found["info"] == {info: 1}
    assert found["memory_used_bytes"] == {(): fields.number("used_memory")}
    assert found["memory_max_bytes"] == {(): 64 << 20}
    assert found["memory_limited"] == {(): 1}
    assert found["keys"] == {("db0",): 2}
    assert found["expiring_keys"] == {("db0",): 1}
    assert found["errors_total"][("WRONGTYPE",)] == 1
    assert found["replicas"] == {("online",): 1, ("other",): 0}
    assert found["replication_lag_seconds"] == {(): pytest.approx(0, abs=2)}
    assert found["replication_lag_bytes"][()] >= 0
    assert (found["aof_enabled"], found["aof_last_write_ok"]) == ({(): 1}, {(): 1})
    assert "primary_link_up" not in found


@pytest.mark.parametrize("name", ["valkey_9_1_2", "redis_7_0_15"])
def test_samples_of_a_captured_replica(name: str) -> None:
    """The link to its primary is told, replicas that it does not have are not."""
    found = told((FIXTURES / f"info_{name}_replica.txt").read_text())
    assert found["role"] == {("primary",): 0, ("replica",): 1}
    assert found["primary_link_up"] == {(): 1}
    assert found["primary_last_io_seconds"][()] >= 0
    assert "replicas" not in found


def test_things_that_have_not_happened_are_absent() -> None:
    """-1 is Redis' word for never, 0 microseconds for no fork; without an append-only file its ok means nothing."""
    found = told(
        "redis_version:7\nrdb_last_bgsave_time_sec:-1\nlatest_fork_usec:0\naof_enabled:0\naof_last_write_status:ok\n"
        "aof_last_bgrewrite_status:err\nmaster_last_io_seconds_ago:-1\n"
    )
    assert set(found) == {"up", "slow_log_entries", "server_changes_total", "info", "aof_enabled"}


def test_trouble_is_told() -> None:
    """Each flag the other way round."""
    found = told(
        "redis_version:7\naof_enabled:1\naof_last_write_status:err\naof_last_bgrewrite_status:err\n"
        "rdb_last_bgsave_status:err\nloading:1\nmaster_link_status:down\nlatest_fork_usec:2500\n"
    )
    flags = ("aof_last_write_ok", "aof_last_rewrite_ok", "rdb_last_save_ok", "loading", "primary_link_up")
    assert [found[flag][()] for flag in flags] == [0, 0, 0, 1, 0]
    assert found["last_fork_seconds"] == {(): pytest.approx(0.0025)}


def test_error_words_are_a_closed_set() -> None:
    """A script may make up words by the thousand."""
    found = told(
        "redis_version:7\n# Errorstats\nerrorstat_OOM:count=2\nerrorstat_MADE:count=3\nerrorstat_UP:count=4\n# Keyspace\n"
    )
    assert found["errors_total"][("OOM",)] == 2
    assert found["errors_total"][("other",)] == 7
    assert found["errors_total"][("NOPERM",)] == 0
    assert "errors_total" not in told("redis_version:7\n")


def test_replicas_that_lag_or_are_not_there_yet() -> None:
    """The furthest behind speaks for those online; one that still copies is counted apart."""
    found = told(
        "redis_version:7\n# Replication\nrole:master\nmaster_repl_offset:1000\n"
        "slave0:ip=a,port=1,state=online,offset=900,lag=1\nslave1:ip=b,port=1,state=online,offset=400,lag=7\n"
        "slave2:ip=c,port=1,state=wait_bgsave,offset=0,lag=0\n# CPU\n"
    )
    assert found["replicas"] == {("online",): 2, ("other",): 1}
    assert (found["replication_lag_bytes"], found["replication_lag_seconds"]) == ({(): 600}, {(): 7})


@pytest.mark.parametrize("name", ["valkey_9_1_2", "redis_7_0_15"])
async def test_an_info_cut_at_the_end_of_a_line_makes_no_zeros(name: str) -> None:
    """Counters that fall to 0 for one scrape are a restart that never was, and then a burst that never was."""
    lines = (FIXTURES / f"info_{name}.txt").read_text().splitlines()
    for section in ("# Replication", "# Errorstats"):
        text = "".join(f"{line}\r\n" for line in lines[: lines.index(section) + 1])
        reading = await COLLECTOR.read(RedisSource(Scripted([[text.encode(), 0]])))
        found = page(COLLECTOR.samples([Result(Somewhere(), reading)]))
        assert [gap.fact for gap in reading.gaps] == ["info"]
        assert {"blnk_redis_errors_total", "blnk_redis_replicas"} & set(found) <= (
            {"blnk_redis_replicas"} if section == "# Errorstats" else set()
        )


def test_unheard_of_states_are_no_series() -> None:
    """A policy or role that a later server adds is not one of ours; eight times 0 would be a lie."""
    assert {"eviction_policy", "role", "replicas"} & set(
        told("redis_version:9\nmaxmemory_policy:new\nrole:sentinel\n")
    ) == set()


@pytest.mark.parametrize(
    ("failure", "up"),
    [
        (Unreachable("gone"), 0),
        (TimedOut("no answer"), 0),
        (Malformed("not the Redis protocol"), 0),
        (Malformed("syntax error", answered=True), 1),
        (Refused("NOPERM, WRONGPASS, DENIED, too many clients"), 1),
        (NotReady("BUSY Redis is busy running a script"), 0),
        (NotAsked("a file of ours"), None),
        (ReadingError("a defect"), None),
    ],
)
def test_what_answers_is_not_down(failure: ReadingError, up: float | None) -> None:
    """Redis is down where nothing answers, or nothing but that it serves no client; and nothing else is known."""
    known = {} if up is None else {"blnk_redis_up": {(): up}}
    assert page(COLLECTOR.samples([Result(Somewhere(), failure=failure)])) == known


def test_an_info_cut_short_is_told_as_a_gap() -> None:
    """What came is shown, the cut line is not."""
    reading = room.judge(b"redis_version:7.0.0\r\nused_memory:1000\r\nevicted_keys:12", 0)
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("info", "malformed")]
    assert reading.info.fields == {"redis_version": "7.0.0", "used_memory": "1000"}


@pytest.mark.parametrize("raw", [b"", b"hello", b"# Server\r\n"])
def test_a_text_without_a_version_is_malformed(raw: bytes) -> None:
    """A proxy that answers INFO in its own way is not Redis."""
    with pytest.raises(Malformed, match="version"):
        room.judge(raw, 0)


async def test_a_forbidden_slow_log_is_a_gap_and_a_forbidden_info_a_failure() -> None:
    """One is a detail, the other is the room."""
    text = (FIXTURES / "info_valkey_9_1_2.txt").read_bytes().replace(b"\n", b"\r\n")
    reading = await COLLECTOR.read(RedisSource(Scripted([[text, Refused("slowlog")]])))
    assert (reading.slow_log, [(gap.fact, gap.reason) for gap in reading.gaps]) == (None, [("slow_log", "refused")])
    with pytest.raises(Refused, match="info"):
        await COLLECTOR.read(RedisSource(Scripted([[Refused("info"), 0]])))


@pytest_asyncio.fixture
async def admin(each_store: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(each_store.url()) as client:
        yield client


@pytest.mark.sandbox
async def test_every_metric_is_seen_on_a_real_primary_or_its_replica(
    each_store: ValkeyServer, admin: Redis, new_store: Callable[..., Any]
) -> None:
    """A declared metric that never comes is a promise broken."""
    await admin.set("k", "v", ex=1000)
    await admin.config_set("maxmemory", "64mb")
    await admin.config_set("appendonly", "yes")
    await admin.config_set("repl-diskless-sync-delay", "0")
    await admin.bgsave()
    try:
        await eventually(lambda: _saved(admin))
        async with new_store(
            binary=each_store._place.binary, args=("--replicaof", f"127.0.0.1 {each_store.port}")
        ) as standby:
            await eventually(lambda: _follows(admin, standby))
            async with redis_client(each_store) as client, redis_client(standby) as follower:
                primary, replica = (
                    await read_page(COLLECTOR, RedisSource(client)),
                    await read_page(COLLECTOR, RedisSource(follower)),
                )
    finally:
        await admin.config_set("maxmemory", "0")
        await admin.config_set("appendonly", "no")
    assert unseen(COLLECTOR, primary, replica) == set()
    assert primary["blnk_redis_up"] == replica["blnk_redis_up"] == {(): 1}
    assert primary["blnk_redis_role"][("primary",)] == replica["blnk_redis_role"][("replica",)] == 1
    assert primary["blnk_redis_replicas"] == {("online",): 1, ("other",): 0}


async def _saved(admin: Redis) -> bool:
    persistence = await admin.info("persistence")
    return persistence["rdb_last_bgsave_time_sec"] >= 0 and not persistence["aof_rewrite_in_progress"]


async def _follows(admin: Redis, standby: ValkeyServer) -> bool:
    async with Redis.from_url(standby.url()) as replica:
        link = await replica.info("replication")
    online = (await admin.info("replication")).get("slave0", {}).get("state") == "online"
    return online and link["master_last_io_seconds_ago"] >= 0


@pytest.mark.sandbox
async def test_evictions_and_errors_of_a_real_server(new_store: Callable[..., Any]) -> None:
    """What loses Blnk's queues shows, with the policy that allows it."""
    args = ("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    async with new_store(args=args) as server, Redis.from_url(server.url()) as admin:
        for number in range(100):
            await admin.set(f"k{number}", "x" * 100_000)
        async with redis_client(server) as client:
            found = await read_page(COLLECTOR, RedisSource(client))
    assert found["blnk_redis_evicted_keys_total"][()] > 0
    assert found["blnk_redis_eviction_policy"][("allkeys-lru",)] == 1
    assert found["blnk_redis_memory_max_bytes"] == {(): 3 << 20}


@pytest.mark.sandbox
async def test_a_user_with_the_documented_rights(new_store: Callable[..., Any]) -> None:
    """The head of the file names them; they suffice."""
    users = {"exporter": "on >secret +info +slowlog|len"}
    async with (
        new_store(users=users) as server,
        redis_client(server, username="exporter", password=SecretStr("secret")) as client,
    ):
        assert (await COLLECTOR.read(RedisSource(client))).gaps == ()


@pytest.mark.sandbox
@pytest.mark.parametrize("server", ["valkey", "redis"])
async def test_a_redis_before_seven_has_every_fact(farm: Farm, server: str) -> None:
    """It takes one section in each INFO. That is found out once for a connection, and again for the next one."""
    store = await farm.store(server)
    async with relay_to(store.port, before_seven) as relay, redis_client(store, port=relay.port) as client:
        source = RedisSource(client)
        for readings in range(1, 4):
            reading = await COLLECTOR.read(source)
            assert reading.gaps == ()
            assert sum(before_seven(words) is not None for words in relay.commands) == 1, readings
        found = page(COLLECTOR.samples([Result(source, reading)]))
        assert found["blnk_redis_up"] == {(): 1}
        assert {"blnk_redis_errors_total", "blnk_redis_replicas", "blnk_redis_memory_used_bytes"} <= set(found)
        client.reconnect()
        await COLLECTOR.read(source)
        # The connection was replaced within the reading.
        assert (await COLLECTOR.read(source)).gaps == ()
        assert sum(before_seven(words) is not None for words in relay.commands) == 2


async def test_a_redis_before_six_two_lacks_the_errors_only() -> None:
    """It does not count them by kind; the rest is there, and the reason."""
    lines = (FIXTURES / "info_redis_7_0_15.txt").read_text().splitlines()
    start, end = (next(i for i, line in enumerate(lines) if line == f"# {name}") for name in ("Errorstats", "Keyspace"))
    text = "".join(f"{line}\r\n" for line in (*lines[:start], *lines[end:])).encode()
    scripted = Scripted([[Malformed("syntax error", answered=True), 0], [b"", text, 0]])
    reading = await COLLECTOR.read(RedisSource(scripted))
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("errors", "refused")]
    found = page(COLLECTOR.samples([Result(Somewhere(), reading)]))
    assert "blnk_redis_errors_total" not in found
    assert found["blnk_redis_keys"] == {("db0",): 2}


async def test_a_redis_that_takes_no_section_at_all_is_up() -> None:
    """A fork with its own INFO: what it says is shown, what it lacks is named."""
    scripted = Scripted(
        [[Malformed("ERR", answered=True), 0], [Malformed("ERR"), b"redis_version:7\r\n# Stats\r\n", 0]]
    )
    reading = await COLLECTOR.read(RedisSource(scripted))
    assert [(gap.fact, gap.detail[:23]) for gap in reading.gaps] == [("info", "INFO lacks server, clie")]
    refusing = Scripted([[Malformed("ERR", answered=True), 0], [Malformed("ERR"), Malformed("ERR", answered=True), 0]])
    with pytest.raises(Malformed) as caught:
        await COLLECTOR.read(RedisSource(refusing))
    assert caught.value.answered


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("said", "up", "reason"),
    [
        (b"-NOPERM this user has no permissions to run the 'info' command\r\n", 1, "refused"),
        (b"-NOAUTH Authentication required.\r\n", 1, "refused"),
        (b"-DENIED Redis is running in protected mode\r\n", 1, "refused"),
        (b"-MISCONF Errors writing to the AOF file\r\n", 1, "refused"),
        (b"-ERR unknown command 'INFO'\r\n", 1, "refused"),
        (b"-ERR max number of clients reached\r\n", 1, "refused"),
        (b"-ERR something new\r\n", 1, "malformed"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", 0, "refused"),
        (b"-BUSY Redis is busy running a script.\r\n", 0, "refused"),
        (b"+OK\r\n", 0, "malformed"),
    ],
)
async def test_a_refusal_on_the_wire_is_an_answer(store: ValkeyServer, said: bytes, up: float, reason: str) -> None:
    """The critical alert must not say that what has just answered is down."""

    def refuse(words: Sequence[bytes]) -> bytes | None:
        return said if words[0] == b"INFO" else None

    async with relay_to(store.port, refuse) as relay, redis_client(store, port=relay.port) as client:
        source = RedisSource(client)
        with pytest.raises(ReadingError) as caught:
            await COLLECTOR.read(source)
    assert caught.value.reason == reason
    found = page(COLLECTOR.samples([Result(source, failure=caught.value)]))
    assert found == {"blnk_redis_up": {(): up}}


@pytest.mark.sandbox
async def test_real_refusals_at_the_door_are_answers(new_store: Callable[..., Any]) -> None:
    """A wrong password, no password, and a full house."""
    async with new_store(password="right") as server:
        for password in (None, SecretStr("wrong")):
            async with redis_client(server, password=password) as client:
                assert (await read_page(COLLECTOR, RedisSource(client)))["blnk_redis_up"] == {(): 1}
    async with new_store(args=("--maxclients", "1")) as server, Redis.from_url(server.url()) as only:
        await only.ping()
        async with redis_client(server) as client:
            assert (await read_page(COLLECTOR, RedisSource(client)))["blnk_redis_up"] == {(): 1}


@pytest.mark.sandbox
async def test_a_switchover_behind_one_address_is_followed(
    each_store: ValkeyServer, admin: Redis, new_store: Callable[..., Any]
) -> None:
    """A demoted server keeps its clients: the connection is left as soon as the server says that it is a replica."""
    now = [1000.0]
    async with (
        new_store(binary=each_store._place.binary) as other,
        Redis.from_url(other.url()) as second,
        relay_to(each_store.port) as relay,
        redis_client(each_store, port=relay.port) as client,
    ):
        source = RedisSource(client, clock=lambda: now[0])

        async def role() -> dict[tuple[str, ...], float]:
            found = await read_page(COLLECTOR, source)
            return found["blnk_redis_role"] | {("changes",): found["blnk_redis_server_changes_total"][()]}

        try:
            assert await role() == {("primary",): 1, ("replica",): 0, ("changes",): 0}
            # The address follows the roles.
            await admin.replicaof("127.0.0.1", other.port)
            relay.target = other.port
            assert await role() == {("primary",): 1, ("replica",): 0, ("changes",): 1}
            assert (client.connections, relay.connections) == (2, 2)
            # Where it does not, the replica is reported, and left once a minute.
            await second.replicaof("127.0.0.1", each_store.port)
            now[0] += 61
            for _ in range(3):
                assert await role() == {("primary",): 0, ("replica",): 1, ("changes",): 1}
            assert client.connections == 3
            now[0] += 61
            relay.target = each_store.port
            await admin.replicaof("no", "one")
            assert await role() == {("primary",): 1, ("replica",): 0, ("changes",): 2}
        finally:
            await admin.replicaof("no", "one")


async def test_a_first_look_at_a_replica_does_not_connect_twice() -> None:
    """A connection that has just been made leads where the address leads."""

    class Fresh(Scripted):
        async def execute(self, *commands: tuple[Any, ...]) -> list[Any]:
            self.connections += 1
            return await super().execute(*commands)

    text = (FIXTURES / "info_valkey_9_1_2_replica.txt").read_bytes().replace(b"\n", b"\r\n")
    store = Fresh([[text, 0]], connections=0)
    await COLLECTOR.read(RedisSource(store))
    assert (store.replies, store.connections) == ([], 1)


def test_changes_of_the_server_are_counted_by_its_run_id() -> None:
    """Neither the first one counts, nor an INFO without the field."""
    server = Server()
    for run_id in ("a", "a", None, "a", "b", "b", None, "a"):
        server.note(run_id)
    assert server.changes == 2


def test_an_oversized_info_is_read_in_part() -> None:
    """Its work is bounded: 50,000 databases and 16 MiB of lines are a tenth of a second at most."""
    head = b"# Server\r\nredis_version:7\r\n# Keyspace\r\n"
    many = b"".join(b"db%d:keys=1,expires=0,avg_ttl=0\r\n" % number for number in range(50_000))
    for text in (head + many, head + b"a:\r\n" * 4_000_000):
        reading = room.judge(text, 0)
        assert len(reading.info.fields) < 12_000
        assert "info" in [gap.fact for gap in reading.gaps]
    reading = room.judge(head + many[:100_000], 0)
    assert ("databases", "refused") in [(gap.fact, gap.reason) for gap in reading.gaps]
    assert "blnk_redis_keys" not in page(COLLECTOR.samples([Result(Somewhere(), reading)]))


def test_only_databases_are_databases() -> None:
    """A field that a module adds must not become the label of one."""
    found = told("redis_version:7\ndb0:keys=1,expires=0\ndbfoo:keys=2,expires=0\ndb:keys=3\n")
    assert found["keys"] == {("db0",): 1}
