"""Facts that come as rows: one statement for all, and one fact less where the server refuses one."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from blnk_exporter.clients.postgres import PostgresClient
from blnk_exporter.errors import Locked, Malformed, ReadingError, Refused, TimedOut, Unreachable
from blnk_exporter.metric import Metric, Sample
from blnk_exporter.table import Table, TableReader

from .conftest import Database, postgres_client

NUMBER = Metric("blnk_test_number", "A number.", ("address",))
LABELLED = Metric("blnk_test_labelled", "A number of each.", ("address", "name"))
STATE = Metric("blnk_test_state", "1 for the state.", ("address", "name", "state"))


def table(name: str, sql: str, **options: Any) -> Table:
    return Table(name=name, sql={0: sql}, columns={"n": NUMBER}, **options)


GOOD = table("good", "SELECT 1 AS n")
FORBIDDEN = table("forbidden", "SELECT count(rolpassword) AS n FROM pg_authid")
BROKEN = table("broken", "SELECT nosuchcolumn AS n FROM pg_class")
LACKING = table("lacking", "SELECT 1 AS m")
PRIVILEGED = table("privileged", "SELECT count(*) AS n FROM pg_stat_activity", needs="pg_read_all_stats")


@pytest_asyncio.fixture
async def client(postgres: Database) -> AsyncIterator[PostgresClient]:
    async with postgres_client(postgres.dsn()) as opened:
        yield opened


def test_the_text_for_a_version_is_the_latest_that_fits() -> None:
    """A server older than all texts does not have the fact."""
    facts = Table(name="t", sql={160000: "b", 150000: "a", 180000: "c"})
    assert [facts.text(version) for version in (140000, 150000, 170000, 180000, 190000)] == [None, "a", "b", "c", "c"]


def test_rows_become_samples() -> None:
    """A NULL says nothing, a state says one thing of each value, and a state unheard of says no to all."""
    facts = Table(
        name="t",
        sql={},
        columns={"n": LABELLED},
        labels=("name",),
        states={"s": (STATE, ("on", "off"))},
    )
    rows = [{"name": "a", "n": 2, "s": "on"}, {"name": "b", "n": None, "s": None}, {"name": "c", "n": 0, "s": "new"}]
    assert list(facts.samples(rows, "h:1")) == [
        Sample(LABELLED, ("h:1", "a"), 2.0),
        Sample(STATE, ("h:1", "a", "on"), 1.0),
        Sample(STATE, ("h:1", "a", "off"), 0.0),
        Sample(LABELLED, ("h:1", "c"), 0.0),
        Sample(STATE, ("h:1", "c", "on"), 0.0),
        Sample(STATE, ("h:1", "c", "off"), 0.0),
    ]
    assert facts.metrics == (LABELLED, STATE)


def test_a_missing_column_is_malformed_by_name() -> None:
    """A column that a new server renamed must not be a silent hole; one more is no harm."""
    with pytest.raises(Malformed, match=r"t: .* lacks n$"):
        table("t", "").check([{"m": 1}])
    table("t", "").check([{"n": 1, "m": 2}])


@dataclass
class Script:
    """A database that does to each statement what a test says, and keeps the statements."""

    act: Callable[[list[str]], Any]
    address: str = "h:1"
    asked: list[list[str]] = field(default_factory=list)

    async def version(self) -> int:
        """A current one."""
        return 180000

    async def fetch_text(self, sql: str, *arguments: str | None) -> str:
        """Which facts a statement asks for can be told from their names."""
        names = [name for name in ("good", "bad", "other") if f"'{name}', " in sql]
        self.asked.append(names)
        result = self.act(names)
        if isinstance(result, ReadingError):
            raise result
        return json.dumps({name: [{"n": 1}] for name in names} | (result or {}))


SCRIPTED = (table("good", "x"), table("bad", "x"), table("other", "x"))


async def test_one_refused_fact_costs_itself_only() -> None:
    """The whole statement fails for one fact: each is asked alone once, then the bad one is left out for a while."""
    database = Script(lambda names: Refused("no") if "bad" in names else None)
    reader = TableReader(database, retry_seconds=300)
    for now in (0.0, 10.0, 299.0):
        rows, gaps = await reader.read(SCRIPTED, now=now)
        assert rows == {"good": [{"n": 1}], "other": [{"n": 1}]}
        assert [(gap.fact, gap.reason, gap.detail) for gap in gaps] == [("bad", "refused", "no")]
    assert database.asked == [
        ["good", "bad", "other"],
        ["good"],
        ["bad"],
        ["other"],
        ["good", "other"],
        ["good", "other"],
    ]


async def test_a_refused_fact_is_tried_again() -> None:
    """A right that was granted meanwhile needs no restart."""
    granted = []
    database = Script(lambda names: Refused("no") if "bad" in names and not granted else None)
    reader = TableReader(database, retry_seconds=300)
    await reader.read(SCRIPTED, now=0.0)
    granted.append(True)
    rows, gaps = await reader.read(SCRIPTED, now=300.0)
    assert (sorted(rows), gaps) == (["bad", "good", "other"], ())
    assert database.asked[-1] == ["good", "bad", "other"]


@pytest.mark.parametrize("error", [Malformed("odd"), Locked("held"), Refused("no")])
async def test_these_failures_are_looked_into_one_by_one(error: ReadingError) -> None:
    """They have a culprit among the facts."""
    database = Script(lambda names: error if "bad" in names else None)
    rows, gaps = await TableReader(database).read(SCRIPTED, now=0.0)
    assert sorted(rows) == ["good", "other"]
    assert [(gap.fact, gap.reason) for gap in gaps] == [("bad", error.reason)]


@pytest.mark.parametrize("error", [TimedOut("slow"), Unreachable("gone")])
async def test_these_failures_are_not(error: ReadingError) -> None:
    """A server that is too slow for one statement must not be given twelve more."""
    database = Script(lambda _: error)
    with pytest.raises(type(error)):
        await TableReader(database).read(SCRIPTED, now=0.0)
    assert len(database.asked) == 1


async def test_a_server_that_gives_nothing_is_a_failure_and_asked_anew() -> None:
    """Every fact refused is no reading; from then on one statement asks for all, until it is time to look again."""
    failure: list[ReadingError] = [Refused("no")]
    database = Script(lambda _: failure[0] if failure else None)
    reader = TableReader(database, retry_seconds=300)
    for now in (0.0, 1.0, 299.0, 300.0):
        with pytest.raises(Refused, match="no"):
            await reader.read(SCRIPTED, now=now)
    whole, singly = [["good", "bad", "other"]], [["good"], ["bad"], ["other"]]
    assert database.asked == [*whole, *singly, *whole, *whole, *whole, *singly]
    # Another kind of failure is another culprit; a success ends the wait.
    failure[0] = Malformed("odd")
    with pytest.raises(Malformed):
        await reader.read(SCRIPTED, now=301.0)
    assert database.asked[-3:] == singly
    failure.clear()
    assert sorted((await reader.read(SCRIPTED, now=302.0))[0]) == ["bad", "good", "other"]
    failure.append(Malformed("odd"))
    with pytest.raises(Malformed):
        await reader.read(SCRIPTED, now=303.0)
    assert database.asked[-4:] == [*whole, *singly]


async def test_a_lock_is_not_remembered() -> None:
    """A migration of a second must not cost a fact five minutes; all but locked is nothing given all the same."""
    locked: set[str] = {"bad"}
    database = Script(lambda names: Locked("held") if locked & set(names) else None)
    reader = TableReader(database, retry_seconds=300)
    _, gaps = await reader.read(SCRIPTED, now=0.0)
    assert [(gap.fact, gap.reason) for gap in gaps] == [("bad", "timeout")]
    locked.clear()
    rows, gaps = await reader.read(SCRIPTED, now=1.0)
    assert (sorted(rows), gaps) == (["bad", "good", "other"], ())
    locked.update(("good", "bad", "other"))
    with pytest.raises(Locked):
        await reader.read(SCRIPTED, now=2.0)


async def test_a_timeout_while_looking_ends_the_looking() -> None:
    """The deadline is everybody's."""
    database = Script(lambda names: TimedOut("slow") if names == ["bad"] else Refused("no") if "bad" in names else None)
    with pytest.raises(TimedOut):
        await TableReader(database).read(SCRIPTED, now=0.0)
    assert database.asked == [["good", "bad", "other"], ["good"], ["bad"]]


