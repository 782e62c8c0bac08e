"""The rooms: the only list of collectors, each beside the sources that it reads in a deployment."""

from collections.abc import Callable, Sequence
from typing import Any

from ..clients import Clients
from ..collector import Collector, Room, Source
from ..ledger_facts.following import Bounds, Following
from ..table import TableReader
from . import books, catalog, host, ledger, postgres, queues, redis, server, statements, tables, workers

_Sources = Callable[[Clients], Sequence[Source]]


def _redis(clients: Clients) -> Sequence[Source]:
    stores = _stores(clients)
    return [
        redis.RedisSource(store, clients.remembered.setdefault(f"redis {store.address}", redis.Server()))
        for store in stores
    ]


def _queues(clients: Clients) -> Sequence[Source]:
    settings = clients.settings
    return [queues.QueueSource(store, settings.queues, settings.own.limits.queues) for store in _stores(clients)]


def _workers(clients: Clients) -> Sequence[Source]:
    blnk, expected = clients.settings.blnk, clients.settings.queues
    # Not every release has the one, and the other may have been switched off.
    possible = tuple(name for name in (blnk.inflight_commit_queue, blnk.hot_queue) if name) if blnk else ()
    return (*clients.workers, *(workers.HeartbeatSource(store, expected, possible) for store in _stores(clients)))


def _postgres(clients: Clients) -> Sequence[Source]:
    return [TableReader(client, argument=clients.settings.blnk_role) for client in clients.postgres]


def _tables(clients: Clients) -> Sequence[Source]:
    # The first server only: a replica has the same tables, and statistics of its own that are not Blnk's.
    return [TableReader(client.background(), argument=clients.settings.blnk_role) for client in clients.postgres[:1]]


def _statements(clients: Clients) -> Sequence[Source]:
    return [
        statements.StatementsSource(client.background(), clients.settings.blnk_role) for client in clients.postgres[:1]
    ]


def _ledger(clients: Clients) -> Sequence[Source]:
    own, blnk = clients.settings.own.ledger, clients.settings.blnk
    bounds = Bounds(
        open_rows=own.open_rows,
        currencies=own.currencies,
        history_rows=own.history_rows,
        history_seconds=own.history_days * 86_400.0,
    )
    shards = [f"{blnk.transaction_queue}_{shard}" for shard in range(1, blnk.number_of_queues + 1)] if blnk else []
    queues = [*shards, blnk.hot_queue] if blnk and blnk.hot_queue else shards
    sources = []
    for client, dsn in zip(clients.postgres[:1], clients.settings.postgres, strict=False):
        following = clients.remembered.setdefault(f"ledger {dsn.address} {dsn.database}", Following())
        following.bounds = bounds
        # PostgreSQL's own facts first: a ledger that takes long must not keep them waiting.
        reader = TableReader(client.background())
        sources.append(ledger.LedgerSource(reader, following, clients.redis, queues, own.timezone))
    return sources


def _books(clients: Clients) -> Sequence[Source]:
    own = clients.settings.own
    trial, most = own.books.trial_balance, own.ledger.currencies
    return [books.BooksSource(patient, own.books.interval_seconds, trial, most) for patient in clients.patient]


def _catalog(clients: Clients) -> Sequence[Source]:
    return [TableReader(client.background()) for client in clients.postgres[:1]]


def _stores(clients: Clients) -> Sequence[Any]:
    return (clients.redis,) if clients.redis else ()


ROOMS: tuple[tuple[Collector[Any], _Sources], ...] = (
    (server.COLLECTOR, lambda clients: clients.servers),
    (workers.COLLECTOR, _workers),
    (queues.COLLECTOR, _queues),
    (redis.COLLECTOR, _redis),
    (postgres.COLLECTOR, _postgres),
    (tables.COLLECTOR, _tables),
    (statements.COLLECTOR, _statements),
    (ledger.COLLECTOR, _ledger),
    (books.COLLECTOR, _books),
    (catalog.COLLECTOR, _catalog),
    (host.COLLECTOR, lambda clients: (clients.host,)),
)
NAMES = tuple(collector.name for collector, _ in ROOMS)
SLOW = tuple(collector.name for collector, _ in ROOMS if collector.slow)


def bind(clients: Clients) -> tuple[Room, ...]:
    """The rooms that run in this deployment: switched on, and with something to read."""
    own = clients.settings.own
    rooms = []
    for collector, sources in ROOMS:
        found = tuple(sources(clients)) if getattr(own.collectors, collector.name) else ()
        if found:
            interval = own.limits.slow_interval_seconds if collector.slow else 0.0
            rooms.append(Room(collector, found, interval))
    return tuple(rooms)
