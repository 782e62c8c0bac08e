"""The servers that are watched, filled as a Blnk that was used for long leaves them, and what they count."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from blnk_exporter.sandbox import PostgresServer, ValkeyServer
from blnk_exporter.sandbox.process import descendants

from . import backlog, ledger
from .fleet import cpu_seconds
from .site import DATABASE, queue_names

# The application's name before each line, so that everybody's statements can be told apart.
_SETTINGS = {"log_line_prefix": "<%a> ", "shared_buffers": "512MB", "max_wal_size": "8GB"}
_STATEMENT = re.compile(r"^<(?P<application>[^>]*)> LOG: +(?:statement|execute [^:]+): ", re.MULTILINE)
_POLL_SECONDS = 0.01


@dataclass
class Database:
    """PostgreSQL with Blnk's tables."""

    server: PostgresServer
    connection: Any

    async def work(self, rows: int) -> None:
        """New transactions, as they come between two scrapes."""
        await ledger.work(self.connection, rows)

    def cpu_seconds(self) -> float:
        """CPU time of the server and all its sessions that are still there."""
        return sum(map(cpu_seconds, (self.server.pid, *descendants(self.server.pid))))

    @contextlib.asynccontextmanager
    async def logging(self) -> AsyncIterator[None]:
        """Every statement is logged meanwhile."""
        await self._log("all")
        try:
            yield
        finally:
            await self._log("none")

    async def _log(self, statements: str) -> None:
        self.server.reload({"log_statement": statements})
        while await self.connection.fetchval("SHOW log_statement") != statements:  # noqa: ASYNC110 - asked of a server
            await asyncio.sleep(_POLL_SECONDS)

    def statements(self, application: str) -> int:
        """How many statements of an application are in the log."""
        log = self.server.log_path.read_text("utf-8", "replace")
        return sum(found["application"] == application for found in _STATEMENT.finditer(log))


@contextlib.asynccontextmanager
async def database(directory: Path, rows: int, *, max_connections: int = 200) -> AsyncIterator[Database]:
    """A PostgreSQL 16 with so many transactions."""
    settings = _SETTINGS | {"max_connections": str(max_connections)}
    server = await PostgresServer.start(directory, settings=settings)
    try:
        connection = await asyncpg.connect(server.dsn())
        await connection.execute(f"CREATE DATABASE {DATABASE}")
        await connection.close()
        named = {"application_name": "benchmark"}
        connection = await asyncpg.connect(server.dsn(database=DATABASE), server_settings=named)
        await ledger.create(connection, rows)
        yield Database(server, connection)
        await connection.close()
    finally:
        await server.stop()


@dataclass
class Store:
    """Valkey with asynq's queues."""

    server: ValkeyServer
    redis: Redis

    def cpu_seconds(self) -> float:
        """CPU time of the server."""
        return cpu_seconds(self.server.pid)

    async def commands(self) -> int:
        """How many commands it has run, those within scripts among them; each time that this is asked adds one."""
        found: Mapping[str, Mapping[str, int]] = await self.redis.info("commandstats")
        return sum(command["calls"] for command in found.values())


@contextlib.asynccontextmanager
async def store(directory: Path, queues: int, tasks: int) -> AsyncIterator[Store]:
    """A Valkey with so many queues, and so many pending tasks in all of them together."""
    server = await ValkeyServer.start(directory)
    try:
        async with Redis.from_url(server.url()) as redis:
            await backlog.fill(redis, queue_names(queues), tasks)
            yield Store(server, redis)
    finally:
        await server.stop()
