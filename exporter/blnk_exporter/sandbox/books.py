"""Writes the rows that Blnk writes about money: balances that balance, and transactions that are never changed.

A transaction that was queued is told by a QUEUED row and, once worked off, by a child row with its outcome.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias
from uuid import uuid4

import asyncpg

CURRENCIES = ("USD", "EUR")
CUSTOMERS_PER_CURRENCY = 15

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Status = Literal["QUEUED", "SCHEDULED", "APPLIED", "REJECTED", "INFLIGHT", "VOID"]

_DEPOSIT_CENTS = 100_000_000
_NEVER = datetime(1, 1, 1)  # noqa: DTZ001  # Go's zero time, which Blnk stores for "not scheduled"
_INSERT = """
INSERT INTO blnk.transactions (transaction_id, parent_transaction, source, destination, reference, description,
    amount, precise_amount, precision, currency, status, hash, created_at, effective_date, scheduled_for, meta_data)
VALUES ($1, $2, $3, $4, $5, 'sandbox', $6::numeric / 100, $6, 100, $7, $8, $9, $10, $10, $11, $12)
"""
_FROM = """
UPDATE blnk.balances SET {0}balance = {0}balance - $2, {0}debit_balance = {0}debit_balance + $2, version = version + 1
WHERE balance_id = $1
"""
_TO = """
UPDATE blnk.balances SET {0}balance = {0}balance + $2, {0}credit_balance = {0}credit_balance + $2, version = version + 1
WHERE balance_id = $1
"""


def new_id(kind: str) -> str:
    """Make an id as Blnk does: ``txn_<uuid>``."""
    return f"{kind}_{uuid4()}"


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One movement of money that a client asked for. ``cents`` is Blnk's precise amount; times are Unix seconds."""

    source: str
    destination: str
    currency: str
    cents: int
    created_at: float
    scheduled_at: float | None = None
    inflight: bool = False
    rejected: bool = False
    id: str = field(default_factory=lambda: new_id("txn"))

    @property
    def reference(self) -> str:
        """The client's own name for it; unique."""
        return f"ref_{self.id[4:]}"

    def payload(self) -> bytes:
        """Write what Blnk puts into the task."""
        names = ("source", "destination", "currency")
        plain = {name: getattr(self, name) for name in names}
        return json.dumps({"transaction_id": self.id, "precise_amount": self.cents, **plain}).encode()


@dataclass(frozen=True, kw_only=True)
class Account:
    """A balance that transfers go between."""

    id: str
    currency: str
    world: bool


async def found(connection: Connection, now: float) -> Sequence[Account]:
    """Open a ledger whose customers have money that came from each currency's ``@World``."""
    await connection.execute(
        "INSERT INTO blnk.ledgers (ledger_id, name) VALUES ('general_ledger_id', 'General Ledger')"
    )
    accounts = [
        Account(id=new_id("bln"), currency=currency, world=number == 0)
        for currency in CURRENCIES
        for number in range(CUSTOMERS_PER_CURRENCY + 1)
    ]
    await connection.executemany(
        "INSERT INTO blnk.balances (balance_id, ledger_id, indicator, currency, balance, credit_balance, debit_balance)"
        " VALUES ($1, 'general_ledger_id', $2, $3, 0, 0, 0)",
        [(account.id, "@World" if account.world else None, account.currency) for account in accounts],
    )
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
            # Not queued: such a transaction is its final row alone.
            row = _row(deposit, "APPLIED", row_id=deposit.id, reference=deposit.reference)
            await connection.execute(_INSERT, *row)
            await _move(connection, deposit, deposit.cents, inflight=False)
    return accounts


async def post(connection: Connection, transfers: Iterable[Transfer]) -> None:
    """Write down what was asked for: QUEUED or SCHEDULED rows, which never change again."""
    rows = [
        _row(
            transfer,
            "SCHEDULED" if transfer.scheduled_at else "QUEUED",
            row_id=transfer.id,
            reference=transfer.reference,
        )
        for transfer in transfers
    ]
    await connection.executemany(_INSERT, rows)


async def settle(connection: Connection, transfer: Transfer, at: float) -> tuple[Status, str]:
    """Work off a queued or scheduled transfer: its child row and the balances. Returns the status and the child's id."""
    status: Status = "REJECTED" if transfer.rejected else "INFLIGHT" if transfer.inflight else "APPLIED"
    child = new_id("txn")
    async with connection.transaction():
        if not transfer.rejected:
            await _move(connection, transfer, transfer.cents, inflight=transfer.inflight)
        row = _row(transfer, status, row_id=child, reference=f"{transfer.reference}_q", parent=transfer.id, at=at)
        await connection.execute(_INSERT, *row)
    return status, child


async def finish(connection: Connection, transfer: Transfer, inflight_id: str, status: Status, at: float) -> bool:
    """Commit (APPLIED) or give back (VOID) what an INFLIGHT row holds; False when that was done before."""
    async with connection.transaction():
        done = "SELECT EXISTS (SELECT 1 FROM blnk.transactions WHERE parent_transaction = $1)"
        if await connection.fetchval(done, inflight_id):
            return False
        await _move(connection, transfer, -transfer.cents, inflight=True)
        if status == "APPLIED":
            await _move(connection, transfer, transfer.cents, inflight=False)
        action = "commit" if status == "APPLIED" else "void"
        reference = f"{inflight_id}_{action}_act_{uuid4()}"
        row = _row(transfer, status, row_id=new_id("txn"), reference=reference, parent=inflight_id, at=at)
        await connection.execute(_INSERT, *row)
    return True


async def _move(connection: Connection, transfer: Transfer, cents: int, *, inflight: bool) -> None:
    prefix = "inflight_" if inflight else ""
    await connection.execute(_FROM.format(prefix), transfer.source, cents)
    await connection.execute(_TO.format(prefix), transfer.destination, cents)


def _row(  # noqa: PLR0913  # a row has that many columns
    transfer: Transfer,
    status: Status,
    *,
    row_id: str,
    reference: str,
    parent: str | None = None,
    at: float | None = None,
) -> tuple[object, ...]:
    created = _utc(transfer.created_at if at is None else at)
    scheduled = _utc(transfer.scheduled_at) if transfer.scheduled_at else _NEVER
    digest = hashlib.sha256(f"{row_id}{status}{created}".encode()).hexdigest()
    money = (transfer.cents, transfer.currency)
    parties = (transfer.source, transfer.destination)
    meta = json.dumps(_meta(transfer, parent, status))
    return (row_id, parent, *parties, reference, *money, status, digest, created, scheduled, meta)


def _meta(transfer: Transfer, parent: str | None, status: Status) -> dict[str, object]:
    meta: dict[str, object] = {"queue_lane": "normal"}
    if transfer.inflight:
        meta["inflight"] = True
    if parent == transfer.id:
        meta["QUEUED_PARENT_TRANSACTION"] = parent
    if status == "REJECTED":
        meta["blnk_rejection_reason"] = "insufficient funds in source balance"
    return meta


def _utc(unix_seconds: float) -> datetime:
    # Without a zone, as Blnk's columns are; UTC, as it writes them since 0.15.0.
    return datetime.fromtimestamp(unix_seconds, UTC).replace(tzinfo=None)
