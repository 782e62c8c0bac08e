"""The service: one configuration in force, exchanged whole, and nothing lost or leaked in the exchange."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
import structlog

from blnk_exporter import config, service
from blnk_exporter.collector import Collector, Reading, Room
from blnk_exporter.config.settings import Web
from blnk_exporter.errors import ConfigError, Fault, UnknownCollector
from blnk_exporter.metric import Sample
from blnk_exporter.service import RELOADED, RELOADED_AT, Service

from .waiting import PATIENCE_SECONDS


class Names(list[str]):
    """Settings: the names of the collectors."""

    own = SimpleNamespace(web=Web(), log=None)


@dataclass
class World:
    """A configuration file, what is done with it, and collectors that wait for ``opened``."""

    file: Path
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    loads: int = 0
    reads: list[str] = field(default_factory=list)
    open_clients: int = 0
    clients_made: int = 0
    while_loading: Callable[[], None] = lambda: None

    def load(self) -> Any:
        """Read the names of the collectors; ``bad`` is a fault, ``later`` a fault until a file of that name exists."""
        self.loads += 1
        words = self.file.read_text().split() if self.file.exists() else []
        self.while_loading()
        later = self.file.with_name("later")
        if "bad" in words or ("later" in words and not later.exists()):
            raise ConfigError([Fault("file", "is bad")], files=[self.file, later])
        return SimpleNamespace(settings=Names(words), files=(self.file,), thresholds=None, targets={})

    def write(self, text: str) -> None:
        """Write the file so that it is seen to have changed."""
        self.file.write_text(text)
        # The clock of files has the kernel's tick; two writes within one would look the same.
        stamp = time.time_ns() - 10_000_000_000 + self.loads
        os.utime(self.file, ns=(stamp, stamp))

    @contextlib.asynccontextmanager
    async def clients(self, settings: list[str], **_: object) -> AsyncIterator[list[str]]:
        """Stands for open connections."""
        await asyncio.sleep(0)  # as whatever opens something
        self.open_clients += 1
        self.clients_made += 1
        try:
            yield settings
        finally:
            self.open_clients -= 1
            self.closed.set()

    def bind(self, names: list[str]) -> tuple[Room, ...]:
        """A room for each name."""

        def room(name: str) -> Room:
            async def read(_: object) -> Reading:
                self.reads.append(name)
                self.reading.set()
                await self.opened.wait()
                return Reading()

            made = Collector(name=name, help="Waits.", metrics=(), read=read, samples=lambda _: iter(()))
            return Room(made, (SimpleNamespace(address="here"),))

        return tuple(map(room, names))


@pytest_asyncio.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose collectors answer at once, configured to run ``redis`` alone."""
    made = World(tmp_path / "file")
    made.opened.set()
    made.write("redis")
    monkeypatch.setattr(service, "open_clients", made.clients)
    monkeypatch.setattr(service.collectors, "bind", made.bind)
    return made


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """What is logged."""
    with structlog.testing.capture_logs() as logged:
        yield logged


def our_tasks() -> set[asyncio.Task[Any]]:
    """Tasks of the package's own; those of libraries may end later, also those that another test has left in this loop."""
    home = str(Path(service.__file__).parent)
    return {task for task in asyncio.all_tasks() if task.get_coro().cr_code.co_filename.startswith(home)}


@contextlib.asynccontextmanager
async def running(world: World) -> AsyncIterator[Service]:
    """A started service; afterwards no connection and no task of it is open."""
    before = our_tasks()
    made = Service(world.load)
    await made.start()
    yield made
    await made.close()
    assert world.open_clients == 0
    assert our_tasks() <= before


def value(made: Service, metric: object, snapshot: Any) -> float:
    (sample,) = [sample for sample in made.samples(snapshot) if isinstance(sample, Sample) and sample.metric is metric]
    return sample.value


async def test_faulty_configuration_at_the_start(world: World) -> None:
    """There is nothing to fall back on yet: the caller must know, and print."""
    world.write("bad")
    with pytest.raises(ConfigError, match="is bad"):
        await Service(world.load).start()


