"""Blnk's tables: sizes, dead rows, vacuum.

Source:   pg_stat_user_tables, pg_class.reltuples, pg_table_size, pg_indexes_size, pg_database_size; partitions by pg_inherits
Needs:    a role with LOGIN; reading the sizes takes a lock that only ALTER TABLE and its like stand against
By hand:  psql -c "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE schemaname = 'blnk'"
Cost:     1 statement per server, on its own interval (limits.slow_interval_seconds); no row of the ledger is read;
          in proportion to the number of partitions, up to 5000 of them
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..collector import Collector, Reading, Result
from ..ledger_facts import partitions
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
    return Metric(f"blnk_tables_{name}", f"{help_} Read on its own interval.", ("address", "table"), source)


# A replica has statistics of its own, and a crash loses them: both begin at 0 while the table is full. reltuples comes with
# the table itself, and shows a loss: it is set by vacuum or analyze, whose times are among the statistics. A partition
# that was never analyzed is mostly one that was made ahead of its time: of those the statistics count.
_LOST = "m.reltuples >= 0 AND coalesce(s.vacuumed_at, s.analyzed_at) IS NULL"
_COUNTERS = ("n_tup_ins", "n_tup_upd", "n_tup_del", "seq_scan", "seq_tup_read", "idx_scan", "autovacuum_count")


def _whole(value: str) -> str:
    """The sum over a table's partitions; NULL where one of them is not known."""
    return f"CASE WHEN count(*) = count({value}) THEN sum({value}) END"


def _oldest(moment: str) -> str:
    """The least recent one among the partitions that hold rows; NULL where one of those has none."""
    held = "NOT m.divided OR s.n_live_tup + s.n_dead_tup > 0"
    known = f"count(*) FILTER (WHERE {held}) = count({moment}) FILTER (WHERE {held})"
    return f"CASE WHEN {known} THEN extract(epoch FROM min({moment}) FILTER (WHERE {held})) END"


def rows_of(most: int) -> str:
    """The statistics of each table, those of its partitions summed."""
    return f"""
        {partitions.tree(f"c.relname = ANY ({_NAMES})", most)}
        SELECT c.relname AS "table", v.*, coalesce(CASE WHEN pg_is_in_recovery() THEN
                   'a replica has no statistics of what the primary does to its tables' END, r.gap) AS gap
        FROM roots r JOIN pg_class c ON c.oid = r.root
        LEFT JOIN LATERAL (
            SELECT {_whole("CASE WHEN m.reltuples >= 0 THEN m.reltuples::bigint WHEN m.divided THEN s.n_live_tup END")} AS live,
                   {_whole(f"CASE WHEN NOT ({_LOST}) THEN s.n_dead_tup END")} AS dead,
                   {_whole("CASE WHEN m.reltuples < 0 OR s.analyzed_at IS NOT NULL THEN s.n_mod_since_analyze END")} AS modified,
                   {", ".join(f"{_whole(f's.{name}')} AS {name}" for name in _COUNTERS)},
                   {_oldest("s.vacuumed_at")} AS vacuumed_at, {_oldest("s.analyzed_at")} AS analyzed_at
            FROM members m LEFT JOIN (
                SELECT *, greatest(last_vacuum, last_autovacuum) AS vacuumed_at,
                       greatest(last_analyze, last_autoanalyze) AS analyzed_at
                FROM pg_stat_user_tables WHERE NOT pg_is_in_recovery()
            ) s ON s.relid = m.oid
            WHERE m.root = r.root
        ) v ON r.gap IS NULL
    """  # noqa: S608 - built of constants


ROWS = Table(
    name="rows",
    sql={0: rows_of(partitions.PARTITIONS_MAX)},
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
        "seq_scan": _metric("sequential_scans_total", "Scans of the whole table, or of a partition.", "seq_scan"),
        "seq_tup_read": _metric("sequential_rows_total", "Rows read by such scans.", "seq_tup_read"),
        "idx_scan": _metric("index_scans_total", "Scans of one of its indexes.", "idx_scan"),
        "autovacuum_count": _metric(
            "autovacuums_total", "Times that autovacuum cleaned the table.", "autovacuum_count"
        ),
        "vacuumed_at": _metric(
            "last_vacuum_timestamp_seconds",
            "When it was last vacuumed, of its partitions the least recent one; absent when never.",
            "last_vacuum, last_autovacuum",
        ),
        "analyzed_at": _metric(
            "last_analyze_timestamp_seconds",
            "When it was last analyzed, of its partitions the least recent one; absent when never.",
            "last_analyze, last_autoanalyze",
        ),
    },
)


def sizes_of(most: int) -> str:
    """The sizes of each table with its partitions."""
    return f"""
        {partitions.tree(f"c.relname = ANY ({_NAMES})", most)}
        SELECT c.relname AS "table", v.*, r.gap
        FROM roots r JOIN pg_class c ON c.oid = r.root
        LEFT JOIN LATERAL (
            SELECT sum(pg_table_size(m.oid)) AS heap, sum(pg_indexes_size(m.oid)) AS indexes FROM members m WHERE m.root = r.root
        ) v ON r.gap IS NULL
    """  # noqa: S608 - built of constants


SIZES = Table(
    name="sizes",
    sql={0: sizes_of(partitions.PARTITIONS_MAX)},
    labels=("table",),
    columns={
        "heap": _metric(
            "size_bytes", "Size of the table with its partitions on disk, without indexes.", "pg_table_size"
        ),
        "indexes": _metric(
            "index_size_bytes", "Size of its indexes on disk, those of partitions included.", "pg_indexes_size"
        ),
    },
)

DATABASE = Table(
    name="database",
    sql={0: "SELECT pg_database_size(current_database()) AS size"},
    columns={
        "size": Metric(
            "blnk_tables_database_size_bytes",
            "Size of Blnk's database on disk. Read on its own interval.",
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
