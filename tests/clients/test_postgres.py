"""The one connection to PostgreSQL, against real servers and against ones that misbehave."""

import asyncio
import socket
import struct
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from blnk_exporter import collectors
from blnk_exporter.clients import open_clients
from blnk_exporter.clients import postgres as client_module
from blnk_exporter.clients.postgres import Background, PostgresClient
from blnk_exporter.config.settings import Own, Settings
from blnk_exporter.errors import Locked, Malformed, NotAsked, ReadingError, Refused, TimedOut, Unreachable
from blnk_exporter.formats.dsn import PostgresDsn

from ..conftest import Database, Pki, answering, frozen, postgres_client, wire_to
from ..waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("nothing_left")]

CANARY = "hunter2secret"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'blnk_exporter'"


@pytest_asyncio.fixture
async def client(postgres: Database) -> AsyncIterator[PostgresClient]:
    async with postgres_client(postgres.dsn()) as opened:
        yield opened


async def settings(client: PostgresClient, *names: str) -> list[str]:
    """What our session's own settings are."""
    return [await client.fetch_text("SELECT current_setting($1)", name) for name in names]


async def test_it_fetches_one_text(each_postgres: Database) -> None:
    """The whole of what the rooms need, on every version."""
    async with postgres_client(each_postgres.dsn()) as client:
        assert await client.version() == each_postgres.version * 10_000
        assert await client.fetch_text("SELECT $1::text || 'ß'", "a") == "aß"
        assert client.address == f"127.0.0.1:{each_postgres.server.port}"


async def test_the_session_is_harmless(client: PostgresClient) -> None:
    """A monitor that can write, or hang, is a risk to what it watches."""
    assert await settings(client, "default_transaction_read_only", "statement_timeout", "lock_timeout") == [
        *("on", "5s", "200ms")
    ]
    assert await settings(client, "application_name", "search_path", "TimeZone", "jit", "row_security") == [
        *("blnk_exporter", "pg_catalog", "UTC", "off", "off")
    ]


async def test_a_write_is_refused(postgres: Database) -> None:
    """Even with Blnk's own role, which owns every table."""
    async with postgres_client(postgres.dsn("blnk")) as client:
        with pytest.raises(ReadingError, match="read-only"):
            await client.fetch_text("INSERT INTO blnk.ledgers (ledger_id, name) VALUES ('l', 'n') RETURNING name")
    async with postgres.admin() as admin:
        assert await admin.fetchval("SELECT count(*) FROM blnk.ledgers") == 0


async def test_a_long_statement_ends_itself(postgres: Database) -> None:
    """The server must not go on with what nobody waits for any more."""
    async with postgres_client(postgres.dsn(), statement_timeout_seconds=1) as client:
        with pytest.raises(TimedOut, match="statement timeout") as caught:
            await client.fetch_text("SELECT pg_sleep(30)::text")
        assert not isinstance(caught.value, Locked)
        assert await client.fetch_text("SELECT 'next'") == "next"


async def test_a_lock_is_not_waited_for(postgres: Database) -> None:
    """ALTER TABLE stands in the way of sizes; a queue behind it would stop Blnk itself."""
    async with postgres_client(postgres.dsn("blnk")) as client, postgres.admin() as admin, admin.transaction():
        await admin.execute("LOCK TABLE blnk.ledgers")
        with pytest.raises(Locked):
            await client.fetch_text("SELECT count(*)::text FROM blnk.ledgers")
        assert await client.fetch_text("SELECT 'next'") == "next"


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT nothing FROM pg_class", Malformed),
        ("SELECT * FROM nosuchtable", Malformed),
        ("SELEC", Malformed),
        ("SELECT NULL::text", Malformed),
        ("SELECT rolpassword::text FROM pg_authid", Refused),
        ("SELECT pg_read_file('postgresql.conf')", Refused),
    ],
)
async def test_a_faulty_statement_keeps_the_connection(
    client: PostgresClient, sql: str, kind: type[ReadingError]
) -> None:
    """One fact less is no reason to log in again."""
    pid = await client.fetch_text("SELECT pg_backend_pid()::text")
    with pytest.raises(kind) as caught:
        await client.fetch_text(sql)
    assert type(caught.value) is kind
    assert await client.fetch_text("SELECT pg_backend_pid()::text") == pid


