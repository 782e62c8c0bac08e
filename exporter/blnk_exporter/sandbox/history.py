"""A past for the ledger: hours of transfers with all that became of them, written at once."""

import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from operator import itemgetter

import asyncpg

from . import books, chain, rows
from .books import Connection
from .customers import Customers
from .rows import Action, Row, Transfer, utc

HISTORY_SECONDS = 6 * 3600
HISTORY_REQUESTS = 2000

_DIRECT_SHARE, _REFUNDED_SHARE, _TOGETHER_SHARE = 0.03, 0.01, 0.2
_HELD_SECONDS, _EXPIRY_SECONDS, _REFUND_SECONDS = 20, 180, 60
_LONGEST_SECONDS = 600
# So many rows may take longer than one statement of the workload.
_PATIENCE_SECONDS = 60.0
_JOURNAL = """
INSERT INTO blnk.transaction_journal (transaction_id, action_type, client_addr, backend_pid, timestamp, new_data, succeeded)
SELECT t.transaction_id, 'INSERT', inet_client_addr(), pg_backend_pid(), w.at, to_jsonb(t), true
FROM unnest($1::text[], $2::timestamp[]) w(transaction_id, at) JOIN blnk.transactions t USING (transaction_id) ORDER BY t.id
"""
_BALANCES = """
UPDATE blnk.balances SET balance = balance + $2 - $3, credit_balance = credit_balance + $2,
    debit_balance = debit_balance + $3, version = version + $4 WHERE balance_id = $1
"""
_OUTBOX = (
    *("transaction_id", "source_balance_id", "destination_balance_id", "provider", "lineage_type", "payload"),
    *("created_at", "status", "processed_at"),
)

# A row and when it was written, which the row itself does not tell.
Written = tuple[float, Row]


async def seed(connection: Connection, customers: Customers, *, until: float, sealed: bool) -> None:
    """Let the customers have been busy for some hours, all of it done by ``until``; ``sealed`` with a hash chain."""
    times = [until - HISTORY_SECONDS * (1 - number / HISTORY_REQUESTS) for number in range(HISTORY_REQUESTS)]
    # What takes its time is begun no more when there is none left.
    requests = (customers.some(at) if at < until - _LONGEST_SECONDS else [customers.transfer(at)] for at in times)
    transfers = [transfer for request in requests for transfer in request]
    told = (found for transfer in transfers for found in _told(customers, transfer, until))
    written = sorted(((min(at, until), row) for at, row in told), key=itemgetter(0))
    entries = [
        (*books.traced(transfer, transfer.created_at), "completed", utc(transfer.created_at + 1))
        for transfer in transfers
        if transfer.lineage and transfer.outcome == "APPLIED"
    ]
    async with connection.transaction():
        # No trigger may note these rows as new, and there is no need to look up their balances one by one.
        await connection.execute("SET LOCAL session_replication_role = replica")
        known = await connection.fetch("SELECT transaction_id FROM blnk.transactions ORDER BY id")
        await _write(connection, [row for _, row in written], [row["transaction_id"] for row in known], sealed=sealed)
        ids = [row.transaction_id for _, row in written]
        await connection.execute(_JOURNAL, ids, [utc(at) for at, _ in written], timeout=_PATIENCE_SECONDS)
        await connection.executemany(_BALANCES, _moves(row for _, row in written))
        await connection.copy_records_to_table("lineage_outbox", schema_name="blnk", columns=_OUTBOX, records=entries)


@contextlib.asynccontextmanager
async def backdated(pool: "asyncpg.Pool[asyncpg.Record]", at: float | None = None) -> AsyncIterator[None]:
    """Let the journal say of what is written meanwhile that it was at a time, or when its transaction was created."""
    last = await pool.fetchval("SELECT coalesce(max(id), 0) FROM blnk.transaction_journal")
    yield
    await pool.execute(
        "UPDATE blnk.transaction_journal j SET timestamp = coalesce($2, t.created_at) FROM blnk.transactions t"
        " WHERE j.id > $1 AND t.transaction_id = j.transaction_id",
        *(last, None if at is None else utc(at)),
    )


async def _write(connection: Connection, found: Sequence[Row], known: Sequence[str], *, sealed: bool) -> None:
    columns: tuple[str, ...] = Row._fields
    records: list[tuple[object, ...]] = list(found)
    if sealed:
        made = chain.links(chain.GENESIS, 0, (*known, *(row.transaction_id for row in found)))
        await connection.executemany(
            "UPDATE blnk.transactions SET chain_seq = $2, chain_prev_hash = $3, chain_hash = $4"
            " WHERE transaction_id = $1",
            [(transaction_id, *link) for transaction_id, link in zip(known, made, strict=False)],
        )
        columns += chain.Link._fields
        records = [(*row, *link) for row, link in zip(found, made[len(known) :], strict=True)]
        await chain.advance(connection, made[-1])
    await connection.copy_records_to_table(
        "transactions", schema_name="blnk", columns=columns, records=records, timeout=_PATIENCE_SECONDS
    )


def _told(customers: Customers, transfer: Transfer, until: float) -> Iterator[Written]:
    """All rows of a transfer, each with when it was written; none is asked for after ``until``."""
    chance, release, at = customers.random, customers.release, transfer.created_at
    done = (transfer.scheduled_at or at) + _wait(chance)
    plain = transfer.outcome == "APPLIED" and not transfer.scheduled_at and not transfer.lineage
    if plain and chance.random() < _DIRECT_SHARE:
        yield at, rows.direct(transfer)
        return
    yield at, rows.asked(transfer, release)
    child = rows.settled(transfer, release)
    # 0.15 works off together what waits for the same balance, and then forgets this date.
    waits = not transfer.scheduled_at and not transfer.rejection
    together = release == "0.15.2" and waits and chance.random() < _TOGETHER_SHARE
    yield done, child._replace(effective_date=None) if together else child
    if transfer.outcome == "INFLIGHT":
        yield _end(customers, transfer, done)
    elif plain and done + _REFUND_SECONDS < until and chance.random() < _REFUNDED_SHARE:
        back = customers.refund(transfer, done + _REFUND_SECONDS)
        yield back.created_at, rows.asked(back, release)
        yield back.created_at + _wait(chance), rows.settled(back, release)


def _end(customers: Customers, hold: Transfer, at: float) -> Written:
    action: Action = customers.random.choices(("commit", "void", "expiry"), (6, 2, 2))[0]
    at = hold.created_at + _EXPIRY_SECONDS if action == "expiry" else at + _HELD_SECONDS
    return at, rows.resolved(hold, customers.release, action, hold.cents, at)


def _wait(chance: random.Random) -> float:
    """How long a transfer waits for its worker, in seconds: mostly less than one, rarely many."""
    return min(30.0, 0.1 + chance.lognormvariate(-1.0, 0.9))


def _moves(written: Iterable[Row]) -> Sequence[tuple[str, int, int, int]]:
    """What rows have done to balances: id, credited, debited, how often. Every hold among them has ended."""
    credited, debited, times = Counter[str](), Counter[str](), Counter[str]()
    for row in written:
        if row.status == "APPLIED":
            credited[row.destination] += row.precise_amount
            debited[row.source] += row.precise_amount
            times.update((row.destination, row.source))
    return [(account, credited[account], debited[account], count) for account, count in times.items()]
