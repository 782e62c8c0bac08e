"""What happens to transactions: outcomes, waiting times, what has none yet, and what the smaller tables say.

Source:   blnk.transactions and blnk.transaction_journal, new rows by id; how many tasks there are for them in Redis
Needs:    SELECT on the columns that deploy/postgres/exporter_role.sql names; +srandmember +llen +zcard on asynq's keys
By hand:  psql -c "SELECT status, count(*) FROM blnk.transactions WHERE id > 1000 GROUP BY 1"
Cost:     1 statement, by index, in proportion to the rows that are new, and up to 100 open ones of each status; for the
          first scrapes also a span of old ones; 2 round trips to Redis while anything waits, shared with the queues'
"""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..collector import BUDGET_SECONDS, Collector, Gap, Reading, Result, Store
from ..errors import Malformed, ReadingError, TimedOut, TooDear
from ..formats import asynq
from ..ledger_facts import flow, rows, schema, standing, tasks
from ..ledger_facts.flow import OPEN_STATUSES, Flow
from ..ledger_facts.following import Following
from ..metric import Sample
from ..right import Command, Keys, Right, Select
from ..table import Row, Rows, Table, TableReader

# Of the scrape's budget: Redis may be silent while PostgreSQL is not.
_TASKS_SHARE = 0.25
# For how long facts that were too dear together are asked for one by one, and one that is so by itself is left out.
_APART_SECONDS = 300.0
# More are not Blnk's.
_QUEUES_MAX = 10_000


@dataclass
class LedgerSource:
    """PostgreSQL with Blnk's tables, what is remembered of them, and Redis with the queues of transactions.

    ``timezone`` is that of Blnk's processes; ``release`` is what the last reading found of the tables, None before it.
    ``apart_until`` and ``dear`` are of a monotonic clock: until when facts are asked for one by one, which are left out.
    """

    reader: TableReader
    following: Following
    store: Store | None = None
    queues: Sequence[str] = ()
    timezone: str = "UTC"
    release: Row | None = None
    apart_until: float = 0.0
    dear: dict[str, tuple[float, Gap]] = field(default_factory=dict)

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
        reasons = rows.REASONS_BY_FUNCTION if release["reason_function"] else rows.REASONS
        asked: list[Table] = [rows.RELEASE, rows.ROWS, reasons, rows.JOURNAL, rows.OPEN]
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
    """New rows since the last reading. Raises Malformed when the database does not hold Blnk's tables."""
    release = source.release
    if release is None:
        (release,) = (await source.reader.read((rows.RELEASE,), now=time.monotonic()))[0]["release"]
    if release["problem"]:
        # They may be there again: a restore drops them first.
        source.release = None
    schema.check(release)
    source.following.use_zone(source.zone(release))
    # First Redis, then PostgreSQL: what has no task and still has no outcome afterwards is not just being worked off.
    counted, gaps = await _tasks(source)
    asked = source.argument(release)
    try:
        found, more_gaps = await _ask(source, source.tables(release), asked)
    except TooDear as error:
        raise TimedOut(f"{error}; the next reading asks for {_less(source)}") from None
    source.release = found["release"][0] if "release" in found else None
    # When the configuration changes, two readings may follow the ledger for a moment; what the faster one has taken is
    # not taken again.
    taken = _absorb(source, found, release, counted) if asked == source.argument(release) else None
    return LedgerReading(rows=found, flow=taken, gaps=(*gaps, *more_gaps, *_skew(source)))


def _less(source: LedgerSource) -> str:
    """Arrange for cheaper statements after one that was too dear; in words."""
    if source.following.too_dear():
        return "fewer rows"
    source.apart_until = time.monotonic() + _APART_SECONDS
    return "each fact by itself"