async def test_a_fact_that_the_server_is_too_old_for_is_neither_asked_nor_missing() -> None:
    """PostgreSQL 15 lacks nothing that it never had."""
    database = Script(lambda _: None)
    rows, gaps = await TableReader(database).read([SCRIPTED[0], Table(name="bad", sql={190000: "x"})], now=0.0)
    assert (rows, gaps) == ({"good": [{"n": 1}]}, ())
    assert database.asked == [["good"]]


@pytest.mark.sandbox
async def test_real_refusals_on_a_real_server(postgres: Database, client: PostgresClient) -> None:
    """A forbidden relation, an unknown column and a lacking one: three gaps, one living fact, one statement from then on."""
    reader = TableReader(client)
    tables = (FORBIDDEN, GOOD, BROKEN, LACKING)
    for statements in (5, 1, 1):
        before = postgres.log()
        rows, gaps = await reader.read(tables, now=0.0)
        assert rows == {"good": [{"n": 1}]}
        assert {gap.fact: gap.reason for gap in gaps} == {
            "forbidden": "refused",
            "broken": "malformed",
            "lacking": "malformed",
        }
        # A statement that fails while it is parsed is logged as an error only.
        assert postgres.executed(before) + postgres.log()[len(before) :].count("exporter@blnk ERROR") == statements
    details = {gap.fact: gap.detail for gap in gaps}
    assert "pg_authid" in details["forbidden"]
    assert "nosuchcolumn" in details["broken"]
    assert "lacks n" in details["lacking"]