async def test_twenty_callers_share_one_connection(postgres: Database, client: PostgresClient) -> None:
    """Connections are what a ledger runs out of first."""
    answers = await asyncio.gather(*(client.fetch_text("SELECT pg_backend_pid()::text") for _ in range(20)))
    assert len(set(answers)) == 1
    async with postgres.admin() as admin:
        assert await admin.fetchval(SESSIONS) == 1


async def test_only_the_statements_asked_for_are_sent(postgres: Database, client: PostgresClient) -> None:
    """What a driver asks for its own sake is load as well: counted in the server's log. One reads the settings back."""
    before = postgres.log()
    await client.version()
    assert postgres.executed(before) == 0
    assert postgres.log()[len(before) :].count("statement: COPY") == 1
    before = postgres.log()
    for _ in range(3):
        await client.version()
        await client.fetch_text("SELECT $1::text", "a")
    assert postgres.executed(before) == 3


async def test_a_wrong_password_is_refused_and_not_told(postgres: Database) -> None:
    """scram-sha-256 on the server's side; the secret stays out of every message."""
    async with postgres_client(postgres.dsn(password=SecretStr("wr0ng"))) as client:
        with pytest.raises(Refused) as caught:
            await client.fetch_text("SELECT 'a'")
        assert "wr0ng" not in str(caught.value)
        assert "password" in str(caught.value)


async def test_no_password_is_refused(postgres: Database) -> None:
    """A forgotten secret is not an unreachable server."""
    async with postgres_client(postgres.dsn(password=None)) as client:
        with pytest.raises(Refused):
            await client.fetch_text("SELECT 'a'")


@pytest.mark.parametrize(
    ("user", "database", "word"),
    [("exporter", "nosuch", "nosuch"), ("nosuch", "blnk", "nosuch")],
    ids=["database", "role"],
)
async def test_an_unknown_name_is_refused(postgres: Database, user: str, database: str, word: str) -> None:
    """The message names what the server does not know."""
    async with postgres_client(postgres.dsn(user, database)) as client:
        with pytest.raises(Refused, match=word):
            await client.version()


async def test_a_failed_login_is_shared_for_a_moment(postgres: Database) -> None:
    """Three collectors ask in one scrape; a wrong password is one line in the server's log, not three."""
    async with postgres_client(postgres.dsn(password=SecretStr("wrong"))) as client:
        before = postgres.log()
        failures = await asyncio.gather(*(client.fetch_text("SELECT 'a'") for _ in range(3)), return_exceptions=True)
        assert [type(failure) for failure in failures] == [Refused] * 3
        assert postgres.log()[len(before) :].count("FATAL:  password authentication failed") == 1


async def test_too_many_clients_is_a_refusal(postgres: Database) -> None:
    """The server is there and says no: that is what the operator has to know."""
    async with postgres.admin("postgres") as admin:
        await admin.execute("ALTER ROLE plain CONNECTION LIMIT 0")
        try:
            async with postgres_client(postgres.dsn("plain")) as client:
                with pytest.raises(Refused, match="too many connections"):
                    await client.version()
        finally:
            await admin.execute("ALTER ROLE plain CONNECTION LIMIT -1")


async def test_a_frozen_server_is_left_and_found_again(postgres: Database, client: PostgresClient) -> None:
    """SIGSTOP during a statement: the deadline holds, nothing piles up, the next call after SIGCONT is whole."""
    await client.version()
    async with postgres.admin() as admin:
        with frozen(postgres.server):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.fetch_text("SELECT 'a'"), 0.05)
        assert await client.fetch_text("SELECT 'b'") == "b"
        await _until_sessions(admin, 1)


async def _until_sessions(admin: asyncpg.Connection, wanted: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await admin.fetchval(SESSIONS) != wanted:  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.02)


async def test_giving_up_opens_no_second_connection(postgres: Database) -> None:
    """A driver that cancels by another connection fills a server that hangs; one that reconnects doubles its work."""
    own_pid = "SELECT pg_backend_pid()::text"
    async with wire_to(postgres.server.port) as wire, postgres_client(postgres.dsn(ports=(wire.port,))) as client:
        pid, needed = await client.fetch_text(own_pid), wire.connections
        with frozen(postgres.server), pytest.raises(TimeoutError):
            await asyncio.wait_for(client.fetch_text("SELECT 'a'"), 0.05)
        assert await client.fetch_text(own_pid) == pid
        assert wire.connections == needed


