"""A ledger of its own per test, on both releases, written to as Blnk writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
from tests.collectors.conftest import Page, page
from tests.conftest import Database, postgres_client

from blnk_exporter.collectors.ledger import COLLECTOR, LedgerSource
from blnk_exporter.ledger_facts.following import Bounds, Following
from blnk_exporter.sandbox import schema
from blnk_exporter.table import TableReader

_INSERT = """
    INSERT INTO blnk.transactions (transaction_id, parent_transaction, source, destination, reference, amount,
        precise_amount, precision, currency, status, hash, created_at, scheduled_for, meta_data)
    VALUES ($1, $2, 'bln_a', 'bln_b', $3, $4 / 100, $4, 100, $5, $6, 'h',
            (now() - make_interval(secs => $7)) AT TIME ZONE $8,
            coalesce((now() - make_interval(secs => $9)) AT TIME ZONE 'UTC', '0001-01-01'), $10::text::jsonb)
    RETURNING id
"""


@dataclass
class Ledger:
    """One database with Blnk's tables; ``zone`` is that of Blnk's clock."""

    server: Database
    name: str
    connection: asyncpg.Connection
    release: str
    zone: str = "UTC"

    async def write(
        self,
        status: str,
        *,
        of: str = "",
        reference: str | None = None,
        age: float = 0.0,
        due: float | None = None,
        cents: int | None = 100,
        currency: str = "USD",
        meta: str = "{}",
        connection: asyncpg.Connection | None = None,
    ) -> str:
        """A row, created ``age`` seconds ago; gives its transaction_id."""
        name = f"txn_{uuid4()}"
        row = (name, of, reference or f"ref_{name}", cents, currency, status, age, self.zone, due, meta)
        await (connection or self.connection).execute(_INSERT, *row)
        return name

    async def open_balance(self, name: str, currency: str = "USD", credit: int = 0, debit: int = 0) -> None:
        """A balance; before 0.15.0 it has a column more."""
        more = {"currency_multiplier": 1} if self.release == "0.13.2" else {}
        row = {"balance_id": name, "ledger_id": "ldg", "currency": currency, "balance": credit - debit}
        row |= {"credit_balance": credit, "debit_balance": debit} | more
        places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
        await self.connection.execute(f"INSERT INTO blnk.balances ({', '.join(row)}) VALUES ({places})", *row.values())

    async def outcome(self, status: str, of: str, **more: Any) -> str:
        """The row of a queued transaction's outcome: its reference and its creation are those of its parent."""
        parent = await self.connection.fetchrow(
            "SELECT reference, extract(epoch FROM now() - created_at AT TIME ZONE $2)::float8 AS age"
            " FROM blnk.transactions WHERE transaction_id = $1",
            *(of, self.zone),
        )
        return await self.write(status, of=of, reference=f"{parent['reference']}_q", age=parent["age"], **more)

    @asynccontextmanager
    async def followed(self, user: str = "postgres", **fields: Any) -> AsyncIterator["Follower"]:
        """A collector on it, which has read it once: what is there is history, and all of that is known."""
        bounds = Bounds(**fields.pop("bounds", {}))
        async with postgres_client(self.server.dsn(user, database=self.name)) as client:
            follower = Follower(LedgerSource(TableReader(client), Following(bounds), **fields))
            await follower.read()
            yield follower

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection]:
        """Another session of Blnk's."""
        async with self.server.admin(self.name) as connection:
            yield connection


@dataclass
class Follower:
    """A collector and what it told last."""

    source: LedgerSource
    gaps: dict[str, str] | None = None

    async def read(self) -> Page:
        """The next page."""
        reading = await COLLECTOR.read(self.source)
        self.gaps = {gap.fact: gap.reason for gap in reading.gaps}
        return page(COLLECTOR.samples([_Told(self.source, reading)]))

    async def value(self, name: str, *labels: str) -> float | None:
        """One number of the next page; None where it is absent."""
        return (await self.read()).get(f"blnk_ledger_{name}", {}).get(labels)


@dataclass(frozen=True)
class _Told:
    source: LedgerSource
    reading: Any
    failure: None = None
    address: str = "here"


@asynccontextmanager
async def new_ledger(server: Database, release: str) -> AsyncIterator[Ledger]:
    """An empty ledger but for two balances, gone afterwards."""
    name = f"ledger_{uuid4().hex[:8]}"
    async with server.admin("postgres") as admin:
        await admin.execute(f"CREATE DATABASE {name}")
        try:
            async with server.admin(name) as connection:
                await schema.apply(connection, release)
                await connection.execute("INSERT INTO blnk.ledgers (ledger_id, name) VALUES ('ldg', 'General')")
                ledger = Ledger(server, name, connection, release)
                for balance in ("bln_a", "bln_b"):
                    await ledger.open_balance(balance)
                yield ledger
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
