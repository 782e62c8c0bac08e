"""PostgreSQL itself: every fact on every version, on a primary with a standby and slots, and without the rights."""

import asyncio

import asyncpg
import pytest

from blnk_exporter.collector import Result
from blnk_exporter.collectors.postgres import COLLECTOR, TABLES, PostgresReading
from blnk_exporter.errors import (
    Locked,
    Malformed,
    NotAsked,
    NotReady,
    ReadingError,
    Refused,
    TimedOut,
    TooDear,
    Unreachable,
)
from blnk_exporter.postgres_facts import sessions
from blnk_exporter.table import TableReader

from ..conftest import PASSWORD, Database, postgres_client
from ..waiting import eventually
from .conftest import Somewhere, page, unseen
from .postgres_page import NOT_HERE, bare, gaps_of, page_of

REPLICATION = {metric.name for metric in COLLECTOR.metrics if "standby_" in metric.name or "_slot_" in metric.name}
REPLICA = {metric.name for metric in COLLECTOR.metrics if metric.name.startswith("blnk_postgres_replica_")}


def test_samples_of_rows() -> None:
    """Facts become series with the address first; a server that is gone is down and no more."""
    reading = PostgresReading(rows={"standby_count": [{"standbys": 3, "streaming": 2}], "wal": []})
    results = [Result(Somewhere("a:1"), reading), Result(Somewhere("b:2"), failure=Unreachable("gone"))]
    assert page(COLLECTOR.samples(results)) == {
        "blnk_postgres_up": {("a:1",): 1, ("b:2",): 0},
        "blnk_postgres_standbys": {("a:1",): 3},
        "blnk_postgres_standbys_streaming": {("a:1",): 2},
    }


@pytest.mark.parametrize(
    ("failure", "up"),
    [
        (Unreachable("gone"), 0),
        (TimedOut("no answer"), 0),
        (Malformed("not PostgreSQL's"), 0),
        (NotReady("the server is starting"), 0),
        (Refused("password"), 1),
        (TooDear("statement timeout"), 1),
        (Locked("lock timeout"), 1),
        (Malformed("no such column", answered=True), 1),
        (NotAsked("no such file"), None),
        (ReadingError("a defect of the exporter"), None),
    ],
    ids=str,
)
def test_a_server_that_replies_is_up(failure: ReadingError, up: int | None) -> None:
    """A refusal of the exporter does not page; where nothing was asked, nothing is known."""
    found = page(COLLECTOR.samples([Result(Somewhere("a:1"), failure=failure)]))
    assert found == ({} if up is None else {"blnk_postgres_up": {("a:1",): up}})


@pytest.mark.sandbox
async def test_every_version_tells_every_fact_in_one_statement(each_postgres: Database) -> None:
    """15 to 18 move their columns about: each fact comes on each of them, without a gap, and costs one statement."""
    async with postgres_client(each_postgres.dsn()) as client:
        reader = TableReader(client, argument="blnk")
        await COLLECTOR.read(reader)
        before = each_postgres.log()
        reading = await COLLECTOR.read(reader)
        assert each_postgres.executed(before) == 1
        assert reading.gaps == ()
        assert set(reading.rows) == {table.name for table in TABLES}
        found = bare(page(COLLECTOR.samples([Result(reader, reading)])))
    assert unseen(COLLECTOR, found) <= set(NOT_HERE) | REPLICATION | REPLICA
    assert found["blnk_postgres_up"] == {(): 1}
    assert found["blnk_postgres_version"][()] // 10_000 == each_postgres.version
    assert found["blnk_postgres_in_recovery"] == {(): 0}
    assert found["blnk_postgres_connections_max"] == {(): 100}


