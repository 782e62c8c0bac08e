"""Writes what Blnk writes about money: balances that balance, and the rows of transactions."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from . import rows
from .rows import Action, Row, Transfer, new_id, utc
from .schema import Release

CURRENCIES = ("USD", "EUR")
CUSTOMERS_PER_CURRENCY = 15

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_DEPOSIT_CENTS = 100_000_000
_GENERAL_LEDGER = "general_ledger_id"
_INSERT = (
    f"INSERT INTO blnk.transactions ({', '.join(Row._fields)})"
    f" VALUES ({', '.join(f'${number + 1}' for number in range(len(Row._fields)))})"
)
_FROM = """
UPDATE blnk.balances SET {0}balance = {0}balance - $2, {0}debit_balance = {0}debit_balance + $2, version = version + 1
WHERE balance_id = $1
"""
_TO = """
UPDATE blnk.balances SET {0}balance = {0}balance + $2, {0}credit_balance = {0}credit_balance + $2, version = version + 1
WHERE balance_id = $1
"""
_OUTBOX = """
INSERT INTO blnk.lineage_outbox (transaction_id, source_balance_id, destination_balance_id, provider, lineage_type,
    payload, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
# What is left of a hold; nothing once it was given back, by hand or by an expiry.
_LEFT = """
SELECT h.precise_amount - coalesce(sum(c.precise_amount) FILTER (WHERE c.status = 'APPLIED'), 0)
FROM blnk.transactions h LEFT JOIN blnk.transactions c ON c.parent_transaction IN (h.transaction_id, h.parent_transaction)
    AND c.id > h.id
WHERE h.transaction_id = $1 GROUP BY h.id HAVING count(*) FILTER (WHERE c.status = 'VOID') = 0
"""


class NoHold(Exception):  # an outcome, not a defect
    """The hold that is to be resolved is not there yet."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """A balance that transfers go between. What comes into a ``traced`` one and leaves it goes through lineage's outbox."""

    id: str
    currency: str
    world: bool = False
    traced: bool = False


async def found(connection: Connection, release: Release, now: float) -> Sequence[Account]:
    """Open a ledger whose customers have money that came from each currency's ``@World``."""
    ledger, identity = new_id("ldg"), new_id("idt")
    await connection.executemany(
        "INSERT INTO blnk.ledgers (ledger_id, name, created_at) VALUES ($1, $2, $3)",
        [(_GENERAL_LEDGER, "General Ledger", utc(now)), (ledger, "Customers", utc(now))],
    )
    await connection.execute(
        "INSERT INTO blnk.identity (identity_id, identity_type, first_name, last_name, created_at)"
        " VALUES ($1, 'individual', 'Ada', 'Example', $2)",
        *(identity, utc(now)),
    )
    accounts = [
        Account(id=new_id("bln"), currency=currency, world=number == 0, traced=number == 1)
        for currency in CURRENCIES
        for number in range(CUSTOMERS_PER_CURRENCY + 1)
    ]
    # A column of 0.13.2 alone, which has no default.
    multiplier = (", currency_multiplier", ", 0") if release == "0.13.2" else ("", "")
    await connection.executemany(
        "INSERT INTO blnk.balances (balance_id, ledger_id, identity_id, indicator, currency, track_fund_lineage,"
        f" created_at, balance, credit_balance, debit_balance, meta_data{multiplier[0]})"
        f" VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 'null'{multiplier[1]})",
        [
            (
                account.id,
                _GENERAL_LEDGER if account.world else ledger,
                identity if account.traced else None,
                "@World" if account.world else None,
                *(account.currency, account.traced, utc(now)),
            )
            for account in accounts
        ],
    )
    await _deposit(connection, accounts, now)
    return accounts


async def post(connection: Connection, release: Release, transfers: Iterable[Transfer]) -> None:
    """Write down what was asked for: QUEUED or SCHEDULED rows, which never change again."""
    await connection.executemany(_INSERT, [rows.asked(transfer, release) for transfer in transfers])


async def settle(connection: Connection, release: Release, transfer: Transfer, at: float) -> None:
    """Work off what was asked for: its child row, the balances, and what is to be traced."""
    async with connection.transaction():
        if not transfer.rejection:
            await _move(connection, transfer, transfer.cents, inflight=transfer.inflight)
        await connection.execute(_INSERT, *rows.settled(transfer, release))
        if transfer.lineage and transfer.outcome == "APPLIED":
            await connection.execute(_OUTBOX, *traced(transfer, at))


async def resolve(  # noqa: PLR0913  # one more than the row itself takes
    connection: Connection, release: Release, transfer: Transfer, action: Action, at: float, *, cents: int | None = None
) -> bool:
    """Commit what a hold holds, or some of it, or give back what is left; False when nothing is.

    Raises NoHold where its row is not there yet.
    """
    async with connection.transaction():
        left = await connection.fetchval(_LEFT, transfer.child_id)
        if not left:
            known = "SELECT EXISTS (SELECT FROM blnk.transactions WHERE transaction_id = $1)"
            if not await connection.fetchval(known, transfer.child_id):
                raise NoHold(transfer.child_id)
            return False
        amount = min(int(left), cents or int(left))
        await _move(connection, transfer, -amount, inflight=True)
        if action == "commit":
            await _move(connection, transfer, amount, inflight=False)
        await connection.execute(_INSERT, *rows.resolved(transfer, release, action, amount, at))
    return True


def traced(transfer: Transfer, at: float) -> tuple[object, ...]:
    """Make the entry of lineage's outbox for an applied transfer: id, both balances, provider, kind, payload, time."""
    payload = {
        "amount": transfer.cents / rows.PRECISION,
        "precise_amount": str(transfer.cents),
        "currency": transfer.currency,
        "precision": rows.PRECISION,
        "reference": f"{transfer.reference}_q",
        "skip_queue": True,
        "inflight": False,
    }
    kind = transfer.lineage, json.dumps(payload)
    return (transfer.child_id, transfer.source, transfer.destination, transfer.provider, *kind, utc(at))


async def _deposit(connection: Connection, accounts: Sequence[Account], now: float) -> None:
    worlds = {account.currency: account.id for account in accounts if account.world}
    for account in accounts:
        if not account.world:
            deposit = Transfer(
                source=worlds[account.currency],
                destination=account.id,
                currency=account.currency,
                cents=_DEPOSIT_CENTS,
                created_at=now,
            )
            await connection.execute(_INSERT, *rows.direct(deposit))
            await _move(connection, deposit, deposit.cents, inflight=False)


async def _move(connection: Connection, transfer: Transfer, cents: int, *, inflight: bool) -> None:
    prefix = "inflight_" if inflight else ""
    await connection.execute(_FROM.format(prefix), transfer.source, cents)
    await connection.execute(_TO.format(prefix), transfer.destination, cents)
