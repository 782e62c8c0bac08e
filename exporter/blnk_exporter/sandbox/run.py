"""Starts everything that a scenario needs, and ends all of it."""

import asyncio
import contextlib
import json
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import asyncpg
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from . import account, schema
from .blnk import BlnkServer, BlnkWorker
from .failure import SandboxError
from .postgres import PostgresServer
from .process import removes_after_us
from .scenarios import SCENARIOS, Scenario
from .schema import Release
from .stage import Sandbox, Stage
from .valkey import ValkeyServer
from .workload import Workload

_DATABASE = "blnk"
# For a statement or command of the stand-ins, and for their end.
_PATIENCE_SECONDS = 30.0
# For the end before the connections to a silent database are cut.
_FAREWELL_SECONDS = 2.0
# A busy machine may take this long for one statement of the filling.
_FILLING_SECONDS = 60.0

Report = Callable[[str], None]


@contextlib.asynccontextmanager
async def running(
    scenario: str = "healthy",
    *,
    report: Report = lambda _: None,
    release: Release = "0.15.2",
) -> AsyncIterator[Sandbox]:
    """Run a deployment of Blnk in the state that ``scenario`` names; about two seconds until it is ready.

    Two requests are posted per tick of the workload.

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
        with _explained():
            await _create_database(postgres, release)
            report(f"Blnk's schema of release {release} is there")
            stage = await _stage(stack, directory, postgres, valkey, release, chain=chosen.chain)
            await stage.workload.prepare(time.time())
            await chosen.trouble(stage)
            await _start(stack, stage, postgres.dsn(database=_DATABASE, sslmode="disable"), report)
        if (task := asyncio.current_task()) and task.cancelling():
            # A client that is cancelled at a bad moment may keep that to itself.
            raise asyncio.CancelledError
        stage.sandbox.description = chosen.description
        for server in (postgres, valkey):
            stack.callback(server.resume)  # first of all, so that nothing need wait for one that is silent
        _write(stage.sandbox.exporter_yml, stage.exporter)
        report(f"{scenario}: {chosen.description}")
        report(f"ready after {time.monotonic() - began:.1f} s")
        yield stage.sandbox


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what the servers answer while they are filled into one sentence."""
    try:
        yield
    except TimeoutError:
        what = (
            f"the servers took longer than {_FILLING_SECONDS:.0f} s for one step; is this machine very busy? Try again"
        )
        raise SandboxError(f"the sandbox is not ready: {what}") from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError) as error:
        raise SandboxError(f"the sandbox is not ready: {type(error).__name__}: {error}") from None


async def _start(stack: contextlib.AsyncExitStack, stage: Stage, dsn: str, report: Report) -> None:
    """Let the workload run; its worker has a heartbeat in Redis before this returns, where it can have one."""
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=2, command_timeout=_PATIENCE_SECONDS)
    stack.callback(pool.terminate)
    stage.workload.pool = pool
    task = asyncio.create_task(stage.workload.run())
    task.add_done_callback(partial(_ended, report))
    stack.push_async_callback(_end, task, pool, stage.pool)
    begun = asyncio.create_task(stage.workload.begun.wait())
    try:
        await asyncio.wait([begun, task], return_when=asyncio.FIRST_COMPLETED)
    finally:
        begun.cancel()


def _ended(report: Report, task: "asyncio.Task[None]") -> None:
    """Say so where the workload ends because of a defect: without it the page would stand still."""
    if not task.cancelled() and (error := task.exception()):
        reasons = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        report(f"the workload has ended: {'; '.join(f'{type(reason).__name__}: {reason}' for reason in reasons)}")


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
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=2, command_timeout=_FILLING_SECONDS)
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


async def _end(task: "asyncio.Task[None]", *pools: "asyncpg.Pool[asyncpg.Record]") -> None:
    task.cancel()
    await asyncio.wait([task], timeout=_FAREWELL_SECONDS)
    for pool in pools:
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
