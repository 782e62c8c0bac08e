"""A table with everything that inherits from it: partitions, inheritance children, chunks of a TimescaleDB hypertable.

A parent's own size, statistics and triggers say nothing of its children, and those of a partitioned table are always 0.
What is read through the parent (rows, ids, sums) is whole without this.
"""

# Of all of Blnk's tables together; pg_partman's daily partitions of thirteen years.
PARTITIONS_MAX = 5000


ALL = "NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent WHERE i.inhrelid = c.oid AND p.relnamespace = n.oid)"
"""The condition on all tables: a partition belongs to its parent, and is not counted again as a table."""
EMPTY = "a partitioned table has no partitions"
"""A gap that concerns sizes and rows only."""


def tree(tables: str, most: int = PARTITIONS_MAX) -> str:
    """WITH clauses ``members`` (root, oid, relkind, reltuples, divided) and ``roots`` (root, gap).

    ``tables`` is a condition on ``c.relname``. Members are the relations that can hold rows. ``gap`` says why the numbers of
    a root cannot be summed, and is NULL where they can.
    """
    return f"""
        WITH RECURSIVE tree(root, relid) AS (
            SELECT c.oid, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'blnk' AND c.relkind IN ('r', 'p') AND {tables}
            UNION
            SELECT t.root, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid
        ), bounded AS MATERIALIZED (
            SELECT t.root, c.oid, c.relkind, c.relhassubclass, c.reltuples, count(*) OVER (PARTITION BY t.root) > 1 AS divided
            FROM (SELECT * FROM tree LIMIT {most} + 1) t JOIN pg_class c ON c.oid = t.relid
        ), members AS (
            SELECT * FROM bounded WHERE relkind <> 'p'
        ), roots AS (
            SELECT root, CASE WHEN bool_or(relhassubclass) AND (SELECT count(*) FROM bounded) > {most}
                              THEN 'Blnk''s tables have more than {most} partitions'
                              WHEN bool_and(relkind = 'p') THEN '{EMPTY}'
                              WHEN bool_or(relkind = 'f') THEN 'the sizes of foreign partitions are unknown' END AS gap
            FROM bounded GROUP BY root
        )
    """  # noqa: S608 - built of constants
