"""What each kind of missing right, and a schema that is not Blnk's, is reported as."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from blnk_exporter import collectors
from blnk_exporter.clients import open_clients
from blnk_exporter.collector import Outcome
from blnk_exporter.sandbox.valkey import ValkeyServer
from blnk_exporter.scrape import Scraper

from ..conftest import Farm
from .ground import ROLE, Ground, granted, prepared, settings

pytestmark = pytest.mark.sandbox

NAMES = ("tables", "ledger", "books", "catalog")
HINT = "run what `blnk-exporter grants postgres` prints"


@pytest_asyncio.fixture(params=[15, 16, 18])
async def ground(farm: Farm, request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """Each server, with a database that a test may spoil."""
    async with prepared(await farm.database(request.param), "0.15.2") as made:
        yield made


async def outcomes(ground: Ground, store: ValkeyServer, *spoilt: str) -> list[Outcome]:
    """What the collectors report in the first reading after each of the statements."""
    found = settings(ground, store, *NAMES)
    gathered: list[Outcome] = []
    async with granted(found, ground, store), ground.admin() as admin:
        for text in spoilt:
            await admin.execute(text)
            async with open_clients(found) as clients:
                gathered += (await Scraper(collectors.bind(clients)).scrape(budget_seconds=60)).outcomes
    return gathered


def reasons(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Every failure and missing fact of a collector, with its reason and its text."""
    found = {gap.fact: (gap.reason, gap.detail) for gap in outcome.gaps}
    return found | ({"all": (outcome.failure.reason, str(outcome.failure))} if outcome.failure else {})


async def test_no_right_to_the_schema(ground: Ground, store: ValkeyServer) -> None:
    """Refused, with PostgreSQL's reason and the hint, whatever the collector; sizes and statistics need no right."""
    found = {
        outcome.collector.name: reasons(outcome)
        for outcome in await outcomes(ground, store, f"REVOKE USAGE ON SCHEMA blnk FROM {ROLE}")
    }
    assert {name: set(facts) for name, facts in found.items()} == {
        "tables": set(),
        "ledger": {"all"},
        "books": {"all"},
        "catalog": {"migrations", "ids", "triggers"},
    }
    for reason, detail in (told for facts in found.values() for told in facts.values()):
        assert reason == "refused"
        assert detail.startswith("permission denied for schema blnk; ")
        assert HINT in detail


async def test_a_reason_is_not_older_than_the_newest_failure(ground: Ground, store: ValkeyServer) -> None:
    """A table was missing a moment ago; now the right is, and the table is there again."""
    found = settings(ground, store, "catalog")
    async with granted(found, ground, store), ground.admin() as admin, open_clients(found) as clients:
        scraper = Scraper(collectors.bind(clients))
        told = []
        for text in (
            "ALTER TABLE blnk.gorp_migrations RENAME TO away",
            f"ALTER TABLE blnk.away RENAME TO gorp_migrations; REVOKE USAGE ON SCHEMA blnk FROM {ROLE}",
        ):
            await admin.execute(text)
            (outcome,) = (await scraper.scrape(budget_seconds=60)).outcomes
            told.append({fact: reason for fact, (reason, _) in reasons(outcome).items()})
    assert told == [{"migrations": "malformed"}, dict.fromkeys(("migrations", "ids", "triggers"), "refused")]


async def test_no_right_to_the_database(ground: Ground, store: ValkeyServer) -> None:
    """The login is refused, and each collector says so."""
    text = f'REVOKE CONNECT ON DATABASE "{ground.name}" FROM {ROLE}'
    for outcome in await outcomes(ground, store, text):
        assert reasons(outcome)["all"][0] == "refused"
        assert "no right to connect to database" in reasons(outcome)["all"][1]


async def test_a_schema_of_someone_else(ground: Ground, store: ValkeyServer) -> None:
    """One sentence for each collector and nothing of single columns; the same if the schema is missing."""
    foreign = f"""
        DROP SCHEMA blnk CASCADE; CREATE SCHEMA blnk;
        CREATE TABLE blnk.transactions (id int, reference text, name text); CREATE TABLE blnk.balances (id int);
        GRANT USAGE ON SCHEMA blnk TO {ROLE}; GRANT SELECT ON ALL TABLES IN SCHEMA blnk TO {ROLE};
    """
    found = [reasons(outcome) for outcome in await outcomes(ground, store, foreign, "DROP SCHEMA blnk CASCADE")]
    other = "schema blnk is not Blnk's: its table transactions has no column currency, status, transaction_id"
    none = "schema blnk has no tables of Blnk"
    help_ = ("; check the name of the database", "; check the name of the database, and run Blnk's migrations")
    told = [{"all": ("malformed", text)} for text in (other + help_[0], none + help_[1])]
    assert found == [told[0]] * len(NAMES) + [told[1]] * len(NAMES)


async def test_books_give_postgresqls_own_reason(ground: Ground, store: ValkeyServer) -> None:
    """A column that is missing is named."""
    (found,) = [
        reasons(outcome)
        for outcome in await outcomes(ground, store, "ALTER TABLE blnk.balances RENAME COLUMN credit_balance TO c")
        if outcome.collector.name == "books"
    ]
    reason, detail = found["all"]
    assert reason == "malformed"
    assert detail.startswith('column "credit_balance" does not exist')
