"""The bounds on replies: what Redis sends passes, what claims or sends more is refused before it is held."""

import random

import hiredis
import pytest
from redis.asyncio.connection import Connection, SSLConnection

from blnk_exporter.clients.redis_wire import BoundedParser, ImpatientSSLConnection, ReplyBudget, TooLarge
from blnk_exporter.errors import Malformed

SENT = (
    b"+OK\r\n-ERR unknown command\r\n:1\r\n:-12\r\n$-1\r\n$0\r\n\r\n$5\r\nab\r\nc\r\n$11\r\n$1\r\n*9\r\n:3\r\n*-1\r\n"
    b"*0\r\n*2\r\n$36\r\n"
    + b"\r\n*9999\r\n" * 4
    + b"\r\n$10\r\n1700000000\r\n"
    + b"$100\r\n"
    + b"\r" * 100
    + b"\r\n*1\r\n*1\r\n:7\r\n"
)


def taken(data: bytes, *, bytes_max: int = 100_000, at: tuple[int, ...] = ()) -> ReplyBudget:
    """The budget after some bytes that came in pieces."""
    budget = ReplyBudget()
    budget.renew(bytes_max)
    for start, end in zip((0, *at), (*at, len(data)), strict=True):
        budget.take(data[start:end])
    return budget


def test_what_redis_sends_passes_wherever_it_is_cut() -> None:
    """A header, a body and what only looks like a header may each be split between two packets."""
    for cut in range(len(SENT) + 1):
        taken(SENT, at=(cut,))
    taken(SENT, at=tuple(range(1, len(SENT))))
    chance = random.Random(1)
    for _ in range(200):
        taken(SENT, at=tuple(sorted(chance.choices(range(len(SENT)), k=5))))


@pytest.mark.parametrize(
    "claim",
    [
        b"$2000000000\r\n",
        b"*4294967295\r\n",
        b"*2000\r\n",
        b"$99990\r\n",
        b"*1\r\n$2\r\nab\r\n*2000\r\n",
        b"$9999999999\r\n",
    ],
)
def test_a_claim_is_refused_by_its_header(claim: bytes) -> None:
    """Not one byte of what is claimed needs to have come, and nothing is allocated for it."""
    for cut in range(len(claim) - 2):
        with pytest.raises(TooLarge, match="100000 bytes"):
            taken(claim, at=(cut,))


@pytest.mark.parametrize(
    "flood", [b":1\r\n", b"*9\r\n", b"*0\r\n", b"$1\r\na\r\n", b"$11\r\nabcdefghijk\r\n", b"*1000\r\n", b"+OK\r\n"]
)
def test_a_flood_ends_at_the_limit(flood: bytes) -> None:
    """Many small replies are as much as a large one."""
    with pytest.raises(TooLarge):
        taken(flood * 100_000)


def test_a_body_may_fill_what_is_left() -> None:
    """The limit is a limit, whether the body came with its header or after it."""
    body = b"$90000\r\n" + b"x" * 90_000 + b"\r\n"
    for cut in (8, 9, 50_000, len(body)):
        taken(body, at=(cut,))
    taken(body, bytes_max=len(body) + 64)
    with pytest.raises(TooLarge):
        taken(body, bytes_max=len(body) - 64, at=(8,))


@pytest.mark.parametrize(
    "bad",
    [
        *(
            b"%2\r\n",
            b">2\r\n",
            b"~1\r\n",
            b",1.5\r\n",
            b"#t\r\n",
            b"_\r\n",
            b"(12\r\n",
            b"!5\r\nERR a\r\n",
            b"=7\r\ntxt:abc\r\n",
        ),
        *(
            b"|1\r\n",
            b"$?\r\n",
            b"*?\r\n",
            b"$-2\r\n",
            b"*-5\r\n",
            b"$ 1\r\n",
            b"$1a\r\n",
            b"*\r\n",
            b"$\r\n",
            b"$99999999999\r\n",
        ),
        *(
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\x15\x03\x01\x00\x02\x02P",
            b"\x00" * 10,
            b"+a\rb\r\n",
            b"-" + b"x" * 5000,
        ),
    ],
)
def test_what_is_not_the_protocol_is_malformed(bad: bytes) -> None:
    """Version 3 has not been asked for, and its types are not in version 2."""
    for cut in range(0, len(bad), max(1, len(bad) // 20)):
        with pytest.raises(Malformed, match="version 2"):
            taken(b":1\r\n" + bad, at=(4 + cut,))


def test_noise_never_ends_in_anything_but_malformed() -> None:
    """What passes is then for hiredis, whose own errors the client translates; both are bounded."""
    chance = random.Random(2)
    pieces = [
        b"$",
        b"*",
        b":",
        b"+",
        b"-",
        b"\r\n",
        b"\r",
        b"\n",
        b"0",
        b"1",
        b"-1",
        b"12",
        b"999",
        b"4294967295",
        b"%",
        b">",
        b"OK",
        b"\x00",
        b"\xff",
    ]
    for _ in range(5000):
        noise = b"".join(chance.choices(pieces, k=chance.randrange(1, 30)))
        budget, reader = ReplyBudget(), hiredis.Reader()
        try:
            for start in range(0, len(noise), 7):
                budget.take(noise[start : start + 7])
                reader.feed(noise[start : start + 7])
                while reader.gets(False) is not False:
                    pass
        except (Malformed, hiredis.ProtocolError):
            pass


def test_the_driver_still_has_what_the_bounds_hang_on() -> None:
    """Its private names: where bytes enter its parser, how it chooses a parser, and what it passes to the loop."""
    connection = Connection(parser_class=BoundedParser)
    assert isinstance(connection._parser, BoundedParser)
    assert {"read_from_socket", "on_connect", "read_response"} <= set(dir(BoundedParser.__mro__[1]))
    parser = connection._parser
    connection._reader = object()
    parser.on_connect(connection)
    assert parser._stream is connection._reader
    assert isinstance(parser._reader, hiredis.Reader)
    assert parser._read_size > 0
    connection._reader = None
    assert isinstance(ImpatientSSLConnection(), SSLConnection)
    plain = SSLConnection(host="h", port=1)._connection_arguments()
    assert set(plain) == {"host", "port", "ssl"}
    assert set(ImpatientSSLConnection(host="h", port=1)._connection_arguments()) == {*plain, "ssl_handshake_timeout"}
