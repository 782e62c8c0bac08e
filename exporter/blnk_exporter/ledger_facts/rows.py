"""The statements that follow Blnk's rows: new ones by id, older ones in steps, each with what it opens and closes.

``$1`` is a JSON object: Following.positions(), and ``zone``, the time zone that creation times are in. Every
statement reads a bounded number of rows by an index that both 0.13.2 and 0.15.2 have. Whatever PostgreSQL believes of a
table that was never analyzed: OFFSET 0 keeps it from reading all of it into a hash to look up a few rows, IS TRUE from
the index of states, which holds every row that was ever queued.
"""

from ..table import Table
from . import schema

# One reading takes at most so many new rows; what is left is told and comes with the next one.
ROWS_MAX = 50_000
# How far below the newest row the first reading looks for ids whose transactions have yet to commit.
_LOOK_BACK = 1000
_OPEN_STATUSES = "('QUEUED', 'SCHEDULED', 'INFLIGHT')"


def _position(name: str) -> str:
    """How far a table was followed, and what else the statements need to know."""
    return f"""
    SELECT coalesce(($1::json ->> '{name}')::bigint, 9223372036854775807) AS position, ($1::json ->> '{name}') IS NULL AS first,
           $1::json -> '{name}_again' AS again, $1::json ->> 'zone' AS zone,
           least({ROWS_MAX}, ($1::json ->> 'span')::bigint * 5) AS most
"""


# An id that is missing now may be one whose transaction has yet to commit.
_MISSING = """
    CASE WHEN a.first THEN (
        SELECT json_agg(n) FROM generate_series(greatest(1, l.last - {back}), l.last) n
        WHERE NOT EXISTS (SELECT FROM blnk.{table} t WHERE t.id = n)) END AS missing
"""
_SNAPSHOT = "pg_snapshot_xmin(s)::text::bigint AS oldest, pg_snapshot_xmax(s)::text::bigint AS next, l.last"


def _open(row: str) -> str:
    """Whether a QUEUED, SCHEDULED or INFLIGHT row has no outcome yet.

    Nobody writes a row for an amount of 0, and none can be written where its reference is taken. A hold ends when all
    of it was committed, or by a VOID; that of an expiry hangs on the QUEUED row which the hold came from. Rows of 2024
    and before may lack the precise amount: the first commit then counts as all.
    """
    return f"""
        CASE WHEN {row}.status = 'INFLIGHT' THEN
            NOT EXISTS (SELECT FROM blnk.transactions c WHERE c.parent_transaction = {row}.transaction_id AND (c.status = 'VOID') IS TRUE OFFSET 0)
            AND coalesce((SELECT sum(coalesce(c.precise_amount, 1)) FROM blnk.transactions c
                          WHERE c.parent_transaction = {row}.transaction_id AND (c.status = 'APPLIED') IS TRUE), 0)
                < coalesce({row}.precise_amount, 1)
            AND CASE WHEN EXISTS (SELECT FROM blnk.transactions q
                                  WHERE q.transaction_id = {row}.parent_transaction AND q.status IN ('QUEUED', 'SCHEDULED') OFFSET 0)
                     THEN NOT EXISTS (SELECT FROM blnk.transactions c
                                      WHERE c.parent_transaction = {row}.parent_transaction AND (c.status = 'VOID') IS TRUE OFFSET 0)
                     ELSE true END
        ELSE
            {row}.precise_amount IS DISTINCT FROM 0
            AND NOT EXISTS (SELECT FROM blnk.transactions c WHERE c.reference = {row}.reference || '_q' OFFSET 0)
            AND NOT EXISTS (SELECT FROM blnk.transactions c
                            WHERE c.parent_transaction = {row}.transaction_id AND c.status <> 'VOID' OFFSET 0)
        END
    """  # noqa: S608 - built of constants


def _due(row: str) -> str:
    """When an open row begins to wait."""
    return f"""
        extract(epoch FROM CASE {row}.status WHEN 'SCHEDULED' THEN {row}.scheduled_for ELSE {row}.created_at END
                           AT TIME ZONE a.zone)
    """