async def test_statements_that_nobody_waits_for_do_not_pile_up(postgres: Database) -> None:
    """Budgets shorter than a statement: however many scrapes give up, one backend of ours is at work."""
    async with postgres_client(postgres.dsn(), statement_timeout_seconds=2) as client, postgres.admin() as admin:
        await client.version()
        for _ in range(8):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.fetch_text("SELECT pg_sleep(30)::text"), 0.05)
            assert await admin.fetchval(SESSIONS) == 1
        assert await client.fetch_text("SELECT 'next'") == "next"
        assert await admin.fetchval(SESSIONS) == 1


async def test_a_hanging_server_is_left_in_the_end(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is gone never ends the statement; waiting for it must not outlast what the server would take."""
    monkeypatch.setattr(client_module, "_GRACE_SECONDS", 0.0)
    async with postgres_client(postgres.dsn(), statement_timeout_seconds=0.1) as client:
        pid = await client.fetch_text("SELECT pg_backend_pid()::text")
        with frozen(postgres.server):
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.fetch_text("SELECT 'a'"), 0.2)
        assert await client.fetch_text("SELECT pg_backend_pid()::text") != pid


async def test_closing_ends_a_statement_that_was_left_alone(postgres: Database, client: PostgresClient) -> None:
    """A reload after a scrape that gave up leaves neither a task nor a connection."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.fetch_text("SELECT pg_sleep(30)::text"), 0.2)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await client.close()


async def test_a_statement_left_alone_whose_session_ends_is_no_loss(postgres: Database, client: PostgresClient) -> None:
    """An operator ends what hangs; the next scrape logs in anew."""
    pid = await client.fetch_text("SELECT pg_backend_pid()::text")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.fetch_text("SELECT pg_sleep(30)::text"), 0.05)
    async with postgres.admin() as admin:
        await admin.execute(f"SELECT pg_terminate_backend({pid})")
    assert await client.fetch_text("SELECT pg_backend_pid()::text") != pid


async def test_slow_rooms_wait_for_all_others(client: PostgresClient) -> None:
    """The dear statement comes last, or a healthy database would be called down for want of time."""
    order: list[str] = []

    async def ask(room: Database, name: str) -> None:
        await room.version()
        for part in ("1", "2"):
            answer = await room.fetch_text("SELECT $1::text", name + part)
            order.append(answer)

    slow = client.background()
    assert slow.address == client.address
    await asyncio.gather(*(ask(room, name) for room, name in ((slow, "s"), (slow, "t"), (client, "a"), (client, "b"))))
    assert sorted(order[:4]) == ["a1", "a2", "b1", "b2"]
    assert sorted(order[4:]) == ["s1", "s2", "t1", "t2"]


async def test_a_server_frozen_before_the_login_is_left_and_found_again(postgres: Database) -> None:
    """The kernel accepts for a server that is stopped, so connecting hangs in the login."""
    async with postgres_client(postgres.dsn()) as client:
        with frozen(postgres.server):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.fetch_text("SELECT 'a'"), 0.05)
        assert await client.fetch_text("SELECT 'b'") == "b"


