"""What happens to transactions: outcomes, waiting times, what has none yet, and what the smaller tables say.

Source:   blnk.transactions and blnk.transaction_journal, new rows by id; how many tasks there are for them in Redis
Needs:    SELECT on the columns that deploy/postgres/exporter_role.sql names; +llen +zcard on the queues' keys
By hand:  psql -c "SELECT status, count(*) FROM blnk.transactions WHERE id > 1000 GROUP BY 1"
Cost:     1 statement, by index, in proportion to the rows that are new; for the first scrapes also a span of old ones
"""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..collector import Collector, Gap, Reading, Result, Store
from ..errors import Malformed, ReadingError, TimedOut, TooDear
from ..formats import asynq
from ..ledger_facts import NO_TABLES, flow, rows, standing
from ..ledger_facts.flow import OPEN_STATUSES, Flow
from ..ledger_facts.following import Following
from ..metric import Sample
from ..right import Command, Keys, Right, Select
from ..table import Row, Rows, Table, TableReader

# Redis may be silent while PostgreSQL is not.
_PATIENCE_SECONDS = 0.25


@dataclass
class LedgerSource:
    """PostgreSQL with Blnk's tables, what is remembered of them, and Redis with the queues of transactions.

    ``timezone`` is that of Blnk's processes; ``release`` is what the last reading found of the tables, None before it.
    """

    reader: TableReader
    following: Following
    store: Store | None = None
    queues: Sequence[str] = ()
    timezone: str = "UTC"
    release: Row | None = None

    @property
    def address(self) -> str:
        """``host:port`` of PostgreSQL."""
        return self.reader.address

    def zone(self, release: Row) -> str:
        """The time zone that the times of transactions are in: since 0.15.0 Blnk writes UTC, and only there."""
        return "UTC" if release["utc"] else self.timezone

    def argument(self, release: Row) -> str:
        """What the statements are told."""
        zones = {"zone": self.zone(release), "local": self.timezone}
        return json.dumps(self.following.positions() | zones | {"utc": release["utc"]})

    def tables(self, release: Row) -> Sequence[Table]:
        """What to ask of this release's tables, and of where we stand."""
        asked: list[Table] = [rows.RELEASE, rows.ROWS, rows.REASONS, rows.JOURNAL]
        if self.following.rows.position is None:
            asked.append(rows.CURRENCIES)
        if not self.following.complete:
            asked.append(rows.HISTORY)
        without = {
            *(() if release["chain"] else ("chain",)),
            *(() if release["lineage"] else ("lineage", "lineage_age")),
        }
        return [*asked, *(table for table in standing.TABLES if table.name not in without)]


@dataclass(frozen=True, kw_only=True)
class LedgerReading(Reading):
    """Rows of the standing facts, and what has flowed; None when the transactions could not be read."""

    rows: Rows
    flow: Flow | None


def samples(results: Sequence[Result[LedgerReading]]) -> Iterator[Sample]:
    """One ledger."""
    for result in results:
        if reading := result.reading:
            for table in standing.TABLES:
                yield from table.samples(reading.rows.get(table.name, ()), result.address)
            if reading.flow:
                yield from flow.samples(reading.flow)


async def read(source: LedgerSource) -> LedgerReading:
    """New rows since the last reading. Raises Malformed when the database holds no tables of Blnk."""
    release = source.release
    if release is None:
        (release,) = (await source.reader.read((rows.RELEASE,), now=time.monotonic()))[0]["release"]
    if not release["found"]:
        # They may be there again: a restore drops them first.
        source.release = None
        raise Malformed(NO_TABLES)
    source.following.use_zone(source.zone(release))
    # First Redis, then PostgreSQL: what has no task and still has no outcome afterwards is not just being worked off.
    tasks, gaps = await _tasks(source)
    asked = source.argument(release)
    try:
        found, more_gaps = await source.reader.read(source.tables(release), now=time.monotonic(), argument=asked)
    except TooDear as error:
        if source.following.too_dear():
            raise TimedOut(f"{error}; the next reading asks for fewer rows") from None
        raise
    source.release = found["release"][0] if "release" in found else None
    # When the configuration changes, two readings may follow the ledger for a moment; what the faster one has taken is
    # not taken again.
    taken = _absorb(source, found, release, tasks) if asked == source.argument(release) else None
    return LedgerReading(rows=found, flow=taken, gaps=(*gaps, *more_gaps, *_skew(source)))


