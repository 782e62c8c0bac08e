"""A target that hangs, dies, refuses, answers garbage or comes back costs the others nothing and is told as it is."""

import asyncio
import contextlib
import faulthandler
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

import blnk_exporter
from blnk_exporter import sandbox
from blnk_exporter.sandbox import Sandbox
from blnk_exporter.sandbox.process import free_port
from blnk_exporter.sandbox.standin import FAULTS

from ..waiting import PATIENCE_SECONDS, eventually, until
from .exporter import enough, serving
from .page import COLLECTORS

pytestmark = pytest.mark.sandbox

POSTGRES = ("postgres", "tables", "statements", "ledger", "catalog")
REDIS = ("workers", "queues", "redis")
PACKAGE = str(Path(blnk_exporter.__file__).parent)


def our_tasks() -> set[str]:
    """The exporter's tasks in this loop; the sandbox's own work on."""
    names = set()
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code and code.co_filename.startswith(PACKAGE) and f"{PACKAGE}/sandbox" not in code.co_filename:
            names.add(f"{task.get_name()} {code.co_qualname}")
    return names


@pytest_asyncio.fixture(autouse=True)
async def nothing_left(healthy: Sandbox) -> AsyncIterator[None]:
    """When a test has closed its exporter, no task of it lives and no server holds a connection of it."""
    yield
    healthy.postgres.resume()
    healthy.valkey.resume()
    await until(lambda: not our_tasks(), what="the end of the exporter's tasks")
    watch = await asyncpg.connect(healthy.postgres.dsn())
    redis = Redis.from_url(healthy.valkey.url())

    async def alone() -> bool:
        held = await watch.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'blnk_exporter'")
        return held == 0 and not [one for one in await redis.client_list() if one["name"] == "blnk_exporter"]

    await eventually(alone)
    await watch.close()
    await redis.aclose()


def others(*failed: str) -> list[str]:
    return [name for name in COLLECTORS if name not in failed]


@pytest.mark.parametrize("warm", [True, False], ids=["connected before", "never connected"])
async def test_frozen_postgres(healthy: Sandbox, monkeypatch: pytest.MonkeyPatch, *, warm: bool) -> None:
    """A database that hangs must not take the page with it: partial and in time, and whole as soon as it wakes."""
    # As the real server was seen to do; with the 3 s of its source it may say DOWN in time.
    monkeypatch.setattr(healthy.server, "_ping_seconds", None)
    in_time = await enough(healthy, limits__slow_interval_seconds=0)
    async with serving(healthy, limits__slow_interval_seconds=0) as exporter:
        if warm:
            assert (await exporter.scrape()).whole
        healthy.postgres.pause()
        # That there is a page at all while PostgreSQL is silent is what "in time" means.
        page = await exporter.scrape(timeout=in_time)
        # Blnk's own health check waits for PostgreSQL, too.
        # The books are still known where they were read before.
        failed = (*POSTGRES, "server", *(() if warm else ("books",)))
        assert dict.fromkeys(failed, "timeout") == page.failures
        assert page.value("blnk_postgres_up") == 0
        assert page.value("blnk_server_down", reason="timeout") == 1
        assert len(page.values("blnk_queues_pending_tasks")) >= 24
        assert page.value("blnk_redis_up") == 1
        assert page.names("blnk_postgres_") == ["blnk_postgres_up"]
        healthy.postgres.resume()
        assert (await exporter.scrape()).failures == {}


@pytest.mark.parametrize("warm", [True, False], ids=["connected before", "never connected"])
async def test_frozen_redis(healthy: Sandbox, *, warm: bool) -> None:
    """The same for Redis: no queue series that were true a moment ago, and everything when it wakes."""
    in_time = await enough(healthy)
    async with serving(healthy) as exporter:
        if warm:
            assert (await exporter.scrape()).whole
        healthy.valkey.pause()
        page = await exporter.scrape(timeout=in_time)
        assert dict.fromkeys(REDIS, "timeout") == page.failures
        assert page.value("blnk_redis_up") == 0
        assert page.names("blnk_queues_") == []
        assert page.value("blnk_workers_up") == 1
        assert page.value("blnk_server_up") == 1
        assert page.value("blnk_postgres_up") == 1
        healthy.valkey.resume()
        page = await exporter.scrape()
        assert page.whole
        assert len(page.values("blnk_queues_pending_tasks")) >= 24


