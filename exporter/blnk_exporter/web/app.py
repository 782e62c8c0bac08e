"""The exporter's own HTTP endpoint: routes and what they share."""

from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from ..fleet import Fleet
from ..service import Service
from . import health, metrics, runbook, status, targets
from .connection import harden
from .document import side_page
from .door import Door
from .guard import Guard, is_open
from .html import tag
from .keys import DOOR, FLEET, PREFIX, SERVICE, root

_GUARD = web.AppKey("guard", Guard)


def build(service: Service) -> web.Application:
    """The application for a service that has been started."""
    own = service.settings.own.web
    app = web.Application(client_max_size=1024, middlewares=[_watch])
    app[SERVICE], app[FLEET], app[PREFIX] = service, Fleet(service), own.prefix
    app[DOOR], app[_GUARD] = Door(service), Guard(service)
    app.cleanup_ctx.append(_guarding)
    app[metrics.GATE] = metrics.Gate()
    for path, page in (
        (own.telemetry_path, metrics.page),
        ("/probe", metrics.probe),
        ("/sd", targets.discovery),
        ("/", status.page),
        ("/runbooks", runbook.moved),
        ("/runbooks/", runbook.index),
        ("/runbooks/{name}", runbook.page),
        ("/-/healthy", health.healthy),
        ("/-/ready", health.ready),
    ):
        app.router.add_get(own.prefix + path, page)
    for path in ("/", own.prefix) if own.prefix else ():
        app.router.add_get(path, _moved)
    app.on_response_prepare.append(_harden)
    return app


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
    with app[DOOR].serving(request):
        # First, so that no client is asked for credentials that have been exchanged.
        await app[SERVICE].refresh()
        if refusal := await app[_GUARD].refusal(request):
            return refusal
        if not is_open(request):
            app[DOOR].served(request)
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return _not_found(request)


async def _moved(request: web.Request) -> web.Response:
    """Send a client that left out the prefix to the first page."""
    raise web.HTTPFound(root(request))


def _not_found(request: web.Request) -> web.Response:
    text = side_page("Not found", tag("h1", "Not found"), root(request))
    return web.Response(status=404, text=text, content_type="text/html")


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    protection = request.app[SERVICE].protection
    harden(response, protection)
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    if request.app[SERVICE].stopping or (tls.context if tls else None) is not protection.tls:
        # The process is about to end; or it was made before the certificate was exchanged, or before TLS was asked for: this is its last answer.
        response.headers["Connection"] = "close"
        response.force_close()
