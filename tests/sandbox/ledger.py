"""A database with Blnk's schema, and what is asked of the rows in it."""

import contextlib
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg

from blnk_exporter.sandbox import schema
from blnk_exporter.sandbox.postgres import PostgresServer

from ..waiting import PATIENCE_SECONDS

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

UNBALANCED = (
    "SELECT currency FROM blnk.balances GROUP BY currency"
    " HAVING sum(balance) <> 0 OR sum(inflight_balance) <> 0 OR sum(credit_balance) <> sum(debit_balance)"
)
# A balance is what its own rows say: the check that an auditor would make.
DIVERGING = """
SELECT balance_id FROM blnk.balances b
WHERE balance <> (SELECT coalesce(sum(CASE WHEN destination = balance_id THEN precise_amount ELSE -precise_amount END), 0)
                  FROM blnk.transactions t WHERE status = 'APPLIED' AND balance_id IN (source, destination))
"""
# What holds still hold: less what was committed, and nothing once one was given back. An expiry hangs on the queued row.
HELD = """
SELECT coalesce(sum(h.precise_amount - (SELECT coalesce(sum(c.precise_amount), 0) FROM blnk.transactions c
                                        WHERE c.parent_transaction = h.transaction_id AND c.status = 'APPLIED')), 0)
FROM blnk.transactions h
WHERE h.status = 'INFLIGHT' AND NOT EXISTS (
    SELECT FROM blnk.transactions v WHERE v.status = 'VOID' AND v.parent_transaction IN (h.transaction_id, h.parent_transaction))
"""
# Whether every link follows from the one before and the record names the last; its number; how many rows have none.
CHAINED = """
SELECT (SELECT bool_and(c.chain_prev_hash = coalesce(p.chain_hash, repeat('0', 64)) AND (p.id IS NOT NULL OR c.chain_seq = 1))
        FROM blnk.transactions c LEFT JOIN blnk.transactions p ON p.chain_seq = c.chain_seq - 1
        WHERE c.chain_seq IS NOT NULL)
       AND last_seq = (SELECT max(chain_seq) FROM blnk.transactions)
       AND head_hash = (SELECT chain_hash FROM blnk.transactions WHERE chain_seq = last_seq) AS whole,
       last_seq, (SELECT count(*) FROM blnk.transactions WHERE chain_seq IS NULL) AS unsealed
FROM blnk.chain_state
"""


@contextlib.asynccontextmanager
async def a_database(server: PostgresServer, release: schema.Release) -> AsyncIterator[Pool]:
    """A new and empty ledger of a release."""
    admin = await asyncpg.connect(server.dsn())
    await admin.execute("DROP DATABASE IF EXISTS workload WITH (FORCE)")
    await admin.execute("CREATE DATABASE workload")
    await admin.close()
    async with asyncpg.create_pool(
        server.dsn(database="workload"), min_size=0, max_size=2, command_timeout=PATIENCE_SECONDS
    ) as made:
        async with made.acquire() as connection:
            await schema.apply(connection, release)
        yield made