_OPENED = f"CASE WHEN f.status IN {_OPEN_STATUSES} AND ({_open('f')}) THEN {_due('f')} END"
# The parent, once it is closed; and of a VOID that hangs on a queued row, the hold that came from that row.
_CLOSED = f"""
    CASE WHEN f.parent_transaction <> '' AND f.status NOT IN ('QUEUED', 'SCHEDULED') THEN (
        SELECT json_agg(o.id) FROM (
            SELECT p.id FROM blnk.transactions p
            WHERE p.transaction_id = f.parent_transaction AND p.status IN {_OPEN_STATUSES} AND NOT ({_open("p")})
            UNION ALL
            SELECT h.id FROM blnk.transactions p JOIN blnk.transactions h ON h.parent_transaction = p.transaction_id
            WHERE f.status = 'VOID' AND p.transaction_id = f.parent_transaction AND p.status IN ('QUEUED', 'SCHEDULED')
              AND (h.status = 'INFLIGHT') IS TRUE) o) END
"""  # noqa: S608 - built of constants


def _fresh(table: str, columns: str) -> str:
    """New rows above the position, the lowest first, and as many at most that have come late into a gap."""
    return f"""
        (SELECT {columns} FROM blnk.{table} t WHERE t.id > a.position ORDER BY t.id LIMIT a.most)
        UNION ALL
        (SELECT late.* FROM json_array_elements(a.again) gap, LATERAL (
             SELECT {columns} FROM blnk.{table} t
             WHERE t.id >= (gap ->> 0)::bigint AND t.id <= (gap ->> 1)::bigint ORDER BY t.id LIMIT a.most) late
         LIMIT a.most)
    """  # noqa: S608 - built of constants


def _tail(name: str, table: str, columns: str, row: str, joins: str = "") -> str:
    """One row: the snapshot, the newest id, the new rows as JSON arrays, and the ids that are missing at first."""
    return f"""
        SELECT {_SNAPSHOT}, extract(epoch FROM now()) AS now, a.most,
               (SELECT json_agg(json_build_array({row})) FROM ({_fresh(table, columns)}) f {joins}) AS fresh,
               {_MISSING.format(back=_LOOK_BACK, table=table)}
        FROM ({_position(name)}) a, pg_current_snapshot() s,
             (SELECT coalesce(max(id), 0) AS last FROM blnk.{table}) l
    """  # noqa: S608 - built of constants


_COLUMNS = (
    "id, status, currency, transaction_id, parent_transaction, reference, precise_amount, created_at, scheduled_for"
)

# fresh: [id, status, currency, due if it is open, ids that it closes]
ROWS = Table(
    name="transactions",
    sql={0: _tail("rows", "transactions", _COLUMNS, f"f.id, f.status, f.currency, {_OPENED}, {_CLOSED}")},
)

# The texts that Blnk gives as reasons hold amounts and names of balances; only a word of a closed set leaves the database.
# Source: Blnk's own classification, v0.15.2 transaction_rejection.go.
_REASON = """
    CASE WHEN f.reason ILIKE '%insufficient funds%' THEN 'insufficient_funds'
         WHEN f.reason ILIKE '%overdraft limit%' THEN 'overdraft_limit'
         WHEN f.reason ILIKE ANY (ARRAY['%failed to acquire%lock%', '%lock wait%', '%lock already held%']) THEN 'lock_contention'
         WHEN f.reason ILIKE '%exceeded max%' THEN 'max_retries'
         WHEN f.reason IS NULL THEN 'unknown'
         ELSE 'other' END
"""
REASON_KEY = "blnk_rejection_reason"
_FUNCTION_SCHEMA, _FUNCTION = "blnk_exporter", "rejection_reason"
REASON_FUNCTION = f"{_FUNCTION_SCHEMA}.{_FUNCTION}"
REASON_BODY = f"""SELECT {_REASON} FROM (
        SELECT t.meta_data ->> '{REASON_KEY}' AS reason FROM blnk.transactions t WHERE t.id = $1) f"""  # noqa: S608
REASONS = Table(
    name="rejection_reasons",
    sql={
        0: f"""
        SELECT f.id, {_REASON} AS reason
        FROM ({_position("rows")}) a,
             LATERAL ({_fresh("transactions", f"id, status, meta_data ->> '{REASON_KEY}' AS reason")}) f
        WHERE (f.status = 'REJECTED') IS TRUE
        """,  # noqa: S608 - built of constants
    },
)
# The same where `blnk-exporter grants postgres` was asked for the function instead of the column.
REASONS_BY_FUNCTION = Table(
    name=REASONS.name,
    sql={
        0: f"""
        SELECT f.id, coalesce({REASON_FUNCTION}(f.id), 'unknown') AS reason
        FROM ({_position("rows")}) a, LATERAL ({_fresh("transactions", "id, status")}) f
        WHERE (f.status = 'REJECTED') IS TRUE
        """,  # noqa: S608 - built of constants
    },
)

