"""The rows of a transfer are those that a running Blnk was seen to write, of each release and in each of its ways."""

import json
import re
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter.sandbox import books, rows, schema, topology
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.sandbox.rows import REJECTIONS, Transfer
from blnk_exporter.sandbox.workload import Workload

from .ledger import Pool, a_database

pytestmark = pytest.mark.sandbox

NOW = 1_800_000_000.0
LATER = NOW + 50
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture(params=schema.RELEASES)
def release(request: pytest.FixtureRequest) -> schema.Release:
    made: schema.Release = request.param
    return made


@pytest_asyncio.fixture
async def pool(postgres: PostgresServer, release: schema.Release) -> AsyncIterator[Pool]:
    async with a_database(postgres, release) as made:
        yield made


class Desk:
    """Writes transfers between two accounts, and tells their rows."""

    def __init__(self, pool: Pool, release: schema.Release, accounts: tuple[str, str]) -> None:
        self.pool, self.release, self._accounts = pool, release, accounts

    def transfer(self, **more: Any) -> Transfer:
        """Seven dollars."""
        source, destination = self._accounts
        return Transfer(source=source, destination=destination, currency="USD", cents=700, created_at=NOW, **more)

    async def settle(self, transfer: Transfer) -> None:
        """Write down what is asked, and its outcome."""
        async with self.pool.acquire() as connection:
            await books.post(connection, self.release, [transfer])
            await books.settle(connection, self.release, transfer, LATER)

    async def resolve(self, transfer: Transfer, action: rows.Action, cents: int | None = None) -> bool:
        """End a hold, or a part of it."""
        async with self.pool.acquire() as connection:
            return await books.resolve(connection, self.release, transfer, action, LATER, cents=cents)

    async def told(self, transfer: Transfer) -> list[dict[str, Any]]:
        """Its rows in the order they were written."""
        found = await self.pool.fetch(
            "SELECT * FROM blnk.transactions WHERE transaction_id = ANY ($1) OR parent_transaction = ANY ($1) ORDER BY id",
            [transfer.id, transfer.child_id],
        )
        return [dict(row) for row in found]

    async def money(self) -> tuple[int, ...]:
        """Of both accounts what they hold, and what is held of it."""
        found = await self.pool.fetch(
            "SELECT balance, inflight_balance FROM blnk.balances WHERE balance_id = ANY ($1) ORDER BY balance_id = $2",
            *(list(self._accounts), self._accounts[1]),
        )
        return tuple(int(value) for row in found for value in row)


@pytest_asyncio.fixture
async def desk(pool: Pool, release: schema.Release) -> Desk:
    async with pool.acquire() as connection:
        accounts = await books.found(connection, release, NOW - 60)
    dollars = [account.id for account in accounts if account.currency == "USD" and not account.world]
    return Desk(pool, release, (dollars[2], dollars[3]))


async def test_a_child_copies_what_its_queued_row_said(desk: Desk) -> None:
    """Its own time is in the journal alone."""
    transfer = desk.transfer(reference="r")
    await desk.settle(transfer)
    asked, child = await desk.told(transfer)
    assert (asked["status"], asked["reference"], asked["parent_transaction"]) == ("QUEUED", "r", "")
    assert (child["status"], child["reference"], child["parent_transaction"]) == ("APPLIED", "r_q", transfer.id)
    same = (
        "created_at",
        "effective_date",
        "scheduled_for",
        "hash",
        "amount",
        "precise_amount",
        "precision",
        "meta_data",
    )
    assert [asked[name] for name in same] == [child[name] for name in same]
    assert (asked["created_at"], asked["scheduled_for"]) == (rows.utc(NOW), datetime(1, 1, 1))  # noqa: DTZ001
    assert (asked["amount"], asked["precise_amount"], asked["precision"]) == (7, 700, 100)
    meta = json.loads(asked["meta_data"])
    assert meta["QUEUED_PARENT_TRANSACTION"] == transfer.id
    assert ("queue_lane" in meta) == (desk.release == "0.15.2")


async def test_a_scheduled_row_is_copied_with_its_time(desk: Desk) -> None:
    transfer = desk.transfer(scheduled_at=NOW + 30)
    await desk.settle(transfer)
    asked, child = await desk.told(transfer)
    assert (asked["status"], child["status"]) == ("SCHEDULED", "APPLIED")
    assert asked["scheduled_for"] == child["scheduled_for"] == rows.utc(NOW + 30)
    assert child["created_at"] == rows.utc(NOW)


async def test_a_rejected_row_says_why_in_blnks_words(desk: Desk) -> None:
    before = await desk.money()
    for reason in REJECTIONS[desk.release]:
        transfer = desk.transfer(rejection=reason)
        await desk.settle(transfer)
        asked, child = await desk.told(transfer)
        assert child["status"] == "REJECTED"
        assert json.loads(child["meta_data"])["blnk_rejection_reason"] == reason
        assert "blnk_rejection_reason" not in json.loads(asked["meta_data"])
    assert await desk.money() == before
    assert (
        REJECTIONS[desk.release][0] == "failed to apply transaction to balances: insufficient funds in source balance"
    )


