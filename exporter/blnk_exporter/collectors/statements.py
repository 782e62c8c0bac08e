"""pg_stat_statements: is it there, and what do Blnk's statements cost altogether.

Source:   pg_extension; pg_stat_statements(false), which leaves the statements' texts unread
Needs:    the extension in Blnk's database, and a role with pg_read_all_stats (in pg_monitor)
By hand:  psql -c 'SELECT sum(total_exec_time) FROM pg_stat_statements'
Cost:     1 statement, on an interval of its own (limits.slow_interval_seconds); no series per statement
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..collector import Collector, Gap, Reading, Result
from ..errors import Malformed, Refused
from ..metric import Metric, Sample
from ..table import Database

_ROLES = ("blnk", "other")


def _metric(name: str, help_: str, source: str, *labels: str) -> Metric:
    return Metric(f"blnk_statements_{name}", f"{help_} Read on an interval of its own.", ("address", *labels), source)


INSTALLED = _metric("installed", "Whether pg_stat_statements is installed in Blnk's database.", "pg_extension")
COLUMNS = {
    "seconds": _metric("seconds_total", "Time that statements ran.", "total_exec_time", "role"),
    "calls": _metric("calls_total", "Statements run.", "calls", "role"),
    "rows": _metric("rows_total", "Rows returned or changed by them.", "rows", "role"),
    "blocks_read": _metric(
        "blocks_read_total", "Blocks that they read from outside the cache.", "shared_blks_read", "role"
    ),
    "blocks_temporary": _metric(
        "temporary_blocks_written_total",
        "Blocks that they wrote to disk for want of work_mem.",
        "temp_blks_written",
        "role",
    ),
}

_EXTENSION = """
    SELECT json_build_object('schema', (SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                                        WHERE extname = 'pg_stat_statements'),
                             'role', $1::text)::text
"""
_TOTALS = """
    SELECT json_build_object(
        'privileged', pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
        'rows', (SELECT json_agg(t) FROM (
            SELECT r.role, coalesce(sum(s.total_exec_time), 0) / 1000 AS seconds, coalesce(sum(s.calls), 0) AS calls,
                   coalesce(sum(s.rows), 0) AS rows, coalesce(sum(s.shared_blks_read), 0) AS blocks_read,
                   coalesce(sum(s.temp_blks_written), 0) AS blocks_temporary
            FROM (VALUES ('blnk', true), ('other', false)) r(role, ours)
            LEFT JOIN {schema}.pg_stat_statements(false) s
              ON (s.userid = (SELECT oid FROM pg_roles WHERE rolname = $1::text)) IS NOT DISTINCT FROM r.ours
             AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            GROUP BY r.role) t))::text
"""


@dataclass
class StatementsSource:
    """PostgreSQL, Blnk's role, and the extension's schema once it is known."""

    database: Database
    blnk_role: str | None
    schema: str | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        """``host:port`` of PostgreSQL."""
        return self.database.address


@dataclass(frozen=True, kw_only=True)
class StatementsReading(Reading):
    """Totals by role; none where the extension is not installed or not ours to read."""

    installed: bool
    rows: Sequence[dict[str, Any]] = ()


def samples(results: Sequence[Result[StatementsReading]]) -> Iterator[Sample]:
    """Whether the extension is there, and its totals."""
    for result in results:
        if reading := result.reading:
            yield from INSTALLED(reading.installed, address=result.address)
            for row in reading.rows:
                for column, metric in COLUMNS.items():
                    yield from metric(row[column], address=result.address, role=row["role"])


async def read(source: StatementsSource) -> StatementsReading:
    """One statement once the extension has been found; two when it has just been found."""
    if source.schema is None:
        answer = json.loads(await source.database.fetch_text(_EXTENSION, source.blnk_role))
        if answer["schema"] is None:
            return StatementsReading(installed=False)
        source.schema = answer["schema"]
    try:
        text = await source.database.fetch_text(_TOTALS.format(schema=source.schema), source.blnk_role)
    except (Malformed, Refused) as error:
        # Dropped or moved, or its library is not loaded: look again next time.
        source.schema = None
        return StatementsReading(installed=True, gaps=(Gap("totals", error.reason, str(error)),))
    answer = json.loads(text)
    if not answer["privileged"]:
        return StatementsReading(installed=True, gaps=(Gap("totals", "refused", "needs the role pg_read_all_stats"),))
    return StatementsReading(installed=True, rows=answer["rows"])


COLLECTOR = Collector(
    name="statements",
    help="Totals of pg_stat_statements for Blnk's role and for all others.",
    metrics=(INSTALLED, *COLUMNS.values()),
    read=read,
    samples=samples,
    facts=("totals",),
    slow=True,
)
