"""Whether schema blnk holds Blnk's tables, out of the catalog, which every role may read."""

from collections.abc import Mapping
from typing import Any

from ..errors import Malformed
from ..table import Table

# Every release from 0.13.2 on has them; a table of the same name that lacks one is not Blnk's.
_COLUMNS = ("transaction_id", "reference", "status", "currency")
_NO_TABLES = "schema blnk has no tables of Blnk; check the name of the database, and run Blnk's migrations"
_FOREIGN = "schema blnk is not Blnk's: its table transactions has no column "

PROBLEM = f"""
    SELECT CASE WHEN w.relation IS NULL THEN $text${_NO_TABLES}$text$
                WHEN m.columns <> '' THEN $text${_FOREIGN}$text$ || m.columns || '; check the name of the database' END AS problem
    FROM (SELECT max(c.oid::bigint)::oid AS relation FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = 'blnk' AND c.relname = 'transactions') w,
         LATERAL (SELECT string_agg(name, ', ' ORDER BY name) AS columns FROM unnest(ARRAY{list(_COLUMNS)}) AS name
                  WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = w.relation AND a.attname = name
                                    AND NOT a.attisdropped)) m
"""  # noqa: S608 - built of constants
SCHEMA = Table(name="schema", sql={0: PROBLEM})


def check(row: Mapping[str, Any]) -> None:
    """Raises Malformed, with one sentence, where the tables are not there or not Blnk's."""
    if row["problem"]:
        raise Malformed(row["problem"])
