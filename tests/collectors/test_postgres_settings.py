"""The server's settings: those of the server and not of our session, off told from unread, every version's words."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from blnk_exporter.postgres_facts import settings

from ..conftest import Database
from ..waiting import eventually
from .conftest import Page
from .postgres_page import gaps_of, page_of


@asynccontextmanager
async def altered(server: Database, **values: str) -> AsyncIterator[Page]:
    """The page of a server that has these settings, which are taken back afterwards."""
    async with server.admin() as admin:

        async def shows() -> bool:
            # A new session, for some settings are only read when one begins.
            async with server.admin() as new:
                found = [await new.fetchval("SELECT current_setting($1)", name) for name in values]
                return found == list(values.values())

        try:
            for name, value in values.items():
                await admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            await admin.execute("SELECT pg_reload_conf()")
            await eventually(shows)
            yield await page_of(server)
        finally:
            for name in values:
                await admin.execute(f"ALTER SYSTEM RESET {name}")
            await admin.execute("SELECT pg_reload_conf()")


@pytest.mark.sandbox
async def test_every_setting_exists_on_every_version(each_postgres: Database) -> None:
    """A name with a slip of the pen would be silently absent."""
    wanted = {*settings.BYTES, *settings.SECONDS, *settings.NUMBERS, *settings.SWITCHES, *settings.OFF}
    async with each_postgres.admin() as admin:
        known = {row["name"] for row in await admin.fetch("SELECT name FROM pg_settings")}
    assert wanted - known == set()


@pytest.mark.sandbox
async def test_what_is_set_for_us_is_not_the_servers(each_postgres: Database) -> None:
    """Blnk's sessions do not get what our role is given; what is given to every role, they do."""
    ours = {
        "work_mem": "ALTER ROLE exporter {} work_mem",
        "random_page_cost": "ALTER ROLE exporter IN DATABASE blnk {} random_page_cost",
        "synchronous_commit": "ALTER DATABASE blnk {} synchronous_commit",
        "log_min_duration_statement": "ALTER ROLE exporter {} log_min_duration_statement",
        "effective_cache_size": "ALTER ROLE ALL {} effective_cache_size",
    }
    values = ("'99MB'", "9", "off", "100", "'640MB'")
    async with each_postgres.admin() as admin:
        try:
            for text, value in zip(ours.values(), values, strict=True):
                await admin.execute(f"{text.format('SET')} = {value}")
            found, gaps = await page_of(each_postgres), await gaps_of(each_postgres)
        finally:
            for text in ours.values():
                await admin.execute(text.format("RESET"))
    assert ("work_mem",) not in found["blnk_postgres_setting_bytes"]
    assert ("random_page_cost",) not in found["blnk_postgres_setting_value"]
    assert ("log_min_duration_statement",) not in found["blnk_postgres_setting_seconds"]
    assert ("log_min_duration_statement",) not in found["blnk_postgres_setting_on"]
    assert "blnk_postgres_synchronous_commit" not in found
    assert found["blnk_postgres_setting_bytes"][("effective_cache_size",)] == 640 << 20
    assert found["blnk_postgres_password_encryption"][("scram-sha-256",)] == 1
    hidden = gaps["settings"].partition(": ")[2].split(", ")
    assert sorted(hidden) == ["log_min_duration_statement", "random_page_cost", "work_mem"]
    assert gaps["choices"].endswith(": synchronous_commit")
    assert await gaps_of(each_postgres) == {}
    assert ("work_mem",) in (await page_of(each_postgres))["blnk_postgres_setting_bytes"]


@pytest.mark.sandbox
async def test_off_is_told_and_told_from_a_number(each_postgres: Database) -> None:
    """No slow statement is logged, or nobody could read whether: an alert must know which."""
    off = {"log_min_duration_statement": "-1", "log_autovacuum_min_duration": "-1", "archive_timeout": "0"}
    on = {"log_min_duration_statement": "0", "log_autovacuum_min_duration": "2s", "archive_timeout": "1min"}
    async with altered(each_postgres, **off, max_slot_wal_keep_size="-1") as found:
        assert {found["blnk_postgres_setting_on"][(name,)] for name in settings.OFF} == {0}
        assert {labels[0] for labels in found["blnk_postgres_setting_seconds"]} == {
            "checkpoint_timeout",
            "deadlock_timeout",
        }
        assert ("max_slot_wal_keep_size",) not in found["blnk_postgres_setting_bytes"]
    async with altered(each_postgres, **on, max_slot_wal_keep_size="1GB") as found:
        assert {found["blnk_postgres_setting_on"][(name,)] for name in settings.OFF} == {1}
        assert [found["blnk_postgres_setting_seconds"][(name,)] for name in on] == [0, 2, 60]
        assert found["blnk_postgres_setting_bytes"][("max_slot_wal_keep_size",)] == 1 << 30


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("value", "since", "logged"),
    [
        ("on", 0, 1),
        ("off", 0, 0),
        ("", 18, 0),
        ("receipt,authorization", 18, 1),
        ("all", 18, 1),
        ("No", 18, 0),
        ("1", 18, 1),
    ],
)
async def test_logged_connections_in_every_versions_words(
    each_postgres: Database, value: str, since: int, logged: int
) -> None:
    """A switch up to 17, a list from 18 on."""
    if each_postgres.version < since:
        pytest.skip("a value that came with 18")
    async with altered(each_postgres, log_connections=value) as found:
        assert found["blnk_postgres_setting_on"][("log_connections",)] == logged
