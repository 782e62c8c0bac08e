"""Plain GET requests, to servers that answer in every way there is."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from blnk_exporter.clients.http import HttpTarget, open_session
from blnk_exporter.errors import Malformed, Refused, TimedOut, Unreachable

from ..conftest import Pki, answering
from ..waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("nothing_left")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LIMIT = 1000


@asynccontextmanager
async def target(url: str, *, timeout_seconds: float = PATIENCE_SECONDS) -> AsyncIterator[HttpTarget]:
    """Our client for one URL."""
    async with open_session() as session:
        yield HttpTarget(session, url, timeout_seconds=timeout_seconds, response_bytes=LIMIT)


@asynccontextmanager
async def blnk(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of a web server that answers everything with one handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def says(raw: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A server that reads a request's first bytes and writes these."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)

    return answer


async def test_an_answer_is_told_as_it_was() -> None:
    """Status, type, body and the time that it took."""
    seen: list[web.Request] = []

    async def up(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"status": "UP"})

    async with blnk(up) as url, target(f"{url}/") as client:
        reply = await client.get("/health")
    assert (reply.status, reply.body) == (200, b'{"status": "UP"}')
    assert 0 < reply.elapsed_seconds < PATIENCE_SECONDS
    assert client.address == url.removeprefix("http://")
    (request,) = seen
    assert (request.method, request.path) == ("GET", "/health")
    assert request.headers["User-Agent"] == "blnk-exporter"


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    """Somebody else's login page is no health check; neither is a target that we were not told of."""
    asked: list[str] = []

    async def moved(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with blnk(moved) as url, target(url) as client:
        assert (await client.get("/health")).status == 302
    assert asked == ["/health"]


@pytest.mark.parametrize("status", [204, 404, 429, 500, 503])
async def test_every_status_is_an_answer(status: int) -> None:
    """What it means is for others to say."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async with blnk(answer) as url, target(url) as client:
        assert (await client.get("/health")).status == status


async def test_html_is_an_answer() -> None:
    """Its type and text are handed on."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    async with blnk(page) as url, target(url) as client:
        reply = await client.get("/health")
    assert reply.body == b"<html>"


@pytest.mark.parametrize(("size", "kept"), [(LIMIT, True), (LIMIT + 1, False)])
async def test_a_body_up_to_the_limit_is_kept(size: int, *, kept: bool) -> None:
    """And not one byte more."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * size)

    async with blnk(answer) as url, target(url) as client:
        assert (await client.get("/health")).body == (b"x" * size if kept else None)


async def test_an_endless_body_is_cut_short() -> None:
    """A server that never stops must not fill our memory, nor our time."""
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 500)
        except (ConnectionError, asyncio.CancelledError):
            left.set()
            raise

    async with blnk(endless) as url, target(url) as client:
        reply = await client.get("/health")
        assert (reply.status, reply.body) == (200, None)
        await asyncio.wait_for(left.wait(), PATIENCE_SECONDS)


async def test_a_server_that_hangs_costs_its_timeout() -> None:
    """Before a word, or in the middle of the body: blnk's own /health hangs with its database."""
    gate = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await gate.wait()
        return web.Response()

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        await gate.wait()
        return response

    for handler in (silent, half):
        async with blnk(handler) as url, target(url, timeout_seconds=0.05) as client:
            with pytest.raises(TimedOut, match=r"0\.05 s"):
                await client.get("/health")
            gate.set()
        gate.clear()


async def test_a_caller_that_leaves_leaves_nothing() -> None:
    """The scrape's deadline may come before our own."""
    reached = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()

    async with answering(silent) as port, target(f"http://127.0.0.1:{port}") as client:
        task = asyncio.create_task(client.get("/health"))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_server_that_hangs_up_is_unreachable() -> None:
    """It took the request and went."""
    async with answering(says(b"")) as port, target(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Unreachable):
            await client.get("/health")


async def test_a_body_that_ends_too_early_is_malformed() -> None:
    """Half a JSON could be read as another one."""
    half = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    async with answering(half) as port, target(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Malformed):
            await client.get("/health")


@pytest.mark.parametrize(
    "raw",
    [
        b"-ERR unknown command\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x50",
    ],
    ids=["Redis", "SSH", "no status", "an endless header", "TLS"],
)
async def test_what_is_not_http_is_malformed(raw: bytes) -> None:
    """A port with a slip of the pen."""
    async with answering(says(raw)) as port, target(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Malformed):
            await client.get("/health")


async def test_a_closed_port_is_unreachable() -> None:
    """Nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with target(f"http://127.0.0.1:{unused.getsockname()[1]}") as client:
            with pytest.raises(Unreachable):
                await client.get("/health")


async def test_a_host_without_an_address_is_unreachable() -> None:
    """.invalid is promised never to exist."""
    async with target("http://nosuch.invalid:1") as client:
        with pytest.raises(Unreachable):
            await client.get("/health")


async def test_an_untrusted_certificate_is_refused(pki: Pki) -> None:
    """Somebody answers, and we may not believe them."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pki.server)

    async def up(_: web.Request) -> web.Response:
        return web.Response()

    async with blnk(up, context) as url, target(url) as client:
        with pytest.raises(Refused, match="certificate"):
            await client.get("/health")


async def test_tls_to_a_plain_server_is_a_failure_in_words() -> None:
    """https:// by mistake."""

    async def up(_: web.Request) -> web.Response:
        return web.Response()

    async with blnk(up) as url, target(url.replace("http", "https")) as client:
        with pytest.raises(Malformed, match="not TLS"):
            await client.get("/health")


async def test_no_connection_is_kept() -> None:
    """A kept one would hide that nobody listens any more."""
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(reader, writer)

    async with answering(count) as port, target(f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            await client.get("/health")
    assert connections == 3


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The health of a target behind somebody's proxy is the proxy's."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def up(_: web.Request) -> web.Response:
        return web.Response()

    async with blnk(up) as url, target(url) as client:
        assert (await client.get("/health")).status == 200