async def _ask(source: LedgerSource, tables: Sequence[Table], argument: str) -> tuple[Rows, Sequence[Gap]]:
    """All facts in one statement, or one by one after that was too dear; a dear one ends the reading, for it took its time.

    Raises TooDear when nothing was given at all.
    """
    now, dear = time.monotonic(), source.dear
    first, *others = [table for table in tables if table.name not in dear]
    # The first one is cheap, so that a fact refused beside it is a gap and no failure.
    parts = [[first], *([first, table] for table in others)] if now < source.apart_until else [[first, *others]]
    parts += [[first, table] for table in tables if table.name in dear and dear[table.name][0] <= now][:1]
    found: dict[str, Sequence[Row]] = {}
    gaps: list[Gap] = []
    for part in parts:
        try:
            more, more_gaps = await source.reader.read(part, now=now, argument=argument)
        except TooDear as error:
            if not found:
                raise
            name = part[-1].name
            dear[name] = now + _APART_SECONDS, Gap(name, error.reason, str(error))
            # The others may do in one statement again.
            source.apart_until = 0.0
            break
        dear.pop(part[-1].name, None)
        found |= more
        gaps += more_gaps
    told = {*found, *(gap.fact for gap in gaps)}
    for name in (table.name for table in tables if table.name not in told):
        gaps.append(dear[name][1] if name in dear else Gap(name, TimedOut.reason, "another fact took too long"))
    return found, gaps


def _absorb(source: LedgerSource, found: Rows, release: Row, counted: int | None) -> Flow | None:
    source.following.take_chain(found.get(standing.CHAIN.name, ()))
    if "transactions" not in found:
        return None
    known, (main,), now = source.following, found["transactions"], time.monotonic()
    known.know(row["currency"] for row in found.get("currencies", ()))
    reasons = {row["id"]: row["reason"] for row in found["rejection_reasons"]} if "rejection_reasons" in found else None
    known.take_rows(main, reasons, now=now)
    if rows.OPEN.name in found:
        known.take_open(found[rows.OPEN.name][0])
    if "history" in found:
        known.take_walk(found["history"][0], now=now, at=main["now"])
    if "journal" in found:
        known.take_journal(found["journal"][0], now=now)
    known.refill()
    without = known.without_task(counted, now) if source.queues and source.store else None
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
    """How many tasks asynq has for transactions; None where none waits, or it cannot be known."""
    if source.store is None or not source.queues or not source.following.waiting(time.monotonic()):
        return None, ()
    try:
        async with asyncio.timeout(_TASKS_SHARE * BUDGET_SECONDS.get()):
            (registered,) = await source.store.execute(("SRANDMEMBER", asynq.QUEUES, _QUEUES_MAX))
            queues = tasks.queues(source.queues, asynq.reply(registered))
            replies = await source.store.execute(*tasks.commands(queues))
    except TimeoutError:
        return None, (Gap("tasks", TimedOut.reason, "no answer from Redis"),)
    except ReadingError as error:
        return None, (Gap("tasks", error.reason, str(error)),)
    for reply in (reply for reply in replies if isinstance(reply, ReadingError)):
        return None, (Gap("tasks", reply.reason, str(reply)),)
    return tasks.count(replies), ()


_CHAIN = standing.CHAIN.name
_TRANSACTIONS = (
    rows.ROWS.name,
    rows.REASONS.name,
    rows.JOURNAL.name,
    rows.HISTORY.name,
    rows.OPEN.name,
    rows.CURRENCIES.name,
    _CHAIN,
)
_TIMES = ("created_at", "scheduled_for")
_NAMES = ("transaction_id", "parent_transaction", "reference")
RIGHTS: tuple[Right, ...] = (
    Select("transactions", ("id", "status", "currency", *_NAMES, *_TIMES, "precise_amount"), _TRANSACTIONS),
    Select("transactions", ("meta_data",), (rows.REASONS.name,), function=rows.REASON_FUNCTION),
    Select("transactions", ("chain_seq", "chain_hash", "chain_prev_hash"), (_CHAIN,)),
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
    *(Command(name, ("tasks",)) for name in ("srandmember", "llen", "zcard")),
    Keys(asynq.QUEUES, ("tasks",)),
    Keys(asynq.QUEUE_KEYS, ("tasks",)),
)
COLLECTOR = Collector(
    name="ledger",
    help="What becomes of transactions, and what waits for too long.",
    metrics=(*flow.METRICS, *(metric for table in standing.TABLES for metric in table.metrics)),
    read=read,
    samples=samples,
    facts=(
        *(rows.RELEASE.name, rows.ROWS.name, rows.REASONS.name, rows.JOURNAL.name),
        *(rows.OPEN.name, rows.HISTORY.name, rows.CURRENCIES.name),
        *("tasks", "clocks"),
        *(table.name for table in standing.TABLES),
    ),
    rights=RIGHTS,
)