async def test_a_waiting_caller_may_leave_the_queue(postgres: Database, client: PostgresClient) -> None:
    """Callers take turns; one that is cancelled while it waits takes nothing with it."""
    await client.version()
    with frozen(postgres.server):
        first = asyncio.create_task(client.fetch_text("SELECT 'first'"))
        second = asyncio.create_task(client.fetch_text("SELECT 'second'"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        assert not first.done()
    assert await first == "first"


async def test_a_restart_between_two_calls_is_not_noticed(postgres: Database, client: PostgresClient) -> None:
    """A connection that lay idle while the server restarted must not cost a scrape."""
    await client.version()
    await postgres.server.restart()
    assert await client.fetch_text("SELECT 'a'") == "a"


async def test_a_session_ended_by_an_operator_is_opened_anew(postgres: Database, client: PostgresClient) -> None:
    """pg_terminate_backend is everyday business."""
    pid = await client.fetch_text("SELECT pg_backend_pid()::text")
    async with postgres.admin() as admin:
        await admin.execute(f"SELECT pg_terminate_backend({pid})")
    assert await client.fetch_text("SELECT pg_backend_pid()::text") != pid


async def test_a_server_that_is_gone_is_unreachable_and_may_come_back(
    postgres: Database, client: PostgresClient
) -> None:
    """Down at the start of a scrape, up at the next."""
    await client.version()
    await postgres.server.halt()
    try:
        for _ in range(2):
            with pytest.raises(Unreachable):
                await client.fetch_text("SELECT 'a'")
    finally:
        await postgres.server.restart()
    assert await client.fetch_text("SELECT 'a'") == "a"


async def test_a_unix_socket_is_as_good(postgres: Database) -> None:
    """Where PostgreSQL runs on the same machine, peer or trust over its socket is usual."""
    dsn = postgres.dsn(hosts=(str(postgres.server.socket_directory),), sslmode="prefer")
    async with postgres_client(dsn) as client:
        assert await client.fetch_text("SELECT 'a'") == "a"


async def test_without_tls_on_the_server(postgres: Database) -> None:
    """Prefer goes on in the clear, require does not."""
    async with postgres_client(postgres.dsn(sslmode="prefer")) as client:
        assert await client.fetch_text("SELECT 'a'") == "a"
    async with postgres_client(postgres.dsn(sslmode="require")) as client:
        with pytest.raises(Refused, match="does not offer TLS"):
            await client.version()


ENCRYPTED = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.mark.parametrize(
    ("sslmode", "ca", "encrypted"),
    [
        ("disable", None, "false"),
        ("allow", None, "false"),
        ("prefer", None, "true"),
        ("require", None, "true"),
        ("verify-ca", "ca", "true"),
        ("verify-full", "ca", "true"),
    ],
)
async def test_tls_as_libpq_does_it(
    postgres_tls: Database, pki: Pki, sslmode: str, ca: str | None, encrypted: str
) -> None:
    """What the operator wrote for Blnk must mean the same to us."""
    tls = {"sslrootcert": str(getattr(pki, ca))} if ca else {}
    async with postgres_client(postgres_tls.dsn(sslmode=sslmode, tls=tls)) as client:
        assert await client.fetch_text(ENCRYPTED) == encrypted


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
async def test_tls_with_an_unknown_authority_is_refused(postgres_tls: Database, pki: Pki, sslmode: str) -> None:
    """Only these two modes are a promise, and they are kept."""
    async with postgres_client(postgres_tls.dsn(sslmode=sslmode, tls={"sslrootcert": str(pki.other_ca)})) as client:
        with pytest.raises(Refused, match="not trusted"):
            await client.version()


@pytest.mark.parametrize(("sslmode", "fits"), [("verify-ca", True), ("verify-full", False)])
async def test_tls_for_another_host(postgres_tls: Database, pki: Pki, sslmode: str, *, fits: bool) -> None:
    """Only verify-full looks at the name: the certificate is for 127.0.0.1, and we come by 127.0.0.2 of the same loopback."""
    tls = {"sslrootcert": str(pki.ca)}
    async with wire_to(postgres_tls.server.port, "127.0.0.2") as wire:
        dsn = postgres_tls.dsn(hosts=("127.0.0.2",), ports=(wire.port,), sslmode=sslmode, tls=tls)
        async with postgres_client(dsn) as client:
            if fits:
                assert await client.fetch_text(ENCRYPTED) == "true"
            else:
                with pytest.raises(Refused, match="not trusted"):
                    await client.version()


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
async def test_a_missing_ca_file_is_no_defect(postgres_tls: Database, tmp_path: Path, sslmode: str) -> None:
    """A path with a slip of the pen must end in a sentence."""
    tls = {"sslrootcert": str(tmp_path / "none.crt")}
    async with postgres_client(postgres_tls.dsn(sslmode=sslmode, tls=tls)) as client:
        with pytest.raises(Refused, match=r"none\.crt"):
            await client.version()


async def test_a_ca_file_that_is_none_is_no_defect(postgres_tls: Database, tmp_path: Path) -> None:
    """A key or a text where a certificate belongs."""
    wrong = tmp_path / "wrong.crt"
    wrong.write_text("hello")
    async with postgres_client(postgres_tls.dsn(sslmode="verify-ca", tls={"sslrootcert": str(wrong)})) as client:
        with pytest.raises(Refused, match=r"sslrootcert: the file .*wrong\.crt"):
            await client.version()


async def test_verification_without_a_ca_file_is_no_defect(
    postgres_tls: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Libpq looks for ~/.postgresql/root.crt, and says so when it is not there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    async with postgres_client(postgres_tls.dsn(sslmode="verify-full")) as client:
        with pytest.raises(ReadingError, match="root"):
            await client.version()


@pytest.mark.parametrize("option", ["sslcert", "sslkey", "sslcrl"])
async def test_a_missing_tls_file_is_a_refusal(postgres_tls: Database, tmp_path: Path, option: str) -> None:
    """As for the authority's: it is our side that has to be mended."""
    dsn = postgres_tls.dsn(sslmode="require", tls={option: str(tmp_path / "none.pem")})
    async with postgres_client(dsn) as client:
        with pytest.raises(Refused, match=r"none\.pem"):
            await client.version()


async def test_options_that_the_driver_does_not_know_stay_here(postgres_tls: Database, pki: Pki) -> None:
    """They would reach the server as settings of the session, which it refuses."""
    tls = {"sslsni": "1", "sslnegotiation": "postgres", "sslrootcert": str(pki.ca)}
    async with postgres_client(postgres_tls.dsn(sslmode="verify-full", tls=tls)) as client:
        assert await client.fetch_text(ENCRYPTED) == "true"


async def test_the_systems_authorities(postgres_tls: Database, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libpq's sslrootcert=system, with the system's list exchanged for ours."""
    dsn = postgres_tls.dsn(sslmode="verify-full", tls={"sslrootcert": "system", "ssl_min_protocol_version": "TLSv1.3"})
    async with postgres_client(dsn) as client:
        with pytest.raises(Refused, match="not trusted"):
            await client.version()
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca))
    async with postgres_client(dsn) as client:
        assert await client.fetch_text(ENCRYPTED) == "true"
    async with wire_to(postgres_tls.server.port, "127.0.0.2") as wire:
        dsn = postgres_tls.dsn(hosts=("127.0.0.2",), ports=(wire.port,), sslmode="verify-full", tls=dsn.tls)
        async with postgres_client(dsn) as client:
            with pytest.raises(Refused, match="not trusted"):
                await client.version()


async def test_the_systems_authorities_with_a_certificate_of_ours(
    postgres_tls: Database, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other files are taken too: a key that is none is seen, and a version that does not exist."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca))
    certificate, key = map(str, pki.server)
    for more, word in (
        ({"sslcert": certificate, "sslkey": key}, None),
        ({"sslcert": certificate, "sslkey": certificate}, "sslcert or sslkey"),
        ({"ssl_min_protocol_version": "TLSv9"}, "ssl_min_protocol_version"),
        ({"sslcrl": str(pki.ca)}, "sslcrl|not trusted"),
    ):
        dsn = postgres_tls.dsn(sslmode="verify-full", tls={"sslrootcert": "system", **more})
        async with postgres_client(dsn) as client:
            if word is None:
                assert await client.fetch_text(ENCRYPTED) == "true"
            else:
                with pytest.raises(Refused, match=word):
                    await client.version()


async def test_a_server_frozen_before_tls_leaves_nothing(postgres_tls: Database) -> None:
    """The answer to the request for TLS is one byte that may never come."""
    async with postgres_client(postgres_tls.dsn(sslmode="require")) as client:
        with frozen(postgres_tls.server):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.version(), 0.05)
        assert await client.fetch_text(ENCRYPTED) == "true"


@pytest.mark.parametrize(
    "words",
    [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"-ERR unknown command\r\n", b"R\0\0\0\0"],
    ids=["HTTP", "Redis", "a message shorter than its header"],
)
@pytest.mark.parametrize("sslmode", ["disable", "prefer", "require"])
async def test_what_is_not_postgresql_is_a_failure_in_words(sslmode: str, words: bytes, postgres: Database) -> None:
    """A port with a slip of the pen; asyncpg itself would turn round for ever on the third."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(words)

    async with answering(answer) as port, postgres_client(postgres.dsn(ports=(port,), sslmode=sslmode)) as client:
        with pytest.raises(ReadingError):
            await asyncio.wait_for(client.version(), PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "words",
    [b"R\0\0\0\x04", b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", b"D\0\0\0\x05\0" * 3 + b"Z\0\0\0\x05I", b"E\0\0\0\x05\0"],
    ids=["no method", "no version", "rows", "an empty error"],
)
async def test_garbage_after_the_refusal_of_tls_is_malformed(words: bytes, postgres: Database) -> None:
    """It answers N as PostgreSQL does, and then what no PostgreSQL says; the driver stumbles in many ways."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        await reader.read(1)
        writer.write(words)

    async with answering(answer) as port, postgres_client(postgres.dsn(ports=(port,), sslmode="prefer")) as client:
        with pytest.raises((Malformed, Unreachable, Refused)):
            await asyncio.wait_for(client.version(), PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "code", ["28P01", "28000", "3D000", "42501", "53300", "57P03", "57P01", "08P01", "08006", "XX000"]
)
async def test_a_login_is_refused_in_our_words(postgres: Database, code: str) -> None:
    """Who asks for the password may repeat it: neither log nor page shows what was said during the login."""

    async def parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        size = struct.unpack("!i", await reader.readexactly(4))[0]
        await reader.readexactly(size - 4)
        writer.write(b"R\0\0\0\x08\0\0\0\x03")
        said = (await reader.readexactly(5 + len(CANARY) + 1))[5:]
        fields = b"SERROR\0C" + code.encode() + b"\0M" + said + b"\0"
        writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)

    async with answering(parrot) as port:
        dsn = postgres.dsn(ports=(port,), sslmode="prefer", password=SecretStr(CANARY))
        async with postgres_client(dsn) as client:
            with pytest.raises((Refused, Unreachable)) as caught:
                await client.version()
    assert CANARY not in "".join(traceback.format_exception(caught.value))


async def test_a_defect_keeps_its_words_to_itself(postgres: Database) -> None:
    """What the driver cannot encode stands in its error; the scrape logs a traceback."""
    for password in (f"{CANARY}\udce9", 5):
        dsn = postgres.dsn(password=SecretStr(password))
        async with postgres_client(dsn) as client:
            with pytest.raises((ReadingError, RuntimeError)) as caught:
                await client.version()
        assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("sslmode", ["disable", "prefer", "require"])
async def test_a_server_that_hangs_up_is_unreachable(sslmode: str, postgres: Database) -> None:
    """At once, before it has said a word."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with answering(hang_up) as port, postgres_client(postgres.dsn(ports=(port,), sslmode=sslmode)) as client:
        with pytest.raises(Unreachable):
            await client.version()


async def test_a_host_without_an_address_is_unreachable(postgres: Database) -> None:
    """.invalid is promised never to exist."""
    async with postgres_client(postgres.dsn(hosts=("nosuch.invalid",))) as client:
        with pytest.raises(Unreachable):
            await client.version()


async def test_a_closed_port_is_unreachable(postgres: Database) -> None:
    """Nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with postgres_client(postgres.dsn(ports=(unused.getsockname()[1],))) as client:
            with pytest.raises(Unreachable):
                await client.version()


async def test_closing_under_a_caller_ends_its_wait(postgres: Database, client: PostgresClient) -> None:
    """On a reload the old client is closed under scrapes that may still hang on it."""
    await client.version()
    with frozen(postgres.server):
        waiting = asyncio.create_task(client.fetch_text("SELECT 'a'"))
        await asyncio.sleep(0.01)
        await client.close()
        done, _ = await asyncio.wait([waiting], timeout=PATIENCE_SECONDS)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert done


async def test_the_slow_rooms_are_bound_to_the_background() -> None:
    """The view is of no use to a room that was given the client itself."""
    settings = Settings(own=Own(), blnk=None, servers=(), workers=(), postgres=(PostgresDsn(),), redis=None, queues=())
    async with open_clients(settings) as clients:
        rooms = {room.collector.name: room for room in collectors.bind(clients)}
    for room in (rooms["postgres"], rooms["tables"], rooms["statements"]):
        (source,) = room.sources
        database = getattr(source, "database", None) or source._database
        assert isinstance(database, Background) == room.collector.slow


async def test_a_refused_password_with_a_placeholder(postgres: Database) -> None:
    """A template that was not filled in is the likely reason; nothing else of the password is said."""
    async with postgres_client(postgres.dsn(password=SecretStr("canary{{ .Values.pw }}"))) as client:
        with pytest.raises(Refused) as caught:
            await client.fetch_text("SELECT 'x'")
    words = "the password holds {{ … }}: was it to be replaced?"
    assert str(caught.value) == f'password authentication failed for user "exporter"; {words}'


async def test_without_tls_and_without_an_sslmode(postgres: Database) -> None:
    """Blnk's driver requires TLS if its string does not say otherwise, which is easy to forget."""
    async with postgres_client(postgres.dsn(sslmode="require", is_sslmode_given=False)) as client:
        with pytest.raises(Refused) as caught:
            await client.version()
    assert str(caught.value) == (
        "the server does not offer TLS; the connection string has no sslmode, and Blnk's driver then requires TLS: "
        "sslmode=disable turns it off"
    )


async def test_no_user_at_all_is_a_refusal(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's KeyError was taken for the other side's answer."""
    for name in ("PGUSER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 1_000_650_000)
    async with postgres_client(postgres.dsn(user=None)) as client:
        with pytest.raises(NotAsked, match=r"has no user, .*: set postgres\.user"):
            await client.version()
