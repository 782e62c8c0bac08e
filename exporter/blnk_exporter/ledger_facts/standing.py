"""What stands in Blnk's smaller tables and needs no memory: lineage outbox, hash chain, reconciliations, API keys.

``$1`` is the JSON object of rows.py; ``sealed`` in it is the chain's head of before, as number and hash; ``local`` in it is the time zone of Blnk's processes, which the times that they
write are in; ``utc`` is true since 0.15.0. What PostgreSQL fills in is in the server's own zone, which is our session's.
"""

from ..metric import Metric
from ..table import Table

# Where counting stops.
COUNT_MAX = 10_000
_RECENT_MAX = 1000
# As many as Blnk seals in one transaction.
_LINKS_MAX = 1000


def _metric(name: str, help_: str, source: str, *labels: str) -> Metric:
    return Metric(f"blnk_ledger_{name}", help_, labels, source)


def _count(rows: str) -> str:
    return f"(SELECT count(*) FROM (SELECT FROM {rows} LIMIT {COUNT_MAX}) c)"  # noqa: S608 - constants


def _age(moment: str) -> str:
    """Columns ``age`` in seconds, of a time that Blnk's processes wrote, and ``gap``.

    A time that lies further ahead than clocks differ was written in another zone: its age is unknown, not 0.
    """
    age = f"extract(epoch FROM now() - {moment} AT TIME ZONE ($1::json ->> 'local'))"
    return f"""
        CASE WHEN {age} > -600 THEN greatest(0, {age}) END AS age,
        CASE WHEN {age} <= -600 THEN 'its time is ahead of the clock of PostgreSQL; set ledger.timezone' END AS gap
    """


# Until 0.15.0 Blnk wrote the time of the lock itself.
_LOCKED_UNTIL = """CASE WHEN ($1::json ->> 'utc')::boolean THEN locked_until::timestamptz
                        ELSE locked_until AT TIME ZONE ($1::json ->> 'local') END"""
_ABANDONED = f"status = 'processing' AND {_LOCKED_UNTIL} < now() - interval '5 minutes'"
LINEAGE = Table(
    name="lineage",
    sql={
        0: f"""
        SELECT s.state,
               CASE s.state WHEN 'pending' THEN {_count("blnk.lineage_outbox WHERE status = 'pending'")}
                            WHEN 'failed' THEN {_count("blnk.lineage_outbox WHERE status = 'failed'")}
                            ELSE {_count(f"blnk.lineage_outbox WHERE {_ABANDONED}")} END AS entries
        FROM (VALUES ('pending'), ('failed'), ('abandoned')) s(state)
        """,  # noqa: S608 - built of constants
    },
    labels=("state",),
    columns={
        "entries": _metric(
            "lineage_entries",
            f"Entries of the lineage outbox: pending, failed for good, or abandoned (begun, and their lock over for 5 minutes); counted up to {COUNT_MAX}.",
            "lineage_outbox",
            "state",
        )
    },
)
LINEAGE_AGE = Table(
    name="lineage_age",
    sql={
        0: f"""
        SELECT {_age("created_at")}
        FROM blnk.lineage_outbox
        WHERE status = 'pending' ORDER BY created_at LIMIT 1
        """,  # noqa: S608 - built of constants
    },
    columns={
        "age": _metric(
            "lineage_oldest_pending_age_seconds",
            "How long the oldest pending entry of the lineage outbox waits; absent when none does, and where its time lies ahead.",
            "lineage_outbox.created_at",
        )
    },
)

