"""Servers that attack the driver's parser, its memory or the password: a sentence each, and the loop goes on."""

import asyncio
import hashlib
import hmac
import random
import re
import struct
from base64 import b64decode, b64encode
from typing import Any

import pytest
from pydantic import SecretStr

from blnk_exporter.clients.postgres import PostgresClient
from blnk_exporter.clients.postgres_login import Session
from blnk_exporter.clients.postgres_wire import Guard, LoginPolicy
from blnk_exporter.errors import Malformed, ReadingError, Refused
from blnk_exporter.formats.dsn import PostgresDsn

from ..conftest import Database, Pki, answering, postgres_client, wire_to
from ..waiting import PATIENCE_SECONDS
from .hostile_postgres import (
    DESCRIBED,
    READY,
    WELCOME,
    answer,
    authentication,
    hostile,
    message,
    parameter,
    read_request,
    row,
    saying,
    server_context,
    welcome,
)

pytestmark = pytest.mark.usefixtures("nothing_left")
CANARY = "hunter2secret"
MIB = 1 << 20


def dsn(port: int, **fields: Any) -> PostgresDsn:
    given = {"hosts": ("127.0.0.1",), "ports": (port,), "user": "u", "database": "d", "sslmode": "disable"}
    return PostgresDsn(**given | {"password": SecretStr(CANARY)} | fields)


async def failing(port: int, **fields: Any) -> ReadingError:
    """How a statement fails there."""
    async with postgres_client(dsn(port, **fields)) as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(ReadingError) as caught:
                await client.fetch_text("SELECT 'a'")
        assert client._session is None or client._session.connection.is_closed()
    return caught.value


FREEZING = {
    "zeros": b"\0" * 2_000,
    "type 0": b"\0\0\0\0\x04",
    "type 0 and a true length": b"\0\0\0\0\x08abcd",
    "shorter than its header": message(b"N", length=3),
    "no length": message(b"N", length=0),
    "a negative length": message(b"N", length=0xFFFFFFFF),
    "an unknown type": message(b"?"),
    "a COPY without a request": message(b"H", b"\0\0\0"),
    "a claim of 2 GB": message(b"D", length=2_000_000_000),
    "a claim of 2 GB for an authentication": message(b"R", length=2_000_000_000),
}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("state", ["at_login", "in_session"])
@pytest.mark.parametrize("kind", FREEZING)
async def test_an_invalid_message_ends_the_connection(kind: str, state: str, pki: Pki, *, encrypted: bool) -> None:
    """A type of 0 made the driver loop forever in one callback: no target was watched, and SIGTERM had no effect."""
    context = server_context(pki.server) if encrypted else None
    async with hostile(**{state: saying(FREEZING[kind])}, tls=context) as port:
        failure = await failing(port, sslmode="require" if encrypted else "prefer")
    assert isinstance(failure, Malformed)


async def test_an_invalid_message_through_a_socket(tmp_path: Any) -> None:
    """Another process may own the directory of sockets."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\0\0\0\0\x04")
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(talk, tmp_path / ".s.PGSQL.5432"):
        assert isinstance(await failing(5432, hosts=(str(tmp_path),)), Malformed)


@pytest.mark.parametrize(
    "first", [b"S" + b"\0" * 2_000, b"N" + WELCOME, b"SN", b"X", b"\0"], ids=["S+", "N+", "SN", "X", "0"]
)
async def test_bytes_behind_the_answer_for_tls_are_malformed(first: bytes) -> None:
    """What comes in the clear must not be taken for what comes through TLS: CVE-2021-23222."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(first)
        await reader.read()

    for sslmode in ("prefer", "require"):
        async with answering(talk) as port:
            assert isinstance(await failing(port, sslmode=sslmode), Malformed)


