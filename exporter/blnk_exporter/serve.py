"""Run the exporter until it is told to stop."""

import asyncio
import http.client
import signal
from collections.abc import Callable

import structlog
from aiohttp import web

from .config.settings import Web
from .service import Service
from .web.app import build

_STOP_SECONDS = 5.0


async def serve(service: Service, *, announce: Callable[[], None] = lambda: None) -> None:
    """Listen, scrape once so that readiness does not wait for Prometheus, and stop on SIGTERM or SIGINT.

    Raises OSError when the address cannot be listened on. SIGHUP reads the configuration again.
    """
    log, loop, stop = structlog.get_logger(), asyncio.get_running_loop(), asyncio.Event()
    own = service.settings.own
    runner = web.AppRunner(build(service), access_log=None, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    first: asyncio.Task[object] | None = None
    try:
        await web.TCPSite(runner, own.web.host or None, own.web.port).start()
        reloads: set[asyncio.Task[bool]] = set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: reloads.add(asyncio.create_task(service.reload())))
        log.info("listening", address=own.web.listen_address, path=own.web.telemetry_path)
        announce()
        first = asyncio.create_task(service.scrape(budget_seconds=own.limits.scrape_timeout_seconds))
        await stop.wait()
        log.info("stopping")
    finally:
        if first is not None:
            first.cancel()
        await runner.cleanup()
        await service.close()


def ping(where: Web, *, timeout_seconds: float) -> str | None:
    """Why no healthy exporter answers there; None when one does."""
    # Who listens on every interface is asked on loopback.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(where.host, where.host)
    connection = http.client.HTTPConnection(host, where.port, timeout=timeout_seconds)
    try:
        connection.request("GET", "/-/healthy")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"answers {status}"
