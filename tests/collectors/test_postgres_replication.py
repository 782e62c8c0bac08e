"""Replication on real servers: a standby, slots, receivers that are no standbys, archiving."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from blnk_exporter.collectors.postgres import COLLECTOR
from blnk_exporter.postgres_facts import replication
from blnk_exporter.sandbox.postgres import PostgresServer

from ..conftest import Database, frozen
from ..waiting import eventually
from .conftest import unseen
from .postgres_page import NOT_HERE, gaps_of, page_of

REPLICA = {metric.name for metric in COLLECTOR.metrics if metric.name.startswith("blnk_postgres_replica_")}


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
            await eventually(lambda: admin.fetchval(streams))
            # One write after the start, so that there is a transaction to have replayed.
            await admin.execute("CREATE TABLE written (n int); DROP TABLE written")
            caught_up = "SELECT count(*) = 1 FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()"
            await eventually(lambda: admin.fetchval(caught_up))
            yield Database(server, each_postgres.version, each_postgres.statements, each_postgres.tls)
        finally:
            await server.stop()
            gone = "SELECT NOT bool_or(active) FROM pg_replication_slots"
            await eventually(lambda: admin.fetchval(gone))
            await admin.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@pytest.mark.sandbox
async def test_a_primary_its_standby_and_their_slots(each_postgres: Database, standby: Database) -> None:
    """Both ends of the replication tell their half; what no server here shows is listed with its reason."""
    primary, replica = await page_of(each_postgres), await page_of(standby)
    assert primary["blnk_postgres_standbys"] == primary["blnk_postgres_standbys_streaming"] == {(): 1}
    assert (primary["blnk_postgres_slots"], replica["blnk_postgres_slots"]) == ({(): 2}, {(): 0})
    assert primary["blnk_postgres_standby_streaming"] == {("walreceiver",): 1}
    assert primary["blnk_postgres_standby_synchronous"] == {("walreceiver",): 0}
    assert primary["blnk_postgres_standby_replay_lag_bytes"][("walreceiver",)] >= 0
    assert primary["blnk_postgres_slot_active"] == {("follower",): 1, ("forgotten",): 0}
    assert primary["blnk_postgres_slot_retained_bytes"][("forgotten",)] > 0
    assert primary["blnk_postgres_slot_wal_status"][("forgotten", "reserved")] == 1
    assert (replica["blnk_postgres_in_recovery"], replica["blnk_postgres_replica_streaming"]) == ({(): 1}, {(): 1})
    assert replica["blnk_postgres_replica_lag_seconds"] == {(): 0}
    assert replica["blnk_postgres_replica_unapplied_bytes"] == {(): 0}
    assert replica["blnk_postgres_replica_last_message_seconds"][()] >= 0
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
        await eventually(lambda: admin.fetchval("SELECT count(*) = 0 FROM pg_stat_wal_receiver"))
        await admin.execute("SELECT pg_wal_replay_pause()")
        found = await page_of(standby)
        await admin.execute("SELECT pg_wal_replay_resume()")
    assert found["blnk_postgres_replica_streaming"] == {(): 0}
    assert found["blnk_postgres_replica_lag_seconds"][()] > 0
    assert "blnk_postgres_replica_last_message_seconds" not in found
    assert found["blnk_postgres_replica_replay_paused"] == {(): 1}


@pytest.mark.sandbox
async def test_a_primary_that_hangs_is_seen_by_its_silence(each_postgres: Database, standby: Database) -> None:
    """All is applied and the connection stands, so the lag is 0: only the age of the last message grows."""

    async def silent() -> bool:
        found = await page_of(standby)
        assert found["blnk_postgres_replica_streaming"] == {(): 1}
        assert found["blnk_postgres_replica_lag_seconds"] == {(): 0}
        return found["blnk_postgres_replica_last_message_seconds"][()] > before + 0.2

    before = (await page_of(standby))["blnk_postgres_replica_last_message_seconds"][()]
    with frozen(each_postgres.server):
        await eventually(silent)


@pytest.mark.sandbox
async def test_a_replica_that_has_applied_more_than_it_received(standby: Database) -> None:
    """What it restored from the archive, or had before it began to stream: no lag, and no bytes below zero."""
    text = replication.REPLICA.sql[0].replace("pg_last_wal_receive_lsn()", "'0/10'::pg_lsn")
    async with standby.admin() as admin:
        row = await admin.fetchrow(text.replace("pg_last_wal_replay_lsn()", "'0/20'::pg_lsn"))
        assert (row["streaming"], row["lag"], row["unapplied"]) == (1, 0, 0)
        row = await admin.fetchrow(text.replace("pg_last_wal_replay_lsn()", "NULL::pg_lsn"))
        assert row["unapplied"] is None


@pytest.mark.sandbox
async def test_what_a_standbys_feedback_holds_is_no_sessions(each_postgres: Database, tmp_path: Path) -> None:
    """Its walsender is among the sessions too; named twice, the wrong one would be looked for."""
    ages = "blnk_postgres_oldest_xmin_age_transactions"
    feedback = {"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"}
    server = await PostgresServer.start_replica(tmp_path, each_postgres.server, settings=feedback)

    async def by_the_standby_alone() -> bool:
        # A worker of autovacuum may hold something too, for a moment.
        return set((await page_of(each_postgres))[ages]) == {("standby",)}

    try:
        async with each_postgres.admin() as admin:
            held = "SELECT count(*) = 1 FROM pg_stat_replication WHERE backend_xmin IS NOT NULL"
            await eventually(lambda: admin.fetchval(held))
        await eventually(by_the_standby_alone)
    finally:
        await server.stop()


@contextmanager
def running(server: PostgresServer, program: str, *arguments: str | Path) -> Iterator[None]:
    """One of PostgreSQL's own programs at work on a server."""
    bindir = server._place.bindir
    command = [bindir / program, "-h", server.socket_directory, "-p", str(server.port), "-U", "postgres", *arguments]
    environment = {"LD_LIBRARY_PATH": str(bindir.parent / "lib"), "LC_ALL": "C"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # pg_basebackup has a child of its own.
    with subprocess.Popen(command, env=environment, start_new_session=True, **quiet) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest_asyncio.fixture(params=[16, 18])
async def logical(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A server that lets logical subscribers in, and more receivers and slots than are told of singly."""
    options = {"wal_level": "logical", "max_replication_slots": "60", "max_wal_senders": "60", "wal_keep_size": "1GB"}
    server = await PostgresServer.start(tmp_path / "server", version=request.param, settings=options)
    yield Database(server, request.param, statements=False, tls=False)
    await server.stop()


OWNER = {"user": "postgres", "database": "postgres", "password": None, "blnk_role": "postgres"}


@pytest.mark.sandbox
async def test_receivers_that_are_no_standbys(logical: Database, tmp_path: Path) -> None:
    """pg_receivewal says nothing of what it applies, which is not a lag of 0; copies and subscribers come and go."""
    (tmp_path / "wal").mkdir()
    subscribe = ("-d", "postgres", "--slot=sub", "--create-slot", "--start", "--plugin=pgoutput", "-f", "-")
    options = ("-o", "proto_version=1", "-o", "publication_names=p")
    with ExitStack() as stack:
        stack.enter_context(running(logical.server, "pg_receivewal", "-D", tmp_path / "wal"))
        stack.enter_context(running(logical.server, "pg_recvlogical", *subscribe, *options))
        stack.enter_context(
            running(logical.server, "pg_basebackup", "-D", tmp_path / "copy", "--max-rate=32k", "--checkpoint=fast")
        )
        async with logical.admin("postgres") as admin:
            await admin.execute("SELECT pg_create_physical_replication_slot('unused', false)")
            there = (
                "SELECT array_agg(application_name || ' ' || state ORDER BY application_name, state) = ARRAY['pg_basebackup backup', "
                "'pg_basebackup streaming', 'pg_receivewal streaming', 'pg_recvlogical streaming'] FROM pg_stat_replication"
            )
            await eventually(lambda: admin.fetchval(there))
        found, gaps = await page_of(logical, **OWNER), await gaps_of(logical, **OWNER)
    assert gaps == {}
    assert found["blnk_postgres_standbys"] == found["blnk_postgres_standbys_streaming"] == {(): 1}
    assert found["blnk_postgres_standby_streaming"] == {("pg_receivewal",): 1}
    assert found["blnk_postgres_standby_unsent_bytes"][("pg_receivewal",)] >= 0
    for name in ("flush_lag_bytes", "flush_lag_seconds", "replay_lag_bytes", "replay_lag_seconds"):
        assert f"blnk_postgres_standby_{name}" not in found
    # A slot that keeps nothing yet does not keep 0 bytes.
    assert found["blnk_postgres_slot_active"][("unused",)] == 0
    assert ("unused",) not in found["blnk_postgres_slot_retained_bytes"]
    assert ("sub",) in found["blnk_postgres_slot_retained_bytes"]
    assert found["blnk_postgres_slots"][()] == len(found["blnk_postgres_slot_active"])


@pytest.mark.sandbox
async def test_more_slots_and_standbys_than_are_told_singly(logical: Database) -> None:
    """A limit that bites is seen: in a count, and in words."""
    assert {*await gaps_of(logical, **OWNER)} == set()
    login = f"host={logical.server.socket_directory} port={logical.server.port} user=postgres replication=true"
    receivers = []
    try:
        async with logical.admin("postgres") as admin:
            await admin.execute("SELECT pg_create_physical_replication_slot('s' || n) FROM generate_series(1, 51) n")
            for number in range(51):
                receiver = psycopg.pq.PGconn.connect(f"{login} application_name=r{number}".encode())
                receivers.append(receiver)
                assert receiver.exec_(b"START_REPLICATION 0/1000000").status == psycopg.pq.ExecStatus.COPY_BOTH
        found, gaps = await page_of(logical, **OWNER), await gaps_of(logical, **OWNER)
    finally:
        for receiver in receivers:
            receiver.finish()
    assert (found["blnk_postgres_slots"], len(found["blnk_postgres_slot_active"])) == ({(): 51}, 50)
    assert (found["blnk_postgres_standbys"], len(found["blnk_postgres_standby_streaming"])) == ({(): 51}, 50)
    assert gaps == {
        "slots": "only the first 50 of 51 slots are told",
        "standbys": "only the first 50 of 51 names of standbys are told",
    }


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
            await eventually(lambda: admin.fetchval("SELECT failed_count > 0 FROM pg_stat_archiver"))
            failing = await page_of(database, "postgres", database="postgres", password=None)
            (server.data_directory.parent / "allowed").touch()
            await eventually(lambda: admin.fetchval("SELECT archived_count > 0 FROM pg_stat_archiver"))
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
