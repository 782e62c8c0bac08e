"""One client's connection: aiohttp's, with our own words for what it cannot read as HTTP."""

import asyncio
import ipaddress
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from ..config import Protection
from ..service import Service
from .style import POLICY

# What one client may send, and for how long it may be silent: Prometheus is, between two scrapes.
_LIMITS: dict[str, Any] = {
    "keepalive_timeout": 75.0,
    "lingering_time": 1.0,
    "max_line_size": 4096,
    "max_field_size": 8190,
    "max_headers": 64,
}


class Connection(RequestHandler):
    """The public part of aiohttp's handler with one method replaced; tests/web holds that aiohttp still calls it."""

    __slots__ = ("_service",)

    def __init__(self, server: web.Server, service: Service) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=None, **_LIMITS)  # type: ignore[arg-type]
        self._service = service

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it repeats what the client has sent
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or what a handler broke on, with no word of the request and no version of ours."""
        if not isinstance(exc, HttpProcessingError):
            # What a port scanner sends is not a fault of the exporter.
            self.log_exception("request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        reply = web.Response(status=status, text="not a valid request\n" if status < 500 else "internal error\n")
        harden(reply, self._service.protection)
        reply.force_close()
        return reply


def harden(reply: web.StreamResponse, protection: Protection) -> None:
    """Put on an answer the headers that every one has."""
    reply.headers["X-Content-Type-Options"] = "nosniff"
    reply.headers["Cache-Control"] = "no-store"
    reply.headers["Content-Security-Policy"] = POLICY
    reply.headers["Server"] = "blnk-exporter"
    reply.headers.update(protection.headers)


def network(address: str) -> str:
    """Of IPv6 the network of a host, which has any number of addresses to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((int(found), 64), strict=False))