@pytest.mark.sandbox
async def test_a_server_that_refuses_all_is_not_asked_for_each_again_and_again(postgres: Database) -> None:
    """One statement a scrape, until it is time to look into each."""
    async with postgres_client(postgres.dsn("plain")) as client:
        reader = TableReader(client, retry_seconds=300)
        for now, statements in ((0.0, 3), (1.0, 1), (2.0, 1), (301.0, 3)):
            before = postgres.log()
            with pytest.raises(Malformed, match="nosuchcolumn"):
                await reader.read((BROKEN, FORBIDDEN), now=now)
            assert postgres.log()[len(before) :].count("plain@blnk ERROR") == statements


@pytest.mark.sandbox
async def test_what_a_row_cannot_tell_is_a_gap(client: PostgresClient) -> None:
    """In the row's words, once, beside what it does tell."""
    half = table(
        "half", "SELECT 1 AS n, NULL AS gap UNION ALL SELECT NULL, 'not the other half' FROM generate_series(1, 2)"
    )
    rows, gaps = await TableReader(client).read((half, GOOD), now=0.0)
    assert [(gap.fact, gap.reason, gap.detail) for gap in gaps] == [("half", "refused", "not the other half")]
    assert list(half.samples(rows["half"], "h:1")) == [Sample(NUMBER, ("h:1",), 1.0)]


@pytest.mark.sandbox
async def test_a_missing_role_is_a_gap_within_the_one_statement(postgres: Database) -> None:
    """Without pg_monitor the server shows a part of the truth, which is refused here before it becomes a number."""
    async with postgres_client(postgres.dsn("plain")) as client:
        reader, before = TableReader(client), postgres.log()
        rows, gaps = await reader.read((GOOD, PRIVILEGED), now=0.0)
        assert rows == {"good": [{"n": 1}]}
        assert [(gap.fact, gap.reason, gap.detail) for gap in gaps] == [
            ("privileged", "refused", "needs the role pg_read_all_stats, which pg_monitor has")
        ]
        assert postgres.executed(before, "plain") == 1


@pytest.mark.sandbox
async def test_a_real_statement_timeout_is_one_statement(postgres: Database) -> None:
    """No second try on a server that is already too slow."""
    async with postgres_client(postgres.dsn(), statement_timeout_seconds=0.05) as client:
        before = postgres.log()
        with pytest.raises(TimedOut):
            await TableReader(client).read((GOOD, table("slow", "SELECT 1 AS n FROM pg_sleep(10)")), now=0.0)
        assert postgres.executed(before) == 1


@pytest.mark.sandbox
async def test_no_rows_are_no_failure(client: PostgresClient) -> None:
    """A primary without standbys has none to tell of."""
    rows, gaps = await TableReader(client).read((table("none", "SELECT 1 AS n WHERE false"),), now=0.0)
    assert (rows, gaps) == ({"none": []}, ())


@pytest.mark.sandbox
async def test_blnks_role_is_the_first_argument(client: PostgresClient) -> None:
    """Sessions are told apart by it; a name with a quote in it is data, not SQL."""
    facts = Table(name="who", sql={0: "SELECT 1 AS n, $1 || '' AS name"}, columns={"n": LABELLED}, labels=("name",))
    rows, _ = await TableReader(client, argument="o'brien").read((facts,), now=0.0)
    assert rows["who"] == [{"n": 1, "name": "o'brien"}]
