"""The only place that opens a socket or a file of the monitored systems. Foreign errors become ours here."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ..config.settings import Settings
from .files import HostClient
from .http import HttpTarget, open_session
from .patient import PatientReader
from .postgres import PostgresClient
from .redis import RedisClient
from .threads import look_up_apart


@dataclass(frozen=True)
class Clients:
    """One client per configured target; none of them has connected yet.

    ``remembered`` is what sources know beyond a change of the configuration, by collector and target.
    """

    settings: Settings
    servers: tuple[HttpTarget, ...]
    workers: tuple[HttpTarget, ...]
    postgres: tuple[PostgresClient, ...]
    patient: tuple[PatientReader, ...]
    redis: RedisClient | None
    host: HostClient
    remembered: dict[str, Any]


@asynccontextmanager
async def open_clients(
    settings: Settings,
    *,
    statvfs: Callable[[str], os.statvfs_result] = os.statvfs,
    remembered: dict[str, Any] | None = None,
) -> AsyncIterator[Clients]:
    """Clients for everything that the settings name, closed at the end; ``statvfs`` lets the sandbox fill a disk."""
    limits = settings.own.limits
    look_up_apart(asyncio.get_running_loop())
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())

        def targets(urls: tuple[str, ...]) -> tuple[HttpTarget, ...]:
            timeout, most = limits.health_timeout_seconds, limits.response_bytes
            return tuple(HttpTarget(session, url, timeout_seconds=timeout, response_bytes=most) for url in urls)

        most = limits.database_response_bytes
        redis = RedisClient(settings.redis, response_bytes=most) if settings.redis else None
        if redis:
            stack.push_async_callback(redis.close)
        most = limits.database_response_bytes
        postgres = tuple(
            PostgresClient(dsn, statement_timeout_seconds=limits.statement_timeout_seconds, response_bytes=most)
            for dsn in settings.postgres
        )
        for client in postgres:
            stack.push_async_callback(client.close)
        limit = settings.own.books.timeout_seconds
        patient = tuple(
            PatientReader(dsn, statement_timeout_seconds=limit, response_bytes=most) for dsn in settings.postgres[:1]
        )
        for reader in patient:
            stack.push_async_callback(reader.close)
        where, budget = settings.own.host, limits.scrape_timeout_seconds
        host = HostClient(where.root, where.paths, statvfs=statvfs, scrape_seconds=budget)
        yield Clients(
            settings,
            targets(settings.servers),
            targets(settings.workers),
            postgres,
            patient,
            redis,
            host,
            {} if remembered is None else remembered,
        )
