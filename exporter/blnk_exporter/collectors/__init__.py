"""The rooms: the only list of collectors, each beside the sources that it reads in a deployment."""

from collections.abc import Callable, Sequence
from typing import Any

from ..clients import Clients
from ..collector import Collector, Room, Source
from ..table import TableReader
from . import host, postgres, queues, redis, server, statements, tables, workers

_Sources = Callable[[Clients], Sequence[Source]]


def _redis(clients: Clients) -> Sequence[Source]:
    return (clients.redis,) if clients.redis else ()


def _queues(clients: Clients) -> Sequence[Source]:
    settings = clients.settings
    return [queues.QueueSource(store, settings.queues, settings.own.limits.queues) for store in _stores(clients)]


def _workers(clients: Clients) -> Sequence[Source]:
    return (*clients.workers, *(workers.HeartbeatSource(store, clients.settings.queues) for store in _stores(clients)))


def _postgres(clients: Clients) -> Sequence[Source]:
    return [TableReader(client, blnk_role=clients.settings.blnk_role) for client in clients.postgres]


def _tables(clients: Clients) -> Sequence[Source]:
    # The first server only: a replica has the same tables, and statistics of its own that are not Blnk's.
    return [TableReader(client.background(), blnk_role=clients.settings.blnk_role) for client in clients.postgres[:1]]


def _statements(clients: Clients) -> Sequence[Source]:
    return [
        statements.StatementsSource(client.background(), clients.settings.blnk_role) for client in clients.postgres[:1]
    ]


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
    (host.COLLECTOR, lambda clients: (clients.host,)),
)
NAMES = tuple(collector.name for collector, _ in ROOMS)


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
