"""Whether the books balance, on both releases; when the answer means something, and how old it is."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from tests.collectors.conftest import Page, read_page, unseen
from tests.collectors.ledger_rows import Ledger, new_ledger
from tests.conftest import Database

from blnk_exporter.clients.patient import PatientReader
from blnk_exporter.collectors.books import COLLECTOR, BooksSource
from blnk_exporter.errors import Locked, Refused, TooDear
from blnk_exporter.table import Table

pytestmark = pytest.mark.sandbox


@pytest_asyncio.fixture(params=["0.13.2", "0.15.2"])
async def ledger(postgres: Database, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    """Both releases in turn."""
    async with new_ledger(postgres, request.param) as made:
        yield made


@pytest_asyncio.fixture
async def newest(postgres: Database) -> AsyncIterator[Ledger]:
    """A ledger of 0.15.2."""
    async with new_ledger(postgres, "0.15.2") as made:
        yield made


def source(ledger: Ledger, user: str = "postgres", *, seconds: float = 5.0, **given: Any) -> BooksSource:
    reader = PatientReader(ledger.server.dsn(user, database=ledger.name), statement_timeout_seconds=seconds)
    return BooksSource(**{"reader": reader, "interval_seconds": 0.0, "trial_balance": "auto", "currencies": 30} | given)


def bare(found: Page) -> dict[str, Any]:
    return {name.removeprefix("blnk_books_"): series for name, series in found.items()}


async def test_books_that_balance(ledger: Ledger) -> None:
    """Every currency by itself. Before 0.15.0 a rate may have made the sums what they are, so nothing is said of them."""
    await ledger.open_balance("c", "EUR", credit=300)
    await ledger.open_balance("d", "EUR", debit=300)
    found = bare(await read_page(COLLECTOR, source(ledger)))
    assert (found["balances"], found["currencies"], found["mismatched_balances"]) == ({(): 4}, {(): 2}, {(): 0})
    if ledger.release == "0.13.2":
        assert found.keys() == {"balances", "currencies", "mismatched_balances"}
    else:
        assert (found["unbalanced_currencies"], found["trial_balance"]) == ({(): 0}, {("EUR",): 0, ("USD",): 0})


async def test_books_that_do_not(ledger: Ledger) -> None:
    """A balance that is not its credits less its debits, one whose held part is not, and a currency that is not 0."""
    await ledger.open_balance("c", "EUR", credit=300)
    # Blnk's own trigger would put the balance right.
    await ledger.connection.execute("ALTER TABLE blnk.balances DISABLE TRIGGER USER")
    await ledger.connection.execute("UPDATE blnk.balances SET balance = 7 WHERE balance_id = 'bln_a'")
    await ledger.connection.execute("UPDATE blnk.balances SET inflight_balance = 5 WHERE balance_id = 'bln_b'")
    found = bare(await read_page(COLLECTOR, source(ledger, trial_balance="on")))
    assert found["mismatched_balances"] == {(): 2}
    assert (found["unbalanced_currencies"], found["trial_balance"]) == ({(): 2}, {("EUR",): 300, ("USD",): 7})


async def test_a_ledger_that_was_once_older(newest: Ledger) -> None:
    """What a rate did before 0.15.0 stays in the sums for ever; whoever never used one may switch them on."""
    await newest.connection.execute(
        "UPDATE blnk.gorp_migrations SET applied_at = now() - interval '1 year' WHERE id < '1780963200.sql'"
    )
    for setting, told in (("auto", False), ("on", True), ("off", False)):
        found = bare(await read_page(COLLECTOR, source(newest, trial_balance=setting)))
        assert ("trial_balance" in found, "unbalanced_currencies" in found) == (told, told)


async def test_currencies_beyond_the_bound_are_counted_all_the_same(newest: Ledger) -> None:
    """Only their own series are left out."""
    for name in ("AAA", "BBB", "CCC"):
        await newest.open_balance(name, name, credit=1)
    found = bare(await read_page(COLLECTOR, source(newest, currencies=2)))
    assert (found["currencies"], found["unbalanced_currencies"]) == ({(): 4}, {(): 3})
    assert found["trial_balance"].keys() == {("AAA",), ("BBB",)}


async def test_every_metric_is_seen_and_declared(newest: Ledger) -> None:
    """On a ledger that was made by 0.15."""
    assert unseen(COLLECTOR, await read_page(COLLECTOR, source(newest))) == set()


async def test_an_answer_is_kept_for_the_interval_and_tells_its_age(newest: Ledger) -> None:
    """A scan per interval, not per scrape."""
    books = source(newest, interval_seconds=900.0)
    before = newest.server.log()
    began = time.time()
    first = await COLLECTOR.read(books)
    assert await COLLECTOR.read(books) is first
    assert newest.server.executed(before, "postgres") == 1
    assert began <= first.read_at <= time.time()
    books.last = None
    assert await COLLECTOR.read(books) is not first


async def test_the_first_answer_is_waited_for(newest: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none before it that could serve."""
    monkeypatch.setattr("blnk_exporter.collectors.books._PATIENCE_SECONDS", 0.0)
    assert (await COLLECTOR.read(source(newest))).rows