@pytest.mark.sandbox
async def test_values_agree_with_the_servers_own(each_postgres: Database) -> None:
    """A unit wrong by a factor of 8192 would pass every other test."""
    found = await page_of(each_postgres)
    async with each_postgres.admin() as admin:
        for name in ("shared_buffers", "max_wal_size", "work_mem"):
            size = await admin.fetchval("SELECT pg_size_bytes(current_setting($1))", name)
            assert found["blnk_postgres_setting_bytes"][(name,)] == size
        for name in ("checkpoint_timeout", "deadlock_timeout"):
            seconds = await admin.fetchval("SELECT extract(epoch FROM current_setting($1)::interval)::float8", name)
            assert found["blnk_postgres_setting_seconds"][(name,)] == seconds
        started = await admin.fetchval("SELECT extract(epoch FROM pg_postmaster_start_time())::float8")
        commits = await admin.fetchval("SELECT xact_commit FROM pg_stat_database WHERE datname = 'blnk'")
    assert found["blnk_postgres_start_timestamp_seconds"] == {(): pytest.approx(started)}
    assert 0 < found["blnk_postgres_commits_total"][()] <= commits
    assert found["blnk_postgres_setting_on"][("fsync",)] == 0
    assert found["blnk_postgres_setting_on"][("autovacuum",)] == 1
    assert found["blnk_postgres_wal_level"] == {("minimal",): 0, ("replica",): 1, ("logical",): 0}
    assert found["blnk_postgres_password_encryption"] == {("md5",): 0, ("scram-sha-256",): 1}
    assert found["blnk_postgres_listens_everywhere"] == {(): 0}
    assert found["blnk_postgres_archive_configured"] == {(): 0}


@pytest.mark.sandbox
async def test_sessions_are_told_by_whose_they_are(each_postgres: Database) -> None:
    """Blnk's pool against everybody else's, zeros told as zeros."""
    dsn = {
        "host": "127.0.0.1",
        "port": each_postgres.server.port,
        "user": "blnk",
        "password": PASSWORD,
        "database": "blnk",
    }
    blnk, other = await asyncpg.connect(**dsn, ssl=False), await asyncpg.connect(**dsn | {"user": "plain"}, ssl=False)
    try:
        await blnk.execute("BEGIN; SELECT txid_current()")
        found = await page_of(each_postgres)
        connections = found["blnk_postgres_connections"]
        assert len(connections) == len(sessions.ROLES) * len(sessions.STATES)
        assert connections[("blnk", "idle in transaction")] == 1
        assert connections[("other", "idle")] == 1
        assert connections[("exporter", "active")] == 1
        assert connections[("blnk", "active")] == 0
        assert found["blnk_postgres_longest_transaction_seconds"][("blnk",)] > 0
        assert found["blnk_postgres_longest_idle_transaction_seconds"][("blnk",)] > 0
        assert found["blnk_postgres_longest_transaction_seconds"][("other",)] == 0
        assert found["blnk_postgres_unencrypted_sessions"][("blnk",)] == 1
        assert ("session",) in found["blnk_postgres_oldest_xmin_age_transactions"]
    finally:
        await blnk.close()
        await other.close()


@pytest.mark.sandbox
async def test_a_session_that_waits_for_a_lock_is_seen(postgres: Database) -> None:
    """The classic of the night: one transaction forgotten, all others behind it."""
    async with postgres.admin() as holder, postgres.admin() as waiter, postgres.admin() as admin:
        async with holder.transaction():
            await holder.execute("LOCK TABLE blnk.ledgers")
            waiting = asyncio.create_task(waiter.fetchval("SELECT count(*) FROM blnk.ledgers"))
            # It is no harm to ours: we touch none of Blnk's tables.
            waits = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            await eventually(lambda: admin.fetchval(waits))
            found = await page_of(postgres)
        assert await waiting == 0
    assert found["blnk_postgres_lock_waits"] == {("blnk",): 0, ("exporter",): 0, ("other",): 1}
    assert found["blnk_postgres_longest_lock_wait_seconds"][("other",)] > 0


