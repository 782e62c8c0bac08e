"""Seals transactions into the hash chain of release 0.15.2, as Blnk's server does where it is switched on."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from .books import Connection

GENESIS = "0" * 64
SEAL_SECONDS = 5
# Blnk lets a transaction rest before it is sealed.
REST_SECONDS = 30

_BATCH = 1000


class Link(NamedTuple):
    """What sealing adds to a row; the fields are its columns."""

    chain_seq: int
    chain_prev_hash: str
    chain_hash: str


def links(head: str, last: int, transaction_ids: Iterable[str]) -> Sequence[Link]:
    """Continue a chain whose last link has this hash and number."""
    made = []
    for number, transaction_id in enumerate(transaction_ids, last + 1):
        made.append(Link(number, head, hashlib.sha256(f"{head}{transaction_id}".encode()).hexdigest()))
        head = made[-1].chain_hash
    return made


async def seal(connection: Connection, before: datetime) -> int:
    """Seal the rows created before a time, the oldest first, in one transaction; how many there were."""
    async with connection.transaction():
        state = await connection.fetchrow("SELECT last_seq, head_hash FROM blnk.chain_state FOR UPDATE")
        found = await connection.fetch(
            "SELECT id, transaction_id FROM blnk.transactions WHERE chain_seq IS NULL AND created_at < $1"
            f" ORDER BY id LIMIT {_BATCH}",
            before,
        )
        if state is None or not found:
            return 0
        made = links(state["head_hash"], state["last_seq"], (row["transaction_id"] for row in found))
        await connection.executemany(
            "UPDATE blnk.transactions SET chain_seq = $2, chain_prev_hash = $3, chain_hash = $4 WHERE id = $1",
            [(row["id"], *link) for row, link in zip(found, made, strict=True)],
        )
        await advance(connection, made[-1])
    return len(found)


async def advance(connection: Connection, last: Link) -> None:
    """Note the chain's last link."""
    await connection.execute(
        "UPDATE blnk.chain_state SET last_seq = $1, head_hash = $2, updated_at = timezone('UTC', now())",
        *(last.chain_seq, last.chain_hash),
    )
