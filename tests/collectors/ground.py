"""A database and a store in which a role has the printed rights and no others, and what a collector tells there."""

import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis

from blnk_exporter import collectors
from blnk_exporter.clients import open_clients
from blnk_exporter.collector import Collector, Outcome
from blnk_exporter.config import settings as models
from blnk_exporter.config.settings import Settings
from blnk_exporter.errors import ReadingError
from blnk_exporter.formats.dsn import PostgresDsn, RedisDsn
from blnk_exporter.render import grants
from blnk_exporter.right import Command, Extension, Keys, Member, Right, Select
from blnk_exporter.sandbox import schema
from blnk_exporter.sandbox.asynq import Asynq
from blnk_exporter.sandbox.task import Server, Task
from blnk_exporter.sandbox.valkey import ValkeyServer
from blnk_exporter.scrape import Scraper

from ..conftest import PASSWORD, Database
from ..waiting import PATIENCE_SECONDS

ROLE = "rights_of_one"
QUEUE = "new:transaction"
EXTENSIONS = "extensions"
# Which servers hold the tables of which release.
GROUNDS = [(version, release) for version in (15, 16, 18) for release in schema.RELEASES]
# A queued transaction that is due, so that its task is looked for.
_ROW = """
    INSERT INTO blnk.transactions (transaction_id, parent_transaction, reference, precise_amount, currency, status, created_at)
    VALUES ('txn_1', '', 'ref_1', 100, 'USD', 'QUEUED', now() - interval '1 hour')
"""


@dataclass(frozen=True)
class Ground:
    """One database of a server with Blnk's tables and an extension in a schema of its own."""

    server: Database
    name: str

    def admin(self) -> Any:
        """A superuser's session."""
        return self.server.admin(self.name)

    async def has(self, right: Right) -> bool:
        """Whether there is anything here that the right is to."""
        async with self.admin() as admin:
            if isinstance(right, Select):
                return bool(await self.columns(admin, right))
            if isinstance(right, Extension):
                return bool(await admin.fetchval("SELECT count(*) FROM pg_extension WHERE extname = $1", right.name))
        return True

    async def columns(self, admin: Any, right: Select) -> list[str]:
        """Those of the declared columns that this release has."""
        text = (
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'blnk' AND table_name = $1 "
            "AND column_name = ANY ($2)"
        )
        return [row["column_name"] for row in await admin.fetch(text, right.table, [*right.columns])]

    async def take(self, right: Right) -> None:
        """Revoke what was granted."""
        async with self.admin() as admin:
            match right:
                case Select():
                    columns = ", ".join(await self.columns(admin, right))
                    await admin.execute(f"REVOKE SELECT ({columns}) ON blnk.{right.table} FROM {ROLE}")
                case Member():
                    await admin.execute(f"REVOKE {right.role} FROM {ROLE}")
                case Extension():
                    await admin.execute(f"REVOKE USAGE ON SCHEMA {EXTENSIONS} FROM {ROLE}")


@asynccontextmanager
async def prepared(server: Database, release: schema.Release) -> AsyncIterator[Ground]:
    """A new database in which nobody has a right but Blnk, dropped afterwards."""
    ground = Ground(server, f"rights_{release}")
    async with server.admin("postgres") as admin:
        await admin.execute(f'CREATE DATABASE "{ground.name}" OWNER blnk')
        await admin.execute(f'REVOKE ALL ON DATABASE "{ground.name}" FROM PUBLIC')
        async with ground.admin() as owner:
            await owner.execute("SET ROLE blnk")
            await schema.apply(owner, release)
            await owner.execute(_ROW)
            await owner.execute("RESET ROLE")
            if server.statements:
                await owner.execute(f"CREATE SCHEMA {EXTENSIONS}")
                await owner.execute(f"CREATE EXTENSION pg_stat_statements SCHEMA {EXTENSIONS}")
        yield ground
        await admin.execute(f'DROP DATABASE "{ground.name}" WITH (FORCE)')


async def fill(store: ValkeyServer) -> ValkeyServer:
    """Tasks in every state, and a worker's heartbeat."""
    async with Redis.from_url(store.url()) as redis:
        await redis.flushall()
        asynq, now, name = Asynq(redis), time.time(), f"{QUEUE}_1"
        tasks = [Task(type="t", queue=name, payload=b"") for _ in range(5)]
        await asynq.enqueue(dict.fromkeys(tasks[:2], now - 100))
        await asynq.dequeue([name], now - 300)
        await asynq.schedule(tasks[2], now - 200)
        await asynq.retry(tasks[3], now - 200, now)
        await asynq.archive(tasks[4], now)
        await asynq.beat(Server(host="vm", pid=1, concurrency=1, queues={name: 1}, started_at=now), {}, now)
    return store


@dataclass(frozen=True)
class Told:
    """What two readings told: the failure if there was one, the gaps by fact, the facts that came as rows."""

    failure: ReadingError | None
    gaps: Mapping[str, tuple[str, str]]
    rows: frozenset[str]


