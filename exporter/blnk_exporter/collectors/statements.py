"""pg_stat_statements: is it there, and what do Blnk's statements cost altogether.

Source:   pg_extension; pg_stat_statements(false), which leaves the statements' texts unread
Needs:    the extension in Blnk's database, 1.8 or newer; a role with pg_read_all_stats and USAGE on the extension's schema
By hand:  psql -c 'SELECT sum(total_exec_time) FROM pg_stat_statements'
Cost:     1 statement per server, on its own interval (limits.slow_interval_seconds); no series per statement
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..collector import Collector, Gap, Reading, Result
from ..errors import Refused
from ..json_answer import read_object
from ..metric import Metric, Sample
from ..postgres_facts import sessions
from ..right import Extension, Member
from ..table import Database, Table


def _metric(name: str, help_: str, source: str, *labels: str) -> Metric:
    return Metric(f"blnk_statements_{name}", f"{help_} Read on its own interval.", ("address", *labels), source)


_UNTOLD = "Without a known role of Blnk, all are other."
INSTALLED = _metric("installed", "Whether pg_stat_statements is installed in Blnk's database.", "pg_extension")
COLUMNS = {
    "seconds": _metric("seconds_total", f"Time that statements ran. {_UNTOLD}", "total_exec_time", "role"),
    "calls": _metric("calls_total", f"Statements run. {_UNTOLD}", "calls", "role"),
    "rows": _metric("rows_total", f"Rows returned or changed by them. {_UNTOLD}", "rows", "role"),
    "blocks_read": _metric(
        "blocks_read_total", f"Blocks that they read from outside the cache. {_UNTOLD}", "shared_blks_read", "role"
    ),
    "blocks_temporary": _metric(
        "temporary_blocks_written_total",
        f"Blocks that they wrote to disk for want of work_mem. {_UNTOLD}",
        "temp_blks_written",
        "role",
    ),
}

# The extension may live in any schema, and a statement that names a function must know where. ts_stat is the one
# function of every PostgreSQL that runs a text as SQL and gives text back, as a lexeme (up to 2046 bytes; this is
# some 300): so look-up and totals are one statement. https://www.postgresql.org/docs/16/textsearch-features.html
_TOTALS = """
    SELECT array_to_tsvector(ARRAY[json_agg(t)::text]) FROM (
        SELECT r.role, coalesce(sum(s.total_exec_time), 0) / 1000 AS seconds, coalesce(sum(s.calls), 0) AS calls,
               coalesce(sum(s.rows), 0) AS rows, coalesce(sum(s.shared_blks_read), 0) AS blocks_read,
               coalesce(sum(s.temp_blks_written), 0) AS blocks_temporary
        FROM (VALUES ('blnk', true), ('other', false)) r(role, ours)
        CROSS JOIN (SELECT (SELECT oid FROM pg_roles WHERE rolname = %L) AS oid) b
        LEFT JOIN %I.pg_stat_statements(false) s
          ON ((s.userid = b.oid) IS TRUE) = r.ours AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        WHERE NOT r.ours OR b.oid IS NOT NULL
        GROUP BY r.role) t
"""
# The settings of the extension are there when its library is loaded. After pg_upgrade an extension keeps the version that it
# had, so its function is looked at, not the server's version: 1.8 renamed total_time.
# What the answer must have to be read.
_SHAPE = Table("statements", {}, {"installed": INSTALLED}, labels=("gap", "role_gap", "rows"))
_ROWS = Table("statements", {}, COLUMNS, labels=("role",))
_STATEMENT = f"""
    SELECT json_build_object('installed', e.schema IS NOT NULL, 'role_gap', {sessions.ROLE_GAP}, 'gap', e.gap,
        'rows', CASE WHEN e.schema IS NOT NULL AND e.gap IS NULL
                     THEN (SELECT word FROM ts_stat(format($sql${_TOTALS}$sql$, $1, e.schema)))::json END)::text
    FROM (SELECT x.schema, CASE
            WHEN x.schema IS NULL THEN NULL
            WHEN NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN 'needs the role pg_read_all_stats, which pg_monitor has'
            WHEN NOT has_schema_privilege(x.schema, 'USAGE') THEN 'needs USAGE on the schema ' || quote_ident(x.schema)
            WHEN ('total_exec_time' = ANY (f.columns)) IS NOT TRUE
            THEN 'pg_stat_statements ' || x.version || ' is too old, 1.8 is needed: run ALTER EXTENSION pg_stat_statements UPDATE'
            WHEN NOT has_function_privilege(f.oid, 'EXECUTE') THEN 'needs EXECUTE on the function ' || f.oid::regprocedure
            WHEN NOT EXISTS (SELECT FROM pg_settings WHERE name = 'pg_stat_statements.max')
            THEN 'pg_stat_statements is not in shared_preload_libraries' END AS gap
          FROM (VALUES ('pg_stat_statements')) wanted(name)
          LEFT JOIN (SELECT extname, extversion AS version, extnamespace, nspname::text AS schema
                     FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace) x ON x.extname = wanted.name
          LEFT JOIN (SELECT p.oid, pronamespace, proargnames AS columns FROM pg_proc p WHERE proname = 'pg_stat_statements') f
            ON f.pronamespace = x.extnamespace) e
"""  # noqa: S608 - built of constants


@dataclass(frozen=True)
class StatementsSource:
    """PostgreSQL, and Blnk's role."""

    database: Database
    blnk_role: str | None

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
    """One statement, whether the extension is there or not."""
    answer = read_object(await source.database.fetch_text(_STATEMENT, source.blnk_role))
    _SHAPE.check([answer])
    _ROWS.check(answer["rows"] or [])
    found = (("totals", answer["gap"]), ("blnk_role", answer["role_gap"] if answer["installed"] else None))
    gaps = tuple(Gap(fact, Refused.reason, words) for fact, words in found if words)
    return StatementsReading(installed=answer["installed"], rows=answer["rows"] or (), gaps=gaps)


COLLECTOR = Collector(
    name="statements",
    help="Totals of pg_stat_statements for Blnk's role and for all others.",
    metrics=(INSTALLED, *COLUMNS.values()),
    read=read,
    samples=samples,
    facts=("totals", "blnk_role"),
    rights=(Member("pg_read_all_stats", ("totals",)), Extension("pg_stat_statements", ("totals",))),
    slow=True,
)