# The head of before must be in its place, and each of the rows behind it continue the one before: a row of them that
# is cut off and sealed over would go unnoticed else, since Blnk goes on from the record and not from the rows.
_CONTINUED = f"""
    SELECT bool_and((CASE WHEN n.chain_seq = s.seq THEN n.chain_hash = s.hash
                          ELSE n.chain_prev_hash = n.hash END) IS TRUE) AS whole
    FROM (SELECT t.*, lag(t.chain_hash) OVER (ORDER BY t.chain_seq) AS hash
          FROM (SELECT r.chain_seq, r.chain_hash, r.chain_prev_hash FROM blnk.transactions r
                WHERE r.chain_seq >= s.seq ORDER BY r.chain_seq LIMIT {_LINKS_MAX + 1}) t) n
"""  # noqa: S608 - built of constants
# A seal is one transaction, so one snapshot never shows half of one. Rows from before the chain was switched on are
# sealed too. An idle ledger seals nothing: its last seal may be old and all is well.
CHAIN = Table(
    name="chain",
    sql={
        0: f"""
        SELECT c.last_seq, c.head_hash AS head, extract(epoch FROM c.updated_at AT TIME ZONE 'UTC') AS sealed_at,
               (c.last_seq = (SELECT max(t.chain_seq) FROM blnk.transactions t)
                AND c.head_hash = (SELECT t.chain_hash FROM blnk.transactions t WHERE t.chain_seq = c.last_seq)
                AND CASE WHEN s.seq IS NULL THEN true ELSE ({_CONTINUED}) END) IS TRUE AS whole,
               CASE WHEN u.id IS NULL THEN 0 ELSE (SELECT max(t.id) FROM blnk.transactions t) - u.id + 1 END AS unsealed,
               CASE WHEN u.id IS NOT NULL THEN greatest(0, extract(epoch FROM now() - CASE u.status
                   WHEN 'SCHEDULED' THEN u.created_at ELSE greatest(u.created_at, u.scheduled_for) END AT TIME ZONE 'UTC'))
               END AS age
        FROM blnk.chain_state c
        CROSS JOIN (SELECT ($1::json -> 'sealed' ->> 0)::bigint AS seq, $1::json -> 'sealed' ->> 1 AS hash) s
        LEFT JOIN LATERAL (SELECT t.id, t.status, t.created_at, t.scheduled_for FROM blnk.transactions t
                           WHERE t.chain_seq IS NULL ORDER BY t.id LIMIT 1) u ON true
        WHERE c.chain_key = 'global' AND (c.last_seq > 0 OR s.seq IS NOT NULL)
        """,  # noqa: S608 - built of constants
    },
    columns={
        "last_seq": _metric(
            "chain_last_sequence",
            "Number of the last sealed transaction; absent where the hash chain has never been on.",
            "chain_state.last_seq",
        ),
        "sealed_at": _metric(
            "chain_last_seal_timestamp_seconds",
            "When the chain was last continued; an idle ledger continues nothing.",
            "chain_state.updated_at",
        ),
        "whole": _metric(
            "chain_head_consistent",
            "Whether the chain's recorded head is its last sealed transaction, with the same hash, and continues the head that was whole before; 0 means that rows or the record were changed or lost, and stays until they are there again or the exporter is restarted. What was changed before it started, or further back, it does not see.",
            "chain_state, transactions.chain_seq, chain_hash, chain_prev_hash",
        ),
        "unsealed": _metric(
            "chain_unsealed_ids",
            "Ids from the first unsealed transaction to the newest one: at most so many wait to be sealed.",
            "transactions.chain_seq",
        ),
        "age": _metric(
            "chain_unsealed_age_seconds",
            "Since when the first unsealed transaction was due; absent when all are sealed. Blnk waits 30 seconds by itself.",
            "transactions.created_at",
        ),
    },
)

RECONCILIATIONS = Table(
    name="reconciliations",
    sql={
        0: f"""
        SELECT s.status, count(r.status) AS runs
        FROM (VALUES ('started'), ('in_progress'), ('completed'), ('failed')) s(status)
        LEFT JOIN (SELECT status FROM blnk.reconciliations ORDER BY id DESC LIMIT {_RECENT_MAX}) r ON r.status = s.status
        GROUP BY s.status
        """,  # noqa: S608 - built of constants
    },
    labels=("status",),
    columns={
        "runs": _metric(
            "reconciliations",
            f"Reconciliations by status, among the last {_RECENT_MAX}.",
            "reconciliations.status",
            "status",
        )
    },
)
RECONCILIATION_AGE = Table(
    name="reconciliation_age",
    sql={
        0: f"""
        SELECT {_age("min(started_at)")}
        FROM (SELECT status, started_at FROM blnk.reconciliations ORDER BY id DESC LIMIT {_RECENT_MAX}) r
        WHERE status IN ('started', 'in_progress') HAVING count(*) > 0
        """,  # noqa: S608 - built of constants
    },
    columns={
        "age": _metric(
            "reconciliation_oldest_running_age_seconds",
            "How long the oldest unfinished reconciliation runs; absent when none does, and where its time lies ahead. A restart of Blnk leaves it so for ever.",
            "reconciliations.started_at",
        )
    },
)

API_KEYS = Table(
    name="api_keys",
    sql={
        0: f"""
        SELECT s.state, count(k.state) AS keys
        FROM (VALUES ('active'), ('expired'), ('revoked')) s(state)
        LEFT JOIN (SELECT CASE WHEN is_revoked THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'active' END AS state
                   FROM blnk.api_keys LIMIT {COUNT_MAX}) k ON k.state = s.state
        GROUP BY s.state
        """,  # noqa: S608 - built of constants
    },
    labels=("state",),
    columns={
        "keys": _metric("api_keys", f"API keys by state, among {COUNT_MAX} at most.", "api_keys", "state"),
    },
)
API_KEY_EXPIRY = Table(
    name="api_key_expiry",
    sql={
        0: f"""
        SELECT extract(epoch FROM min(expires_at)) AS expires_at
        FROM (SELECT expires_at, last_used_at, is_revoked FROM blnk.api_keys LIMIT {COUNT_MAX}) k
        WHERE NOT is_revoked AND expires_at > now() AND isfinite(expires_at) AND last_used_at > now() - interval '30 days'
        """,  # noqa: S608 - built of constants
    },
    columns={
        "expires_at": _metric(
            "api_key_next_expiry_timestamp_seconds",
            "When the next API key expires, among those used within 30 days; absent when there is none.",
            "api_keys.expires_at",
        )
    },
)
TABLES = (LINEAGE, LINEAGE_AGE, CHAIN, RECONCILIATIONS, RECONCILIATION_AGE, API_KEYS, API_KEY_EXPIRY)
