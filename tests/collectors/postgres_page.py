"""What the tests of PostgreSQL share: one reading as a role, and what no ordinary server shows."""

from typing import Any

from blnk_exporter.collectors.postgres import COLLECTOR
from blnk_exporter.table import TableReader

from ..conftest import Database, postgres_client
from .conftest import Page, read_page

# What no server here shows, and why.
NOT_HERE = {
    "blnk_postgres_checksum_failures_total": "initdb here makes clusters without checksums before version 18",
    "blnk_postgres_statistics_reset_timestamp_seconds": "absent until somebody resets the counters",
    "blnk_postgres_oldest_xmin_age_transactions": "only while something holds it back; see the test of sessions",
    "blnk_postgres_slot_safe_bytes": "only with max_slot_wal_keep_size",
    "blnk_postgres_last_archived_timestamp_seconds": "archive_mode needs a restart of its own; see the archiver's test",
    "blnk_postgres_last_archive_failure_timestamp_seconds": "the same",
    "blnk_postgres_archiver_working": "the same",
}


async def page_of(server: Database, user: str = "exporter", *, blnk_role: str | None = "blnk", **fields: Any) -> Page:
    """One reading by a role, without the label of the address."""
    async with postgres_client(server.dsn(user, **fields)) as client:
        return bare(await read_page(COLLECTOR, TableReader(client, argument=blnk_role)))


async def gaps_of(
    server: Database, user: str = "exporter", *, blnk_role: str | None = "blnk", **fields: Any
) -> dict[str, str]:
    """What one reading by a role misses, and why in words."""
    async with postgres_client(server.dsn(user, **fields)) as client:
        reading = await COLLECTOR.read(TableReader(client, argument=blnk_role))
    assert {gap.reason for gap in reading.gaps} <= {"refused"}
    assert {gap.fact for gap in reading.gaps} <= set(COLLECTOR.facts)
    return {gap.fact: gap.detail for gap in reading.gaps}


def bare(found: Page) -> Page:
    """Without the label of the address."""
    return {name: {labels[1:]: value for labels, value in series.items()} for name, series in found.items()}
