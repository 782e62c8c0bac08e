"""Blnk's rows followed on a real PostgreSQL, for both releases: what came, how long it took, what has no outcome."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.collectors.conftest import unseen
from tests.collectors.ledger_rows import Ledger, new_ledger
from tests.conftest import Database, postgres_client, redis_client

from blnk_exporter.collectors import ledger as room
from blnk_exporter.errors import Malformed
from blnk_exporter.sandbox.valkey import ValkeyServer

pytestmark = pytest.mark.sandbox

COUNT = "transactions_total"


@pytest_asyncio.fixture(params=["0.13.2", "0.15.2"])
async def ledger(postgres: Database, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    """Both releases in turn."""
    async with new_ledger(postgres, request.param) as made:
        yield made


@pytest_asyncio.fixture
async def newest(postgres: Database) -> AsyncIterator[Ledger]:
    """A ledger of 0.15.2."""
    async with new_ledger(postgres, "0.15.2") as made:
        yield made


async def test_new_rows_are_counted_by_status_and_currency(ledger: Ledger) -> None:
    """What was there before the exporter came begins its counter at 0, so that the next one is an increase."""
    await ledger.write("APPLIED", currency="EUR")
    async with ledger.followed() as follower:
        assert (await follower.read())["blnk_ledger_transactions_total"][("APPLIED", "EUR")] == 0
        await ledger.write("APPLIED", currency="EUR")
        await ledger.outcome("REJECTED", await ledger.write("QUEUED", currency="EUR"), currency="EUR")
        await ledger.write("SOMETHING NEW")
        found = (await follower.read())["blnk_ledger_transactions_total"]
    told = {labels: value for labels, value in found.items() if value}
    assert told == {
        ("APPLIED", "EUR"): 1,
        ("QUEUED", "EUR"): 1,
        ("REJECTED", "EUR"): 1,
        ("other", "USD"): 1,
    }
    assert follower.gaps == {}


async def test_a_late_commit_is_counted_once(ledger: Ledger) -> None:
    """Its id is lower than one that was counted before it committed."""
    async with ledger.followed() as follower, ledger.session() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await ledger.write("APPLIED", connection=slow)
        await ledger.write("APPLIED")
        assert await follower.value(COUNT, "APPLIED", "USD") == 1
        assert await follower.value("tail_awaited_gaps", "transactions") == 1
        await transaction.commit()
        assert await follower.value(COUNT, "APPLIED", "USD") == 2
        assert await follower.value(COUNT, "APPLIED", "USD") == 2
        assert await follower.value("tail_awaited_gaps", "transactions") == 0


async def test_a_jump_of_a_sequence_loses_no_row(ledger: Ledger) -> None:
    """What commits late below the jump is counted, what follows it too, and the exporter reads below it after a restart."""
    queued = await ledger.write("QUEUED", age=50)
    async with ledger.followed() as follower, ledger.session() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await ledger.write("REJECTED", connection=slow)
        for table in ("transactions", "transaction_journal"):
            await ledger.connection.execute(f"SELECT setval('blnk.{table}_id_seq', 2147483400)")
        await ledger.write("APPLIED")
        assert await follower.value(COUNT, "APPLIED", "USD") == 1
        await transaction.commit()
        found = await follower.read()
        assert found["blnk_ledger_transactions_total"][("REJECTED", "USD")] == 1
        assert found["blnk_ledger_journal_changes_total"][("INSERT",)] == 2
        tables = {("transactions",): 0, ("transaction_journal",): 0}
        assert found["blnk_ledger_tail_dropped_gaps_total"] == tables
        assert found["blnk_ledger_tail_behind_ids"] == tables
        assert max(found["blnk_ledger_tail_awaited_gaps"].values()) <= 3
    async with ledger.followed() as restarted:
        found = await restarted.read()
        assert found["blnk_ledger_history_complete"] == {(): 1}
        assert found["blnk_ledger_unresolved_transactions"] == {(): 1}
        await ledger.outcome("APPLIED", queued)
        assert await restarted.value("unresolved_transactions") == 0


async def test_a_transaction_open_at_the_start_is_not_lost(ledger: Ledger) -> None:
    """It took its id before the exporter came and commits afterwards."""
    async with ledger.session() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await ledger.write("QUEUED", connection=slow)
        await ledger.write("APPLIED")
        async with ledger.followed() as follower:
            await transaction.commit()
            found = await follower.read()
    assert found["blnk_ledger_transactions_total"][("QUEUED", "USD")] == 1
    assert found["blnk_ledger_unresolved_transactions"] == {(): 1}


async def test_queued_without_an_outcome(ledger: Ledger) -> None:
    """Those from before and the new ones; not those that can have none."""
    await ledger.outcome("APPLIED", await ledger.write("QUEUED", age=400))
    old = await ledger.write("QUEUED", age=300)
    await ledger.write("QUEUED", age=900, cents=0)
    await ledger.write("QUEUED", age=900, reference="taken")
    await ledger.write("APPLIED", reference="taken_q")
    async with ledger.followed() as follower:
        found = await follower.read()
        assert found["blnk_ledger_unresolved_transactions"] == {(): 1}
        assert 300 <= found["blnk_ledger_unresolved_oldest_age_seconds"][()] < 330
        new = await ledger.write("QUEUED", age=20)
        assert await follower.value("unresolved_transactions") == 2
        await ledger.outcome("INFLIGHT", old)
        found = await follower.read()
        assert found["blnk_ledger_unresolved_transactions"] == {(): 1}
        assert 20 <= found["blnk_ledger_unresolved_oldest_age_seconds"][()] < 50
        await ledger.outcome("REJECTED", new)
        found = await follower.read()
    assert found["blnk_ledger_unresolved_transactions"] == {(): 0}
    assert "blnk_ledger_unresolved_oldest_age_seconds" not in found
    assert found["blnk_ledger_history_complete"] == {(): 1}


async def test_an_expired_hold_leaves_its_queued_row_resolved(ledger: Ledger) -> None:
    """The VOID of an expiry hangs on the queued row, and closes the hold that came from it."""
    queued = await ledger.write("QUEUED", age=500)
    await ledger.outcome("INFLIGHT", queued)
    async with ledger.followed() as follower:
        found = await follower.read()
        assert found["blnk_ledger_inflight_transactions"] == {(): 1}
        assert 500 <= found["blnk_ledger_inflight_oldest_age_seconds"][()] < 530
        await ledger.write("VOID", of=queued)
        found = await follower.read()
        assert (found["blnk_ledger_inflight_transactions"], found["blnk_ledger_unresolved_transactions"]) == (
            {(): 0},
            {(): 0},
        )
    async with ledger.followed() as follower:
        assert await follower.value("inflight_transactions") == 0


async def test_a_hold_is_open_until_all_of_it_is_committed(ledger: Ledger) -> None:
    """Half of it held is money held."""
    hold = await ledger.write("INFLIGHT", cents=300)
    async with ledger.followed() as follower:
        await ledger.write("APPLIED", of=hold, cents=100)
        assert await follower.value("inflight_transactions") == 1
        await ledger.write("APPLIED", of=hold, cents=200)
        assert await follower.value("inflight_transactions") == 0
    other = await ledger.write("INFLIGHT", cents=300)
    async with ledger.followed() as follower:
        assert await follower.value("inflight_transactions") == 1
        await ledger.write("VOID", of=other)
        assert await follower.value("inflight_transactions") == 0


async def test_legs_of_a_split_are_told_apart(ledger: Ledger) -> None:
    """They share a parent that has no row; the outcome of one is none of the other's."""
    legs = [await ledger.write("QUEUED", of="txn_that_is_not_stored") for _ in range(2)]
    async with ledger.followed() as follower:
        await ledger.outcome("APPLIED", legs[0])
        assert await follower.value("unresolved_transactions") == 1


