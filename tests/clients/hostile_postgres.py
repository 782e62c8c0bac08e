"""A PostgreSQL that logs everyone in and then says what a test wants, in messages made by hand."""

import asyncio
import json
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ..conftest import answering

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def message(kind: bytes, content: bytes = b"", *, length: int | None = None) -> bytes:
    """One message; ``length`` for one whose header is not true."""
    return kind + struct.pack("!I", len(content) + 4 if length is None else length) + content


def authentication(code: int, content: bytes = b"") -> bytes:
    return message(b"R", struct.pack("!i", code) + content)


def parameter(name: str, value: str) -> bytes:
    return message(b"S", f"{name}\0{value}\0".encode())


READY = message(b"Z", b"I")
WELCOME = (
    authentication(0)
    + parameter("server_version", "16.4")
    + parameter("in_hot_standby", "off")
    + message(b"K", b"\0" * 8)
    + READY
)
# One column of type text.
DESCRIBED = (
    message(b"1")
    + message(b"t", b"\0\0")
    + message(b"T", b"\0\1" + b"a\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0))
)


def row(*values: bytes) -> bytes:
    """A row of the given values."""
    return message(
        b"D", struct.pack("!h", len(values)) + b"".join(struct.pack("!i", len(value)) + value for value in values)
    )


def answer(*rows: bytes) -> bytes:
    """What follows the description of an honest statement."""
    return message(b"2") + b"".join(rows) + message(b"C", b"SELECT 1\0") + READY


async def read_startup(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext | None
) -> dict[str, str]:
    """The settings of the startup message, which comes behind TLS where there is a context for it."""
    while True:
        size, code = struct.unpack("!ii", await reader.readexactly(8))
        if code != 80877103:
            words = (await reader.readexactly(size - 8)).decode().split("\0")
            return dict(zip(words[::2], words[1::2], strict=False))
        writer.write(b"S" if tls else b"N")
        if tls:
            await writer.start_tls(tls)


def read_back(settings: dict[str, str]) -> bytes:
    """The answer to the client's question whether its settings are in force: they are."""
    return copied(json.dumps({"pid": 0, "settings": settings | {"client_encoding": "UTF8"}}))


def copied(line: str) -> bytes:
    """The answer to a COPY of one line of text."""
    data = message(b"d", line.encode() + b"\n")
    return message(b"H", b"\0\0\1\0\0") + data + message(b"c") + message(b"C", b"COPY 1\0") + READY


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read messages of the client up to a flush, a sync or a simple query, and return their types."""
    kinds = b""
    while not kinds.endswith((b"H", b"S", b"Q", b"X")):
        kind, size = struct.unpack("!ci", await reader.readexactly(5))
        await reader.readexactly(size - 4)
        kinds += kind
    return kinds


async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the login, and read the client's settings back to it."""
    writer.write(WELCOME)
    await read_request(reader)
    writer.write(read_back(writer.settings))  # type: ignore[attr-defined]


@asynccontextmanager
async def hostile(
    *, at_login: Talk | None = None, in_session: Talk | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """The port of a server that does this once the startup message is there, or once the first statement is.

    The client's settings are read back to it before.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.settings = await read_startup(reader, writer, tls)  # type: ignore[attr-defined]
        if at_login:
            await at_login(reader, writer)
        else:
            await welcome(reader, writer)
            await read_request(reader)
            if in_session:
                await in_session(reader, writer)
        # Until the client leaves.
        await reader.read()

    async with answering(talk) as port:
        yield port


def saying(*parts: bytes, forever: bytes = b"") -> Talk:
    """Say this, and the last of it without end."""

    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(parts))
        while forever:
            writer.write(forever)
            await writer.drain()
            # Behind TLS, drain returns at once where the client has left, and the loop would never hear of that.
            await asyncio.sleep(0)

    return say


def server_context(files: tuple[Path, Path]) -> ssl.SSLContext:
    """TLS with a certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context