# A row's own created_at is a copy of that of the row that was queued; when it was written stands in the journal alone.
# fresh: [id, action, status, seconds from creation to the row], the last two for queued rows and their outcomes.
JOURNAL = Table(
    name="journal",
    sql={
        0: _tail(
            "journal",
            "transaction_journal",
            "id, action_type, transaction_id, timestamp",
            "f.id, f.action_type, w.status, w.seconds",
            """
            LEFT JOIN LATERAL (
                SELECT t.status, extract(epoch FROM f.timestamp::timestamptz - t.created_at AT TIME ZONE a.zone) AS seconds
                FROM blnk.transactions t
                WHERE f.action_type = 'INSERT' AND t.transaction_id = f.transaction_id
                  AND (t.status = 'QUEUED' OR t.status IN ('APPLIED', 'INFLIGHT', 'REJECTED') AND EXISTS (
                           SELECT FROM blnk.transactions p WHERE p.transaction_id = t.parent_transaction AND p.status = 'QUEUED' OFFSET 0))
                OFFSET 0
            ) w ON true
            """,
        ),
    },
)

# found: [id, status, whether it has no outcome yet] of remembered rows; of one that is gone, no status
OPEN = Table(
    name="open_transactions",
    sql={
        0: f"""
        SELECT (SELECT json_agg(json_build_array(o.id::bigint, t.status, coalesce(t.still, false)))
                FROM json_array_elements_text($1::json -> 'open') o(id) LEFT JOIN LATERAL (
                    SELECT f.status, f.status IN {_OPEN_STATUSES} AND ({_open("f")}) AS still
                    FROM blnk.transactions f WHERE f.id = o.id::bigint OFFSET 0) t ON true) AS found
        """,  # noqa: S608 - built of constants
    },
)

# open: [id, status, due] of the ``span`` rows from ``before`` downwards, however far apart their ids are; looked: how many
# rows there were, lowest and since: the id of the oldest of them and when it was created
HISTORY = Table(
    name="history",
    sql={
        0: f"""
        SELECT s.looked, s.lowest, (SELECT json_agg(json_build_array(t.id, t.status, {_due("t")})) FROM blnk.transactions t
                WHERE t.id <= a.before AND t.id >= s.lowest AND (t.status IN {_OPEN_STATUSES}) IS TRUE AND ({_open("t")})) AS open,
               (SELECT extract(epoch FROM t.created_at AT TIME ZONE a.zone) FROM blnk.transactions t WHERE t.id = s.lowest) AS since
        FROM (SELECT ($1::json ->> 'span')::bigint AS span, $1::json ->> 'zone' AS zone,
                     coalesce(($1::json ->> 'before')::bigint, (SELECT max(id) FROM blnk.transactions)) AS before) a,
             LATERAL (SELECT count(*) AS looked, min(id) AS lowest FROM (
                          SELECT t.id FROM blnk.transactions t WHERE t.id <= a.before ORDER BY t.id DESC LIMIT a.span) l) s
        """,  # noqa: S608 - built of constants
    },
)

# Each currency by one look at the index, so that counters can begin at 0.
CURRENCIES = Table(
    name="currencies",
    sql={
        0: """
        WITH RECURSIVE known(currency, number) AS (
            SELECT min(currency), 1 FROM blnk.transactions
            UNION ALL
            SELECT (SELECT min(t.currency) FROM blnk.transactions t WHERE t.currency > known.currency), number + 1
            FROM known WHERE currency IS NOT NULL AND number < 100)
        SELECT currency FROM known WHERE currency IS NOT NULL
        """,
    },
)

# What tells one release's tables from another's.
RELEASE = Table(
    name="release",
    sql={
        0: f"""
        SELECT p.problem, to_regclass('blnk.chain_state') IS NOT NULL AS chain,
               to_regclass('blnk.lineage_outbox') IS NOT NULL AS lineage,
               NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('blnk.transactions')
                           AND attname = 'rate' AND NOT attisdropped) AS utc,
               EXISTS (SELECT FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
                       WHERE n.nspname = '{_FUNCTION_SCHEMA}' AND f.proname = '{_FUNCTION}' AND f.proargtypes = '20' AND f.prosecdef
                         AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(f.oid, 'EXECUTE')) AS reason_function
        FROM ({schema.PROBLEM}) p
        """,  # noqa: S608 - built of constants
    },
)
