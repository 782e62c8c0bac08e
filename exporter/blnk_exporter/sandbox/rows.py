"""The rows of ``blnk.transactions`` that Blnk writes for one transfer, as values: who is whose child, and what is copied.

A queued transfer is told by a QUEUED or SCHEDULED row and, once worked off, by a child with its outcome: the child has
another id, the reference with ``_q`` behind it, and its parent's times and hash. A hold is an INFLIGHT outcome; commits
and voids are its children, and have a time of their own. Releases 0.13.2 and 0.15.2, as they were seen to run.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, NamedTuple
from uuid import uuid4

from .schema import Release

Status = Literal["QUEUED", "SCHEDULED", "APPLIED", "REJECTED", "INFLIGHT", "VOID"]
Action = Literal["commit", "void", "expiry"]

PRECISION = 100
PROVIDER = "stripe"

_POOR = "failed to apply transaction to balances: insufficient funds in source balance"
_OVERDRAWN = "failed to apply transaction to balances: transaction exceeds overdraft limit"
_GIVEN_UP = "exceeded max queued recovery attempts"
_LOCKED = "failed to acquire lock: failed to acquire all locks within the wait timeout"
# Why Blnk rejects a transaction, in its own words; the most frequent first. 0.13.2 archives the task when it gets no lock.
REJECTIONS: dict[Release, tuple[str, ...]] = {
    "0.13.2": (_POOR, _OVERDRAWN, _GIVEN_UP),
    "0.15.2": (_POOR, _OVERDRAWN, _LOCKED, _GIVEN_UP),
}
_NEVER = datetime(1, 1, 1)  # noqa: DTZ001  # Go's zero time, which Blnk stores for "not scheduled"


def new_id(kind: str) -> str:
    """Make an id as Blnk does: ``txn_<uuid>``."""
    return f"{kind}_{uuid4()}"


def utc(unix_seconds: float) -> datetime:
    """Write a time as Blnk's columns hold it, without a zone: UTC since 0.15.0, and before in a process that runs in UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC).replace(tzinfo=None)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One movement of money that a client asked for. ``cents`` is Blnk's precise amount; times are Unix seconds.

    ``group`` is the batch, or the transfer that was split, which it is a part of: neither has a row. ``refunds`` is the
    id of the row that it pays back. ``lineage`` is what is traced of it, if its balances are traced.
    """

    source: str
    destination: str
    currency: str
    cents: int
    created_at: float
    scheduled_at: float | None = None
    inflight: bool = False
    rejection: str = ""
    group: str = ""
    refunds: str = ""
    lineage: Literal["", "credit", "debit", "both"] = ""
    reference: str = field(default_factory=lambda: new_id("ref"))
    id: str = field(default_factory=lambda: new_id("txn"))
    child_id: str = field(default_factory=lambda: new_id("txn"))

    @property
    def outcome(self) -> Status:
        """What becomes of it first."""
        return "REJECTED" if self.rejection else "INFLIGHT" if self.inflight else "APPLIED"

    @property
    def provider(self) -> str:
        """Where traced money came from."""
        return PROVIDER if self.lineage in {"credit", "both"} else ""

    @property
    def digest(self) -> str:
        """What stands in the column ``hash``."""
        return _digest(self.created_at, self.source, self.destination, self.cents, self.currency, self.reference)


class Row(NamedTuple):
    """One row; the fields are the columns."""

    transaction_id: str
    parent_transaction: str
    source: str
    destination: str
    reference: str
    description: str
    amount: Decimal
    precise_amount: int
    precision: int
    currency: str
    status: Status
    hash: str
    created_at: datetime
    effective_date: datetime | None
    scheduled_for: datetime
    meta_data: str


def asked(transfer: Transfer, release: Release) -> Row:
    """Tell that a transfer was accepted; this row never changes again."""
    return _row(
        transfer,
        transaction_id=transfer.id,
        parent_transaction=transfer.group or transfer.refunds,
        reference=transfer.reference,
        status="SCHEDULED" if transfer.scheduled_at else "QUEUED",
        meta_data=_meta(transfer, release),
    )


def settled(transfer: Transfer, release: Release) -> Row:
    """Tell what became of an accepted transfer."""
    meta = _meta(transfer, release)
    if transfer.rejection:
        meta["blnk_rejection_reason"] = transfer.rejection
    return _row(
        transfer,
        transaction_id=transfer.child_id,
        parent_transaction=transfer.id,
        reference=f"{transfer.reference}_q",
        status=transfer.outcome,
        meta_data=meta,
    )


def direct(transfer: Transfer) -> Row:
    """Tell of a transfer that went past the queue: its outcome alone."""
    return _row(
        transfer,
        transaction_id=transfer.id,
        parent_transaction=transfer.group or transfer.refunds,
        reference=transfer.reference,
        status=transfer.outcome,
        meta_data=_flags(transfer),
    )


def resolved(transfer: Transfer, release: Release, action: Action, cents: int, at: float) -> Row:
    """Tell that some of a hold was committed, or what was left of it given back.

    An expiry knows the queued row alone, and makes that one the parent.
    """
    by_hand = release == "0.15.2" and action != "expiry"
    reference = f"{transfer.child_id}_{action}_{new_id('act')}" if by_hand else new_id("ref")
    row = _row(
        transfer,
        transaction_id=new_id("txn"),
        parent_transaction=transfer.id if action == "expiry" else transfer.child_id,
        reference=reference,
        status="APPLIED" if action == "commit" else "VOID",
        meta_data=_meta(transfer, release),
    )
    return row._replace(
        amount=Decimal(cents) / PRECISION,
        precise_amount=cents,
        hash=_digest(at, reference, cents),
        created_at=utc(at),
        effective_date=utc(at),
    )


def payload(transfer: Transfer, release: Release) -> bytes:
    """Write what Blnk puts into the task of a queued transfer: the child-to-be, whose id is the task's, too."""
    row = settled(replace(transfer, rejection=""), release)._replace(status=asked(transfer, release).status)
    plain = row._asdict() | {"amount": float(row.amount), "meta_data": json.loads(row.meta_data)}
    return json.dumps(plain | {"inflight": transfer.inflight}, default=lambda time: f"{time.isoformat()}Z").encode()


