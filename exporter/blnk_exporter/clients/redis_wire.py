"""Bounds on what a Redis can make the exporter hold: a reply's header is judged before the driver's parser sees it.

hiredis allocates what the header of an array claims, and buffers a bulk string until it is complete, so that 13 bytes
can cost gigabytes. Source: Redis serialization protocol 2, redis.io/docs/latest/develop/reference/protocol-spec.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from redis import exceptions as foreign
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _AsyncHiredisParser
from redis.asyncio.connection import SSLConnection

from ..errors import Malformed

_LOGIN_BYTES_MAX = 65_536
# What Python needs to hold a value, however short it is; counted for each element that an array claims.
_VALUE_BYTES = 64
# States and errors are lines, and Redis shortens what it quotes in them.
_LINE_BYTES_MAX = 4096
# Most replies are numbers and short strings. One expression passes over a run of them at once: walking from header to
# header in Python takes three times as long as hiredis takes to parse. Lengths in the order of their frequency.
_LENGTHS = (1, 2, 3, 36, 10, 16, 17, 19, 4, 5, 6, 7, 8, 9)
_STRINGS = b"|".join(b"%d\\r\\n.{%d}" % (length, length) for length in _LENGTHS)
_RUN = re.compile(rb"(?::[-+]?\d{1,19}\r\n|\*0\r\n|\$(?:-1|" + _STRINGS + rb")\r\n|\+OK\r\n)+", re.DOTALL)
_HEADER = re.compile(rb"([$*])(-1|\d{1,10})\r\n|[-+:][^\r\n]*\r\n")
_HEADER_BEGUN = re.compile(rb"[$*](?:-?|-1|\d{1,10})\r?|[-+:][^\r\n]*\r?")


class TooLarge(Malformed):
    """Redis sends, or claims to send, more than the exporter holds; the connection cannot be used any longer."""


class ReplyBudget:
    """What one round trip may bring; ``take`` raises Malformed as soon as a header claims more than is left of it."""

    def __init__(self) -> None:
        self.renew(_LOGIN_BYTES_MAX)

    def renew(self, bytes_max: int) -> None:
        """Begin a round trip; nothing is left of the one before."""
        self._bytes_max = self._left = bytes_max
        self._body = 0
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Count what has come and what its headers claim; the beginning of a header is kept for the next call."""
        self._spend(len(data))
        if self._body >= len(data):
            self._body -= len(data)
            return
        data, place = (self._rest + data, 0) if self._rest else (data, self._body)
        self._rest, end = b"", len(data)
        while place < end:
            if run := _RUN.match(data, place):
                place = run.end()
            elif header := _HEADER.match(data, place):
                place = header.end() + self._body_bytes(header)
            elif end - place <= _LINE_BYTES_MAX and _HEADER_BEGUN.fullmatch(data, place):
                self._rest = data[place:]
                place = end
            else:
                raise Malformed("not the Redis protocol in version 2")
        self._body = place - end
        if self._body > self._left:
            self._spend(self._body)

    def _body_bytes(self, header: re.Match[bytes]) -> int:
        """How many bytes follow before the next header; each element of an array has its own header."""
        kind, size = header[1], int(header[2] or -1)
        self._spend((size + 1 if kind == b"*" else 1) * _VALUE_BYTES)
        return size + 2 if kind == b"$" and size >= 0 else 0

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge(f"replies of more than {self._bytes_max} bytes", answered=True)


class BoundedParser(_AsyncHiredisParser):
    """The driver's parser, fed only with what the budget lets pass; logins go through it like everything else."""

    # The driver declares neither for what they are once it has connected.
    _reader: Any
    _stream: Any

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self.budget = ReplyBudget()

    async def read_from_socket(self) -> bool:
        """Feed hiredis with what has come; raises Malformed, or the driver's ConnectionError at the end of the stream."""
        data = await self._stream.read(self._read_size)
        if not data:
            raise foreign.ConnectionError("the connection was closed")
        self.budget.take(data)
        self._reader.feed(data)
        return True

    async def read_replies(self, count: int, refusal: Callable[[Exception], Any]) -> list[Any]:
        """As many replies; raises Malformed where more have come.

        ``refusal`` makes a value of an error reply, or raises: some are the last word on the connection.
        The driver's own way to read one reply costs as much as all the rest of a round trip.
        """
        replies: list[Any] = []
        while len(replies) < count:
            try:
                reply = self._reader.gets(False)
            except (ValueError, LookupError, TypeError, AttributeError):
                # The driver distinguishes errors and types that only look like Redis'.
                raise foreign.InvalidResponse from None
            if reply is NOT_ENOUGH_DATA:
                await self.read_from_socket()
            else:
                replies.append(refusal(reply) if isinstance(reply, Exception) else reply)
        self.expect_silence()
        return replies

    def expect_silence(self) -> None:
        """Raises Malformed where more has come than was asked for: it would be taken for the next command's reply."""
        if self._reader.has_data():
            raise Malformed("more replies than commands")


class ImpatientSSLConnection(SSLConnection):
    """A handshake that a plain Redis never answers ends before the scrape does, so that the reason can be reported."""

    handshake_seconds = 3.0

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl_handshake_timeout": self.handshake_seconds}
