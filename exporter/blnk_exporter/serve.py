"""Run the exporter until it is told to stop."""

import asyncio
import gc
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

import structlog
from aiohttp import web

from .config.settings import Web
from .errors import CannotListen
from .fleet import Fleet
from .notify import Notify
from .service import Service
from .web.app import build
from .web.door import Door
from .web.keys import DOOR, FLEET

# At the end of the process readings have the first time to end, and answers the second one to be on their way. Then
# aiohttp waits, twice, for what is still not done.
_READING_SECONDS = 0.5
_STOP_SECONDS = 2.0
_SHUTDOWN_SECONDS = 0.2
# After how many the garbage collector looks through them; Python's own 700 are a part of one scrape.
_NEW_OBJECTS = 10_000


class Opened(NamedTuple):
    """Where the pages are, and the deployments behind them."""

    port: int
    fleet: Fleet
    door: Door


@asynccontextmanager
async def listening(service: Service, where: Web, *, stop_seconds: float = _STOP_SECONDS) -> AsyncIterator["Opened"]:
    """The pages of a service that has been started, at an address. Raises CannotListen."""
    app = build(service)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    if runner.server is None:
        raise RuntimeError("aiohttp has made no server")
    try:
        with _told(where):
            port = await app[DOOR].open(runner.server, where)
        yield Opened(port, app[FLEET], app[DOOR])
    finally:
        app[FLEET].stop(asyncio.get_running_loop().time() + min(_READING_SECONDS, stop_seconds / 2))
        await app[DOOR].close(stop_seconds)
        await runner.cleanup()


async def serve(
    service: Service,
    *,
    announce: Callable[[], None] = lambda: None,
    notify: Notify | None = None,
    stop_on: Collection[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
) -> None:
    """Listen, scrape once so that readiness does not wait for Prometheus, and stop on a signal.

    Raises CannotListen. SIGHUP reads the configuration again where it does not stop.
    """
    _raise_open_files()
    log, loop, stop = structlog.get_logger(), asyncio.get_running_loop(), asyncio.Event()
    notify = notify or Notify({})
    own = service.settings.own
    try:
        async with listening(service, own.web) as opened:
            reloads: set[asyncio.Task[None]] = set()

            def reload() -> None:
                if len(reloads) > 1:
                    # One is under way and one waits, which will see whatever is new.
                    return
                task = asyncio.create_task(_reload(service, notify))
                reloads.add(task)
                task.add_done_callback(reloads.discard)

            loop.add_signal_handler(signal.SIGHUP, reload)
            for number in stop_on:
                loop.add_signal_handler(number, stop.set)
            log.info("listening", address=own.web.listen_address, path=own.web.prefix + own.web.telemetry_path)
            if not own.web.is_loopback and (missing := service.protection.missing):
                log.warning("whoever reaches the address can read the pages", without=" and ".join(missing))
            announce()
            notify.ready()
            first = asyncio.create_task(_first(service, opened.fleet, own.limits.scrape_timeout_seconds))
            # What was loaded until now stays: it need not be looked through for garbage at every few scrapes. Nor need
            # what a scrape makes, some thousand objects, be looked through several times while it is being made.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_NEW_OBJECTS)
            try:
                await _first_of(stop.wait(), opened.door.failed())
            finally:
                first.cancel()
            log.info("stopping")
            notify.stopping()
            _ignore(stop_on)
    finally:
        await service.close()


async def _first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait for one of them; raises what it raises."""
    tasks = [*map(asyncio.create_task, waits)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def _reload(service: Service, notify: Notify) -> None:
    notify.reloading()
    try:
        await service.reload()
    finally:
        notify.ready()


async def _first(service: Service, fleet: Fleet, budget_seconds: float) -> None:
    """What the exporter is not ready before."""
    await fleet.look_at_all()
    await service.scrape(budget_seconds=budget_seconds)


def _raise_open_files() -> None:
    """As many as may be: the usual 1,024 are for programs that know no better, and some hundred targets need more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _ignore(numbers: Collection[signal.Signals]) -> None:
    """A second Ctrl-C, however late it comes, does not turn an orderly end into a failure."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # none must meet the moment between the two handlers
    for number in numbers:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


async def try_address(where: Web) -> None:
    """Raises CannotListen, before anything has been started that would have to be stopped again."""
    with _told(where):
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, where.host or None, where.port)
    server.close()


@contextmanager
def _told(where: Web) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # asyncio wraps the system's words in some of its own, with the address once more.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise CannotListen(f"cannot listen on {where.listen_address}: {reason}") from None
