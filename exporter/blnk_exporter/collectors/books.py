"""Whether the books balance: every balance its credits less its debits, every currency's sum 0.

Source:   blnk.balances, read whole; blnk.gorp_migrations for the ledger's age
Needs:    SELECT on the columns that deploy/postgres/exporter_role.sql names
By hand:  psql -c 'SELECT currency, sum(balance) FROM blnk.balances GROUP BY 1'
Cost:     1 scan of the balances per books.interval_seconds, on a connection and a time limit of its own
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..collector import Collector, Gap, Reading, Result
from ..errors import Locked, Malformed, ReadingError, Refused, TooDear
from ..ledger_facts.schema import SCHEMA, check
from ..metric import Metric, Sample
from ..right import Select
from ..table import Row, Rows, Table

# While an older answer is there, nobody waits longer than this for the new one.
_PATIENCE_SECONDS = 1.0
_REFUSED_SECONDS = 60.0


def _metric(name: str, help_: str, source: str, *labels: str) -> Metric:
    return Metric(f"blnk_books_{name}", f"{help_} Read on its own interval.", labels, source)


BALANCES = _metric("balances", "Balances in the ledger.", "balances")
MISMATCHED = _metric(
    "mismatched_balances",
    "Balances that are not their credits less their debits, settled or held.",
    "balance, credit_balance, debit_balance, inflight_*",
)
CURRENCIES = _metric("currencies", "Currencies that have balances.", "balances.currency")
UNBALANCED = _metric(
    "unbalanced_currencies",
    "Currencies whose balances do not sum up to 0. Absent where exchange rates before Blnk 0.15.0 may have made it so: see books.trial_balance.",
    "sum(balance)",
)
TRIAL_BALANCE = _metric(
    "trial_balance",
    "Sum of a currency's balances in its smallest unit, 0 in double entry; the first currencies up to ledger.currencies. Absent as the number above.",
    "sum(balance)",
    "currency",
)

_SUMMED = (
    "balance",
    "credit_balance",
    "debit_balance",
    "inflight_balance",
    "inflight_credit_balance",
    "inflight_debit_balance",
)
SUMS = Table(
    name="sums",
    sql={
        0: """
        SELECT currency, sum(balance)::float8 AS sum, sum(balance) <> 0 AS unbalanced, count(*) AS balances,
               count(*) FILTER (WHERE balance IS DISTINCT FROM credit_balance - debit_balance
                   OR inflight_balance IS DISTINCT FROM inflight_credit_balance - inflight_debit_balance) AS mismatched
        FROM blnk.balances GROUP BY currency ORDER BY currency
        """,
    },
)
# Before 0.15.0 an amount could be multiplied by a rate on one side, which that release removed. A ledger whose tables
# were made and brought to 0.15.0 in one go has never had it.
AGE = Table(
    name="ledger_age",
    sql={
        0: """
        SELECT coalesce(max(applied_at) FILTER (WHERE id = '1781162329.sql') - min(applied_at) < interval '1 hour', false) AS clean
        FROM blnk.gorp_migrations
        """,
    },
)


class BooksReader(Protocol):
    """PostgreSQL for statements that may outlast a scrape."""

    address: str

    async def read(
        self, tables: Sequence[Table], *, patience_seconds: float | None
    ) -> tuple[Rows, tuple[Gap, ...], float] | None:
        """Rows, gaps and their time; None when there is no answer within the patience: whoever asks again gets it."""
        ...


@dataclass(frozen=True, kw_only=True)
class BooksReading(Reading):
    """A row per currency; ``trial`` says whether their sums mean anything."""

    rows: Sequence[Row]
    trial: bool
    currencies: int


@dataclass
class BooksSource:
    """Where the balances are, how often to read them, and the last answer or failure with its time."""

    reader: BooksReader
    interval_seconds: float
    trial_balance: Literal["auto", "on", "off"]
    currencies: int
    last: BooksReading | None = None
    failed: tuple[float, ReadingError] | None = None

    @property
    def address(self) -> str:
        """``host:port`` of PostgreSQL."""
        return self.reader.address


def samples(results: Sequence[Result[BooksReading]]) -> Iterator[Sample]:
    """One ledger."""
    for reading in (result.reading for result in results if result.reading):
        yield from BALANCES(sum(row["balances"] for row in reading.rows))
        yield from MISMATCHED(sum(row["mismatched"] for row in reading.rows))
        yield from CURRENCIES(len(reading.rows))
        if reading.trial:
            yield from UNBALANCED(sum(row["unbalanced"] for row in reading.rows))
            for row in reading.rows[: reading.currencies]:
                yield from TRIAL_BALANCE(row["sum"], currency=row["currency"])


async def read(source: BooksSource) -> BooksReading:
    """The last answer while it is young. What was too dear waits as long for the next try, a refusal for a minute."""
    now, last = time.time(), source.last
    if last and last.read_at is not None and 0 <= now - last.read_at < source.interval_seconds:
        return last
    if source.failed and 0 <= now - source.failed[0] < _wait(source, source.failed[1]):
        raise source.failed[1]
    try:
        answer = await source.reader.read((SCHEMA, SUMS, AGE), patience_seconds=_PATIENCE_SECONDS if last else None)
    except ReadingError as error:
        source.failed = (now, error)
        raise
    if answer is None and last:
        return last
    try:
        source.last = _parse(source, *(answer or ({}, (), now)))
    except ReadingError as error:
        source.failed = (now, error)
        raise
    source.failed = None
    return source.last


def _wait(source: BooksSource, error: ReadingError) -> float:
    match error:
        case TooDear():
            return source.interval_seconds
        case Refused():
            # A login of its own: a wrong password must not fill the server's log.
            return min(_REFUSED_SECONDS, source.interval_seconds)
        case _:
            return 0.0


def _parse(source: BooksSource, rows: Rows, gaps: tuple[Gap, ...], read_at: float) -> BooksReading:
    for row in rows.get(SCHEMA.name, ()):
        check(row)
    if SUMS.name not in rows:
        raise _failure(gaps)
    clean = next((row["clean"] for row in rows.get("ledger_age", ())), False)
    trial = source.trial_balance == "on" or (source.trial_balance == "auto" and clean)
    if source.trial_balance != "auto":
        gaps = tuple(gap for gap in gaps if gap.fact != AGE.name)
    return BooksReading(rows=rows["sums"], trial=trial, currencies=source.currencies, read_at=read_at, gaps=gaps)


def _failure(gaps: tuple[Gap, ...]) -> ReadingError:
    """Why there are no sums, in PostgreSQL's words; what PostgreSQL kept back for its time is a lock."""
    for gap in gaps:
        for kind in (Refused, Locked, Malformed):
            if (gap.fact, gap.reason) == (SUMS.name, kind.reason):
                return kind(gap.detail)
    return Malformed("the balances could not be read")


COLLECTOR = Collector(
    name="books",
    help="Whether the books balance.",
    metrics=(BALANCES, MISMATCHED, CURRENCIES, UNBALANCED, TRIAL_BALANCE),
    read=read,
    samples=samples,
    facts=(SUMS.name, AGE.name),
    rights=(
        Select(
            "balances",
            ("currency", *_SUMMED),
            (),
        ),
        Select("gorp_migrations", ("id", "applied_at"), (AGE.name,)),
    ),
)