FLOODS = {
    "notices": message(b"N", b"SNOTICE\0C00000\0Mx\0\0"),
    "parameters": parameter("application_name", "x"),
    "notifications": message(b"A", b"\0\0\0\0c\0p\0"),
    "rows": row(b"x"),
    "rows without a column": row(),
    "rows of many columns": row(*[b"xx"] * 1_000),
    "empty statements": message(b"I"),
    "rows of a megabyte": row(b"x" * MIB),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_in_a_session_ends_at_the_budget(kind: str) -> None:
    """Memory went from 69 to 1,977 MiB within one scrape."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DESCRIBED)
        await read_request(reader)
        await saying(message(b"2"), forever=FLOODS[kind] * 100)(reader, writer)

    async with hostile(in_session=talk) as port:
        failure = await failing(port)
    assert isinstance(failure, Malformed)
    assert "limits.database_response_bytes" in str(failure)


async def test_answers_before_the_request_are_malformed() -> None:
    """The driver's own words for its confusion mean nothing to an operator."""
    async with hostile(in_session=saying(DESCRIBED, message(b"2"), row(b"x"))) as port:
        assert isinstance(await failing(port), Malformed)


@pytest.mark.parametrize("kind", ["notices", "parameters"])
async def test_a_flood_during_the_login_ends_at_its_budget(kind: str) -> None:
    async with hostile(at_login=saying(forever=FLOODS[kind] * 100)) as port:
        assert "a login" in str(await failing(port))


async def test_a_thousand_parameters_are_malformed() -> None:
    """The driver keeps each of them as long as the connection lasts."""
    parameters = b"".join(parameter(f"p{number}", "x") for number in range(1_000))
    async with hostile(in_session=saying(parameters)) as port:
        assert isinstance(await failing(port), Malformed)


async def test_parameters_that_were_not_sent_are_malformed() -> None:
    """The driver's error for them has advice for programmers, which no operator can follow."""
    async with hostile(in_session=saying(DESCRIBED)) as port, postgres_client(dsn(port)) as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(Malformed) as caught:
                await client.fetch_text("SELECT $1::text", "a")
    assert str(caught.value) == "the answer is not PostgreSQL's"


@pytest.mark.parametrize(
    "rows",
    [row(b"a", b"b"), row(), message(b"D", b"\0\1\0\0\0\xffa"), message(b"D", b"\0\1\xff\xff\xff\xf0"), message(b"D"), row(b"\xff")],
    ids=["two columns", "none", "longer than it is", "a negative length", "no count", "not UTF-8"],
)  # fmt: skip
async def test_a_row_of_another_shape_is_malformed(rows: bytes) -> None:
    """It is the other side's bytes that are wrong, and no defect of the exporter."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DESCRIBED)
        await read_request(reader)
        writer.write(answer(rows))

    async with hostile(in_session=talk) as port:
        assert isinstance(await failing(port), Malformed)


async def test_random_messages_never_leave_the_four_reasons() -> None:
    """Known types with random content, in both states: seeded, each a sentence within the patience."""
    randomness = random.Random(20_26)
    for number in range(300):
        parts = [
            message(bytes([randomness.choice(b"RKSNEAZtT123CDInsv")]), randomness.randbytes(randomness.choice([0, 1, 4, 5, 8, 40])))
            for _ in range(randomness.choice([1, 3, 10]))
        ]  # fmt: skip
        state = "at_login" if number % 2 else "in_session"

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, parts: Any = parts) -> None:
            writer.write(b"".join(parts))
            writer.close()

        async with hostile(**{state: talk}) as port, postgres_client(dsn(port)) as client:
            async with asyncio.timeout(PATIENCE_SECONDS):
                with pytest.raises(ReadingError):
                    await client.fetch_text("SELECT 'a'")


async def test_an_honest_answer_passes_however_it_is_cut(postgres: Database) -> None:
    """The same text by whatever pieces the network makes of it."""
    async with wire_to(postgres.server.port) as wire, postgres_client(postgres.dsn(ports=(wire.port,))) as client:
        for size in (0, 1, 65_535, 300_000, 5_000_000):
            assert await client.fetch_text("SELECT repeat('x', $1::text::int)", str(size)) == "x" * size


async def test_the_budget_is_per_statement(postgres: Database) -> None:
    """Twenty answers of 100 kB on one connection with a budget of 150 kB; then one that is too long."""
    client = PostgresClient(postgres.dsn(), statement_timeout_seconds=5, response_bytes=150_000)
    try:
        pid = await client.fetch_text("SELECT pg_backend_pid()::text")
        for _ in range(20):
            assert len(await client.fetch_text("SELECT repeat('x', 100000)")) == 100_000
        assert await client.fetch_text("SELECT pg_backend_pid()::text") == pid
        with pytest.raises(Malformed, match=r"limits\.database_response_bytes is 150000"):
            await client.fetch_text("SELECT repeat('x', 200000)")
        assert await client.fetch_text("SELECT pg_backend_pid()::text") != pid
    finally:
        await client.close()


class _Driver(asyncio.Protocol):
    """What a guard passed on."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)


def test_the_driver_gets_complete_messages_only() -> None:
    """Whatever the pieces, from single bytes on: its parser never waits within a message, where copying is quadratic."""
    said = WELCOME + DESCRIBED + answer(row(b"x" * 300), row(b"y"))
    ends = {0}
    while max(ends) < len(said):
        ends.add(max(ends) + 1 + struct.unpack_from("!I", said, max(ends) + 1)[0])
    randomness = random.Random(7)
    for piece in (1, 2, 3, 5, 7, 64, 1_000, *(randomness.randrange(1, 400) for _ in range(20))):
        driver = _Driver()
        guard = Guard(driver, LoginPolicy(), response_bytes=MIB, is_trusted=False)
        for start in range(0, len(said), piece):
            guard.data_received(said[start : start + piece])
        assert guard.failure is None
        assert b"".join(driver.chunks) == said
        passed = 0
        for chunk in driver.chunks:
            passed += len(chunk)
            assert passed in ends


def asking(code: int, content: bytes = b"", received: list[bytes] | None = None) -> Any:
    """A login that asks in this way, notes what it is sent, and accepts any answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(authentication(code, content))
        (received if received is not None else []).append(await reader.read(4_096))
        await welcome(reader, writer)
        await read_request(reader)
        writer.write(DESCRIBED)
        await read_request(reader)
        writer.write(answer(row(b"in")))

    return talk


@pytest.fixture
def not_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take loopback for a network."""
    monkeypatch.setattr("blnk_exporter.clients.postgres_login._is_local", lambda _: False)


@pytest.mark.usefixtures("not_local")
@pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer", "require"])
async def test_the_password_is_not_sent_in_clear_text(sslmode: str, pki: Pki) -> None:
    """Any server that answers could ask for it: none of these modes verifies which one it is."""
    received: list[bytes] = []
    async with hostile(at_login=asking(3, received=received), tls=server_context(pki.server)) as port:
        failure = await failing(port, sslmode=sslmode)
    assert isinstance(failure, Refused)
    assert "in clear text" in str(failure)
    assert CANARY.encode() not in b"".join(received)


@pytest.mark.usefixtures("not_local")
async def test_the_password_is_sent_in_clear_text_to_a_verified_server(pki: Pki) -> None:
    """LDAP, PAM and the tokens of clouds need it."""
    for sslmode in ("verify-ca", "verify-full", "require"):
        received: list[bytes] = []
        async with (
            hostile(at_login=asking(3, received=received), tls=server_context(pki.server)) as port,
            postgres_client(dsn(port, sslmode=sslmode, tls={"sslrootcert": str(pki.ca)})) as client,
        ):
            assert await client.fetch_text("SELECT 'a'") == "in"
        assert CANARY.encode() in received[0]


async def test_the_password_is_sent_in_clear_text_on_this_machine(tmp_path: Any) -> None:
    async with hostile(at_login=asking(3)) as port, postgres_client(dsn(port)) as client:
        assert await client.fetch_text("SELECT 'a'") == "in"


@pytest.mark.usefixtures("not_local")
async def test_an_operator_may_allow_clear_text() -> None:
    """By libpq's own means, which names the risk."""
    async with hostile(at_login=asking(3)) as port:
        fields = {"login_methods": frozenset({"password"}), "sends_cleartext": True}
        async with postgres_client(dsn(port, **fields)) as client:
            assert await client.fetch_text("SELECT 'a'") == "in"


MD5 = "md5" + hashlib.md5(hashlib.md5(f"{CANARY}u".encode()).hexdigest().encode() + b"salt").hexdigest()


@pytest.mark.usefixtures("not_local")
async def test_md5_is_answered_as_libpq_answers_it() -> None:
    """With the salted hash, which is all that a server learns."""
    received: list[bytes] = []
    async with hostile(at_login=asking(5, b"salt", received)) as port, postgres_client(dsn(port)) as client:
        assert await client.fetch_text("SELECT 'a'") == "in"
    assert received == [message(b"p", MD5.encode() + b"\0")]


@pytest.mark.parametrize(
    ("code", "content", "allowed", "word"),
    [
        (3, b"", {"scram-sha-256"}, "asks for password authentication, which require_auth"),
        (5, b"salt", {"scram-sha-256"}, "asks for md5 authentication, which require_auth"),
        (10, b"SCRAM-SHA-256\0\0", {"md5"}, "asks for scram-sha-256 authentication, which require_auth"),
        (0, b"", {"scram-sha-256", "md5", "password"}, "asks for no authentication, which require_auth"),
        (7, b"", {"gss"}, "asks for gss authentication, which the exporter does not support"),
        (9, b"", None, "asks for sspi authentication, which the exporter does not support"),
        (2, b"", None, "asks for kerberos authentication, which the exporter does not support"),
    ],
)
async def test_what_require_auth_excludes_is_not_answered(
    code: int, content: bytes, allowed: set[str] | None, word: str
) -> None:
    received: list[bytes] = []
    async with hostile(at_login=asking(code, content, received)) as port:
        failure = await failing(port, login_methods=frozenset(allowed) if allowed else None)
    assert isinstance(failure, Refused)
    assert word in str(failure)
    assert b"".join(received) == b""


@pytest.mark.parametrize(
    "requests",
    [
        authentication(5, b"salt") + authentication(3),
        authentication(11, b"r=x,s=eA==,i=1"),
        authentication(12, b"v=x"),
        authentication(10, b"SCRAM-SHA-256\0\0") + authentication(12, b"v=x"),
        authentication(8, b"x"),
        authentication(77),
        authentication(0) + authentication(3),
        READY,
        message(b"R", b"\0"),
    ],
    ids=[
        "two methods",
        "a challenge first",
        "a signature first",
        "a signature without a challenge",
        "GSS",
        "an unknown one",
        "after the end",
        "none",
        "short",
    ],
)
async def test_requests_out_of_order_are_malformed(requests: bytes) -> None:
    async with hostile(at_login=saying(requests)) as port:
        assert isinstance(await failing(port), Malformed)


def scram(
    *,
    knows: bool = True,
    iterations: int | str = 4_096,
    final: bool = True,
    challenges: int = 1,
    finals: int = 1,
    received: list[bytes] | None = None,
) -> Any:
    """A server's side of SCRAM-SHA-256, which may not know the password."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))
        first = (await reader.read(4_096)).partition(b"n,,")[2]
        salt = b"0123456789abcdef"
        nonce = first.partition(b"r=")[2] + b"server"
        challenge = b"r=%s,s=%s,i=%s" % (nonce, b64encode(salt), str(iterations).encode())
        writer.write(authentication(11, challenge) * challenges)
        answered = (await reader.read(4_096))[5:]
        if received is not None:
            received.append(answered)
        secret = CANARY if knows else "another"
        salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), salt, 4_096)
        said = b",".join([first, challenge, re.sub(rb",p=.*", b"", answered)])
        signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256")
        if final:
            writer.write(authentication(12, b"v=" + b64encode(signature)) * finals)
        await welcome(reader, writer)
        await read_request(reader)
        writer.write(DESCRIBED)
        await read_request(reader)
        writer.write(answer(row(b"in")))

    return talk


async def test_scram_with_a_server_that_knows_the_password() -> None:
    received: list[bytes] = []
    async with hostile(at_login=scram(received=received)) as port, postgres_client(dsn(port)) as client:
        assert await client.fetch_text("SELECT 'a'") == "in"
    assert b64decode(received[0].partition(b"c=")[2].partition(b",")[0]) == b"n,,"


@pytest.mark.parametrize("how", [{"knows": False}, {"final": False}], ids=["a wrong signature", "no signature"])
async def test_scram_with_a_server_that_does_not_know_the_password(how: dict[str, bool]) -> None:
    """The driver accepts the end of a login without the signature; the guard does not."""
    async with hostile(at_login=scram(**how)) as port:
        failure = await failing(port)
    assert isinstance(failure, Malformed)
    assert "does not prove that it knows the password" in str(failure)


@pytest.mark.parametrize("how", [{"challenges": 3}, {"finals": 2}], ids=["challenges", "signatures"])
async def test_scram_messages_that_repeat_are_malformed(how: dict[str, int]) -> None:
    """The driver derives a key for each challenge, and a second signature crashes the interpreter."""
    async with hostile(at_login=scram(**how)) as port:
        assert isinstance(await failing(port), Malformed)


OTHER_TYPES = {
    "an array": DESCRIBED.replace(struct.pack("!i", 25), struct.pack("!i", 1009)),
    "two columns": message(b"1")
    + message(b"t", b"\0\0")
    + message(b"T", b"\0\2" + DESCRIBED[DESCRIBED.index(b"a\0") :] * 2),
    "a parameter": DESCRIBED.replace(message(b"t", b"\0\0"), message(b"t", struct.pack("!hi", 1, 1009))),
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
async def test_other_types_than_text_are_malformed(kind: str) -> None:
    """Decoding an array of 800 KB took 78 MiB and two seconds, and one that claims 100 million values half a second."""
    async with hostile(in_session=saying(OTHER_TYPES[kind])) as port:
        failure = await failing(port)
    assert isinstance(failure, Malformed)
    assert "other types" in str(failure)


@pytest.mark.parametrize("iterations", [1_000_001, 2_147_483_647, 9_999_999_999, "2000000000x,i=1", "1" * 500])
async def test_scram_does_not_compute_for_ever(iterations: int | str) -> None:
    """The driver derives the key in the event loop: 2 billion iterations take a quarter of an hour."""
    async with hostile(at_login=scram(iterations=iterations)) as port:
        assert "more than 1,000,000 iterations" in str(await failing(port))


async def test_the_driver_connects_through_our_loop(postgres: Database) -> None:
    """Fails when the driver finds another way to its transport than the loop that it is given."""
    async with postgres_client(postgres.dsn()) as client:
        await client.fetch_text("SELECT 'a'")
        session = client._session.connection
        assert isinstance(session, Session)
        assert session._transport.get_protocol() is session.guard
        assert session.guard.driver is session._protocol
        assert session._loop is asyncio.get_running_loop()
