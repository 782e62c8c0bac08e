"""Fills the smaller tables of a ledger that has been used for a while: API keys and reconciliations."""

import json
import secrets
import time
from datetime import UTC, datetime, timedelta

from .books import Connection
from .rows import new_id, utc

# Go's zero time: a key that nobody has used yet.
_NEVER = datetime(1, 1, 1, tzinfo=UTC)
_DAY, _YEAR = timedelta(days=1), timedelta(days=365)
_RECONCILED_SECONDS = 5 * 3600


async def api_keys(connection: Connection) -> None:
    """Write a key in use, one that has some weeks left, one that was never used, one that was revoked."""
    now = datetime.now(UTC)
    keys = (
        ("backend", now - 90 * _DAY, now + _YEAR, now, None),
        ("reporting", now - 360 * _DAY, now + 45 * _DAY, now - timedelta(minutes=10), None),
        ("spare", now - 30 * _DAY, now + _YEAR, _NEVER, None),
        ("contractor", now - 200 * _DAY, now + 165 * _DAY, now - 40 * _DAY, now - 39 * _DAY),
    )
    await connection.executemany(
        "INSERT INTO blnk.api_keys (api_key_id, key_prefix, key, name, owner_id, scopes, created_at, expires_at,"
        " last_used_at, is_revoked, revoked_at) VALUES ($1, $2, $3, $4, 'sandbox', $5, $6, $7, $8, $9, $10)",
        [
            (
                *(new_id("api_key"), secrets.token_urlsafe(12), f"$2a$10${secrets.token_urlsafe(39)}", name),
                *(["ledgers:read", "transactions:write"], created, expires, used, revoked is not None, revoked),
            )
            for name, created, expires, used, revoked in keys
        ],
    )


async def reconciliations(connection: Connection) -> None:
    """Write a rule, and a run that it was once used in and that ended well."""
    begun = utc(time.time() - _RECONCILED_SECONDS)
    criteria = json.dumps([{"field": "amount", "operator": "equals", "allowable_drift": 0.01}])
    await connection.execute(
        "INSERT INTO blnk.matching_rules (rule_id, name, criteria, created_at, updated_at)"
        " VALUES ($1, 'amount', $2, $3, $3)",
        *(new_id("rule"), criteria, begun),
    )
    await reconciliation(connection, "completed", begun, begun + timedelta(seconds=8))


async def reconciliation(
    connection: Connection, status: str, started_at: datetime, completed_at: datetime | None = None
) -> None:
    """Write one run. One that was begun and forgotten has no end, and neither has one that failed."""
    matched = 118 if completed_at else 0
    await connection.execute(
        "INSERT INTO blnk.reconciliations (reconciliation_id, upload_id, status, matched_transactions,"
        " unmatched_transactions, started_at, completed_at) VALUES ($1, $2, $3, $4, 0, $5, $6)",
        *(new_id("recon"), new_id("upload"), status, matched, started_at, completed_at),
    )
