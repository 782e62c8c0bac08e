"""Ways in which a ledger goes wrong, each done to a stage that was healthy a moment ago."""

import contextlib
import json
import time
from dataclasses import replace

import asyncpg

from . import books, furnish
from .history import backdated
from .rows import new_id, utc
from .stage import Stage

STUCK_TRANSFERS = 40
STUCK_SECONDS = 20 * 60
STUCK_SCHEDULES = 10
HOLD_SECONDS = 3 * 86_400
MISMATCHED_CENTS = 12_345
UNBALANCED_CENTS = 50_000
DELETION_SECONDS = 20
CUT_ROWS = 3
FAILED_ENTRIES = 12
PENDING_ENTRIES = 8
PENDING_SECONDS = 15 * 60
RECONCILING_SECONDS = 7 * 3600

_ENTRY = """
INSERT INTO blnk.lineage_outbox
    (transaction_id, provider, lineage_type, payload, created_at, status, attempts, last_error)
VALUES ($1, 'stripe', 'credit', $2, $3, $4, $5, $6)
"""


class Intruder:
    """A part of the workload that deletes the newest applied row every twenty seconds."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._deleted_at = 0.0

    async def tick(self, now: float) -> None:
        """Delete one when it is time."""
        if now - self._deleted_at >= DELETION_SECONDS:
            self._deleted_at = now
            newest = "SELECT max(id) FROM blnk.transactions WHERE status = 'APPLIED'"
            await self._pool.execute(f"DELETE FROM blnk.transactions WHERE id = ({newest})")


async def transactions_stuck(stage: Stage) -> None:
    """Accept transfers and schedules whose tasks Redis does not have, and leave a hold open for days."""
    now, release = time.time(), stage.workload.customers.release
    step = STUCK_SECONDS / STUCK_TRANSFERS
    waiting = [
        stage.workload.customers.transfer(now - STUCK_SECONDS + number * step) for number in range(STUCK_TRANSFERS)
    ]
    planned = [stage.workload.customers.transfer(now - 2 * STUCK_SECONDS) for _ in range(STUCK_SCHEDULES)]
    overdue = [replace(plan, scheduled_at=now - 60 * (number + 1)) for number, plan in enumerate(planned)]
    hold = replace(stage.workload.customers.transfer(now - HOLD_SECONDS), inflight=True)
    async with backdated(stage.pool), stage.pool.acquire() as connection:
        await books.post(connection, release, [hold])
        await books.settle(connection, release, hold, now - HOLD_SECONDS)
        await books.post(connection, release, [*overdue, *waiting])


async def ledger_unbalanced(stage: Stage) -> None:
    """Let one balance be other than its credits less its debits, and money come from nowhere in another currency."""
    mismatched, unbalanced = (
        next(account.id for account in stage.workload.accounts if account.currency == currency and not account.world)
        for currency in books.CURRENCIES
    )
    await stage.pool.execute(
        "UPDATE blnk.balances SET credit_balance = credit_balance + $2 WHERE balance_id = $1",
        *(mismatched, MISMATCHED_CENTS),
    )
    await stage.pool.execute(
        "UPDATE blnk.balances SET balance = balance + $2, credit_balance = credit_balance + $2 WHERE balance_id = $1",
        *(unbalanced, UNBALANCED_CENTS),
    )


async def ledger_tampered(stage: Stage) -> None:
    """Delete applied rows, cut off the end of the hash chain, take away a guard; and leave a broken index behind.

    Nobody seals any more: the next seal would hide the cut. Rows go on to be deleted now and then.
    """
    stage.workload.keeper.seals = False
    await stage.pool.execute("ALTER TABLE blnk.transactions DISABLE TRIGGER prevent_transaction_update_trigger")
    intruder = Intruder(stage.pool)
    await intruder.tick(time.time())
    stage.workload.parts.append(intruder.tick)
    if await stage.pool.fetchval("SELECT to_regclass('blnk.chain_state') IS NOT NULL"):
        await stage.pool.execute(
            "DELETE FROM blnk.transactions t USING blnk.chain_state c WHERE t.chain_seq > c.last_seq - $1", CUT_ROWS
        )
    with contextlib.suppress(asyncpg.UniqueViolationError):
        # As a migration that is interrupted: the index stays, of no use.
        await stage.pool.execute("CREATE UNIQUE INDEX CONCURRENTLY idx_txn_interrupted ON blnk.transactions (currency)")


async def lineage_failed(stage: Stage) -> None:
    """Let the outbox of lineage hold what failed for good and what nobody takes, and a reconciliation never end."""
    stage.workload.keeper.traces = False
    now = time.time()
    error = "failed to get transaction: NOT_FOUND: Transaction with ID 'txn_0' not found"
    failed = [("failed", 5, error, now - 3600 - 60 * number) for number in range(FAILED_ENTRIES)]
    pending = [("pending", 0, None, now - PENDING_SECONDS + number) for number in range(PENDING_ENTRIES)]
    async with stage.pool.acquire() as connection:
        await connection.executemany(
            _ENTRY,
            [
                (new_id("txn"), json.dumps({"currency": "USD"}), utc(at), status, attempts, last_error)
                for status, attempts, last_error, at in (*failed, *pending)
            ],
        )
        await furnish.reconciliation(connection, "in_progress", utc(now - RECONCILING_SECONDS))