async def test_frozen_in_the_middle_of_a_scrape(healthy: Sandbox) -> None:
    """SIGSTOP does not wait for a scrape to begin: what is under way is given up in time as well."""
    async with serving(healthy, limits__slow_interval_seconds=0) as exporter:
        assert (await exporter.scrape()).whole
        for server in (healthy.postgres, healthy.valkey):
            scrapes = [asyncio.create_task(exporter.scrape(timeout="2")) for _ in range(3)]
            await asyncio.sleep(0)
            server.pause()
            pages = await asyncio.gather(*scrapes)
            assert [page.status for page in pages] == [200] * 3
            server.resume()
            assert (await exporter.scrape()).whole


async def test_postgres_killed_and_restarted(healthy: Sandbox) -> None:
    """The first scrape after the restart is whole, though the kept connection had died unseen."""
    async with serving(healthy, limits__slow_interval_seconds=0) as exporter:
        assert (await exporter.scrape()).whole
        await healthy.postgres.restart()
        assert (await exporter.scrape()).failures == {}
        await healthy.postgres.halt()
        try:
            page = await exporter.scrape()
            assert dict.fromkeys(POSTGRES, "unreachable") == page.failures
            assert page.value("blnk_server_down", reason="database_ping_failed") == 1
        finally:
            await healthy.postgres.restart()
        assert (await exporter.scrape()).failures == {}


async def test_redis_killed_and_restarted() -> None:
    """The same for Redis; it comes back empty, and that is what the page then says."""
    async with sandbox.running("healthy") as stack, serving(stack) as exporter:
        assert (await exporter.scrape()).whole
        await stack.valkey.restart()
        assert (await exporter.scrape()).failures == {}
        await stack.valkey.halt()
        assert dict.fromkeys(REDIS, "unreachable") == (await exporter.scrape()).failures
        await stack.valkey.restart()
        page = await exporter.scrape()
        assert page.failures == {}
        assert len(page.values("blnk_queues_pending_tasks")) == 24


