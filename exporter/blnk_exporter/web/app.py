"""The exporter's own HTTP endpoint: routes and what they share."""

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..service import Service
from . import health, metrics, runbook, status
from .keys import SERVICE
from .style import POLICY


def build(service: Service) -> web.Application:
    """The application for a service that has been started."""
    path = service.settings.own.web.telemetry_path
    app = web.Application(client_max_size=1024)
    app[SERVICE] = service
    app[metrics.GATE] = metrics.Gate()
    app.router.add_get(path, metrics.page, allow_head=False)
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


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Server"] = "blnk-exporter"