async def test_a_refund_that_waits_closes_nothing(ledger: Ledger) -> None:
    """Its parent is the row that it gives back."""
    applied = await ledger.outcome("APPLIED", await ledger.write("QUEUED"))
    async with ledger.followed() as follower:
        await ledger.write("QUEUED", of=applied)
        assert await follower.value("unresolved_transactions") == 1


async def test_scheduled_ones_are_overdue_when_they_are(ledger: Ledger) -> None:
    """Before 0.15.0 nobody can tell: the time is in the zone of whoever sent it."""
    late = await ledger.write("SCHEDULED", age=900, due=120)
    await ledger.write("SCHEDULED", due=-3600)
    async with ledger.followed() as follower:
        found = await follower.read()
        if ledger.release == "0.13.2":
            assert [name for name in found if "scheduled" in name] == []
            return
        assert found["blnk_ledger_scheduled_overdue_transactions"] == {(): 1}
        assert 120 <= found["blnk_ledger_scheduled_overdue_age_seconds"][()] < 150
        await ledger.outcome("APPLIED", late)
        assert await follower.value("scheduled_overdue_transactions") == 0


async def test_a_time_without_end_is_not_overdue(newest: Ledger) -> None:
    """PostgreSQL knows infinity, and JSON tells it as a text."""
    async with newest.followed() as follower:
        name = await newest.write("SCHEDULED", due=-3600)
        await newest.connection.execute("ALTER TABLE blnk.transactions DISABLE TRIGGER USER")
        change = "UPDATE blnk.transactions SET scheduled_for = 'infinity' WHERE transaction_id = $1"
        await newest.connection.execute(change, name)
        await newest.write("SCHEDULED", due=60)
        found = await follower.read()
    assert found["blnk_ledger_scheduled_overdue_transactions"] == {(): 1}
    assert 60 <= found["blnk_ledger_scheduled_overdue_age_seconds"][()] < 90


