"""What aiohttp answers itself, before a request reaches the application."""

import asyncio
import inspect

import pytest
from aiohttp.web_protocol import RequestHandler

from blnk_exporter.web.connection import Connection

from .conftest import Stage

CANARY = b"c4n4ry"
NOT_HTTP = [
    CANARY + b"\r\n\r\n",
    b"GET /" + CANARY + b" HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + CANARY + b"\r\n\r\n",
    b"GET /" + CANARY * 2000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + CANARY * 2000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: " + CANARY + b"\r\n\r\n",
    b"\x16\x03\x01" + CANARY + b"\r\n\r\n",
]


@pytest.mark.parametrize("words", NOT_HTTP)
async def test_what_is_not_http_gets_an_answer_of_ours(
    stage: Stage, words: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """400 without the versions of Python and aiohttp, with the headers of every page, and nothing of the request."""
    host, port = stage.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(words)
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(("HTTP/1.1 400", "HTTP/1.0 400"))
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    assert headers["server"] == "blnk-exporter"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert body == "not a valid request\n"
    assert "c4n4ry" not in answer
    assert caplog.records == []


def test_aiohttp_still_makes_and_calls_its_handler_so() -> None:
    """The one method that is replaced, and the arguments that ``Connection`` gives: a new aiohttp may change both."""
    theirs, ours = (inspect.signature(kind.handle_error) for kind in (RequestHandler, Connection))
    assert [*theirs.parameters] == [*ours.parameters]
    assert {"keepalive_timeout", "lingering_time", "max_line_size", "max_field_size", "max_headers", "access_log"} <= {
        *inspect.signature(RequestHandler.__init__).parameters
    }