@pytest.mark.sandbox
async def test_a_role_without_pg_monitor_gets_gaps_and_no_lies(each_postgres: Database) -> None:
    """PostgreSQL shows such a role every session without its state: counted, that would be zeros."""
    async with postgres_client(each_postgres.dsn("plain")) as client:
        reader = TableReader(client, argument="blnk")
        before = each_postgres.log()
        reading = await COLLECTOR.read(reader)
        assert each_postgres.executed(before, "plain") == 1
        found = page(COLLECTOR.samples([Result(reader, reading)]))
    privileged = {table.name for table in TABLES if table.needs}
    assert {(gap.fact, gap.reason) for gap in reading.gaps} == {(name, "refused") for name in privileged}
    needs = {table.name: table.needs for table in TABLES}
    assert all(f"the role {needs[gap.fact]}," in gap.detail for gap in reading.gaps)
    hidden = {metric.name for table in TABLES if table.needs for metric in table.metrics}
    assert {"blnk_postgres_connections", "blnk_postgres_lock_waits"} < hidden
    assert hidden & set(found) == set()
    assert found["blnk_postgres_up"] == {(reader.address,): 1}
    assert "blnk_postgres_commits_total" in found
    assert "blnk_postgres_backends" in found


@pytest.mark.sandbox
async def test_blnks_role_is_judged(postgres: Database) -> None:
    """A superuser is more than a ledger needs."""
    found, owner = await page_of(postgres), await page_of(postgres, blnk_role="postgres")
    assert set(found["blnk_postgres_blnk_role_privilege"].values()) == {0}
    assert owner["blnk_postgres_blnk_role_privilege"][("superuser",)] == 1


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("role", "words"),
    [(None, "Blnk's role is not known: give blnk.json or"), ("o'blnk", "there is no role 'o''blnk' on this server")],
)
async def test_without_blnks_role_nothing_is_said_of_blnk(
    each_postgres: Database, role: str | None, words: str
) -> None:
    """Its sessions are somebody's all the same; none of Blnk's would be a pool that is gone."""
    server = each_postgres.server
    blnk = await asyncpg.connect(
        host=server.host, port=server.port, user="blnk", password=PASSWORD, database="blnk", ssl=False
    )
    try:
        await blnk.execute("BEGIN; SELECT txid_current()")
        found = await page_of(each_postgres, blnk_role=role)
    finally:
        await blnk.close()
    for metric in (*sessions.CONNECTIONS.metrics, *sessions.ACTIVITY.metrics):
        assert {labels[0] for labels in found[metric.name]} == {"exporter", "other"}
    assert found["blnk_postgres_connections"][("other", "idle in transaction")] == 1
    assert found["blnk_postgres_longest_transaction_seconds"][("other",)] > 0
    assert "blnk_postgres_blnk_role_privilege" not in found
    gaps = await gaps_of(each_postgres, blnk_role=role)
    assert list(gaps) == ["blnk_role"]
    assert gaps["blnk_role"].startswith(words)


@pytest.mark.sandbox
async def test_a_database_that_lets_nobody_in_ages_too(postgres: Database) -> None:
    """template0 is frozen by nobody but autovacuum, and stops the server like any other."""
    async with postgres.admin() as admin:
        for _ in range(50):
            await admin.execute("SELECT txid_current()")
        for row in await admin.fetch("SELECT datname FROM pg_database WHERE datallowconn"):
            async with postgres.admin(row["datname"]) as here:
                await here.execute("VACUUM FREEZE")
        oldest = "SELECT max(age(datfrozenxid)) FROM pg_database WHERE datallowconn = $1"
        closed, opened = await admin.fetchval(oldest, False), await admin.fetchval(oldest, True)
    assert closed > opened
    assert (await page_of(postgres))["blnk_postgres_oldest_transaction_id_age"][()] >= closed


@pytest.mark.sandbox
async def test_tls_in_use_is_told(postgres_tls: Database) -> None:
    """Of our own session, which says how the others can be."""
    plain, encrypted = await page_of(postgres_tls), await page_of(postgres_tls, sslmode="require")
    assert (plain["blnk_postgres_exporter_session_tls"], encrypted["blnk_postgres_exporter_session_tls"]) == (
        {(): 0},
        {(): 1},
    )
    assert encrypted["blnk_postgres_setting_on"][("ssl",)] == 1