def _row(  # noqa: PLR0913  # what differs between a transfer's rows
    transfer: Transfer,
    *,
    transaction_id: str,
    parent_transaction: str,
    reference: str,
    status: Status,
    meta_data: dict[str, object],
) -> Row:
    return Row(
        transaction_id=transaction_id,
        parent_transaction=parent_transaction,
        source=transfer.source,
        destination=transfer.destination,
        reference=reference,
        description="sandbox",
        amount=Decimal(transfer.cents) / PRECISION,
        precise_amount=transfer.cents,
        precision=PRECISION,
        currency=transfer.currency,
        status=status,
        hash=transfer.digest,
        created_at=utc(transfer.created_at),
        effective_date=utc(transfer.created_at),
        scheduled_for=utc(transfer.scheduled_at) if transfer.scheduled_at else _NEVER,
        meta_data=json.dumps(meta_data),
    )


def _flags(transfer: Transfer) -> dict[str, object]:
    meta: dict[str, object] = {}
    if transfer.inflight:
        meta["inflight"] = True
    if transfer.refunds:
        meta["allow_overdraft"] = True
    if transfer.provider:
        meta["BLNK_LINEAGE_PROVIDER"] = transfer.provider
    return meta


def _meta(transfer: Transfer, release: Release) -> dict[str, object]:
    # Despite its name, the first is in the queued row as well as in its child, and names the queued row or its group.
    meta = _flags(transfer) | {"QUEUED_PARENT_TRANSACTION": transfer.group or transfer.id}
    if release == "0.15.2":
        meta["queue_lane"] = "normal"
        meta["queue_pair_key"] = f"{transfer.source}|{transfer.destination}|{transfer.currency}"
    return meta


def _digest(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()