async def test_latency_is_from_creation_to_the_row_of_the_outcome(ledger: Ledger) -> None:
    """The outcome's own created_at is a copy; rows that were never queued, commits and scheduled ones are no part of it."""
    async with ledger.followed() as follower:
        await ledger.outcome("APPLIED", await ledger.write("QUEUED", age=12))
        await ledger.outcome("REJECTED", await ledger.write("QUEUED", age=100))
        await ledger.outcome("APPLIED", await ledger.write("SCHEDULED", age=5000, due=0))
        await ledger.write("APPLIED", of=await ledger.write("INFLIGHT", age=70))
        flow = (await room.COLLECTOR.read(follower.source)).flow
    counts = dict(zip([*room.flow.BUCKETS, None], flow.latency.counts, strict=True))
    assert {bound: count for bound, count in counts.items() if count} == {15.0: 1, 120.0: 1}
    assert 112 <= flow.latency.sum < 120
    assert flow.changes == {"INSERT": 8}


async def test_zone_of_the_writers_clock(ledger: Ledger) -> None:
    """Since 0.15.0 always UTC; before it is that of Blnk's processes, and a wrong one is told instead of hours of latency."""
    ledger.zone = "UTC" if ledger.release == "0.15.2" else "Asia/Tokyo"
    async with ledger.followed(timezone="Asia/Tokyo") as right, ledger.followed(timezone="UTC") as wrong:
        await ledger.outcome("APPLIED", await ledger.write("QUEUED", age=3))
        found, other = await right.read(), await wrong.read()
    assert found["blnk_ledger_queue_to_apply_seconds"] == {(): 1}
    assert 3 <= found["blnk_ledger_clock_skew_seconds"][()] < 30
    if ledger.release == "0.15.2":
        assert wrong.gaps == {}
    else:
        assert wrong.gaps == {"clocks": "malformed"}
        assert "blnk_ledger_queue_to_apply_seconds" not in other
        assert -9 * 3600 <= other["blnk_ledger_clock_skew_seconds"][()] < -9 * 3600 + 30


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("failed to apply transaction to balances: insufficient funds in source balance", "insufficient_funds"),
        ("failed to apply transaction to balances: transaction exceeds overdraft limit", "overdraft_limit"),
        ("failed to acquire lock: failed to acquire lock for key bln_1: lock already held", "lock_contention"),
        ("failed to acquire lock: failed to acquire all locks within the wait timeout", "lock_contention"),
        ("exceeded max queued recovery attempts", "max_retries"),
        ("transaction validation failed: the block is empty", "other"),
        (None, "unknown"),
    ],
)
async def test_reasons_of_rejections(newest: Ledger, words: str | None, reason: str) -> None:
    """Blnk's texts hold ids and amounts: a closed set of words leaves the database."""
    meta = f'{{"blnk_rejection_reason": "{words}"}}' if words else "{}"
    async with newest.followed() as follower:
        await newest.outcome("REJECTED", await newest.write("QUEUED"), meta=meta)
        found = (await follower.read())["blnk_ledger_rejections_total"]
    assert {labels: value for labels, value in found.items() if value} == {(reason,): 1}
    assert len(found) == 6


async def test_a_deleted_row_is_told(ledger: Ledger) -> None:
    """Blnk's triggers do not keep anybody from deleting; the journal knows."""
    name = await ledger.write("QUEUED")
    async with ledger.followed() as follower:
        await ledger.connection.execute("DELETE FROM blnk.transactions WHERE transaction_id = $1", name)
        assert await follower.value("journal_changes_total", "DELETE") == 1
        found = await follower.read()
    assert found["blnk_ledger_journal_changes_total"][("DELETE",)] == 1
    assert found["blnk_ledger_unresolved_transactions"] == {(): 0}


