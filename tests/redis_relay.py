"""A relay in front of real Redis servers: an address that can lead elsewhere, or a server of another release."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import hiredis

from .conftest import answering

Reply = Callable[[Sequence[bytes]], bytes | None]


def before_seven(words: Sequence[bytes]) -> bytes | None:
    """Redis 6.2 and older, and some of its forks, take one section in each INFO."""
    return b"-ERR syntax error\r\n" if words[0].upper() == b"INFO" and len(words) > 2 else None


@dataclass
class Relay:
    """New connections lead to ``target``, a port; ``reply`` gives the replies that are not the server's own."""

    target: int
    reply: Reply = lambda _: None
    port: int = 0
    connections: int = 0
    commands: list[tuple[bytes, ...]] = field(default_factory=list)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            # A command is as many bulk strings as the header of its array says.
            while header := await reader.readline():
                raw, words = header, []
                for _ in range(int(header[1:])):
                    size = await reader.readline()
                    body = await reader.readexactly(int(size[1:]) + 2)
                    raw, words = raw + size + body, [*words, body[:-2]]
                self.commands.append(tuple(words))
                own = self.reply(words)
                if own is None:
                    back.write(raw)
                    own = await _one_reply(there)
                writer.write(own)
        finally:
            back.close()


async def _one_reply(reader: asyncio.StreamReader) -> bytes:
    parser, raw = hiredis.Reader(notEnoughData=...), b""
    while parser.gets(False) is ...:
        data = await reader.read(65_536)
        if not data:
            raise ConnectionResetError
        raw += data
        parser.feed(data)
    return raw


@asynccontextmanager
async def relay_to(port: int, reply: Reply | None = None) -> AsyncIterator[Relay]:
    """A relay on a port of loopback, closed afterwards."""
    relay = Relay(port)
    if reply:
        relay.reply = reply
    async with answering(relay._relay) as relay.port:
        yield relay
