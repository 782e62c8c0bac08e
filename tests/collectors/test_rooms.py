"""The list of rooms: which run in a deployment, and that one scrape of all keeps to its budget of statements."""

from collections.abc import Mapping
from typing import Any

import pytest

from blnk_exporter import collectors
from blnk_exporter.clients import open_clients
from blnk_exporter.config.deployment import Blnk
from blnk_exporter.config.settings import Collectors, Host, Limits, Own, Settings
from blnk_exporter.formats.dsn import PostgresDsn, RedisDsn
from blnk_exporter.sandbox.valkey import ValkeyServer
from blnk_exporter.scrape import Scraper

from ..conftest import Database, frozen

NOTHING: Mapping[str, Any] = {"servers": (), "workers": (), "postgres": (), "redis": None, "queues": ()}

# What Blnk's settings are without, and what does not matter here.
NO_BLNK: Mapping[str, Any] = {
    "server_port": "1",
    "monitoring_port": "2",
    "data_source_dns": None,
    "redis_dns": None,
    "queues": (),
}


def settings(own: Own | None = None, **given: Any) -> Settings:
    return Settings(**{"own": own or Own(), "blnk": None} | NOTHING | given)


async def rooms(found: Settings) -> dict[str, int]:
    """The rooms that run, and how many sources each reads."""
    async with open_clients(found) as clients:
        return {room.collector.name: len(room.sources) for room in collectors.bind(clients)}


async def test_only_what_is_configured_runs() -> None:
    """Nothing named is nothing down: only the host is always there."""
    assert await rooms(settings()) == {"host": 1}


async def test_everything_that_is_named_is_read(postgres: Database) -> None:
    """A primary and a replica, two servers, a worker; tables and statements of the first database only."""
    found = settings(
        servers=("http://a:1", "http://b:1"),
        workers=("http://c:1",),
        postgres=(postgres.dsn(), postgres.dsn()),
        redis=RedisDsn(),
    )
    assert await rooms(found) == {
        "server": 2,
        "workers": 2,
        "queues": 1,
        "redis": 1,
        "postgres": 2,
        "tables": 1,
        "statements": 1,
        "ledger": 1,
        "books": 1,
        "catalog": 1,
        "host": 1,
    }


@pytest.mark.parametrize("name", collectors.NAMES)
async def test_each_room_can_be_switched_off(name: str, postgres: Database) -> None:
    """And takes no other with it."""
    given = {"servers": ("http://a:1",), "workers": ("http://c:1",), "postgres": (postgres.dsn(),), "redis": RedisDsn()}
    everything = set(await rooms(settings(**given)))
    own = Own(collectors=Collectors(**{name: False}))
    assert everything - set(await rooms(settings(own, **given))) == {name}


async def test_slow_rooms_have_the_interval_of_the_settings(postgres: Database) -> None:
    """Sizes are dear on a large ledger."""
    found = settings(Own(limits=Limits(slow_interval_seconds=77)), postgres=(postgres.dsn(),))
    async with open_clients(found) as clients:
        intervals = {room.collector.name: room.min_interval_seconds for room in collectors.bind(clients)}
    slow = dict.fromkeys(("tables", "statements", "catalog"), 77)
    assert intervals == {"postgres": 0, "ledger": 0, "books": 0, "host": 0} | slow


@pytest.mark.sandbox
async def test_an_ordinary_scrape_is_two_statements(each_postgres: Database, store: ValkeyServer) -> None:
    """Counted on the server: ordinary scrapes read PostgreSQL itself only, slow rooms rest, one connection is kept."""
    queues = tuple(f"new:transaction_{number}" for number in range(24))
    own = Own(host=Host(paths=("/",)))
    redis = RedisDsn(host=store.host, port=store.port)
    found = settings(own, postgres=(each_postgres.dsn(),), redis=redis, queues=queues, blnk_role="blnk")
    async with open_clients(found) as clients:
        scraper = Scraper(collectors.bind(clients), known=collectors.NAMES)
        snapshot = await scraper.scrape(budget_seconds=9)
        assert [outcome.collector.name for outcome in snapshot.outcomes if outcome.failure or outcome.gaps] == []
        for _ in range(3):
            before = each_postgres.log()
            await scraper.scrape(budget_seconds=9)
            assert each_postgres.executed(before) == 2
            assert "connection received" not in each_postgres.log()[len(before) :]


