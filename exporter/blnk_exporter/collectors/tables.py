"""Blnk's tables: sizes, dead rows, vacuum.

Source:   pg_stat_user_tables, pg_class.reltuples, pg_table_size, pg_indexes_size, pg_database_size
Needs:    a role with LOGIN; reading the sizes takes a lock that only ALTER TABLE and its like stand against
By hand:  psql -c "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE schemaname = 'blnk'"
Cost:     1 statement per server, on an interval of its own (limits.slow_interval_seconds); no row of the ledger is read
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..collector import Collector, Reading, Result
from ..ledger_facts.schema import SCHEMA, check
from ..metric import Metric, Sample
from ..table import Rows, Table, TableReader

# The tables of schema blnk, 0.13.2 to 0.15.2: a closed set, so that nobody else's tables become labels.
NAMES = (
    *(
        "accounts",
        "api_keys",
        "balance_monitors",
        "balance_snapshots",
        "balances",
        "chain_state",
        "external_transactions",
    ),
    *("gorp_migrations", "identity", "ledgers", "lineage_mappings", "lineage_outbox", "matches", "matching_rules"),
    *("reconciliation_progress", "reconciliations", "transaction_journal", "transactions", "unmatched"),
)
_NAMES = f"ARRAY{list(NAMES)}"


def _metric(name: str, help_: str, source: str) -> Metric:
    return Metric(f"blnk_tables_{name}", f"{help_} Read on an interval of its own.", ("address", "table"), source)


# A replica has statistics of its own, and a crash loses them: both begin at 0 while the table is full. reltuples comes with
# the table itself, and tells of a loss: it is set by vacuum or analyze, whose times are among the statistics.
ROWS = Table(
    name="rows",
    sql={
        0: f"""
            SELECT c.relname AS "table", CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS live,
                   CASE WHEN c.reltuples < 0 OR coalesce(vacuumed_at, analyzed_at) IS NOT NULL THEN n_dead_tup END AS dead,
                   CASE WHEN c.reltuples < 0 OR analyzed_at IS NOT NULL THEN n_mod_since_analyze END AS modified,
                   n_tup_ins, n_tup_upd, n_tup_del, seq_scan, seq_tup_read, idx_scan, autovacuum_count,
                   extract(epoch FROM vacuumed_at) AS vacuumed_at, extract(epoch FROM analyzed_at) AS analyzed_at,
                   CASE WHEN pg_is_in_recovery() THEN 'a replica has no statistics of what the primary does to its tables' END AS gap
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN (
                SELECT *, greatest(last_vacuum, last_autovacuum) AS vacuumed_at,
                       greatest(last_analyze, last_autoanalyze) AS analyzed_at
                FROM pg_stat_user_tables WHERE NOT pg_is_in_recovery()
            ) s ON s.relid = c.oid
            WHERE n.nspname = 'blnk' AND c.relkind IN ('r', 'p') AND c.relname = ANY ({_NAMES})
        """,  # noqa: S608 - built of constants of this file
    },
    labels=("table",),
    columns={
        "live": _metric(
            "live_rows",
            "Estimate of the rows in the table, made when it was last vacuumed or analyzed; absent before the first time.",
            "pg_class.reltuples",
        ),
        "dead": _metric(
            "dead_rows",
            "Estimate of the rows that vacuum has yet to clean; absent on a replica, and after a crash until the next "
            "vacuum or analyze.",
            "n_dead_tup",
        ),
        "modified": _metric(
            "rows_modified_since_analyze",
            "Rows changed since the planner last looked; absent on a replica, and after a crash until it looks again.",
            "n_mod_since_analyze",
        ),
        "n_tup_ins": _metric("rows_inserted_total", "Rows inserted.", "n_tup_ins"),
        "n_tup_upd": _metric("rows_updated_total", "Rows updated.", "n_tup_upd"),
        "n_tup_del": _metric("rows_deleted_total", "Rows deleted; nobody deletes from a ledger.", "n_tup_del"),
        "seq_scan": _metric("sequential_scans_total", "Scans of the whole table.", "seq_scan"),
        "seq_tup_read": _metric("sequential_rows_total", "Rows read by such scans.", "seq_tup_read"),
        "idx_scan": _metric("index_scans_total", "Scans of one of its indexes.", "idx_scan"),
        "autovacuum_count": _metric(
            "autovacuums_total", "Times that autovacuum cleaned the table.", "autovacuum_count"
        ),
        "vacuumed_at": _metric(
            "last_vacuum_timestamp_seconds",
            "When it was last vacuumed; absent when never.",
            "last_vacuum, last_autovacuum",
        ),
        "analyzed_at": _metric(
            "last_analyze_timestamp_seconds",
            "When it was last analyzed; absent when never.",
            "last_analyze, last_autoanalyze",
        ),
    },
)

SIZES = Table(
    name="sizes",
    sql={
        0: f"""
            SELECT c.relname AS "table", pg_table_size(c.oid) AS heap, pg_indexes_size(c.oid) AS indexes
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'blnk' AND c.relkind IN ('r', 'p') AND c.relname = ANY ({_NAMES})
        """,  # noqa: S608 - built of constants of this file
    },
    labels=("table",),
    columns={
        "heap": _metric("size_bytes", "Size of the table on disk, without its indexes.", "pg_table_size"),
        "indexes": _metric("index_size_bytes", "Size of its indexes on disk.", "pg_indexes_size"),
    },
)

DATABASE = Table(
    name="database",
    sql={0: "SELECT pg_database_size(current_database()) AS size"},
    columns={
        "size": Metric(
            "blnk_tables_database_size_bytes",
            "Size of Blnk's database on disk. Read on an interval of its own.",
            ("address",),
            "pg_database_size",
        )
    },
)
TABLES = (ROWS, SIZES, DATABASE)


@dataclass(frozen=True, kw_only=True)
class TablesReading(Reading):
    """Rows by fact."""

    rows: Rows


def samples(results: Sequence[Result[TablesReading]]) -> Iterator[Sample]:
    """What the servers that answered tell."""
    for result in results:
        if result.reading:
            for table in TABLES:
                yield from table.samples(result.reading.rows.get(table.name, ()), result.address)


async def read(source: TableReader) -> TablesReading:
    """One statement. Raises Malformed when the database does not hold Blnk's tables."""
    rows, gaps = await source.read((SCHEMA, *TABLES), now=time.monotonic())
    for row in rows.get(SCHEMA.name, ()):
        check(row)
    return TablesReading(rows=rows, gaps=gaps)


COLLECTOR = Collector(
    name="tables",
    help="Sizes, dead rows and vacuum of Blnk's tables.",
    metrics=tuple(metric for table in TABLES for metric in table.metrics),
    read=read,
    samples=samples,
    facts=tuple(table.name for table in TABLES),
    slow=True,
)
