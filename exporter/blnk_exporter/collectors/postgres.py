"""PostgreSQL itself: sessions, locks, replication, WAL, vacuum, settings; one series set per server.

Source:   the statistics views, one Table per fact in postgres_facts/ (PostgreSQL 15 to 18)
Needs:    a role with LOGIN, pg_read_all_stats and pg_read_all_settings, as `blnk-exporter grants postgres` prints it
By hand:  psql -c 'SELECT state, count(*) FROM pg_stat_activity GROUP BY 1'
Cost:     1 statement per server on one connection that is kept; no lock on any table, O(1) in the size of the ledger
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..collector import Collector, Reading, Result
from ..metric import Metric, Sample
from ..postgres_facts import counters, replication, sessions, settings
from ..right import Member
from ..table import Rows, TableReader

UP = Metric(
    "blnk_postgres_up",
    "Whether PostgreSQL answers, if only to refuse the exporter; 0 while it starts, stops or recovers.",
    ("address",),
)
TABLES = (*sessions.TABLES, *counters.TABLES, *replication.TABLES, *settings.TABLES)


@dataclass(frozen=True, kw_only=True)
class PostgresReading(Reading):
    """Rows by fact."""

    rows: Rows


def samples(results: Sequence[Result[PostgresReading]]) -> Iterator[Sample]:
    """Whether each server is up, and what those that are tell."""
    for result in results:
        yield from UP(result.answered, address=result.address)
        if result.reading:
            for table in TABLES:
                yield from table.samples(result.reading.rows.get(table.name, ()), result.address)


async def read(source: TableReader) -> PostgresReading:
    """All facts of one server."""
    rows, gaps = await source.read(TABLES, now=time.monotonic())
    return PostgresReading(rows=rows, gaps=gaps)


# Whoever may see how long others' statements run may see their texts too: PostgreSQL has nothing narrower.
_ROLES = dict.fromkeys(table.needs for table in TABLES if table.needs)

COLLECTOR = Collector(
    name="postgres",
    help="Sessions, locks, replication, WAL, vacuum and settings of PostgreSQL.",
    metrics=(UP, *(metric for table in TABLES for metric in table.metrics)),
    read=read,
    samples=samples,
    facts=tuple(table.name for table in TABLES),
    rights=tuple(Member(role, tuple(table.name for table in TABLES if table.needs == role)) for role in _ROLES),
)
