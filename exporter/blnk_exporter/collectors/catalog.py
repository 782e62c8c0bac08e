"""The catalog of Blnk's database: which migrations are applied, ids left, triggers that guard the ledger, indexes that failed.

Source:   blnk.gorp_migrations, max(id) of the tables that grow, pg_trigger, pg_index
Needs:    SELECT on the columns that deploy/postgres/exporter_role.sql names
By hand:  psql -c 'SELECT max(id) FROM blnk.gorp_migrations'
Cost:     1 statement, on its own interval (limits.slow_interval_seconds); O(1) in the size of the ledger
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..collector import Collector, Reading, Result
from ..ledger_facts import partitions
from ..ledger_facts.schema import SCHEMA, check
from ..metric import Metric, Sample
from ..right import Select
from ..table import Rows, Table, TableReader


def _metric(name: str, help_: str, source: str, *labels: str) -> Metric:
    return Metric(f"blnk_catalog_{name}", f"{help_} Read on its own interval.", labels, source)


# What migrations tell of the release; Blnk itself does not look at them when it starts.
BANDS = ("before 0.13.2", "0.13.2 to 0.14.5", "between", "0.15.0 to 0.15.2", "newer")
MIGRATIONS = Table(
    name="migrations",
    sql={
        0: """
        SELECT applied, last, CASE WHEN last < 1770611011 THEN 'before 0.13.2' WHEN last = 1770611011 THEN '0.13.2 to 0.14.5'
                                   WHEN last < 1781162329 THEN 'between' WHEN last = 1781162329 THEN '0.15.0 to 0.15.2'
                                   ELSE 'newer' END AS release
        FROM (SELECT count(*) AS applied, max(substring(id FROM '^[0-9]+')::bigint) AS last FROM blnk.gorp_migrations) m
        WHERE last IS NOT NULL
        """,
    },
    columns={
        "applied": _metric("migrations_applied", "Migrations of Blnk's schema that were applied.", "gorp_migrations"),
        "last": _metric(
            "last_migration", "Number of the newest of them, which is in its file's name.", "gorp_migrations.id"
        ),
    },
    states={
        "release": (
            _metric(
                "release",
                "1 for the releases of Blnk that these migrations belong to.",
                "gorp_migrations.id",
                "release",
            ),
            BANDS,
        )
    },
)

_GROWING = ("transactions", "transaction_journal", "balances")
_NEWEST = " UNION ALL ".join(
    f"SELECT '{table}' AS name, (SELECT max(id) FROM blnk.{table}) AS newest"  # noqa: S608
    for table in _GROWING
)
# An id is 4 bytes long unless somebody widened it; the sequence's own value takes a right that pg_monitor has not.
IDS = Table(
    name="ids",
    sql={
        0: f"""
        SELECT n.name AS "table", n.newest::float8 / CASE a.atttypid WHEN 'int4'::regtype THEN 2147483647 ELSE 9223372036854775807 END AS used
        FROM ({_NEWEST}) n JOIN pg_attribute a ON a.attrelid = to_regclass('blnk.' || n.name) AND a.attname = 'id'
        """,  # noqa: S608 - built of constants
    },
    labels=("table",),
    columns={
        "used": _metric(
            "ids_used_ratio",
            "How much of the ids of a table is used up, 0 to 1; at 1 no row can be written any more, and Blnk stands still.",
            "max(id)",
            "table",
        )
    },
)

# Both releases have them; prevent_* keep rows from being changed, log_* keeps the journal.
_TRIGGERS = {
    "prevent_transaction_update_trigger": "transactions",
    "log_transaction_changes_trigger": "transactions",
    "transaction_after_insert": "transactions",
    "balance_after_insert": "balances",
    "balance_after_update": "balances",
    "reconcile_balance_trigger": "balances",
    "ledger_after_insert": "ledgers",
    "prevent_snapshot_update_trigger": "balance_snapshots",
}
_VALUES = ", ".join(f"('{name}', '{table}')" for name, table in _TRIGGERS.items())


def _active(relation: str) -> str:
    return f"EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = {relation} AND t.tgname = n.name AND t.tgenabled IN ('O', 'A'))"


# All of them fire for each row: a partition has a copy, which can be switched off alone; an inheritance child has none.
TRIGGERS = Table(
    name="triggers",
    sql={
        0: f"""
        {partitions.tree(f"c.relname = ANY (ARRAY{sorted({*_TRIGGERS.values()})})")}
        SELECT n.name AS trigger, CASE WHEN r.gap IS NULL THEN ({_active("r.root")}) AND NOT EXISTS (
                   SELECT FROM members m WHERE m.root = r.root AND m.oid <> r.root AND NOT ({_active("m.oid")})) END AS active, r.gap
        FROM (VALUES {_VALUES}) n(name, on_table)
        JOIN roots r ON r.root = to_regclass('blnk.' || n.on_table)
        """,  # noqa: S608 - built of constants
    },
    labels=("trigger",),
    columns={
        "active": _metric(
            "trigger_active",
            "Whether one of Blnk's triggers is there and fires; without prevent_transaction_update_trigger transactions can be changed, without log_transaction_changes_trigger nobody would know.",
            "pg_trigger.tgenabled",
            "trigger",
        )
    },
)

INDEXES = Table(
    name="indexes",
    sql={
        0: f"""
        {partitions.tree(partitions.ALL)}
        SELECT CASE WHEN min(r.gap) IS NULL THEN count(DISTINCT i.indexrelid) FILTER (WHERE NOT i.indisvalid) END AS invalid,
               CASE WHEN min(r.gap) IS NULL THEN count(DISTINCT i.indexrelid) END AS total, min(r.gap) AS gap
        FROM (SELECT root, NULLIF(gap, '{partitions.EMPTY}') AS gap FROM roots) r LEFT JOIN bounded m ON m.root = r.root LEFT JOIN pg_index i ON i.indrelid = m.oid
        HAVING count(*) > 0
        """,  # noqa: S608 - built of constants
    },
    columns={
        "invalid": _metric(
            "invalid_indexes",
            "Indexes that an interrupted migration left behind: written to, never read.",
            "pg_index.indisvalid",
        ),
        "total": _metric("indexes", "Indexes of Blnk's tables.", "pg_index"),
    },
)
TABLES = (MIGRATIONS, IDS, TRIGGERS, INDEXES)


@dataclass(frozen=True, kw_only=True)
class CatalogReading(Reading):
    """Rows by fact."""

    rows: Rows


def samples(results: Sequence[Result[CatalogReading]]) -> Iterator[Sample]:
    """One database."""
    for result in results:
        if result.reading:
            for table in TABLES:
                yield from table.samples(result.reading.rows.get(table.name, ()), result.address)


async def read(source: TableReader) -> CatalogReading:
    """One statement. Raises Malformed when the database does not hold Blnk's tables."""
    rows, gaps = await source.read((SCHEMA, *TABLES), now=time.monotonic())
    for row in rows.get(SCHEMA.name, ()):
        check(row)
    return CatalogReading(rows=rows, gaps=gaps)


COLLECTOR = Collector(
    name="catalog",
    help="Migrations, ids left, triggers and indexes of Blnk's schema.",
    metrics=tuple(metric for table in TABLES for metric in table.metrics),
    read=read,
    samples=samples,
    facts=tuple(table.name for table in TABLES),
    rights=(
        Select("gorp_migrations", ("id",), (MIGRATIONS.name,)),
        *(Select(table, ("id",), (IDS.name,)) for table in _GROWING),
    ),
    slow=True,
)
