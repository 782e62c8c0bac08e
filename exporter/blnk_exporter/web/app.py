"""The exporter's own HTTP endpoint: routes and what they share."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..fleet import Fleet
from ..service import Service
from . import health, metrics, runbook, status, targets
from .door import Door
from .guard import OPEN, Guard
from .keys import DOOR, FLEET, SERVICE
from .style import POLICY

_GUARD = web.AppKey("guard", Guard)


def build(service: Service) -> web.Application:
    """The application for a service that has been started."""
    path = service.settings.own.web.telemetry_path
    app = web.Application(client_max_size=1024, middlewares=[_watch])
    app[SERVICE], app[FLEET] = service, Fleet(service)
    app[DOOR], app[_GUARD] = Door(service), Guard(service)
    app.cleanup_ctx.append(_guarding)
    app[metrics.GATE] = metrics.Gate()
    app.router.add_get(path, metrics.page, allow_head=False)
    app.router.add_get("/probe", metrics.probe, allow_head=False)
    app.router.add_get("/sd", targets.discovery)
    app.router.add_get("/", status.page, allow_head=False)
    app.router.add_get("/runbooks", runbook.moved)
    app.router.add_get("/runbooks/", runbook.index)
    app.router.add_get("/runbooks/{name}", runbook.page)
    app.router.add_get("/-/healthy", health.healthy)
    app.router.add_get("/-/ready", health.ready)
    app.on_response_prepare.append(_harden)
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    return app


def _is_ours(record: logging.LogRecord) -> bool:
    """Not what a port scanner has sent: it gets its 400, and is no fault of the exporter."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def _guarding(app: web.Application) -> AsyncIterator[None]:
    yield
    app[_GUARD].close()
    await app[FLEET].close()


@web.middleware
async def _watch(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """In front of every page, and of those that do not exist."""
    app = request.app
    # Before anybody is asked for credentials that have been exchanged.
    await app[SERVICE].refresh()
    with app[DOOR].serving(request):
        if refusal := await app[_GUARD].refusal(request):
            return refusal
        if request.path not in OPEN:
            app[DOOR].served(request)
        return await handler(request)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Server"] = "blnk-exporter"
    protection = request.app[SERVICE].protection
    response.headers.update(protection.headers)
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    if (tls.context if tls else None) is not protection.tls:
        # Made before the certificate was exchanged, or before TLS was asked for: this is its last answer.
        response.headers["Connection"] = "close"
        response.force_close()
