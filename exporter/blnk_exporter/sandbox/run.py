"""Starts everything that a scenario needs, and ends all of it."""

import asyncio
import contextlib
import json
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from . import account, schema
from .blnk import BlnkServer, BlnkWorker
from .postgres import PostgresServer
from .process import removes_after_us
from .scenarios import SCENARIOS, Scenario
from .schema import Release
from .stage import Sandbox, Stage
from .valkey import ValkeyServer
from .workload import Workload

_DATABASE = "blnk"
_PATIENCE_SECONDS = 2.0

Report = Callable[[str], None]


@contextlib.asynccontextmanager
async def running(
    scenario: str = "healthy", *, report: Report = lambda _: None, release: Release = "0.15.2"
) -> AsyncIterator[Sandbox]:
    """Run a deployment of Blnk in the state that ``scenario`` names; about two seconds until it is ready.

    ``report`` is told about progress, line by line. Raises ValueError for an unknown scenario, SandboxError when
    something does not start. Afterwards, and after cancellation at any point, all servers and files are gone.
    """
    if scenario not in SCENARIOS:
        raise ValueError(f"unknown scenario {scenario!r}; known are {', '.join(SCENARIOS)}")
    chosen = SCENARIOS[scenario]
    began = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        directory = _directory(stack)
        report("starting PostgreSQL and Valkey")
        postgres, valkey = await _servers(stack, directory, chosen)
        report(f"PostgreSQL on {postgres.host}:{postgres.port}, Valkey on {valkey.host}:{valkey.port}")
        await _create_database(postgres, release)
        report(f"Blnk's schema of release {release} is there")
        stage = await _stage(stack, directory, postgres, valkey, release, chain=chosen.chain)
        await stage.workload.prepare(time.time())
        await chosen.trouble(stage)
        stage.sandbox.description = chosen.description
        stack.push_async_callback(_end, asyncio.create_task(stage.workload.run()), stage.pool)
        for server in (postgres, valkey):
            stack.callback(server.resume)  # first of all, so that nothing need wait for one that is silent
        _write(stage.sandbox.exporter_yml, stage.exporter)
        report(f"{scenario}: {chosen.description}")
        report(f"ready after {time.monotonic() - began:.1f} s")
        yield stage.sandbox


def _directory(stack: contextlib.AsyncExitStack) -> Path:
    directory = account.shared_directory("blnk-sandbox")
    guard = removes_after_us(directory)
    stack.callback(guard.dismiss)
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


async def _servers(
    stack: contextlib.AsyncExitStack, directory: Path, scenario: Scenario
) -> tuple[PostgresServer, ValkeyServer]:
    async def postgres() -> PostgresServer:
        server = await PostgresServer.start(directory, password=secrets.token_urlsafe())
        stack.push_async_callback(server.stop)
        return server

    async def valkey() -> ValkeyServer:
        password = secrets.token_urlsafe()
        server = await ValkeyServer.start(directory, password=password, args=scenario.valkey_args)
        stack.push_async_callback(server.stop)
        return server

    try:
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(postgres()), group.create_task(valkey())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return starting[0].result(), starting[1].result()


async def _create_database(postgres: PostgresServer, release: Release) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    try:
        await connection.execute(f"CREATE DATABASE {_DATABASE}")
    finally:
        await connection.close()
    connection = await asyncpg.connect(postgres.dsn(database=_DATABASE))
    try:
        await schema.apply(connection, release)
    finally:
        await connection.close()


async def _stage(  # noqa: PLR0913  # what a stage is made of
    stack: contextlib.AsyncExitStack,
    directory: Path,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    release: Release,
    *,
    chain: bool,
) -> Stage:
    key = secrets.token_urlsafe()
    dsn = postgres.dsn(database=_DATABASE, sslmode="disable")
    server, worker = BlnkServer(dsn, secret_key=key, release=release), BlnkWorker(secure=True, release=release)
    for endpoint in (server, worker):
        await endpoint.start()
        stack.push_async_callback(endpoint.stop)
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=2, command_timeout=_PATIENCE_SECONDS)
    stack.callback(pool.terminate)
    redis = Redis.from_url(valkey.url(), socket_timeout=_PATIENCE_SECONDS, retry=Retry(NoBackoff(), 0))
    stack.push_async_callback(redis.aclose)
    sandbox = Sandbox(
        directory=directory,
        blnk_json=directory / "blnk.json",
        exporter_yml=directory / "exporter.yml",
        postgres=postgres,
        valkey=valkey,
        server=server,
        worker=worker,
    )
    _write(sandbox.blnk_json, _blnk_json(dsn, valkey.url(), server.port, worker.port, key))
    workload = Workload(pool, redis, release, chain=chain)
    return Stage(sandbox=sandbox, workload=workload, redis=redis, pool=pool, stack=stack)


async def _end(task: "asyncio.Task[None]", pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    task.cancel()
    await asyncio.wait([task], timeout=_PATIENCE_SECONDS)
    pool.terminate()  # ends what still waits for a silent database
    await asyncio.wait([task], timeout=_PATIENCE_SECONDS)


def _blnk_json(dsn: str, redis_url: str, server_port: int, worker_port: int, key: str) -> dict[str, object]:
    # Ports are strings: with a number Blnk does not start.
    return {
        "project_name": "blnk-exporter sandbox",
        "data_source": {"dns": dsn},
        "redis": {"dns": redis_url},
        "server": {"port": str(server_port), "secure": True, "secret_key": key},
        "queue": {"monitoring_port": str(worker_port)},
    }


def _write(path: Path, content: object) -> None:
    # JSON is YAML, too.
    account.write_private(path, json.dumps(content, indent=2) + "\n", None)
