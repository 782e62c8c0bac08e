"""An HTTP endpoint that answers as Blnk does, or as badly as it is told to."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Literal, get_args

from aiohttp import web

Fault = Literal["hang", "html", "redirect", "wrong-json", "no-json", "endless", "error", "close"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

_HOST = "127.0.0.1"
_CHUNK = b" " * 16_384
_CHUNK_PAUSE_SECONDS = 0.001
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StandIn:
    """One HTTP endpoint on loopback. Set ``fault`` to have every request answered in that bad way.

    ``port`` is 0 until the first start, then stays the same.
    """

    def __init__(self, answer: Answer) -> None:
        self.fault: Fault | None = None
        self.port = 0
        self._answer = answer
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens, or would."""
        return f"http://{_HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    async def start(self) -> None:
        """Listen; on the same port again after ``stop``."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, _HOST, self.port).start()
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port; requests that hang are dropped."""
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        return await (_BAD_ANSWERS[self.fault] if self.fault else self._answer)(request)


def text(body: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> web.Response:
    """Answer with the content type as it is: aiohttp's own argument refuses parameters."""
    return web.Response(body=body.encode(), status=status, headers={"Content-Type": content_type})


def json(body: str, status: int = 200) -> web.Response:
    """Answer as gin does."""
    return text(body, status, "application/json; charset=utf-8")


async def _hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return await _close(request)


async def _html(_: web.Request) -> web.StreamResponse:
    return text("<!doctype html><title>Sign in</title>", 200, "text/html; charset=utf-8")


async def _redirect(_: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/login"})


async def _wrong_json(_: web.Request) -> web.StreamResponse:
    return json('["not", {"what": "was"}, "promised"]')


async def _no_json(_: web.Request) -> web.StreamResponse:
    return json('{"status":"U')


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        while True:
            await response.write(_CHUNK)
            await asyncio.sleep(_CHUNK_PAUSE_SECONDS)
    return response


async def _error(_: web.Request) -> web.StreamResponse:
    return json('{"error":"internal server error"}', 500)


async def _close(request: web.Request) -> web.StreamResponse:
    if request.transport:
        request.transport.abort()
    return web.Response()


_BAD_ANSWERS: dict[Fault, Answer] = {
    "hang": _hang,
    "html": _html,
    "redirect": _redirect,
    "wrong-json": _wrong_json,
    "no-json": _no_json,
    "endless": _endless,
    "error": _error,
    "close": _close,
}
