"""Blocking questions that hang: the rest goes on, nothing piles up, nothing waits at the end."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from blnk_exporter.clients.http import HttpTarget, open_session
from blnk_exporter.clients.postgres import PostgresClient
from blnk_exporter.clients.redis import RedisClient
from blnk_exporter.clients.threads import ask, is_asked, look_up_apart
from blnk_exporter.errors import ReadingError
from blnk_exporter.formats.dsn import PostgresDsn, RedisDsn

from ..waiting import PATIENCE_SECONDS


@pytest.fixture
def dead_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Look-ups of ``*.dead`` that hang until the test is over; the names that were asked for."""
    gate, asked, real = threading.Event(), [], socket.getaddrinfo

    def hang(host: str, *args: Any, **more: Any) -> Any:
        if not str(host).endswith(".dead"):
            return real(host, *args, **more)
        asked.append(host)
        gate.wait()
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield asked
    gate.set()


async def test_a_resolver_that_hangs_costs_one_thread_per_target(dead_resolver: list[str]) -> None:
    """Fifty scrapes without DNS: no driver's look-up is repeated, and other blocking work goes on at once."""
    look_up_apart(asyncio.get_running_loop())
    postgres = PostgresClient(PostgresDsn(hosts=("pg.dead",), sslmode="prefer"), statement_timeout_seconds=1)
    plain = PostgresClient(PostgresDsn(hosts=("plain.dead",), sslmode="disable"), statement_timeout_seconds=1)
    redis = RedisClient(RedisDsn(host="redis.dead"))
    async with open_session() as session:
        http = HttpTarget(session, "http://http.dead:1", timeout_seconds=5, response_bytes=1)
        asks: list[Callable[[], Any]] = [
            *(postgres.version, plain.version),
            *(lambda: redis.execute(("PING",)), lambda: http.get("/")),
        ]
        for _ in range(50):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await asyncio.gather(*(one() for one in asks))
        # The look-ups hang on: were they on the pool's threads, this would never end.
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await asyncio.to_thread(lambda: "at once") == "at once"
    assert sorted(dead_resolver) == ["http.dead", "pg.dead", "plain.dead", "redis.dead"]
    for client in (postgres, plain, redis):
        await client.close()


async def test_a_name_that_is_not_found_is_the_drivers_to_report() -> None:
    """The failure of a look-up reaches whoever asked."""
    look_up_apart(asyncio.get_running_loop())
    client = RedisClient(RedisDsn(host="nosuch.invalid"))
    with pytest.raises(ReadingError):
        await client.execute(("PING",))
    await client.close()


async def test_the_loop_is_changed_once() -> None:
    """Each reload opens clients anew."""
    loop = asyncio.get_running_loop()
    look_up_apart(loop)
    first = loop.getaddrinfo
    look_up_apart(loop)
    assert loop.getaddrinfo is first
    assert await loop.getaddrinfo("127.0.0.1", 1, type=socket.SOCK_STREAM)


async def test_the_same_question_is_asked_once_and_again_after_its_answer() -> None:
    """Who comes meanwhile shares the answer; who leaves takes it from nobody."""
    gate, asked = threading.Event(), []

    def work() -> str:
        asked.append(1)
        gate.wait()
        return "a"

    first, second = ask("q", work), ask("q", work)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(first), 0.01)
    gate.set()
    assert (await first, await second, len(asked)) == ("a", "a", 1)
    assert await ask("q", work) == "a"
    assert len(asked) == 2


async def test_whatever_goes_wrong_is_the_askers() -> None:
    """A thread that dies in silence would keep its asker for ever."""

    def broken() -> None:
        raise KeyError("canary")

    with pytest.raises(KeyError):
        await ask("broken", broken)


PROGRAM = """
import asyncio, socket, threading
from blnk_exporter.clients import open_clients
from blnk_exporter.config.settings import Own, Settings
socket.getaddrinfo = lambda *_, **__: threading.Event().wait()
settings = Settings(
    own=Own(), blnk=None, servers=("http://h.dead",), workers=(), postgres=(), redis=None, queues=()
)
async def main():
    async with open_clients(settings) as clients:
        try:
            await asyncio.wait_for(clients.servers[0].get("/health"), 0.05)
        except TimeoutError:
            print("late", flush=True)
asyncio.run(main())
"""


def test_the_program_ends_although_a_look_up_hangs() -> None:
    """The end of asyncio.run waits for the threads of its own executor: SIGTERM would take as long as the resolver."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"late\n", b"")


async def test_no_thread_to_be_had_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a unit's TasksMax or a container's limit makes it: the host is not reached, and nothing of ours is broken."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    with pytest.raises(OSError, match="temporarily unavailable"):
        await ask("question", lambda: 1)
    await asyncio.sleep(0)  # what is called when it is done is called then
    assert not is_asked("question")