BAD_ANSWERS = {
    "hang": ("timeout", "timeout"),
    "html": ("malformed", "not_json"),
    "redirect": ("malformed", "redirect"),
    "wrong-json": ("malformed", "wrong_json"),
    "no-json": ("malformed", "not_json"),
    "endless": ("malformed", "too_large"),
    "error": ("malformed", "http_status"),
    "close": ("unreachable", "unreachable"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("collector", ["server", "workers"])
async def test_blnk_answers_badly(healthy: Sandbox, collector: str, fault: str) -> None:
    """Each way to answer badly has its own reason, so that an operator sees a proxy's login page for what it is."""
    endpoint = {"server": healthy.server, "workers": healthy.worker}[collector]
    reason, down = BAD_ANSWERS[fault]
    in_time = await enough(healthy)
    async with serving(healthy) as exporter:
        endpoint.fault = fault
        try:
            page = await exporter.scrape(timeout=in_time)
        finally:
            endpoint.fault = None
        assert {collector: reason} == page.failures
        assert page.value(f"blnk_{collector}_up") == 0
        assert page.value(f"blnk_{collector}_down", reason=down) == 1
        assert sum(page.values(f"blnk_{collector}_down")) == 1
        # The heartbeats in Redis are another source, and still tell the truth.
        assert page.value("blnk_workers_servers") == 2
        page = await exporter.scrape()
        assert page.whole
        assert page.value(f"blnk_{collector}_up") == 1


async def test_blnk_refuses_connections(healthy: Sandbox) -> None:
    """A port that is closed is unreachable, and up again with the process."""
    async with serving(healthy) as exporter:
        await healthy.server.stop()
        try:
            page = await exporter.scrape()
            assert page.failures == {"server": "unreachable"}
            assert page.names("blnk_server_response") == []
        finally:
            await healthy.server.start()
        assert (await exporter.scrape()).whole


GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "zeros": b"\0" * 4096,
    "random": bytes(range(255, 0, -1)) * 20,
    "lines": b"220 mail.example.org ESMTP\r\n" * 10,
    "huge": b"$999999999999\r\n" + b"x" * 70_000,
    "half": b"*3\r\n$3\r\nab",
    "nothing": b"",
}


@contextlib.asynccontextmanager
async def answering(garbage: bytes) -> AsyncIterator[tuple[int, set[object]]]:
    """A port that greets everyone with the same bytes and, when it has any, closes; and who is connected."""
    connected: set[object] = set()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.add(writer)
        with contextlib.suppress(OSError):
            await reader.read(1)
            writer.write(garbage)
            await writer.drain()
            while await reader.read(65_536):
                pass
        connected.discard(writer)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connected
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("store", ["redis", "postgres"])
async def test_garbage_instead_of_a_database(healthy: Sandbox, store: str, garbage: str) -> None:
    """A port number of somebody else is a plain mistake; its answer must not break a page or be believed."""
    failed = {"redis": REDIS, "postgres": (*POSTGRES, "books")}[store]
    # A driver that turns round for ever in one callback would keep the whole run, which then must not end in silence.
    faulthandler.dump_traceback_later(5 * PATIENCE_SECONDS, exit=True)
    in_time = await enough(healthy)
    async with answering(GARBAGE[garbage]) as (port, connected):
        dsn = {
            "redis__dsn": f"redis://:x@127.0.0.1:{port}",
            "postgres__dsn": f"postgres://u:x@127.0.0.1:{port}/d?sslmode=disable",
        }
        key = f"{store}__dsn"
        async with serving(healthy, **{key: dsn[key]}) as exporter:
            for _ in range(2):
                page = await exporter.scrape(timeout=in_time)
                assert set(failed) == set(page.failures)
                assert set(page.failures.values()) <= {"timeout", "malformed", "unreachable", "refused"}
                assert page.value(f"blnk_{store}_up") == 0
                # The books are read on a connection of their own.
                assert len(connected) <= (1 if store == "redis" else 2)
        await until(lambda: not connected, what="all connections closed")
    faulthandler.cancel_dump_traceback_later()


async def test_nobody_there(healthy: Sandbox, tmp_path: Path) -> None:
    """Everything down at the start is the night on which the monitor is needed: a page, and reasons."""
    nobody = f"127.0.0.1:{free_port()}"
    flags = {
        "servers": f"http://{nobody}",
        "workers": f"http://{nobody}",
        "redis__dsn": f"redis://{nobody}",
        "postgres__dsn": f"postgres://u@{nobody}/d",
    }
    async with serving(healthy, **flags) as exporter:
        page = await exporter.scrape()
        assert dict.fromkeys(others("host"), "unreachable") == page.failures
        for name in ("server", "workers", "redis", "postgres"):
            assert page.values(f"blnk_{name}_up") == [0]
        assert page.values("blnk_host_memory_total_bytes")


async def test_no_such_host(healthy: Sandbox) -> None:
    """A name that does not resolve is unreachable as well, whatever the resolver calls it."""
    flags = {
        "servers": "http://blnk.invalid:1",
        "redis__dsn": "redis://redis.invalid",
        "postgres__dsn": "postgres://u@postgres.invalid/d",
    }
    async with serving(healthy, **flags) as exporter:
        page = await exporter.scrape(timeout="20")
        assert set(page.failures) == set(others("host"))
        assert set(page.failures.values()) <= {"unreachable", "timeout"}


async def test_wrong_passwords(healthy: Sandbox) -> None:
    """A password that was rotated behind our back is a refusal, not an outage."""
    postgres, valkey = healthy.postgres, healthy.valkey
    flags = {
        "redis__dsn": f"redis://:wrong@{valkey.host}:{valkey.port}",
        "postgres__dsn": postgres.dsn(password="wrong", database="blnk", sslmode="disable"),
    }
    async with serving(healthy, **flags) as exporter:
        page = await exporter.scrape()
        assert dict.fromkeys((*REDIS, *POSTGRES, "books"), "refused") == page.failures
        assert page.value("blnk_server_up") == 1


async def test_missing_schema(healthy: Sandbox) -> None:
    """The wrong database is told as what it is; PostgreSQL's own facts are there all the same."""
    dsn = healthy.postgres.dsn(database="postgres", sslmode="disable")
    async with serving(healthy, postgres__dsn=dsn) as exporter:
        page = await exporter.scrape()
        ours = ("tables", "ledger", "books", "catalog")
        assert page.failures == dict.fromkeys(ours, "malformed")
        assert page.value("blnk_postgres_up") == 1
        assert [name for room in ours for name in page.names(f"blnk_{room}_")] == []


async def test_missing_rights(healthy: Sandbox) -> None:
    """A role that may do no more than log in gets what PostgreSQL tells everybody; the rest is named as missing."""
    owner = await asyncpg.connect(healthy.postgres.dsn(database="blnk"))
    await owner.execute("CREATE ROLE onlooker LOGIN PASSWORD 'look'")
    try:
        dsn = healthy.postgres.dsn(user="onlooker", password="look", database="blnk", sslmode="disable")
        async with serving(healthy, postgres__dsn=dsn) as exporter:
            page = await exporter.scrape()
            # Not even the schema is theirs to look into.
            assert page.failures == dict.fromkeys(("ledger", "books"), "refused")
            missing = {dict(labels)["fact"] for labels in page.samples["blnk_exporter_fact_missing"]}
            assert missing
            assert page.value("blnk_postgres_up") == 1
            assert page.value("blnk_postgres_connections_max") == 100
            # What such a role sees of others' sessions is not the truth, so it is not told.
            assert page.names("blnk_postgres_longest_transaction") == []
    finally:
        await owner.execute("DROP ROLE onlooker")
        await owner.close()
