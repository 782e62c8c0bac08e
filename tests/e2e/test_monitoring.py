"""From trouble in the deployment to page, message and picture: real servers, the shipped rules, routes and dashboards.

All scenarios stand side by side, each a cluster of its own to one Prometheus, so an alert that mixes two of them up shows.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from blnk_exporter import sandbox
from blnk_exporter.render.quick import Pace
from blnk_exporter.sandbox import SCENARIOS

from ..dashboards.asking import UNSEEN, Asked, asked, chosen
from ..programs import ALERTMANAGER
from ..waiting import eventually, until
from .field import PATIENCE_SCRAPES, Field, Place, deploy
from .page import OPENMETRICS, lint
from .promises import MOVES, PROMISES

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.needs("prometheus", ALERTMANAGER),
]

ROUTING = (Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yml").read_text()
RECEIVERS = {"critical": "pager", "warning": "tickets"}
# Credits that balance and debits do not account for; then what a currency has too much.
MENDING = (
    "UPDATE blnk.balances SET credit_balance = balance + debit_balance WHERE balance <> credit_balance - debit_balance",
    """UPDATE blnk.balances b SET balance = balance - much, credit_balance = credit_balance - much
       FROM (SELECT min(balance_id) AS id, sum(balance) AS much FROM blnk.balances GROUP BY currency) wrong
       WHERE b.balance_id = wrong.id AND much <> 0""",
)
# What comes by chance: enough failures for a quarter of an hour within half a minute; a row that was deleted before the
# exporter had read it, so that its transaction stays open; what a killed worker had in hand, which counts as lost when
# this takes more than three minutes.
MAY = {
    "database-down": {"BlnkQueuesFailing"},
    "ledger-tampered": {"BlnkLedgerTransactionsWithoutTask"},
    "worker-down": {"BlnkQueuesTasksLost"},
}


@pytest_asyncio.fixture(scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Field]:
    """Every scenario with an exporter, and one pair of servers that watches them all."""
    few = asyncio.Semaphore(2)

    async def start(name: str) -> Place:
        # All at once would take the machine from whatever else is tested.
        async with few:
            return await deploy(name)

    async with asyncio.TaskGroup() as group:
        starting = {name: group.create_task(start(name)) for name in SCENARIOS}
    places = {name: task.result() for name, task in starting.items()}
    # The slower the machine, the slower the motion: a scrape of all of them has twice what it takes here and now.
    pace = Pace(holds=240, windows=30, scrape_seconds=max(2.0, 2.5 * await _scraped(places)))
    try:
        targets = {name: place.exporter.url.removeprefix("http://") for name, place in places.items()}
        directory, deliveries = tmp_path_factory.mktemp("monitoring"), []
        async with sandbox.watching(directory, targets, routing=ROUTING, heard=deliveries.append, pace=pace) as servers:
            yield Field(places, servers, deliveries, pace)
    finally:
        await asyncio.gather(*(place.end() for place in places.values()))


async def _scraped(places: Mapping[str, Place]) -> float:
    """Return the seconds that a scrape of all places at once takes, the slowest of three after the first, which logs in."""
    await asyncio.gather(*(place.exporter.scrape() for place in places.values()))
    found = []
    for _ in range(3):
        began = time.monotonic()
        await asyncio.gather(*(place.exporter.scrape() for place in places.values()))
        found.append(time.monotonic() - began)
    return max(found)


def test_every_scenario_has_a_promise() -> None:
    """A scenario that is added without saying what it must show would prove nothing."""
    assert PROMISES.keys() == SCENARIOS.keys()


async def test_the_chain_is_alive(watched: Field) -> None:
    """The Watchdog fires and arrives: without it silence would mean nothing."""
    await until(
        lambda: any(delivery.receiver == "dead-mans-switch" for delivery in watched.deliveries),
        seconds=watched.patience_seconds,
    )


@pytest.mark.parametrize("name", SCENARIOS)
async def test_page_shows_what_the_scenario_promises(watched: Field, name: str) -> None:
    """This is the product: the state of the deployment and the page say the same."""
    promise, wrong = PROMISES[name], []

    async def kept() -> bool:
        # A starved workload may be behind for a moment.
        page = await watched.places[name].exporter.scrape()
        wrong[:] = [
            *({"failures": page.failures} if page.failures != promise.failures else ()),
            *(f"check {number}" for number, check in enumerate(promise.true) if not check(page)),
            *(there for prefix in promise.absent for there in page.names(prefix)),
        ]
        return not wrong

    with suppress(AssertionError):
        await eventually(kept)
    assert wrong == []


@pytest.mark.parametrize("name", SCENARIOS)
async def test_page_is_well_formed(watched: Field, name: str) -> None:
    """No made-up number (NaN, infinity, -1), nothing for promtool to complain of, and the same metrics in OpenMetrics."""
    exporter = watched.places[name].exporter
    text, openmetrics = await exporter.scrape(), await exporter.scrape(accept=OPENMETRICS)
    odd = [
        (metric, dict(labels), value)
        for metric, series in text.samples.items()
        for labels, value in series.items()
        # How far a clock is ahead has a sign.
        if metric.startswith("blnk_")
        and not 0 <= value < float("inf")
        and "_setting_" not in metric
        and metric != "blnk_workers_clock_skew_seconds"
    ]
    assert odd == []
    assert text.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert lint(text.body) == ""
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    # What comes and goes with the moving workload, or what the library says of this process, is not compared.
    known = {
        metric
        for metric in set(text.samples) ^ set(openmetrics.samples)
        if not metric.endswith(("_age_seconds", "_age_transactions", "_skew_seconds", "_created"))
        and metric.startswith("blnk_")
    }
    assert known == set()


@pytest.mark.parametrize("name", MOVES)
async def test_scenario_moves(watched: Field, name: str) -> None:
    """A demo that stands still would show nothing of a rate: what the description says grows does."""
    exporter, metric = watched.places[name].exporter, MOVES[name]
    first = sum((await exporter.scrape()).values(metric))

    async def moved() -> bool:
        return sum((await exporter.scrape()).values(metric)) > first

    await eventually(moved)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_raises_its_alerts(watched: Field, name: str) -> None:
    """All of them, and each that does not follow from another is told to whom it concerns."""
    expected = set(SCENARIOS[name].alerts)

    async def raised() -> bool:
        return await watched.now(name) >= expected

    async def told() -> bool:
        muted = await watched.muted()
        loud = {
            (RECEIVERS[alert.labels["severity"]], alert.name, alert.labels["severity"])
            for alert in await watched.alerts(name)
            if alert.state == "firing"
            and alert.labels["severity"] in RECEIVERS
            and frozenset(alert.labels.items()) not in muted
        }
        return loud <= watched.told(name)

    await eventually(raised, seconds=watched.patience_seconds)
    await eventually(told, seconds=watched.patience_seconds)
    assert {receiver for receiver, _, severity in watched.told(name) if receiver != RECEIVERS[severity]} == set()


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_raises_nothing_else(watched: Field, name: str) -> None:
    """Not even after a time in which each rule would have come to fire; so a healthy ledger calls nobody."""
    seen = f'count_over_time(up{{cluster="{name}"}}[1h]) >= {PATIENCE_SCRAPES}'
    await eventually(lambda: watched.servers.query(seen), seconds=watched.patience_seconds)
    assert await watched.ever(name) - MAY.get(name, set()) == set(SCENARIOS[name].alerts)


@pytest_asyncio.fixture(scope="module")
async def drawn(watched: Field) -> Mapping[Asked, set[str]]:
    """In which scenarios each query of each dashboard has something to show; one that Prometheus refuses raises."""
    seen = f"count(count_over_time(up[1h]) >= {PATIENCE_SCRAPES}) == {len(watched.places)}"
    await eventually(lambda: watched.servers.query(seen), seconds=watched.patience_seconds)
    window = f"{20 * watched.pace.scrape_seconds:.0f}s"
    found: dict[Asked, set[str]] = {one: set() for one in asked()}
    for now in (True, False):
        # What is there for a moment only is looked for in the minutes before.
        rest = [one for one, where in found.items() if not where]
        for name, place in watched.places.items():
            instance = place.exporter.url.removeprefix("http://")
            for one in rest:
                expr = chosen(one.expr, window, instance=instance, host=instance, blnk_job="none")
                if await watched.servers.query(expr if now else f"last_over_time(({expr})[{window}:])"):
                    found[one].add(name)
    return found


async def test_every_panel_has_something_to_show(drawn: Mapping[Asked, set[str]]) -> None:
    """Each of its queries, in some scenario; of what none has, tests/dashboards shows that it would be shown."""
    empty = {one for one, where in drawn.items() if not where and "$blnk_job" not in one.expr}
    assert {(one.board, one.panel) for one in empty} == UNSEEN.keys()


@pytest.mark.parametrize("name", SCENARIOS)
async def test_an_alert_of_a_scenario_is_seen(drawn: Mapping[Asked, set[str]], name: str) -> None:
    """The panel that its link leads to shows something of this deployment."""
    for alert in SCENARIOS[name].alerts:
        seen = [where for one, where in drawn.items() if alert in one.alerts]
        assert any(name in where for where in seen), alert


async def test_what_follows_from_a_database_is_not_told(watched: Field) -> None:
    """One page for one cause."""
    follow = set(SCENARIOS["database-down"].alerts) - {"BlnkPostgresDown"}

    async def muted() -> bool:
        here = (dict(key) for key in await watched.muted() if ("cluster", "database-down") in key)
        return {labels["alertname"] for labels in here} >= follow

    await eventually(muted, seconds=watched.patience_seconds)
    assert {name for _, name, _ in watched.told("database-down")} == {"BlnkPostgresDown"}


Told = set[tuple[str, str, str]]


async def _restart_database(watched: Field) -> None:
    await watched.places["database-down"].stack.postgres.restart()


async def _mend_books(watched: Field) -> None:
    connection = await asyncpg.connect(watched.places["ledger-unbalanced"].stack.postgres.dsn(database="blnk"))
    for statement in MENDING:
        await connection.execute(statement)
    await connection.close()


async def _kill_exporter(watched: Field) -> None:
    await watched.places["healthy"].exporter_ends.aclose()


@pytest_asyncio.fixture(scope="module")
async def changed(watched: Field) -> Mapping[str, Told]:
    """Two deployments are mended and an exporter ends, all at once; gives what had been told of the two before."""
    told: dict[str, Told] = {}
    for name in ("database-down", "ledger-unbalanced"):

        async def raised(name: str = name) -> bool:
            return await watched.now(name) >= set(SCENARIOS[name].alerts) and bool(watched.told(name))

        await eventually(raised, seconds=watched.patience_seconds)
        told[name] = watched.told(name)
    await asyncio.gather(_restart_database(watched), _mend_books(watched), _kill_exporter(watched))
    return told


@pytest.mark.parametrize("name", ["database-down", "ledger-unbalanced"])
async def test_what_is_mended_ends_its_alerts(watched: Field, changed: Mapping[str, Told], name: str) -> None:
    """Who was told of something is told that it is over."""

    async def quiet() -> bool:
        return not await watched.alerts(name)

    await eventually(quiet, seconds=watched.patience_seconds)
    await until(lambda: watched.told(name, "resolved") >= changed[name], seconds=watched.patience_seconds)


async def test_an_exporter_that_dies_is_paged(watched: Field, changed: Mapping[str, Told]) -> None:
    """Everything is well, but nobody would know."""
    page = ("pager", "BlnkExporterDown", "critical")
    await until(lambda: page in watched.told("healthy"), seconds=watched.patience_seconds)
    assert await watched.now("healthy") == {"BlnkExporterDown"}
