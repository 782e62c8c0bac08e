"""Ten milliseconds of network between each exporter and its servers: how long a scrape takes, how often it waits."""

import contextlib
import itertools
from dataclasses import dataclass

from . import exporters, ratio
from .bench import Bench
from .fleet import Running, running
from .relay import Relay, relay
from .report import Answer, Table, Verdict
from .rounds import Figures, Subject, measure

_DELAY_SECONDS = 0.005


@dataclass(frozen=True)
class _Watched:
    """An exporter with two relays of its own."""

    exporter: Running
    redis: Relay
    postgres: Relay


@dataclass(frozen=True)
class _Count:
    """What one scrape did on the wire; trips of the worst one, the others on average."""

    redis_trips: int
    redis_kib: float
    redis_connections: float
    postgres_trips: int
    postgres_kib: float
    postgres_connections: float


async def ask(bench: Bench) -> Answer:
    """Needs at least one peer besides node_exporter, which has no server."""
    compared = (exporters.OURS, exporters.REDIS, exporters.ASYNQ, exporters.POSTGRES)
    async with contextlib.AsyncExitStack() as stack:
        watched = [await _watched(stack, bench, exporter) for exporter in compared if exporter.program]
        subjects = [Subject(one.exporter.exporter.name, (one.exporter,)) for one in watched]
        found = await measure(subjects, bench.sizes.delayed_rounds)
        counts = {one.exporter.exporter.name: await _count(one, bench.sizes.delayed_rounds) for one in watched}
    ours, *peers = subjects
    slowest = max((found[peer.name] for peer in peers), key=lambda figures: figures.p50)
    time = ratio.of_medians(found[ours.name].seconds, slowest.seconds)
    return Answer(
        (_table(found, counts),),
        (
            Verdict("p50 at 10 ms of network against the slowest peer", 0.25, time.value, time.low, time.high),
            Verdict("round trips to Redis in one scrape", 3, counts[ours.name].redis_trips),
        ),
    )


async def _watched(stack: contextlib.AsyncExitStack, bench: Bench, exporter: exporters.Exporter) -> _Watched:
    site = bench.site()
    redis = await stack.enter_async_context(relay(site.redis_port, _DELAY_SECONDS))
    postgres = await stack.enter_async_context(relay(site.postgres_port, _DELAY_SECONDS))
    there = site.through(redis.port, postgres.port)
    return _Watched(await stack.enter_async_context(running(exporter, there, bench.directory)), redis, postgres)


async def _count(one: _Watched, scrapes: int) -> _Count:
    relays = one.redis, one.postgres
    begun = [(wire.received_bytes, wire.connections) for wire in relays]
    trips = []
    for _ in itertools.repeat(None, scrapes):
        before = [wire.round_trips for wire in relays]
        await one.exporter.scrape()
        trips.append([wire.round_trips - count for wire, count in zip(relays, before, strict=True)])
    redis, postgres = (
        ((wire.received_bytes - size) / 1024 / scrapes, (wire.connections - connections) / scrapes)
        for wire, (size, connections) in zip(relays, begun, strict=True)
    )
    redis_trips, postgres_trips = (max(counted) for counted in zip(*trips, strict=True))
    return _Count(redis_trips, *redis, postgres_trips, *postgres)


def _table(found: dict[str, Figures], counts: dict[str, _Count]) -> Table:
    rows = [
        (
            *(name, figures.p50),
            *(counts[name].redis_trips, counts[name].redis_connections, counts[name].redis_kib),
            *(counts[name].postgres_trips, counts[name].postgres_connections, counts[name].postgres_kib),
        )
        for name, figures in found.items()
    ]
    redis, postgres = ((f"{server} trips", "new connections", "KiB received") for server in ("Redis", "PostgreSQL"))
    return Table(
        "10 ms of network (round trip) to both servers",
        ("", "p50 ms", *redis, *postgres),
        tuple(rows),
        (
            "Trips are those of the worst scrape, the others are per scrape. A new connection takes one round trip more.",
        ),
    )