async def test_nothing_is_asked_of_a_service_that_was_not_started(world: World) -> None:
    """A slip in the wiring is an error at once, not an empty page; and closing is always allowed."""
    made = Service(world.load)
    with pytest.raises(RuntimeError, match="not been started"):
        await made.scrape(budget_seconds=PATIENCE_SECONDS)
    await made.close()


async def test_unchanged_file_is_not_read_again(world: World) -> None:
    """A scrape costs one look at each file, not a reading of them all."""
    async with running(world) as made:
        for _ in range(5):
            await made.scrape(budget_seconds=PATIENCE_SECONDS)
        assert world.loads == 2
        assert world.clients_made == 1


async def test_changed_file_counts_for_the_scrape_that_sees_it(world: World, lines: list[Any]) -> None:
    """The page that says "reloaded" must be of the new configuration, its new collectors included."""
    async with running(world) as made:
        await made.scrape(budget_seconds=PATIENCE_SECONDS)
        world.write("redis postgres")
        snapshot = await made.scrape(budget_seconds=PATIENCE_SECONDS)
        assert [outcome.collector.name for outcome in snapshot.outcomes] == ["redis", "postgres"]
        assert value(made, RELOADED, snapshot) == 1
        snapshot = await made.scrape(budget_seconds=PATIENCE_SECONDS, collect=["postgres"])
        assert [outcome.collector.name for outcome in snapshot.outcomes] == ["postgres"]
        with pytest.raises(UnknownCollector):
            await made.scrape(budget_seconds=PATIENCE_SECONDS, exclude=["typo"])
    assert [line["event"] for line in lines].count("configuration reloaded") == 1


async def test_one_change_is_one_reload(world: World, lines: list[Any]) -> None:
    """Twenty scrapes that see the same change must not open twenty sets of connections."""
    async with running(world) as made:
        world.write("redis postgres")
        await asyncio.gather(*(made.scrape(budget_seconds=PATIENCE_SECONDS) for _ in range(20)))
        assert world.loads == 3
        assert world.clients_made == 2
    assert [line["event"] for line in lines].count("configuration reloaded") == 1


async def test_removed_file_is_a_fault(world: World, lines: list[Any]) -> None:
    """Without it the exporter might log in as somebody else, and all would look well; told once, until it is back."""
    async with running(world) as made:
        text = world.file.read_text()
        world.file.unlink()
        for _ in range(2):
            snapshot = await made.scrape(budget_seconds=PATIENCE_SECONDS)
            assert [outcome.collector.name for outcome in snapshot.outcomes] == ["redis"]
            assert value(made, RELOADED, snapshot) == 0
        assert not await made.reload()
        world.write(text)
        assert value(made, RELOADED, await made.scrape(budget_seconds=PATIENCE_SECONDS)) == 1
    faults = [line["faults"] for line in lines if line["event"] == "configuration not reloaded"]
    assert faults == [f"{world.file}: was read and is gone; to go on without it, restart"] * 2


async def test_file_written_while_it_is_read(world: World) -> None:
    """The rotation that hits the middle of our reading must not go unseen until the next one."""
    async with running(world) as made:
        world.write("redis postgres")
        world.while_loading = lambda: world.file.write_text("redis tables")
        await made.scrape(budget_seconds=PATIENCE_SECONDS)
        world.while_loading = lambda: None
        snapshot = await made.scrape(budget_seconds=PATIENCE_SECONDS)
        assert [outcome.collector.name for outcome in snapshot.outcomes] == ["redis", "tables"]


async def test_faulty_change_is_told_once_and_costs_nothing(world: World, lines: list[Any]) -> None:
    """The old configuration works on; one line and one series say that it is the old one."""
    async with running(world) as made:
        first = await made.scrape(budget_seconds=PATIENCE_SECONDS)
        world.write("bad")
        for _ in range(3):
            snapshot = await made.scrape(budget_seconds=PATIENCE_SECONDS)
            assert [outcome.collector.name for outcome in snapshot.outcomes] == ["redis"]
            assert value(made, RELOADED, snapshot) == 0
            assert value(made, RELOADED_AT, snapshot) == value(made, RELOADED_AT, first)
        assert world.loads == 4
        assert world.clients_made == 1
        world.write("tables")
        snapshot = await made.scrape(budget_seconds=PATIENCE_SECONDS)
        assert value(made, RELOADED, snapshot) == 1
        assert [outcome.collector.name for outcome in snapshot.outcomes] == ["tables"]
    (line,) = [line for line in lines if line["event"] == "configuration not reloaded"]
    assert line["faults"] == "file: is bad"