@pytest.mark.sandbox
@pytest.mark.parametrize("hanging", ["redis", "postgres"])
async def test_a_store_that_freezes_costs_its_own_rooms_only(
    postgres: Database, store: ValkeyServer, hanging: str
) -> None:
    """SIGSTOP during a scrape, SIGCONT before the next: the page comes in time, the rest of it whole, then all of it."""
    own = Own(limits=Limits(slow_interval_seconds=0))
    redis = RedisDsn(host=store.host, port=store.port)
    found = settings(own, postgres=(postgres.dsn(),), redis=redis, queues=("q",))
    rooms_of = {
        "redis": {"workers", "queues", "redis"},
        "postgres": {"postgres", "tables", "statements", "ledger", "catalog"},
    }
    async with open_clients(found) as clients:
        scraper = Scraper(collectors.bind(clients))
        await scraper.scrape(budget_seconds=9)
        with frozen(store if hanging == "redis" else postgres.server):
            late = await scraper.scrape(budget_seconds=0.5)
        whole = await scraper.scrape(budget_seconds=9)
    failures = {outcome.collector.name: outcome.failure.reason for outcome in late.outcomes if outcome.failure}
    assert failures == dict.fromkeys(rooms_of[hanging], "timeout")
    assert [outcome.collector.name for outcome in whole.outcomes if outcome.failure] == []


@pytest.mark.sandbox
async def test_every_store_gone_is_a_page_all_the_same() -> None:
    """Down at the start: each room has its outcome, in words, and nothing is made up."""
    nowhere = settings(
        servers=("http://127.0.0.1:1",),
        workers=("http://127.0.0.1:1",),
        postgres=(_nowhere(),),
        redis=RedisDsn(host="127.0.0.1", port=1),
        queues=("q",),
    )
    async with open_clients(nowhere) as clients:
        snapshot = await Scraper(collectors.bind(clients)).scrape(budget_seconds=5)
    failures = {
        outcome.collector.name: outcome.failure.reason if outcome.failure else None for outcome in snapshot.outcomes
    }
    assert failures == {name: None if name == "host" else "unreachable" for name in collectors.NAMES}
    told = {sample.metric.name: sample.value for sample in snapshot.samples() if sample.metric.name.endswith("_up")}
    assert told == {"blnk_server_up": 0, "blnk_workers_up": 0, "blnk_redis_up": 0, "blnk_postgres_up": 0}
    assert not [
        sample
        for sample in snapshot.samples()
        if sample.metric.name.startswith(
            ("blnk_queues_", "blnk_tables_", "blnk_ledger_", "blnk_books_", "blnk_catalog_")
        )
    ]


def _nowhere() -> Any:
    return PostgresDsn(hosts=("127.0.0.1",), ports=(1,), user="u", database="d", sslmode="disable")


async def test_a_new_configuration_forgets_nothing_of_the_ledger(postgres: Database) -> None:
    """A rotated password is a new configuration: its counters go on, and its bounds are the new ones."""
    remembered: dict[str, Any] = {}

    async def following(own: Own, database: str = "blnk") -> Any:
        found = settings(own, postgres=(postgres.dsn(database=database),))
        async with open_clients(found, remembered=remembered) as clients:
            (ledger,) = [room for room in collectors.bind(clients) if room.collector.name == "ledger"]
            return ledger.sources[0].following

    first = await following(Own())
    assert await following(Own(ledger={"open_rows": 123})) is first
    assert first.bounds.open_rows == 123
    assert await following(Own(), "empty") is not first


@pytest.mark.parametrize(
    ("blnk", "hot"),
    [({"hot_queue": "hot"}, ["hot"]), ({"hot_queue": None, "version": "0.13.2"}, [])],
)
async def test_tasks_are_looked_for_in_every_queue_of_transactions(
    postgres: Database, blnk: dict[str, Any], hot: list[str]
) -> None:
    """A queue less would make its tasks transactions that were lost; a release without the hot lane has no such queue."""
    given = Blnk(**blnk, **NO_BLNK, transaction_queue="t", number_of_queues=2)
    async with open_clients(settings(blnk=given, postgres=(postgres.dsn(),), redis=RedisDsn())) as clients:
        (ledger,) = [room for room in collectors.bind(clients) if room.collector.name == "ledger"]
        assert ledger.sources[0].queues == ["t_1", "t_2", *hot]
