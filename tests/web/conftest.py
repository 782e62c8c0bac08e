"""The web application on collectors that do as they are told; no database, no sleep."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from blnk_exporter import config, service
from blnk_exporter.collector import Collector, Gap, Reading, Result, Room
from blnk_exporter.config.settings import Web
from blnk_exporter.errors import Unreachable
from blnk_exporter.metric import Metric, Sample
from blnk_exporter.service import Service
from blnk_exporter.web.app import build
from blnk_exporter.web.keys import DOOR

from ..scene import Play, queue

# What a target may call itself, and say.
HOSTILE = "<script>alert('\"&')</script>"


def healthy() -> dict[str, Any]:
    """What each collector tells when all is well."""
    gib, address, names = (
        2.0**30,
        {"address": "blnk-1:5001"},
        [HOSTILE, *(f"new:transaction_{n}" for n in range(1, 21))],
    )
    queues = [
        queue(name, pending_tasks=3, oldest_pending_age_seconds=1, active_tasks=1, retry_tasks=0) for name in names
    ]
    rest = [queue(name, paused=0, archived_tasks=0, stale_lease_tasks=0, scheduled_tasks=2) for name in names]
    return {
        "server": [("server_up", address, 1), ("server_response_seconds", address, 0.01)],
        "workers": [("workers_up", address, 1), *(("workers_queue_consumers", {"queue": name}, 2) for name in names)],
        "queues": [series for group in (*queues, *rest) for series in group],
        "redis": [
            ("redis_up", {}, 1),
            ("redis_eviction_policy", {"policy": "noeviction"}, 1),
            ("redis_memory_limited", {}, 1),
            ("redis_memory_used_bytes", {}, gib),
            ("redis_memory_max_bytes", {}, 4 * gib),
        ],
        "postgres": [
            ("postgres_up", address, 1),
            ("postgres_backends", address, 20),
            ("postgres_connections_max", address, 100),
        ],
        "host": [
            ("host_filesystem_size_bytes", {"path": "/"}, 100 * gib),
            ("host_filesystem_free_bytes", {"path": "/"}, 60 * gib),
            ("host_filesystem_available_bytes", {"path": "/"}, 60 * gib),
            ("host_memory_total_bytes", {}, 8 * gib),
            ("host_memory_available_bytes", {}, 4 * gib),
        ],
    }


@dataclass(frozen=True)
class Place:
    """A source that is only its name."""

    address: str


@dataclass
class Stage:
    """The application, and the strings on which its collectors hang."""

    service: Service
    app: web.Application
    url: str
    session: aiohttp.ClientSession
    opened: asyncio.Event
    """The collector ``redis`` answers once this is set."""
    reads: list[str] = field(default_factory=list)
    """The collectors that have been read, one by one."""

    async def get(self, path: str, method: str = "GET", **options: Any) -> aiohttp.ClientResponse:
        """One request, answer and all."""
        async with self.session.request(method, self.url + path, **options) as reply:
            await reply.read()
            return reply


def _rooms(reads: list[str], opened: asyncio.Event) -> tuple[Room, ...]:
    def room(name: str, answer: Callable[[], Awaitable[Reading]]) -> Room:
        async def read(_: Place) -> Reading:
            reads.append(name)
            return await answer()

        own = Metric(f"blnk_{name}_up", "Whether it is up.", ("address",))

        def samples(results: Sequence[Result[Reading]]) -> Iterator[Sample]:
            for result in results:
                yield from own(result.reading is not None, address=result.address)

        collector = Collector(name=name, help="Told what to do.", metrics=(own,), read=read, samples=samples)
        return Room(collector, (Place(HOSTILE),))

    async def waits() -> Reading:
        await opened.wait()
        return Reading()

    async def fails() -> Reading:
        raise Unreachable(HOSTILE)

    async def lacks() -> Reading:
        return Reading(gaps=(Gap("fact", "refused", HOSTILE),))

    return room("redis", waits), room("postgres", fails), room("tables", lacks)


@contextlib.asynccontextmanager
async def staged(
    directory: Path, rooms: tuple[Room, ...], flags: dict[str, Any], reads: list[str], opened: asyncio.Event
) -> AsyncIterator[Stage]:
    """The application on a free port, with these rooms in place of the real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.collectors, "bind", lambda _: rooms)
        made = Service(lambda: config.load(flags=flags, environ={}, directory=directory))
        await made.start()
    app = build(made)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = await app[DOOR].open(runner.server, Web(listen_address="127.0.0.1:0"))
    async with aiohttp.ClientSession() as session:
        yield Stage(made, app, f"http://127.0.0.1:{port}", session, opened, reads)
    await app[DOOR].close()
    await runner.cleanup()
    await made.close()


@pytest_asyncio.fixture
async def stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A running application; an indirect parameter is further flags."""
    reads: list[str] = []
    opened = asyncio.Event()
    opened.set()
    flags = {"servers": "http://127.0.0.1:1"} | getattr(request, "param", {})
    async with staged(tmp_path, _rooms(reads, opened), flags, reads, opened) as made:
        yield made


@pytest.fixture
def play() -> Play:
    """A deployment that is well, with a queue called by a hostile name."""
    return Play(healthy())


@pytest_asyncio.fixture
async def shown(tmp_path: Path, play: Play) -> AsyncIterator[Stage]:
    """A running application on the collectors of the play."""
    flags = {"servers": "http://127.0.0.1:1"}
    rooms = play.rooms(*play.series)
    async with staged(tmp_path, rooms, flags, [], asyncio.Event()) as made:
        yield made