async def test_a_clock_that_is_set_back_keeps_no_answer_and_no_failure(newest: Ledger) -> None:
    """They would be younger than any interval for as long as the clock was wrong."""
    books = source(newest, interval_seconds=900.0)
    first = await COLLECTOR.read(books)
    ahead = time.time() + 3600
    books.last = replace(first, read_at=ahead)
    assert (await COLLECTOR.read(books)).read_at < ahead
    books.last, books.failed = None, (ahead, TooDear("much too dear"))
    assert (await COLLECTOR.read(books)).rows


async def test_whoever_decides_by_himself_does_not_need_the_ledgers_age(newest: Ledger) -> None:
    """A fact that nobody asks for is not missing."""
    await newest.connection.execute("DROP TABLE blnk.gorp_migrations")
    for setting, missing in (("auto", ["ledger_age"]), ("on", []), ("off", [])):
        reading = await COLLECTOR.read(source(newest, trial_balance=setting))
        assert [gap.fact for gap in reading.gaps] == missing
        assert reading.trial == (setting == "on")


async def test_the_old_answer_serves_while_the_new_one_takes_long(
    newest: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the new one is taken up when it is there."""
    books = source(newest)
    first = await COLLECTOR.read(books)
    monkeypatch.setattr("blnk_exporter.collectors.books._PATIENCE_SECONDS", 0.05)
    newest.server.server.pause()
    try:
        assert await COLLECTOR.read(books) is first
    finally:
        newest.server.server.resume()
    monkeypatch.undo()
    assert (await COLLECTOR.read(books)).read_at > first.read_at


async def test_what_is_too_dear_is_not_tried_at_every_scrape(newest: Ledger) -> None:
    """Each try is a scan of so many seconds."""
    await newest.connection.execute("""
        ALTER TABLE blnk.balances RENAME TO sleeping;
        CREATE VIEW blnk.balances AS SELECT s.* FROM blnk.sleeping s, pg_sleep(60) OFFSET 0;
    """)
    books, before = source(newest, seconds=2, interval_seconds=900.0), newest.server.log()
    for _ in range(2):
        with pytest.raises(TooDear):
            await COLLECTOR.read(books)
    # Each try is a separate login.
    assert newest.server.log()[len(before) :].count("connection authorized: user=postgres") == 1


async def test_a_lock_is_tried_again_and_a_refusal_after_a_minute(newest: Ledger) -> None:
    """A migration is soon over; a wrong right is not, and each try is a login."""
    locked = source(newest, interval_seconds=900.0)
    async with newest.session() as migration, migration.transaction():
        await migration.execute("LOCK TABLE blnk.balances, blnk.gorp_migrations IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Locked):
            await COLLECTOR.read(locked)
    assert (await COLLECTOR.read(locked)).rows
    refused, before = source(newest, "plain", interval_seconds=900.0), newest.server.log()
    for _ in range(2):
        with pytest.raises(Refused):
            await COLLECTOR.read(refused)
    assert newest.server.log()[len(before) :].count("connection authorized: user=plain") == 1
    refused.failed = (refused.failed[0] - 61, refused.failed[1])
    await newest.connection.execute("GRANT USAGE ON SCHEMA blnk TO plain")
    await newest.connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA blnk TO plain")
    assert (await COLLECTOR.read(refused)).rows


async def test_a_patient_reading_has_a_connection_of_its_own_and_closes_it(newest: Ledger) -> None:
    """It ends when its owner does, also in the middle."""
    nap = Table(name="nap", sql={0: "SELECT 1 AS n FROM pg_sleep(1)"})
    reader = source(newest).reader

    async def ours() -> int:
        return await newest.connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'blnk_exporter' AND datname = $1",
            newest.name,
        )

    assert await reader.read((nap,), patience_seconds=0.01) is None
    rows, gaps, read_at = await reader.read((nap,), patience_seconds=None)
    assert (rows["nap"], gaps) == ([{"n": 1}], ())
    assert await reader.read((nap,), patience_seconds=0.01) is None
    await asyncio.wait([reader._task])
    # Whoever comes late is told when it was read, not when it was fetched.
    ended = time.time()
    await asyncio.sleep(0.05)
    assert read_at < (await reader.read((nap,), patience_seconds=None))[2] <= ended
    assert await reader.read((nap,), patience_seconds=0.01) is None
    await reader.close()
    while await ours():  # PostgreSQL sees that its client is gone when it wants to speak
        pass
