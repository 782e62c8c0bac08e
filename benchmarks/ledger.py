"""Fills Blnk's tables with transactions that were queued and applied, as many as wanted, within the server."""

import secrets

from blnk_exporter.sandbox import schema
from blnk_exporter.sandbox.books import Connection

_BALANCES = 10_000
_CHUNK = 100_000
_SECONDS = 3600.0
_PREPARE = f"""
INSERT INTO blnk.ledgers (ledger_id, name, created_at) VALUES ('general_ledger_id', 'General Ledger', now());
INSERT INTO blnk.balances (balance_id, ledger_id, currency, created_at, balance, credit_balance, debit_balance, meta_data)
SELECT 'bln_' || n, 'general_ledger_id', (ARRAY['USD', 'EUR', 'NGN'])[n % 3 + 1], now(), 0, 0, 0, 'null'
FROM generate_series(0, {_BALANCES - 1}) n;
"""  # numbers of ours
# $1: how many pairs; $2: what makes their ids new; $3: over how many seconds before now they are spread.
_TRANSFERS = f"""
INSERT INTO blnk.transactions (transaction_id, parent_transaction, source, destination, reference, description, amount,
    precise_amount, precision, currency, status, hash, created_at, effective_date, scheduled_for, meta_data)
SELECT 'txn_' || k || s, CASE s WHEN '' THEN '' ELSE 'txn_' || k END, 'bln_' || n % {_BALANCES},
       'bln_' || (n + 3) % {_BALANCES}, 'ref_' || k || s, 'benchmark', 1, 100, 100, (ARRAY['USD', 'EUR', 'NGN'])[n % 3 + 1],
       CASE s WHEN '' THEN 'QUEUED' ELSE 'APPLIED' END, md5(k || s), at, at, '0001-01-01', '{{"channel": "benchmark"}}'
FROM (SELECT n, md5($2 || n) AS k, now() AT TIME ZONE 'UTC' - make_interval(secs => $3 * (1 - n::float / $1)) AS at
      FROM generate_series(1, $1::int) n) t, (VALUES (''), ('_q')) v(s)
ORDER BY n, s
"""  # as above
_JOURNAL = """
INSERT INTO blnk.transaction_journal (transaction_id, action_type, timestamp, new_data, succeeded)
SELECT t.transaction_id, 'INSERT', t.created_at, to_jsonb(t), true FROM blnk.transactions t ORDER BY t.id
"""


async def create(connection: Connection, rows: int) -> None:
    """Blnk's tables with so many transactions of three days, all of them with an outcome, in an empty database."""
    await schema.apply(connection)
    async with connection.transaction():
        # No trigger, and no look at foreign keys: written row by row this would take hours.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(_PREPARE)
        for done in range(0, rows, _CHUNK):
            pairs = min(_CHUNK, rows - done) // 2
            await connection.execute(_TRANSFERS, pairs, secrets.token_hex(4), 72 * _SECONDS, timeout=None)
        await connection.execute(_JOURNAL, timeout=None)
    await connection.execute("VACUUM ANALYZE", timeout=None)


async def work(connection: Connection, rows: int) -> None:
    """What comes between two scrapes: new transactions with their outcomes, through every trigger."""
    await connection.execute(_TRANSFERS, rows // 2, secrets.token_hex(4), 1.0)