async def test_smaller_tables(newest: Ledger) -> None:
    """Each number once, from rows of every kind; of what is not there, none."""
    async with newest.followed() as follower:
        found = await follower.read()
    assert found["blnk_ledger_lineage_entries"] == {("pending",): 0, ("failed",): 0, ("abandoned",): 0}
    assert not [
        name
        for name in found
        if name.endswith(("pending_age_seconds", "running_age_seconds", "next_expiry_timestamp_seconds"))
    ]
    await newest.connection.execute("""
        INSERT INTO blnk.lineage_outbox (transaction_id, lineage_type, payload, status, created_at, locked_until)
        SELECT 't' || n, 'credit', '{}', status, now() - age::interval, now() - age::interval FROM (VALUES
            (1, 'pending', '10 minutes'), (2, 'pending', '1 minute'), (3, 'failed', '1 day'),
            (4, 'processing', '6 minutes'), (5, 'processing', '1 minute'), (6, 'completed', '1 day')) v(n, status, age);
        INSERT INTO blnk.reconciliations (reconciliation_id, upload_id, status, matched_transactions,
                                          unmatched_transactions, started_at)
        SELECT 'r' || n, 'u', status, 0, 0, now() - age::interval FROM (VALUES
            (1, 'started', '7 hours'), (2, 'in_progress', '1 hour'), (3, 'completed', '9 hours'), (4, 'failed', '9 hours')) v(n, status, age);
        INSERT INTO blnk.api_keys (api_key_id, key, name, owner_id, expires_at, last_used_at, is_revoked)
        SELECT 'k' || n, 'k' || n, 'k', 'o', now() + left_over::interval, now() - used::interval, revoked FROM (VALUES
            (1, '2 days', '1 day', false), (2, '1 day', '60 days', false), (3, '-1 day', '2 days', false),
            (4, '1 hour', '1 day', true)) v(n, left_over, used, revoked);
    """)
    async with newest.followed() as follower:
        found = await follower.read()
    assert found["blnk_ledger_lineage_entries"] == {("pending",): 2, ("failed",): 1, ("abandoned",): 1}
    assert 600 <= found["blnk_ledger_lineage_oldest_pending_age_seconds"][()] < 630
    assert found["blnk_ledger_reconciliations"] == dict.fromkeys(
        [("started",), ("in_progress",), ("completed",), ("failed",)], 1
    )
    assert 7 * 3600 <= found["blnk_ledger_reconciliation_oldest_running_age_seconds"][()] < 7 * 3600 + 30
    assert found["blnk_ledger_api_keys"] == {("active",): 2, ("expired",): 1, ("revoked",): 1}
    now = await newest.connection.fetchval("SELECT extract(epoch FROM now())::float8")
    assert found["blnk_ledger_api_key_next_expiry_timestamp_seconds"][()] - now == pytest.approx(2 * 86_400, abs=30)
    assert not [name for name in found if "chain" in name]


async def test_a_time_of_another_zone_has_no_age(newest: Ledger) -> None:
    """Written in Tokyo and read as UTC it lies hours ahead: that is not 0 seconds."""
    await newest.connection.execute("""
        INSERT INTO blnk.lineage_outbox (transaction_id, lineage_type, payload, created_at)
        VALUES ('t', 'credit', '{}', now() AT TIME ZONE 'Asia/Tokyo');
        INSERT INTO blnk.reconciliations (reconciliation_id, upload_id, status, matched_transactions,
                                          unmatched_transactions, started_at)
        VALUES ('r', 'u', 'started', 0, 0, now() AT TIME ZONE 'Asia/Tokyo');
    """)
    ages = ("lineage_oldest_pending_age_seconds", "reconciliation_oldest_running_age_seconds")
    async with newest.followed() as follower:
        assert [await follower.value(name) for name in ages] == [None, None]
        assert follower.gaps == {"lineage_age": "refused", "reconciliation_age": "refused"}
    async with newest.followed(timezone="Asia/Tokyo") as follower:
        found = await follower.read()
        assert all(0 <= found[f"blnk_ledger_{name}"][()] < 30 for name in ages)
        assert follower.gaps == {}


