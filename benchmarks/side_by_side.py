"""All exporters on the large deployment: how long a scrape takes, what it costs them, what it costs the servers."""

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from . import exporters, ratio
from .bench import Bench
from .fleet import Running, running
from .report import Answer, Table, Verdict
from .rounds import COLUMNS, Figures, Subject, measure

_AGAIN = "blnk-exporter, a second process"
_PEERS, _ALL = "those of servers in parallel", "all peers in parallel"
_APPLICATIONS = {exporters.OURS.name: "blnk_exporter", exporters.POSTGRES.name: "postgres_exporter"}


async def ask(bench: Bench) -> Answer:
    """Needs at least one peer besides node_exporter."""
    async with contextlib.AsyncExitStack() as stack:
        site, names = bench.site(), (exporters.OURS, exporters.OURS, *exporters.PEERS)
        started = [
            await stack.enter_async_context(running(exporter, site, bench.directory))
            for exporter in names
            if exporter.program
        ]
        ours, again, *peers = started
        readers = tuple(peer for peer in peers if peer.exporter is not exporters.NODE)
        subjects = [Subject(exporters.OURS.name, (ours,)), Subject(_AGAIN, (again,))]
        subjects += [Subject(peer.exporter.name, (peer,)) for peer in peers]
        subjects += [Subject(_PEERS, readers), Subject(_ALL, tuple(peers))]

        async def work() -> None:
            await bench.database.work(bench.sizes.new_rows)

        found = await measure(subjects, bench.sizes.rounds, before_round=work)
        costs = [await _cost(bench, one) for one in (ours, *readers)]
    return Answer((_times(bench, found), _costs(bench, costs)), _verdicts(found, costs))


def _times(bench: Bench, found: Mapping[str, Figures]) -> Table:
    sizes, ours, again = bench.sizes, found[exporters.OURS.name], found[_AGAIN]
    floor, cpu = ratio.of_medians(ours.seconds, again.seconds), ours.cpu_seconds / again.cpu_seconds
    return Table(
        f"Side by side: {sizes.queues[0]} queues, {sizes.backlogs[-1]:,} waiting tasks, {sizes.rows[-1]:,} transactions",
        ("", *COLUMNS),
        tuple((name, *figures.row()) for name, figures in found.items()),
        (
            f"{sizes.rounds} rounds in turns, {sizes.new_rows} new transactions before each of them.",
            f"Noise floor: the two of ours are to each other as {floor} in p50, as {cpu:.2f} in CPU.",
        ),
    )


@dataclass(frozen=True)
class _Cost:
    """What one exporter's scrape costs the servers."""

    name: str
    commands: float
    redis_cpu_seconds: float
    statements: float
    postgres_cpu_seconds: float


async def _cost(bench: Bench, one: Running) -> _Cost:
    """Per scrape, with nobody else there. Statements are logged only where they are counted."""
    scrapes, database, store = bench.sizes.rounds, bench.database, bench.store
    commands, before = await store.commands(), (store.cpu_seconds(), database.cpu_seconds())
    for _ in itertools.repeat(None, scrapes):
        await one.scrape()
    after = store.cpu_seconds(), database.cpu_seconds()
    commands = await store.commands() - commands - 1
    application = _APPLICATIONS.get(one.exporter.name, "")
    async with database.logging():
        logged = database.statements(application)
        for _ in itertools.repeat(None, scrapes):
            await one.scrape()
        logged = database.statements(application) - logged
    redis, postgres = ((end - begin) / scrapes for begin, end in zip(before, after, strict=True))
    return _Cost(one.exporter.name, commands / scrapes, redis, logged / scrapes, postgres)


def _costs(bench: Bench, costs: list[_Cost]) -> Table:
    return Table(
        "What one scrape costs the servers",
        ("", "Redis commands", "Redis CPU ms", "statements", "PostgreSQL CPU ms"),
        tuple(
            (
                *(cost.name, cost.commands, cost.redis_cpu_seconds * 1000),
                *(cost.statements, cost.postgres_cpu_seconds * 1000),
            )
            for cost in costs
        ),
        (f"Over {bench.sizes.rounds} scrapes with nobody else there. Commands within scripts count, too.",),
    )


def _verdicts(found: Mapping[str, Figures], costs: list[_Cost]) -> list[Verdict]:
    ours, peers, everybody = (found[name] for name in (exporters.OURS.name, _PEERS, _ALL))
    time = ratio.of_medians(ours.seconds, peers.seconds)
    return [
        Verdict("p50 against the peers in parallel", 0.7, time.value, time.low, time.high),
        Verdict("CPU per scrape against the peers' sum", 0.35, ours.cpu_seconds / peers.cpu_seconds),
        Verdict("CPU per scrape against that sum and node_exporter", 0.35, ours.cpu_seconds / everybody.cpu_seconds),
        Verdict("RSS against the sum of the peers and node_exporter", 0.9, ours.rss_bytes / everybody.rss_bytes),
        Verdict("statements per scrape", 3, costs[0].statements),
    ]
