"""What a scenario acts on: everything that ``running`` has started."""

import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from .blnk import BlnkServer, BlnkWorker
from .postgres import PostgresServer
from .valkey import ValkeyServer
from .workload import Workload


@dataclass(kw_only=True)
class Sandbox:
    """A small deployment of Blnk, running. ``directory`` and all servers are gone when its context ends."""

    directory: Path
    blnk_json: Path
    exporter_yml: Path
    postgres: PostgresServer
    valkey: ValkeyServer
    server: BlnkServer
    worker: BlnkWorker
    description: str = ""
    statvfs: Callable[[str], os.statvfs_result] | None = None


@dataclass(kw_only=True)
class Stage:
    """The sandbox and the hands that write to it. ``exporter`` becomes exporter.yml; ``stack`` ends what is added."""

    stack: AsyncExitStack
    sandbox: Sandbox
    workload: Workload
    redis: Redis
    pool: "asyncpg.Pool[asyncpg.Record]"
    exporter: dict[str, Any] = field(default_factory=dict)
