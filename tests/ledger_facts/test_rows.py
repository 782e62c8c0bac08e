"""How PostgreSQL goes about the statements that follow Blnk's rows, where it knows nothing of the tables."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.collectors.ledger_rows import new_ledger
from tests.conftest import Database

from blnk_exporter.ledger_facts import rows, standing

pytestmark = pytest.mark.sandbox

# Every queued row has its outcome, and both stand in the journal.
FILL = """
    ALTER TABLE blnk.transactions SET (autovacuum_enabled = off);
    ALTER TABLE blnk.transaction_journal SET (autovacuum_enabled = off);
    SET session_replication_role = replica;
    INSERT INTO blnk.transactions (transaction_id, parent_transaction, reference, precise_amount, currency, status)
    SELECT 't' || n || s, CASE s WHEN '' THEN '' ELSE 't' || n END, 'r' || n || s, 100, 'USD',
           CASE s WHEN '' THEN 'QUEUED' ELSE CASE n % 4 WHEN 0 THEN 'INFLIGHT' WHEN 1 THEN 'REJECTED' ELSE 'APPLIED' END END
    FROM generate_series(1, 20000) n, (VALUES (''), ('_q')) v(s) ORDER BY n, s;
    INSERT INTO blnk.transaction_journal (transaction_id, action_type, succeeded)
    SELECT transaction_id, 'INSERT', true FROM blnk.transactions ORDER BY id;
    SET session_replication_role = origin;
    SET search_path = pg_catalog; SET jit = off; SET plan_cache_mode = force_generic_plan;
"""
SEAL = """
    SET session_replication_role = replica;
    UPDATE blnk.transactions SET chain_seq = id, chain_hash = 'c' || id, chain_prev_hash = 'c' || id - 1;
    UPDATE blnk.chain_state SET last_seq = 40000, head_hash = 'c40000';
    SET session_replication_role = origin;
"""
LAST, NEW, SPAN = 40_000, 100, 1000
POSITIONS = {
    "rows": LAST - NEW,
    "rows_again": [[7, 7], [9, 12], [50_000, 2_000_000_000]],
    "journal": LAST - NEW,
    "journal_again": [[7, 7], [9, 12], [50_000, 2_000_000_000]],
    "before": LAST // 2,
    "open": [*range(1, 301)],
    "sealed": [100, "c100"],
}


def touched(plan: dict[str, Any]) -> Iterator[float]:
    """Rows that each step of a plan has looked at, thrown away ones included."""
    thrown = sum(count for key, count in plan.items() if key.startswith("Rows Removed by"))
    yield (plan["Actual Rows"] + thrown) * plan["Actual Loops"]
    for step in plan.get("Plans", ()):
        yield from touched(step)


@pytest.mark.parametrize("analyzed", [False, True], ids=["never analyzed", "analyzed"])
@pytest.mark.parametrize("release", ["0.13.2", "0.15.2"])
async def test_new_rows_are_looked_up_and_no_others(postgres: Database, release: str, *, analyzed: bool) -> None:
    """A restored or upgraded database has no statistics for hours, and may give much memory to a hash."""
    argument = json.dumps(POSITIONS | {"zone": "UTC", "span": SPAN}).replace("'", "''")
    async with new_ledger(postgres, release) as ledger:
        await ledger.connection.execute(FILL)
        asked = [rows.ROWS, rows.REASONS, rows.JOURNAL, rows.OPEN, rows.HISTORY]
        if release == "0.15.2":
            await ledger.connection.execute(SEAL)
            asked.append(standing.CHAIN)
        if analyzed:
            await ledger.connection.execute("ANALYZE")
        for memory in ("4MB", "256MB"):
            await ledger.connection.execute(f"SET work_mem = '{memory}'")
            for table in asked:
                await ledger.connection.execute(f"PREPARE look (text) AS SELECT $1, t.* FROM ({table.sql[0]}) t")
                text = await ledger.connection.fetchval(
                    f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE look ('{argument}')"
                )
                await ledger.connection.execute("DEALLOCATE look")
                assert max(touched(json.loads(text)[0]["Plan"])) <= 2 * SPAN, (table.name, memory)