async def test_every_time_is_read_in_the_zone_that_it_is_in(ledger: Ledger) -> None:
    """Blnk's processes in Tokyo, the database in New York; who writes what in which zone is not the same in both releases."""
    newest, local = ledger.release == "0.15.2", "now() AT TIME ZONE 'Asia/Tokyo'"
    ledger.zone = "UTC" if newest else "Asia/Tokyo"
    await ledger.connection.execute(f"ALTER DATABASE {ledger.name} SET timezone = 'America/New_York'")
    await ledger.connection.execute("SET timezone = 'America/New_York'")
    locked = "now()" if newest else local
    await ledger.connection.execute(f"""
        INSERT INTO blnk.lineage_outbox (transaction_id, lineage_type, payload, status, created_at, locked_until) VALUES
            ('t1', 'credit', '{{}}', 'pending', {local} - interval '10 minutes', NULL),
            ('t2', 'credit', '{{}}', 'processing', {local}, {locked} - interval '6 minutes'),
            ('t3', 'credit', '{{}}', 'processing', {local}, {locked} - interval '1 minute');
        INSERT INTO blnk.reconciliations (reconciliation_id, upload_id, status, matched_transactions,
                                          unmatched_transactions, started_at)
        VALUES ('r', 'u', 'started', 0, 0, {local} - interval '7 minutes');
    """)
    if newest:
        await ledger.connection.execute(
            "UPDATE blnk.chain_state SET last_seq = 1, updated_at = timezone('UTC', now()) - interval '3 minutes'"
        )
    async with ledger.followed(timezone="Asia/Tokyo") as follower:
        await ledger.outcome("APPLIED", await ledger.write("QUEUED", age=4))
        await ledger.write("QUEUED", age=300)
        found = await follower.read()
        latency = (await room.COLLECTOR.read(follower.source)).flow.latency
    assert follower.gaps == {}
    assert found["blnk_ledger_lineage_entries"][("abandoned",)] == 1
    assert 600 <= found["blnk_ledger_lineage_oldest_pending_age_seconds"][()] < 630
    assert 420 <= found["blnk_ledger_reconciliation_oldest_running_age_seconds"][()] < 450
    assert 300 <= found["blnk_ledger_unresolved_oldest_age_seconds"][()] < 330
    assert 4 <= latency.sum < 30
    if newest:
        now = await ledger.connection.fetchval("SELECT extract(epoch FROM now())::float8")
        assert 180 <= now - found["blnk_ledger_chain_last_seal_timestamp_seconds"][()] < 210


async def test_rows_beyond_the_tasks_that_asynq_has(newest: Ledger, store: ValkeyServer) -> None:
    """Accepted and lost: three wait and one task is there. An archived task is nobody's work any more."""
    async with redis_client(store) as redis, newest.followed(store=redis, queues=("q_1", "q_2")) as follower:

        async def lost(*commands: tuple[str | int, ...]) -> float | None:
            await redis.execute(*commands, ("ECHO", "done"))
            follower.source.following._proven.clear()  # a minute later
            return await follower.value("transactions_without_task")

        assert await lost() == 0
        for _ in range(4):
            await newest.write("QUEUED", age=60)
        await follower.read()
        known = follower.source.following
        known._noticed = dict.fromkeys(known._noticed, -1000.0)  # noticed long ago
        assert await lost() == 4
        assert await lost(("LPUSH", "asynq:{q_2}:pending", "a"), ("ZADD", "asynq:{q_1}:archived", 1, "b")) == 3
        # Blnk has more shards than the configuration tells us of; other queues hold no transactions.
        assert await lost(("LPUSH", "asynq:{q_3}:pending", "c"), ("SADD", "asynq:queues", "q_1", "new:webhook")) == 3
        assert await lost(("LPUSH", "asynq:{new:webhook}:pending", "d"), ("SADD", "asynq:queues", "q_3")) == 2
        await redis.execute(("ZADD", "asynq:{q_1}:scheduled", 1, "e"), ("ZADD", "asynq:{q_1}:retry", 1, "f"))
        # What was proven a moment ago holds on.
        assert await follower.value("transactions_without_task") == 2
        assert await lost() == 0
        store.pause()
        try:
            found = await follower.read()
        finally:
            store.resume()
        assert "blnk_ledger_transactions_without_task" not in found
        assert follower.gaps == {"tasks": "timeout"}
        assert found["blnk_ledger_unresolved_transactions"] == {(): 4}


