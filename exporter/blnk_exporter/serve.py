"""Run the exporter until it is told to stop."""

import asyncio
import gc
import http.client
import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import structlog
from aiohttp import web

from .config.settings import Web
from .errors import CannotListen
from .service import Service
from .web.app import build

# How long a page that is being made may take once we are told to stop. aiohttp waits for it twice.
_STOP_SECONDS = 1.5
# After how many the garbage collector looks through them; Python's own 700 are a part of one scrape.
_NEW_OBJECTS = 10_000


async def serve(
    service: Service,
    *,
    announce: Callable[[], None] = lambda: None,
    stop_on: Collection[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
) -> None:
    """Listen, scrape once so that readiness does not wait for Prometheus, and stop on a signal.

    Raises CannotListen. SIGHUP reads the configuration again where it does not stop.
    """
    log, loop, stop = structlog.get_logger(), asyncio.get_running_loop(), asyncio.Event()
    own = service.settings.own
    runner = web.AppRunner(build(service), access_log=None, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    first: asyncio.Task[object] | None = None
    try:
        with _listening(own.web):
            await web.TCPSite(runner, own.web.host or None, own.web.port).start()
        reloads: set[asyncio.Task[bool]] = set()

        def reload() -> None:
            task = asyncio.create_task(service.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        for number in stop_on:
            loop.add_signal_handler(number, stop.set)
        log.info("listening", address=own.web.listen_address, path=own.web.telemetry_path)
        announce()
        first = asyncio.create_task(service.scrape(budget_seconds=own.limits.scrape_timeout_seconds))
        # What was loaded until now stays: it need not be looked through for garbage at every few scrapes. Nor need what a
        # scrape makes, some thousand objects, be looked through several times while it is being made.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS)
        await stop.wait()
        log.info("stopping")
        _ignore(stop_on)
    finally:
        if first is not None:
            first.cancel()
        await runner.cleanup()
        await service.close()


def _ignore(numbers: Collection[signal.Signals]) -> None:
    """A second Ctrl-C, however late it comes, does not turn an orderly end into a failure."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # none must meet the moment between the two handlers
    for number in numbers:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


async def try_address(where: Web) -> None:
    """Raises CannotListen, before anything has been started that would have to be stopped again."""
    with _listening(where):
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, where.host or None, where.port)
    server.close()


@contextmanager
def _listening(where: Web) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # asyncio wraps the system's words in some of its own, with the address once more.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise CannotListen(f"cannot listen on {where.listen_address}: {reason}") from None


def ping(where: Web, *, timeout_seconds: float) -> str | None:
    """Why no healthy exporter answers there; None when one does."""
    # Who listens on every interface is asked on loopback.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(where.host, where.host)
    connection = http.client.HTTPConnection(host, where.port, timeout=timeout_seconds)
    try:
        connection.request("GET", "/-/healthy")
        status = connection.getresponse().status
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    except (http.client.HTTPException, ValueError) as error:
        return f"answers no HTTP: {type(error).__name__}"
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"answers {status}"
