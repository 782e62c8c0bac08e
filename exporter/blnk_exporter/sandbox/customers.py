"""What customers ask for, made up by chance: mostly plain transfers, now and then something else."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .books import Account
from .rows import REJECTIONS, Transfer, new_id
from .schema import Release

SCHEDULE_SECONDS = 60
_REJECTED_SHARE, _INFLIGHT_SHARE, _SCHEDULED_SHARE, _BATCH_SHARE, _SPLIT_SHARE = 0.04, 0.08, 0.04, 0.01, 0.01
_BATCH_SIZE = 3


@dataclass(frozen=True, kw_only=True)
class Customers:
    """The owners of some accounts. Times are Unix seconds."""

    accounts: Sequence[Account]
    release: Release
    random: random.Random

    def transfer(self, created_at: float, source: Account | None = None) -> Transfer:
        """Make up a plain transfer between two customers."""
        source = source or self.random.choice([account for account in self.accounts if not account.world])
        others = [other for other in self.accounts if other.currency == source.currency and other != source]
        destination = self.random.choice(others)
        return Transfer(
            source=source.id,
            destination=destination.id,
            currency=source.currency,
            cents=self.random.randint(100, 20_000),
            created_at=created_at,
            lineage=_traced(source, destination),
        )

    def some(self, created_at: float) -> Sequence[Transfer]:
        """Make up what comes with one request."""
        kind, plain = self.random.random(), self.transfer(created_at)
        if kind < _BATCH_SHARE:
            batch = new_id("bulk")
            return [replace(self.transfer(created_at), group=batch) for _ in range(_BATCH_SIZE)]
        if kind < _BATCH_SHARE + _SPLIT_SHARE:
            # The whole has an id that its parts name, and no row.
            source = next(account for account in self.accounts if account.id == plain.source)
            parts = (self.transfer(created_at, source) for _ in range(2))
            return [
                replace(part, group=plain.id, reference=f"{plain.reference}_{number}")
                for number, part in enumerate(parts, 1)
            ]
        return [self._varied(plain)]

    def refund(self, transfer: Transfer, created_at: float) -> Transfer:
        """Pay an applied transfer back; before 0.15 this has a reference that tells nothing."""
        known = self.release == "0.15.2"
        return Transfer(
            source=transfer.destination,
            destination=transfer.source,
            currency=transfer.currency,
            cents=transfer.cents,
            created_at=created_at,
            refunds=transfer.child_id,
            reference=f"{transfer.child_id}_refund" if known else new_id("ref"),
        )

    def _varied(self, transfer: Transfer) -> Transfer:
        kind = self.random.random()
        if kind < _REJECTED_SHARE:
            reasons = REJECTIONS[self.release]
            weights = [1 / (3**number) for number in range(len(reasons))]
            return replace(transfer, rejection=self.random.choices(reasons, weights)[0])
        kind -= _REJECTED_SHARE
        if kind < _INFLIGHT_SHARE:
            return replace(transfer, inflight=True)
        if kind < _INFLIGHT_SHARE + _SCHEDULED_SHARE:
            return replace(transfer, scheduled_at=transfer.created_at + SCHEDULE_SECONDS)
        return transfer


def _traced(source: Account, destination: Account) -> Literal["", "credit", "debit", "both"]:
    if source.traced and destination.traced:
        return "both"
    return "debit" if source.traced else "credit" if destination.traced else ""