async def test_a_hold_of_an_unknown_amount_is_open_until_its_first_commit(ledger: Ledger) -> None:
    """Rows of before the precise amount have none, and neither have their commits."""
    holds = [await ledger.write("INFLIGHT", cents=None) for _ in range(3)]
    await ledger.write("APPLIED", of=holds[0], cents=None)
    async with ledger.followed() as follower:
        assert await follower.value("inflight_transactions") == 2
        holds.append(await ledger.write("INFLIGHT", cents=None))
        assert await follower.value("inflight_transactions") == 3
        await ledger.write("VOID", of=holds[1], cents=None)
        await ledger.write("APPLIED", of=holds[2])
        assert await follower.value("inflight_transactions") == 1


async def test_one_reading_takes_so_many_rows_and_the_next_the_rest(newest: Ledger) -> None:
    """As a reading of a smaller span; what is left is told."""
    async with newest.followed() as follower:
        follower.source.following.span = 200
        await newest.connection.execute("""
            INSERT INTO blnk.transactions (transaction_id, parent_transaction, reference, precise_amount, currency, status)
            SELECT 't' || n, '', 'r' || n, 100, 'USD', 'APPLIED' FROM generate_series(1, 1100) n
        """)
        tables = ("transactions", "transaction_journal")
        for taken, left in ((1000, 100), (1100, 0)):
            found = await follower.read()
            assert found["blnk_ledger_transactions_total"][("APPLIED", "USD")] == taken
            assert found["blnk_ledger_tail_behind_ids"] == {(table,): left for table in tables}


async def test_every_currency_is_known_before_its_next_row_comes(newest: Ledger) -> None:
    """However many there are, each by one look."""
    for currency in ("USD", "EUR", "GBP", "EUR"):
        await newest.write("APPLIED", currency=currency)
    async with newest.followed() as follower:
        found = await follower.read()
    told = {currency for _, currency in found["blnk_ledger_transactions_total"]}
    assert told == {"USD", "EUR", "GBP", "other"}


async def test_a_schema_that_we_do_not_know_costs_one_fact(ledger: Ledger) -> None:
    """A newer Blnk may rename what it likes."""
    await ledger.connection.execute("ALTER TABLE blnk.lineage_outbox RENAME COLUMN created_at TO born_at")
    await ledger.connection.execute("DROP TABLE blnk.transaction_journal CASCADE")
    await ledger.connection.execute("DROP TRIGGER log_transaction_changes_trigger ON blnk.transactions")
    async with ledger.followed() as follower:
        await ledger.write("APPLIED")
        found = await follower.read()
    assert follower.gaps == {"lineage_age": "malformed", "journal": "malformed"}
    assert found["blnk_ledger_transactions_total"][("APPLIED", "USD")] == 1
    assert found["blnk_ledger_unresolved_transactions"] == {(): 0}
    assert not [name for name in found if "journal" in name or "queue_to_apply" in name]


async def test_a_database_without_blnks_tables(postgres: Database) -> None:
    """Told in words."""
    async with postgres_client(postgres.dsn(database="empty")) as client:
        source = room.LedgerSource(room.TableReader(client), room.Following())
        with pytest.raises(Malformed, match="no tables of Blnk"):
            await room.COLLECTOR.read(source)


async def test_every_metric_is_seen_and_declared(newest: Ledger, store: ValkeyServer) -> None:
    """One busy ledger shows them all."""
    await newest.connection.execute("""
        INSERT INTO blnk.lineage_outbox (transaction_id, lineage_type, payload) VALUES ('t', 'credit', '{}');
        INSERT INTO blnk.reconciliations (reconciliation_id, upload_id, status, matched_transactions,
                                          unmatched_transactions, started_at) VALUES ('r', 'u', 'started', 0, 0, now());
        INSERT INTO blnk.api_keys (api_key_id, key, name, owner_id, expires_at) VALUES ('k', 'k', 'k', 'o', now() + '1 day');
    """)
    await newest.write("APPLIED", age=9)
    await newest.connection.execute("UPDATE blnk.transactions SET chain_seq = 1, chain_hash = repeat('a', 64)")
    await newest.connection.execute("UPDATE blnk.chain_state SET last_seq = 1, head_hash = repeat('a', 64)")
    async with redis_client(store) as redis, newest.followed(store=redis, queues=("q",)) as follower:
        for status in ("QUEUED", "INFLIGHT"):
            await newest.write(status, age=9)
        await newest.write("SCHEDULED", due=9)
        found = await follower.read()
    assert unseen(room.COLLECTOR, found) == set()