async def test_missing_file_is_watched_for(world: World) -> None:
    """A secret that is mounted after the configuration that names it mends the fault by itself."""
    async with running(world) as made:
        world.write("redis later")
        assert value(made, RELOADED, await made.scrape(budget_seconds=PATIENCE_SECONDS)) == 0
        world.file.with_name("later").write_text("there")
        assert value(made, RELOADED, await made.scrape(budget_seconds=PATIENCE_SECONDS)) == 1


async def test_reload_on_request_without_a_change(world: World) -> None:
    """SIGHUP means read, whatever the file's date says."""
    async with running(world) as made:
        assert await made.reload()
        assert world.loads == 3
        world.file.write_text("bad")
        assert not await made.reload()


async def test_scrape_under_way_keeps_its_connections(world: World) -> None:
    """A reload must not cut a scrape; the old connections are closed when it has ended, and not before."""
    async with running(world) as made:
        world.opened.clear()
        scrape = asyncio.create_task(made.scrape(budget_seconds=PATIENCE_SECONDS))
        await world.reading.wait()
        await made.reload()
        for _ in range(10):
            await asyncio.sleep(0)
        assert world.open_clients == 2
        world.opened.set()
        assert not (await scrape).outcomes[0].failure
        async with asyncio.timeout(PATIENCE_SECONDS):
            await world.closed.wait()
        assert world.open_clients == 1


async def test_close_in_the_middle_of_everything(world: World) -> None:
    """Stopping while an old configuration is still leaving closes its connections, too; ``running`` looks."""
    async with running(world) as made:
        world.opened.clear()
        scrape = asyncio.create_task(made.scrape(budget_seconds=60))
        await world.reading.wait()
        await made.reload()
        await made.close()
        await asyncio.wait([scrape], timeout=PATIENCE_SECONDS)
        assert scrape.done()
        made._now = None


async def test_reload_is_no_change_of_state(world: World, lines: list[Any]) -> None:
    """What worked before and works after is not logged again, nor is it forgotten when it last worked."""
    async with running(world) as made:
        await made.scrape(budget_seconds=2)
        for _ in range(3):
            await made.reload()
            await made.scrape(budget_seconds=2)
        world.opened.clear()
        snapshot = await made.scrape(budget_seconds=2)
        assert snapshot.last_success.keys() == {"redis"}
    events = [line["event"] for line in lines if "collector" in line]
    assert events == ["collector works", "collector failed"]


async def test_ready_after_the_first_scrape(world: World) -> None:
    """``scraped`` is what readiness is made of: not before a scrape has completed, be it a failed one."""
    async with running(world) as made:
        assert not made.scraped.is_set()
        with pytest.raises(UnknownCollector):
            await made.scrape(budget_seconds=PATIENCE_SECONDS, collect=["typo"])
        assert not made.scraped.is_set()
        world.opened.clear()
        await made.scrape(budget_seconds=0.01)
        assert made.scraped.is_set()


async def test_when_it_was_last_scraped(world: World) -> None:
    """The page calls itself old by this: it is the last scrape's own time, and a scrape of nothing is none."""
    async with running(world) as made:
        assert made.memory.scraped_at is None
        await made.scrape(budget_seconds=PATIENCE_SECONDS, exclude=["redis"])
        assert made.memory.scraped_at is None
        for _ in range(2):
            snapshot = await made.scrape(budget_seconds=PATIENCE_SECONDS)
            assert made.memory.scraped_at == snapshot.at
        await made.scrape(budget_seconds=PATIENCE_SECONDS, exclude=["redis"])
        assert made.memory.scraped_at == snapshot.at


def test_configuration_that_config_gives_is_what_the_service_takes() -> None:
    """The stand-in above has the fields of the real thing."""
    assert {"settings", "files"} <= set(config.Loaded.__dataclass_fields__)
