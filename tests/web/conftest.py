"""The web application on collectors that do as they are told; no database, no sleep."""

import asyncio
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
from blnk_exporter.errors import Unreachable
from blnk_exporter.metric import Metric, Sample
from blnk_exporter.service import Service
from blnk_exporter.web.app import build

# What a target may call itself, and say.
HOSTILE = "<script>alert('\"&')</script>"


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


@pytest_asyncio.fixture
async def stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Stage]:
    """A running application; an indirect parameter is further flags."""
    reads: list[str] = []
    opened = asyncio.Event()
    opened.set()
    monkeypatch.setattr(service.collectors, "bind", lambda _: _rooms(reads, opened))
    flags = {"servers": "http://127.0.0.1:1"} | getattr(request, "param", {})
    made = Service(lambda: config.load(flags=flags, environ={}, directory=tmp_path))
    await made.start()
    app = build(made)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Stage(made, app, f"http://127.0.0.1:{runner.addresses[0][1]}", session, opened, reads)
    await runner.cleanup()
    await made.close()