def settings(ground: Ground, store: ValkeyServer, *names: str, least: bool = True, database: int = 0) -> Settings:
    """The named collectors alone, logged in with the least rights or with all."""
    switched = models.Collectors(**{name: name in names for name in collectors.NAMES})
    login = {"user": ROLE if least else "postgres", "password": SecretStr(PASSWORD)}
    own = models.Own(
        collectors=switched,
        limits=models.Limits(slow_interval_seconds=0),
        postgres=models.Postgres(user=ROLE),
        redis=models.Redis(username=ROLE),
    )
    dsn = PostgresDsn(
        hosts=(ground.server.server.host,),
        ports=(ground.server.server.port,),
        database=ground.name,
        sslmode="disable",
        **login,
    )
    user = {"username": ROLE, "password": SecretStr(PASSWORD)} if least else {}
    return Settings(
        own=own,
        blnk=models.Blnk(
            server_port="1", monitoring_port="1", data_source_dns=None, redis_dns=None, number_of_queues=1, queues=()
        ),
        servers=(),
        workers=(),
        postgres=(dsn,),
        redis=RedisDsn(host=store.host, port=store.port, database=database, **user),
        queues=(f"{QUEUE}_1",),
        blnk_role="blnk",
    )


def acl_words(text: str, *without: str) -> list[str]:
    """The printed line's words behind ``user``, with a password in their place and some of them left out."""
    kind, name, *words = text.splitlines()[-1].split()
    assert (kind, name) == ("user", ROLE)
    assert set(without) <= set(words)
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    words = [word.replace("PASSWORD_SHA256", digest) for word in words if word not in without]
    return [name, *words]


def word(right: Command | Keys) -> str:
    """The word of an ACL rule that gives the right."""
    return f"+{right.name}" if isinstance(right, Command) else f"%R~{right.pattern}"


@asynccontextmanager
async def granted(
    found: Settings, ground: Ground, store: ValkeyServer, *without: str, function: bool = False
) -> AsyncIterator[None]:
    """A role and a user that have what is printed, less some words of the ACL; gone afterwards."""
    async with ground.admin() as admin, Redis.from_url(store.url()) as redis:
        try:
            await admin.execute(grants.postgres(found, function=function))
            secret = await admin.fetchval("SELECT quote_literal($1)", PASSWORD)
            await admin.execute(f"ALTER ROLE {ROLE} PASSWORD {secret}")
            await redis.execute_command("ACL", "SETUSER", *acl_words(grants.redis(found), *without))
            yield
        finally:
            await redis.execute_command("ACL", "DELUSER", ROLE)
            if await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", ROLE):
                await admin.execute(f"DROP OWNED BY {ROLE}")
                await admin.execute(f"DROP ROLE {ROLE}")


async def told(found: Settings) -> Told | None:
    """What the one enabled collector tells in two readings that are far apart; None when it has nothing to read here."""
    async with open_clients(found) as clients:
        rooms = collectors.bind(clients)
        if not rooms:
            return None
        scraper, outcomes = Scraper(rooms), []
        for _ in range(2):
            (outcome,) = (await scraper.scrape(budget_seconds=PATIENCE_SECONDS)).outcomes
            outcomes.append(outcome)
            for source in rooms[0].sources:
                if following := getattr(source, "following", None):
                    following._noticed.clear()
    gaps = {gap.fact: (gap.reason, gap.detail) for outcome in outcomes for gap in outcome.gaps}
    failure = next((outcome.failure for outcome in outcomes if outcome.failure), None)
    readings = [result.reading for outcome in outcomes for result in outcome.results if result.reading]
    rows = [getattr(reading, "rows", ()) for reading in readings]
    return Told(failure, gaps, frozenset(name for found in rows if isinstance(found, Mapping) for name in found))


async def told_by_all(found: Settings) -> tuple[Outcome, ...]:
    """What every enabled collector that has something to read here tells the second time."""
    async with open_clients(found) as clients:
        scraper = Scraper(collectors.bind(clients))
        await scraper.scrape(budget_seconds=PATIENCE_SECONDS)
        return (await scraper.scrape(budget_seconds=PATIENCE_SECONDS)).outcomes


async def facts_of(right: Right, collector: Collector[Any], ground: Ground) -> set[str]:
    """What is missing without a right: its own facts, and those of the others that give the same columns.

    A fact that also needs what is not here is not asked for here, so it is not missing.
    """
    found = set(right.facts)
    for other in collector.rights:
        if isinstance(right, Select) and isinstance(other, Select) and other.table == right.table:
            found |= set(other.facts) if {*other.columns} & {*right.columns} else set()
    for other in collector.rights:
        found -= set() if await ground.has(other) else set(other.facts)
    return found


def names(right: Right, details: Iterable[str]) -> bool:
    """Whether every one of these texts tells a person which right it is about."""
    match right:
        case Select():
            named = f"table {right.table};"
        case Member():
            named = right.role
        case Extension():
            named = f"schema {EXTENSIONS}"
        case Command():
            named = right.name
        case Keys():
            named = "key"
    return all(named in detail.lower() for detail in details)
