"""Servers that only look like Redis, or attack: each is malformed and costs a bounded amount of memory."""

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from blnk_exporter.collector import Result
from blnk_exporter.collectors import queues, redis, workers
from blnk_exporter.errors import Malformed, ReadingError

from ..conftest import answering
from ..e2e.exporter import serve
from ..waiting import PATIENCE_SECONDS, eventually
from .test_redis import redis_client_to

pytestmark = pytest.mark.usefixtures("nothing_left")
MIB = 1 << 20
# What is sent once, and what is then sent without end.
HOSTILE = {
    "a claim of 2 GB": (b"$2000000000\r\n", b"x" * 65_536),
    "a claim of 4 billion elements": (b"*4294967295\r\n", b":1\r\n" * 10_000),
    "a claim of 100 million elements": (b"*100000000\r\n", b":1\r\n" * 10_000),
    "an endless bulk": (b"", b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n"),
    "an endless line": (b"-", b"x" * 65_536),
    "a flood of arrays": (b"", b"*1000\r\n" * 10_000),
    "a flood of small arrays": (b"", b"*9\r\n" * 10_000),
    "a flood of numbers": (b"*200000\r\n", b":1234567\r\n" * 10_000),
    "a flood of states": (b"", b"+OK\r\n" * 10_000),
    "a flood of pushes": (b"", b">2\r\n$1\r\na\r\n$1\r\nb\r\n" * 10_000),
    "maps": (b"", b"%1\r\n+a\r\n+b\r\n" * 10_000),
    "doubles": (b"", b",1.5\r\n" * 10_000),
    "zeros": (b"", b"\x00" * 65_536),
}
each_hostile = pytest.mark.parametrize("kind", HOSTILE)


def flooding(kind: str) -> Any:
    """What a connection gets that asks anything of that kind of server."""
    once, forever = HOSTILE[kind]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(once)
        while True:
            writer.write(forever)
            await writer.drain()

    return answer


@each_hostile
@pytest.mark.parametrize("password", [None, SecretStr("secret")], ids=["in a session", "at the login"])
async def test_a_hostile_server_is_malformed(kind: str, password: SecretStr | None) -> None:
    """From the login on, and the connection is gone afterwards."""
    async with answering(flooding(kind)) as port, redis_client_to(port, password=password) as client:
        for _ in range(2):
            async with asyncio.timeout(PATIENCE_SECONDS):
                with pytest.raises(Malformed):
                    await client.execute(("PING",), ("TIME",))
            assert client._connection is None


@asynccontextmanager
async def _served(port: int, directory: Path) -> AsyncIterator[Any]:
    """The exporter as a process, with nothing to watch but what listens there."""
    nowhere = {"data_source": {"dns": "postgres://b:b@127.0.0.1:1/b?sslmode=disable"}}
    blnk_json = directory / "blnk.json"
    blnk_json.write_text(json.dumps(nowhere | {"redis": {"dns": f"redis://:secret@127.0.0.1:{port}"}}))
    with serve(blnk_json, directory) as running:
        yield await running.ready()


async def test_memory_and_liveness_of_the_process(tmp_path: Path) -> None:
    """Every kind in turn, several times: the process answers meanwhile, and does not keep what it was sent."""
    kinds = [*HOSTILE]
    served = iter(range(10**9))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = b""
        # Half of them accept the login and flood the session.
        if next(served) % 2:
            while b"secret" not in line:
                line = await reader.readline()
            writer.write(b"+OK\r\n")
        await flooding(kinds[next(served) // 2 % len(kinds)])(reader, writer)

    async with answering(answer) as port, _served(port, tmp_path) as running:
        process = psutil.Process(running.process.pid)
        await running.scrape(timeout="30")
        before = process.memory_info().rss
        most = before
        for _ in range(2 * len(kinds)):
            scrape = asyncio.create_task(running.scrape(timeout="30"))
            while not scrape.done():
                async with asyncio.timeout(PATIENCE_SECONDS):
                    assert (await running.get("/-/healthy")).status == 200
                most = max(most, process.memory_info().rss)
            page = await scrape
            assert page.failures["redis"] in {"malformed", "unreachable"}, page.failures
        after = process.memory_info().rss
    assert most - before < 64 * MIB, f"{before / MIB:.0f} to {most / MIB:.0f} MiB"
    assert after - before < 32 * MIB, f"{before / MIB:.0f} to {after / MIB:.0f} MiB"
    assert not running.lines("defect"), running.err


async def test_one_oversized_reply_costs_only_its_caller() -> None:
    """A huge value under one key must not hide whether Redis is up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.strip() == b"SRANDMEMBER":
                writer.write(b"*1\r\n$2000000000\r\n")
            elif line.strip() in {b"TIME", b"SETNAME"}:
                writer.write(b"*2\r\n$1\r\n1\r\n$1\r\n2\r\n" if line.strip() == b"TIME" else b"+OK\r\n")

    async with answering(answer) as port, redis_client_to(port) as client:
        found = await asyncio.gather(
            *(client.execute((name, *more)) for name, *more in (("TIME",), ("SRANDMEMBER", "k", 5), ("TIME",))),
            return_exceptions=True,
        )
    assert [found[0], found[2]] == [[[b"1", b"2"]]] * 2
    assert isinstance(found[1], Malformed)


async def test_surplus_replies_are_not_taken_for_the_next_ones() -> None:
    """Shifted by one, every fact of a page would be another one's."""

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.strip() == b"ECHO":
                writer.write(b":1\r\n:2\r\n")
            elif line.strip() == b"SETNAME":
                writer.write(b"+OK\r\n")

    async with answering(twice) as port, redis_client_to(port) as client:
        with pytest.raises(Malformed, match="more replies"):
            await client.execute(("ECHO", "a"))


async def test_what_comes_between_two_round_trips_is_not_the_next_reply() -> None:
    """Late words of a proxy: the next round trip has a new connection."""

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.strip() == b"ECHO":
                writer.write(b":1\r\n")
                await writer.drain()
                asyncio.get_running_loop().call_later(0.05, writer.write, b":99\r\n")
            elif line.strip() == b"SETNAME":
                writer.write(b"+OK\r\n")

    async with answering(late) as port, redis_client_to(port) as client:
        assert await client.execute(("ECHO", "a")) == [1]
        await eventually(client._connection.can_read, PATIENCE_SECONDS)
        assert await client.execute(("ECHO", "a")) == [1]
        assert client.connections == 2


_TEXTS = (
    *(b"", b"0", b"-1", b"1e400", b"nan", b"inf", b"-inf", b"9" * 400, b"9" * 5000, b"1_0", b"\xff\xfe", b"a" * 300),
    "\u0663".encode(),
    b"# Server\r\nredis_version:7\r\nused_memory:nan\r\n# Keyspace\r\ndb0:keys=1e999,expires=x\r\ndb:,=\r\n# x\r\n",
    b"redis_version:9\r\nrole:master\r\nuptime_in_seconds:inf\r\nmaxmemory:-1\r\nslave0:state=online,lag=nan\r\n# CPU\r\n",
    *(b"\x08\x01" * 9, b"\x0a\x00\x20\x01\x3a\x06active", b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x3a\x06active"),
)
_ODD = (
    *(
        b"%1\r\n+a\r\n+b\r\n",
        b">1\r\n+a\r\n",
        b",nan\r\n",
        b"#t\r\n",
        b"_\r\n",
        b":\r\n",
        b":1.5\r\n",
        b":99999999999999999999\r\n",
    ),
    *(b"$-1\r\n", b"*-1\r\n", b"+OK\r\n", b"-ERR x\r\n", b"-\xff\r\n", b"- \r\n", b"-MOVED\r\n", b"-ASK a b c d\r\n"),
)
# How many texts each command's reply has; None: it is a number.
_USUAL = {
    b"TIME": 2,
    b"INFO": 0,
    b"GETRANGE": 0,
    b"HGET": 0,
    b"LINDEX": 0,
    b"MGET": 3,
    b"SRANDMEMBER": 2,
    b"ZRANGE": 2,
    b"ZREVRANGEBYSCORE": 4,
}


def _text(chance: random.Random) -> bytes:
    text = chance.choice(_TEXTS)
    return b"$%d\r\n%s\r\n" % (len(text), text)


def _shape(chance: random.Random, command: bytes) -> bytes:
    """A reply that is nearly what Redis says to a command, or far from it."""
    fate, usual = chance.random(), _USUAL.get(command)
    if fate < 0.02:
        return chance.choice(_ODD)
    if fate < 0.05:
        return b"*2\r\n%s%s" % (_shape(chance, command), _shape(chance, b""))
    if usual is None:
        return b":%d\r\n" % chance.choice([0, 1, -1, 2**63 - 1, -(2**63)])
    if usual == 0:
        return _text(chance)
    texts = [_text(chance) for _ in range(usual)]
    if command in {b"TIME", b"ZRANGE", b"ZREVRANGEBYSCORE"} and chance.random() < 0.8:
        number = chance.choice([b"1700000000", b"0", b"123456", b"99999999999999999", b"9" * 400, b"inf"])
        texts[1::2] = [b"$%d\r\n%s\r\n" % (len(number), number)] * (usual // 2)
        texts[::2] = texts[1::2] if command == b"TIME" else texts[::2]
    return b"*%d\r\n%s" % (usual, b"".join(texts))


async def test_no_shape_of_a_reply_is_a_defect() -> None:
    """Over every command that is sent: a reading, or a failure in words; no exception of Python's, no NaN."""
    chance = random.Random(3)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A command is as many bulk strings as its array's header says.
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            writer.write(_shape(chance, words[0]))

    async with answering(answer) as port, redis_client_to(port) as client:
        sources = {
            redis.COLLECTOR: redis.RedisSource(client),
            queues.COLLECTOR: queues.QueueSource(client, ("q",), 10),
            workers.COLLECTOR: workers.HeartbeatSource(client, ("q",)),
        }
        readings = dict.fromkeys(sources, 0)
        for _ in range(700):
            for collector, source in sources.items():
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        result = Result(source, await collector.read(source))
                        readings[collector] += 1
                except ReadingError as error:
                    assert error.reason != "error"  # noqa: PT017 - most attempts fail, each in its own way
                    result = Result(source, failure=error)
                for sample in collector.samples([result]):
                    assert math.isfinite(sample.value), sample
    assert min(readings.values()) > 20, readings