@pytest.mark.parametrize(("action", "status"), [("commit", "APPLIED"), ("void", "VOID"), ("expiry", "VOID")])
async def test_a_hold_ends_in_a_row_of_its_own(desk: Desk, action: rows.Action, status: str) -> None:
    """By hand it hangs on the hold, by expiry on the queued row."""
    before = await desk.money()
    transfer = desk.transfer(inflight=True)
    await desk.settle(transfer)
    assert await desk.money() == (before[0], -700, before[2], 700)
    assert await desk.resolve(transfer, action)
    moved = 700 if action == "commit" else 0
    assert await desk.money() == (before[0] - moved, 0, before[2] + moved, 0)
    _, hold, end = await desk.told(transfer)
    assert (hold["status"], hold["parent_transaction"]) == ("INFLIGHT", transfer.id)
    assert end["parent_transaction"] == (transfer.id if action == "expiry" else transfer.child_id)
    assert (end["status"], end["created_at"], end["effective_date"]) == (status, rows.utc(LATER), rows.utc(LATER))
    assert end["hash"] != hold["hash"]
    assert not await desk.resolve(transfer, "commit")
    assert len(await desk.told(transfer)) == 3


@pytest.mark.parametrize("action", ["commit", "void", "expiry"])
async def test_references_of_commits_and_voids_are_those_of_the_release(desk: Desk, action: rows.Action) -> None:
    transfer = desk.transfer(inflight=True)
    await desk.settle(transfer)
    await desk.resolve(transfer, action)
    by_hand = desk.release == "0.15.2" and action != "expiry"
    expected = f"{transfer.child_id}_{action}_act_{UUID}" if by_hand else f"ref_{UUID}"
    assert re.fullmatch(expected, (await desk.told(transfer))[-1]["reference"])


async def test_a_hold_may_be_committed_in_parts(desk: Desk) -> None:
    transfer = desk.transfer(inflight=True)
    await desk.settle(transfer)
    assert await desk.resolve(transfer, "commit", 300)
    assert await desk.resolve(transfer, "void")
    amounts = [(row["status"], int(row["precise_amount"]), row["amount"]) for row in (await desk.told(transfer))[2:]]
    assert amounts == [("APPLIED", 300, 3), ("VOID", 400, 4)]
    assert not await desk.resolve(transfer, "expiry")


async def test_a_hold_that_is_not_there_yet_is_told_from_one_that_ended(desk: Desk) -> None:
    with pytest.raises(books.NoHold):
        await desk.resolve(desk.transfer(inflight=True), "expiry")


async def test_parts_name_what_has_no_row(desk: Desk) -> None:
    """A batch and a transfer that was split stand nowhere but in their parts; so do refunds in what they pay back."""
    part = desk.transfer(group="bulk_1")
    await desk.settle(part)
    asked, child = await desk.told(part)
    assert (asked["parent_transaction"], child["parent_transaction"]) == ("bulk_1", part.id)
    assert json.loads(asked["meta_data"])["QUEUED_PARENT_TRANSACTION"] == "bulk_1"
    back = desk.transfer(refunds=part.child_id)
    await desk.settle(back)
    asked, child = await desk.told(back)
    assert (asked["parent_transaction"], child["parent_transaction"]) == (part.child_id, back.id)
    assert json.loads(child["meta_data"])["QUEUED_PARENT_TRANSACTION"] == back.id


@pytest.mark.parametrize(("kind", "provider"), [("credit", "stripe"), ("debit", ""), ("both", "stripe")])
async def test_what_is_traced_goes_to_the_outbox(desk: Desk, kind: str, provider: str) -> None:
    """One entry for each applied child; a hold writes none, and neither does what was rejected."""
    transfer = desk.transfer(lineage=kind)
    await desk.settle(transfer)
    await desk.settle(desk.transfer(lineage=kind, inflight=True))
    await desk.settle(desk.transfer(lineage=kind, rejection="no"))
    (entry,) = await desk.pool.fetch("SELECT * FROM blnk.lineage_outbox")
    assert entry["transaction_id"] == transfer.child_id
    assert (entry["status"], entry["attempts"], entry["max_attempts"]) == ("pending", 0, 5)
    assert (entry["lineage_type"], entry["provider"], entry["created_at"]) == (kind, provider, rows.utc(LATER))
    assert json.loads(entry["payload"])["reference"] == f"{transfer.reference}_q"


async def test_a_task_has_the_id_of_the_outcome(pool: Pool, redis: Redis, release: schema.Release) -> None:
    """Whoever looks for the queued row's id in Redis finds nothing; the row is named in the task's payload."""
    workload = Workload(pool, redis, release)
    await workload.prepare(time.time())
    transfer = workload.customers.transfer(time.time())
    await workload.post([transfer])
    key = f"asynq:{{{topology.transaction_queue(transfer.source)}}}:t:"
    assert not await redis.exists(f"{key}{transfer.id}")
    assert transfer.id.encode() in await redis.hget(f"{key}{transfer.child_id}", "msg")