def _absorb(source: LedgerSource, found: Rows, release: Row, tasks: int | None) -> Flow | None:
    if "transactions" not in found:
        return None
    known, (main,), now = source.following, found["transactions"], time.monotonic()
    known.know(row["currency"] for row in found.get("currencies", ()))
    reasons = {row["id"]: row["reason"] for row in found["rejection_reasons"]} if "rejection_reasons" in found else None
    known.take_rows(main, reasons, now=now)
    if "history" in found:
        known.take_walk(found["history"][0], now=now, at=main["now"])
    if "journal" in found:
        known.take_journal(found["journal"][0], now=now)
    known.refill()
    waiting = known.waiting(now) if source.queues and source.store else None
    without = waiting if not waiting else None if tasks is None else max(0, waiting - tasks)
    statuses = OPEN_STATUSES if release["utc"] else ("QUEUED", "INFLIGHT")
    return known.flow(main["now"], statuses=statuses, rejections=reasons is not None, without_task=without)


def _skew(source: LedgerSource) -> Sequence[Gap]:
    skew = source.following.skew_seconds
    if skew is None or source.following.clocks_agree:
        return ()
    words = (
        f"PostgreSQL's clock is {skew / 3600:+.1f} h from the creation times of new transactions; set ledger.timezone"
    )
    return (Gap("clocks", Malformed.reason, words),)


async def _tasks(source: LedgerSource) -> tuple[int | None, Sequence[Gap]]:
    """How many tasks asynq has for transactions that wait; None where nobody waits, or it cannot be known.

    A task does not tell which row it is for, but for its payload, which is nobody else's business: so they are counted.
    """
    if source.store is None or not source.queues or not source.following.waiting(time.monotonic()):
        return None, ()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            replies = await source.store.execute(*(count for name in source.queues for count in _counts(name)))
    except TimeoutError:
        return None, (Gap("tasks", TimedOut.reason, "no answer from Redis"),)
    except ReadingError as error:
        return None, (Gap("tasks", error.reason, str(error)),)
    for reply in (reply for reply in replies if isinstance(reply, ReadingError)):
        return None, (Gap("tasks", reply.reason, str(reply)),)
    return sum(_count(replies[start : start + 6]) for start in range(0, len(replies), 6)), ()


def _counts(queue: str) -> Iterator[tuple[Any, ...]]:
    # Along the way that a task takes, and twice where it may come back to: one that moves in between is counted.
    for state in ("scheduled", "retry", "pending", "active", "retry", "pending"):
        yield "LLEN" if state in {"pending", "active"} else "ZCARD", asynq.key(queue.encode(), state)


def _count(replies: Sequence[int]) -> int:
    scheduled, retry, pending, active, retry_again, pending_again = replies
    return scheduled + max(retry, retry_again) + max(pending, pending_again) + active


_CHAIN = standing.CHAIN.name
_TRANSACTIONS = (rows.ROWS.name, rows.REASONS.name, rows.JOURNAL.name, rows.HISTORY.name, rows.CURRENCIES.name, _CHAIN)
_TIMES = ("created_at", "scheduled_for")
_NAMES = ("transaction_id", "parent_transaction", "reference")
RIGHTS: tuple[Right, ...] = (
    Select("transactions", ("id", "status", "currency", *_NAMES, *_TIMES, "precise_amount"), _TRANSACTIONS),
    Select("transactions", ("meta_data",), (rows.REASONS.name,)),
    Select("transactions", ("chain_seq", "chain_hash"), (_CHAIN,)),
    Select("chain_state", ("chain_key", "last_seq", "head_hash", "updated_at"), (_CHAIN,)),
    Select("transaction_journal", ("id", "action_type", "transaction_id", "timestamp"), (rows.JOURNAL.name,)),
    Select(
        "lineage_outbox",
        ("status", "created_at", "locked_until"),
        (standing.LINEAGE.name, standing.LINEAGE_AGE.name),
    ),
    Select(
        "reconciliations",
        ("id", "status", "started_at"),
        (standing.RECONCILIATIONS.name, standing.RECONCILIATION_AGE.name),
    ),
    Select(
        "api_keys",
        ("is_revoked", "expires_at", "last_used_at"),
        (standing.API_KEYS.name, standing.API_KEY_EXPIRY.name),
    ),
    *(Command(name, ("tasks",)) for name in ("llen", "zcard")),
    Keys(asynq.QUEUE_KEYS, ("tasks",)),
)
COLLECTOR = Collector(
    name="ledger",
    help="What becomes of transactions, and what waits for too long.",
    metrics=(*flow.METRICS, *(metric for table in standing.TABLES for metric in table.metrics)),
    read=read,
    samples=samples,
    facts=(
        *(table.name for table in (rows.RELEASE, rows.ROWS, rows.REASONS, rows.JOURNAL, rows.HISTORY, rows.CURRENCIES)),
        *("tasks", "clocks"),
        *(table.name for table in standing.TABLES),
    ),
    rights=RIGHTS,
)
