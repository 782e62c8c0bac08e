"""PostgreSQL itself: every fact on every version, on a primary with a standby and slots, and without the rights."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from blnk_exporter.collector import Result
from blnk_exporter.collectors.postgres import COLLECTOR, TABLES, PostgresReading
from blnk_exporter.errors import Unreachable
from blnk_exporter.postgres_facts import sessions, settings
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.table import TableReader

from ..conftest import PASSWORD, Database, postgres_client, until_true
from .conftest import Page, Somewhere, page, read_page, unseen

# What no server here shows, and why.
NOT_HERE = {
    "blnk_postgres_checksum_failures_total": "initdb here makes clusters without checksums before version 18",
    "blnk_postgres_statistics_reset_timestamp_seconds": "absent until somebody resets the counters",
    "blnk_postgres_oldest_xmin_age_transactions": "only while something holds it back; see the test of sessions",
    "blnk_postgres_slot_safe_bytes": "only with max_slot_wal_keep_size",
    "blnk_postgres_last_archived_timestamp_seconds": "archive_mode needs a restart of its own; see the archiver's test",
    "blnk_postgres_last_archive_failure_timestamp_seconds": "the same",
    "blnk_postgres_archiver_working": "the same",
}
REPLICATION = {metric.name for metric in COLLECTOR.metrics if "standby_" in metric.name or "_slot_" in metric.name}
REPLICA = {metric.name for metric in COLLECTOR.metrics if metric.name.startswith("blnk_postgres_replica_")}


async def page_of(server: Database, user: str = "exporter", **fields: object) -> Page:
    """One reading by a role, without the label of the address."""
    async with postgres_client(server.dsn(user, **fields)) as client:
        return _bare(await read_page(COLLECTOR, TableReader(client, blnk_role="blnk")))


def _bare(found: Page) -> Page:
    return {name: {labels[1:]: value for labels, value in series.items()} for name, series in found.items()}


def test_samples_of_rows() -> None:
    """Facts become series with the address first; a server that is gone is down and no more."""
    reading = PostgresReading(rows={"standby_count": [{"streaming": 2}], "wal": []})
    results = [Result(Somewhere("a:1"), reading), Result(Somewhere("b:2"), failure=Unreachable("gone"))]
    assert page(COLLECTOR.samples(results)) == {
        "blnk_postgres_up": {("a:1",): 1, ("b:2",): 0},
        "blnk_postgres_standbys_streaming": {("a:1",): 2},
    }


@pytest.mark.sandbox
async def test_every_version_tells_every_fact_in_one_statement(each_postgres: Database) -> None:
    """15 to 18 move their columns about: each fact comes on each of them, without a gap, and costs one statement."""
    async with postgres_client(each_postgres.dsn()) as client:
        reader = TableReader(client, blnk_role="blnk")
        await COLLECTOR.read(reader)
        before = each_postgres.log()
        reading = await COLLECTOR.read(reader)
        assert each_postgres.executed(before) == 1
        assert reading.gaps == ()
        assert set(reading.rows) == {table.name for table in TABLES}
        found = _bare(page(COLLECTOR.samples([Result(reader, reading)])))
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
    assert ("log_min_duration_statement",) not in found["blnk_postgres_setting_seconds"]


@pytest.mark.sandbox
async def test_every_setting_exists_on_every_version(each_postgres: Database) -> None:
    """A name with a slip of the pen would be silently absent."""
    wanted = {*settings.BYTES, *settings.SECONDS, *settings.NUMBERS, *settings.SWITCHES}
    async with each_postgres.admin() as admin:
        known = {row["name"] for row in await admin.fetch("SELECT name FROM pg_settings")}
    assert wanted - known == set()


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
            await until_true(lambda: admin.fetchval(waits))
            found = await page_of(postgres)
        assert await waiting == 0
    assert found["blnk_postgres_lock_waits"] == {("blnk",): 0, ("exporter",): 0, ("other",): 1}
    assert found["blnk_postgres_longest_lock_wait_seconds"][("other",)] > 0


@pytest.mark.sandbox
async def test_a_role_without_pg_monitor_gets_gaps_and_no_lies(each_postgres: Database) -> None:
    """PostgreSQL shows such a role every session without its state: counted, that would be zeros."""
    async with postgres_client(each_postgres.dsn("plain")) as client:
        reader = TableReader(client, blnk_role="blnk")
        before = each_postgres.log()
        reading = await COLLECTOR.read(reader)
        assert each_postgres.executed(before, "plain") == 1
        found = page(COLLECTOR.samples([Result(reader, reading)]))
    privileged = {table.name for table in TABLES if table.needs}
    assert {(gap.fact, gap.reason) for gap in reading.gaps} == {(name, "refused") for name in privileged}
    assert all("pg_read_all_stats" in gap.detail for gap in reading.gaps)
    hidden = {metric.name for table in TABLES if table.needs for metric in table.metrics}
    assert {"blnk_postgres_connections", "blnk_postgres_lock_waits"} < hidden
    assert hidden & set(found) == set()
    assert found["blnk_postgres_up"] == {(reader.address,): 1}
    assert "blnk_postgres_commits_total" in found
    assert "blnk_postgres_backends" in found


@pytest.mark.sandbox
async def test_blnks_role_is_judged(postgres: Database) -> None:
    """A superuser is more than a ledger needs; no name given is not known."""
    found = await page_of(postgres)
    assert set(found["blnk_postgres_blnk_role_privilege"].values()) == {0}
    async with postgres_client(postgres.dsn()) as client:
        owner = _bare(await read_page(COLLECTOR, TableReader(client, blnk_role="postgres")))
        nobody = _bare(await read_page(COLLECTOR, TableReader(client, blnk_role=None)))
    assert owner["blnk_postgres_blnk_role_privilege"][("superuser",)] == 1
    assert "blnk_postgres_blnk_role_privilege" not in nobody


@pytest.mark.sandbox
async def test_tls_in_use_is_told(postgres_tls: Database) -> None:
    """Of our own session, which says how the others can be."""
    plain, encrypted = await page_of(postgres_tls), await page_of(postgres_tls, sslmode="require")
    assert (plain["blnk_postgres_exporter_session_tls"], encrypted["blnk_postgres_exporter_session_tls"]) == (
        {(): 0},
        {(): 1},
    )
    assert encrypted["blnk_postgres_setting_on"][("ssl",)] == 1


@pytest_asyncio.fixture
async def standby(each_postgres: Database, tmp_path: Path) -> AsyncIterator[Database]:
    """A hot standby that follows through a slot, and a slot that nobody reads."""
    server = await PostgresServer.start_replica(tmp_path, each_postgres.server, slot="follower")
    async with each_postgres.admin() as admin:
        await admin.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        try:
            streams = (
                "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn IS NOT NULL"
            )
            await until_true(lambda: admin.fetchval(streams))
            # One write after the start, so that there is a transaction to have replayed.
            await admin.execute("CREATE TABLE written (n int); DROP TABLE written")
            caught_up = "SELECT count(*) = 1 FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()"
            await until_true(lambda: admin.fetchval(caught_up))
            yield Database(server, each_postgres.version, each_postgres.statements, each_postgres.tls)
        finally:
            await server.stop()
            gone = "SELECT NOT bool_or(active) FROM pg_replication_slots"
            await until_true(lambda: admin.fetchval(gone))
            await admin.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@pytest.mark.sandbox
async def test_a_primary_its_standby_and_their_slots(each_postgres: Database, standby: Database) -> None:
    """Both ends of the replication tell their half; what no server here shows is listed with its reason."""
    primary, replica = await page_of(each_postgres), await page_of(standby)
    assert primary["blnk_postgres_standbys_streaming"] == {(): 1}
    assert primary["blnk_postgres_standby_streaming"] == {("walreceiver",): 1}
    assert primary["blnk_postgres_standby_synchronous"] == {("walreceiver",): 0}
    assert primary["blnk_postgres_standby_replay_lag_bytes"][("walreceiver",)] >= 0
    assert primary["blnk_postgres_slot_active"] == {("follower",): 1, ("forgotten",): 0}
    assert primary["blnk_postgres_slot_retained_bytes"][("forgotten",)] > 0
    assert primary["blnk_postgres_slot_wal_status"][("forgotten", "reserved")] == 1
    assert (replica["blnk_postgres_in_recovery"], replica["blnk_postgres_replica_streaming"]) == ({(): 1}, {(): 1})
    assert replica["blnk_postgres_replica_lag_seconds"] == {(): 0}
    assert replica["blnk_postgres_replica_unapplied_bytes"] == {(): 0}
    assert replica["blnk_postgres_replica_replay_paused"] == {(): 0}
    assert replica["blnk_postgres_standbys_streaming"] == {(): 0}
    assert REPLICA & set(primary) == set()
    # How late writes were is told only while there are some.
    momentary = {f"blnk_postgres_standby_{what}_lag_seconds" for what in ("write", "flush", "replay")}
    assert unseen(COLLECTOR, primary, replica) <= set(NOT_HERE) | momentary


@pytest.mark.sandbox
async def test_a_standby_that_lost_its_primary_is_not_up_to_date(each_postgres: Database, standby: Database) -> None:
    """All that it received is applied, and yet it falls behind with every second: a lag of 0 would be the lie."""
    async with standby.admin() as admin:
        await admin.execute("ALTER SYSTEM SET primary_conninfo = ''")
        await admin.execute("SELECT pg_reload_conf()")
        await until_true(lambda: admin.fetchval("SELECT count(*) = 0 FROM pg_stat_wal_receiver"))
        await admin.execute("SELECT pg_wal_replay_pause()")
        found = await page_of(standby)
        await admin.execute("SELECT pg_wal_replay_resume()")
    assert found["blnk_postgres_replica_streaming"] == {(): 0}
    assert found["blnk_postgres_replica_lag_seconds"][()] > 0
    assert found["blnk_postgres_replica_replay_paused"] == {(): 1}


@pytest.mark.sandbox
async def test_archiving_slot_limits_and_reset_counters(tmp_path: Path) -> None:
    """The rest of the facts, on a server that is set up to have them: one failure to archive, then one success."""
    options = {"archive_mode": "on", "archive_command": "test -e ../allowed", "max_slot_wal_keep_size": "64MB"}
    server = await PostgresServer.start(tmp_path, settings=options)
    database = Database(server, 16, statements=False, tls=False)
    try:
        async with database.admin("postgres") as admin:
            await admin.execute(
                "SELECT pg_stat_reset(), pg_create_physical_replication_slot('s', true), pg_switch_wal()"
            )
            await until_true(lambda: admin.fetchval("SELECT failed_count > 0 FROM pg_stat_archiver"))
            failing = await page_of(database, "postgres", database="postgres", password=None)
            (server.data_directory.parent / "allowed").touch()
            await until_true(lambda: admin.fetchval("SELECT archived_count > 0 FROM pg_stat_archiver"))
            working = await page_of(database, "postgres", database="postgres", password=None)
    finally:
        await server.stop()
    assert failing["blnk_postgres_archiver_working"] == {(): 0}
    assert "blnk_postgres_last_archived_timestamp_seconds" not in failing
    assert working["blnk_postgres_archiver_working"] == {(): 1}
    assert working["blnk_postgres_archive_configured"] == {(): 1}
    assert 0 < working["blnk_postgres_slot_safe_bytes"][("s",)] <= 80 << 20
    seen_elsewhere = {"blnk_postgres_checksum_failures_total", "blnk_postgres_oldest_xmin_age_transactions"}
    assert set(NOT_HERE) & unseen(COLLECTOR, working) <= seen_elsewhere
