"""What the printed rights keep from their holder, and that they can be given again and again, to whomever it is safe."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from blnk_exporter import collectors
from blnk_exporter.clients import open_clients
from blnk_exporter.config.settings import Postgres
from blnk_exporter.render import grants
from blnk_exporter.right import Select
from blnk_exporter.sandbox.binaries import postgres_bindir
from blnk_exporter.sandbox.valkey import ValkeyServer

from ..conftest import PASSWORD, Database, Farm
from ..programs import debian_postgres, missing, program
from .ground import GROUNDS, QUEUE, ROLE, Ground, acl_words, fill, granted, prepared, settings, told, told_by_all

pytestmark = pytest.mark.sandbox


_REJECTED = """
    INSERT INTO blnk.transactions (transaction_id, parent_transaction, reference, precise_amount, currency, status, meta_data)
    VALUES ($1, '', $1, 100, 'USD', 'REJECTED', jsonb_strip_nulls(jsonb_build_object('blnk_rejection_reason', $2::text)))
"""


@pytest_asyncio.fixture(scope="module", params=GROUNDS, ids=lambda given: "-".join(map(str, given)))
async def ground(farm: Farm, request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """Every server with every release's tables, in turn."""
    version, release = request.param
    async with prepared(await farm.database(version), release) as made:
        yield made


newest = pytest.mark.parametrize("ground", [(16, "0.15.2")], indirect=True, ids=["16-0.15.2"])


@pytest_asyncio.fixture(params=["valkey", "redis"])
async def each_filled_store(farm: Farm, request: pytest.FixtureRequest) -> ValkeyServer:
    """Valkey and Redis 7 in turn."""
    return await fill(await farm.store(request.param))


@asynccontextmanager
async def holder(ground: Ground) -> AsyncIterator[asyncpg.Connection]:
    """A session of the role that was granted everything which is printed."""
    dsn = ground.server.dsn(ROLE, ground.name)
    connection = await asyncpg.connect(
        host=dsn.hosts[0], port=dsn.ports[0], user=ROLE, password=PASSWORD, database=ground.name, ssl=False
    )
    try:
        yield connection
    finally:
        await connection.close()


async def columns(admin: Any) -> set[tuple[str, str]]:
    """Every column of every table of Blnk's."""
    text = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'blnk'"
    return {(row["table_name"], row["column_name"]) for row in await admin.fetch(text)}


async def may_read(session: Any, table: str, column: str) -> bool:
    try:
        await session.fetch(f'SELECT "{column}" FROM blnk."{table}"')
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True


async def test_only_declared_columns_can_be_read(ground: Ground, store: ValkeyServer) -> None:
    """No name, no amount, no payload beyond what a collector says that it reads."""
    declared = {
        (right.table, column)
        for room, _ in collectors.ROOMS
        for right in room.rights
        if isinstance(right, Select)
        for column in right.columns
    }
    async with granted(settings(ground, store, *collectors.NAMES), ground, store), ground.admin() as admin:
        there = await columns(admin)
        async with holder(ground) as session:
            readable = {place for place in there if await may_read(session, *place)}
    assert readable == declared & there
    assert not readable & {("identity", "first_name"), ("transactions", "amount"), ("api_keys", "key")}
    assert ("transactions", "id") in readable


async def refused(session: Any, text: str) -> bool:
    try:
        await session.execute(text)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


async def test_nothing_can_be_written(ground: Ground, store: ValkeyServer) -> None:
    """Not by the role's rights, and not by default either, which whoever holds the role may undo."""
    async with granted(settings(ground, store, *collectors.NAMES), ground, store), ground.admin() as admin:
        tables = sorted({table for table, _ in await columns(admin)})
        texts = ["CREATE TABLE blnk.mine (id int)", "CREATE TABLE public.mine (id int)", "CREATE SCHEMA mine"]
        for table in tables:
            texts += [f"INSERT INTO blnk.{table} DEFAULT VALUES", f"DELETE FROM blnk.{table}"]
            texts += [f"TRUNCATE blnk.{table} CASCADE", f"DROP TABLE blnk.{table} CASCADE"]
            texts += [f"ALTER TABLE blnk.{table} DISABLE TRIGGER USER"]
            texts += [f"DO $$ BEGIN LOCK blnk.{table} IN EXCLUSIVE MODE; END $$"]
        texts += ["UPDATE blnk.transactions SET status = 'APPLIED'", "UPDATE blnk.balances SET balance = 0"]
        texts += ["SELECT nextval('blnk.transactions_id_seq')", "CHECKPOINT"]
        texts += ["SELECT pg_read_file('PG_VERSION')", "SELECT pg_ls_waldir()", "SELECT pg_stat_reset()"]
        async with holder(ground) as session:
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await session.execute("CREATE TABLE blnk.mine (id int)")
            await session.execute("SET default_transaction_read_only = off")
            allowed = [text for text in texts if not await refused(session, text)]
    assert len(tables) >= 18
    assert allowed == []


@newest
async def test_what_the_head_says_that_the_login_can_do(ground: Ground, store: ValkeyServer) -> None:
    """Each of these works for its holder; temporary tables no more where the head's choice was taken."""
    found = settings(ground, store, *collectors.NAMES)
    head = " ".join(grants.postgres(found).partition("BEGIN;")[0].replace("--", "").split())
    for words in (
        "temporary tables",
        "large objects",
        "NOTIFY",
        "advisory locks",
        "snapshots",
        "meta_data",
        "ALTER TABLE",
    ):
        assert words in head
    temporary = "CREATE TEMP TABLE mine (n int)"
    texts = [temporary, "SELECT lo_from_bytea(0, 'x')", "NOTIFY blnk", "SELECT pg_advisory_lock(1)"]
    texts += ["SELECT pg_export_snapshot()", "SELECT meta_data FROM blnk.transactions"]
    async with granted(found, ground, store), ground.admin() as admin:
        # A new database of these tests gives PUBLIC nothing.
        await admin.execute(f'GRANT TEMP ON DATABASE "{ground.name}" TO PUBLIC')
        async with holder(ground) as session:
            await session.execute("SET default_transaction_read_only = off")
            assert [text for text in texts if await refused(session, text)] == []
            async with session.transaction():
                await session.execute("SELECT id FROM blnk.transactions")
                held = "SELECT count(*) FROM pg_locks WHERE relation = 'blnk.transactions'::regclass AND mode = $1"
                assert await admin.fetchval(held, "AccessShareLock")
            (choice,) = re.findall(r"REVOKE TEMP ON DATABASE .* FROM PUBLIC;", head)
            await admin.execute(choice.partition(";")[0])
            assert await refused(session, temporary.replace("mine", "other"))


@newest
async def test_attributes_of_an_older_role_are_taken_away(ground: Ground, store: ValkeyServer) -> None:
    """And a membership is named, not taken; a second run has nothing to say."""
    notices: list[str] = []
    said = ("taken from", f"{ROLE} is also")
    found = settings(ground, store, "postgres", "ledger")
    async with ground.admin() as admin:
        admin.add_log_listener(lambda _, message: notices.append(message.message))
        await admin.execute(f"CREATE ROLE {ROLE} CREATEDB CREATEROLE REPLICATION BYPASSRLS; GRANT pg_monitor TO {ROLE}")
        try:
            await admin.execute(grants.postgres(found))
            row = await admin.fetchrow(
                "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = $1",
                ROLE,
            )
            told = [text for text in notices if text.startswith(said)]
            await admin.execute(f"REVOKE pg_monitor FROM {ROLE}")
            notices.clear()
            await admin.execute(grants.postgres(found))
        finally:
            await admin.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")
    second = [text for text in notices if text.startswith(said)]
    assert tuple(row) == (False,) * 5
    assert told == [
        f"taken from {ROLE}: CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS",
        f"{ROLE} is also a member of pg_monitor; revoke what it does not need",
    ]
    assert second == []


async def test_a_function_in_place_of_the_column(ground: Ground, store: ValkeyServer) -> None:
    """The same reasons, in one word each, and nothing else of the column; for no role but the exporter's."""
    found = settings(ground, store, "ledger")
    call = "SELECT blnk_exporter.rejection_reason(max(id)) FROM blnk.transactions"
    async with granted(found, ground, store, function=True), ground.admin() as admin, holder(ground) as session:
        await admin.execute(grants.postgres(found, function=True))
        assert not await may_read(session, "transactions", "meta_data")
        async with open_clients(found) as clients:
            (room,) = collectors.bind(clients)
            reader = room.sources[0]
            await room.collector.read(reader)
            async with admin.transaction():
                for number, reason in enumerate(("insufficient funds in bln_7", "something else", None)):
                    await admin.execute(_REJECTED, f"r{number}", reason)
            reading = await room.collector.read(reader)
        assert (reading.gaps, reading.flow.rejections) == ((), {"insufficient_funds": 1, "other": 1, "unknown": 1})
        assert await session.fetchval(call) == "unknown"
        row = await admin.fetchrow(
            "SELECT prosecdef, proconfig, rolcanlogin, rolsuper FROM pg_proc JOIN pg_roles r ON r.oid = proowner "
            "WHERE proname = 'rejection_reason'"
        )
        assert tuple(row) == (True, ["search_path=pg_catalog, pg_temp"], False, False)
        for role in ("plain", "exporter"):
            await admin.execute(f"GRANT USAGE ON SCHEMA blnk_exporter TO {role}")
            assert not await admin.fetchval(
                "SELECT has_function_privilege($1, 'blnk_exporter.rejection_reason(bigint)', 'EXECUTE')", role
            )
        # Without the right to execute it there is the column, and without that there is a missing fact.
        await admin.execute(f"REVOKE EXECUTE ON FUNCTION blnk_exporter.rejection_reason(bigint) FROM {ROLE}")
        part = await told(found)
        assert part is not None
        assert {fact: reason for fact, (reason, _) in part.gaps.items()} == {"rejection_reasons": "refused"}
        await admin.execute(grants.postgres(found))
        assert await admin.fetchval("SELECT to_regprocedure('blnk_exporter.rejection_reason(bigint)')") is None
        assert await may_read(session, "transactions", "meta_data")
        owner_reads = "SELECT has_any_column_privilege('blnk_exporter_reasons', 'blnk.transactions', 'SELECT')"
        assert not await admin.fetchval(owner_reads)
        again = await told(found)
        assert again is not None
        assert again.gaps == {}
        await admin.execute("DELETE FROM blnk.transactions WHERE status = 'REJECTED'")
        await admin.execute(
            "DROP SCHEMA blnk_exporter; DROP OWNED BY blnk_exporter_reasons; DROP ROLE blnk_exporter_reasons"
        )


async def test_two_connections_are_enough(ground: Ground, each_filled_store: ValkeyServer) -> None:
    """What the limit in the script is reckoned from; all collectors at once, twice."""
    found = settings(ground, each_filled_store, *collectors.NAMES)
    async with granted(found, ground, each_filled_store), ground.admin() as admin:
        assert await admin.fetchval("SELECT rolconnlimit FROM pg_roles WHERE rolname = $1", ROLE) == 5
        await admin.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 2")
        outcomes = await told_by_all(found)
    assert {outcome.collector.name: outcome.failure for outcome in outcomes} == dict.fromkeys(
        name for name in collectors.NAMES if name != "server"
    )
    assert [outcome.gaps for outcome in outcomes if outcome.gaps] == []


@newest
async def test_the_script_takes_back_what_is_switched_off(ground: Ground, store: ValkeyServer) -> None:
    """Run for all, then for one collector: what is left is that one's."""
    wide, narrow = settings(ground, store, *collectors.NAMES), settings(ground, store, "catalog")
    async with granted(wide, ground, store), ground.admin() as admin:
        await admin.execute(grants.postgres(wide))
        before = {place for place in await columns(admin) if await _selects(admin, *place)}
        await admin.execute(grants.postgres(narrow))
        after = {place for place in await columns(admin) if await _selects(admin, *place)}
        roles = await admin.fetchval("SELECT count(*) FROM pg_auth_members WHERE member = $1::regrole", ROLE)
    assert ("transactions", "status") in before - after
    assert after == {
        *(("gorp_migrations", "id"), ("transactions", "id")),
        *(("transaction_journal", "id"), ("balances", "id")),
    }
    assert roles == 0


async def _selects(admin: Any, table: str, column: str) -> bool:
    return await admin.fetchval("SELECT has_column_privilege($1, 'blnk.' || $2, $3, 'SELECT')", ROLE, table, column)


@newest
async def test_a_table_that_a_migration_brings_is_told_of_and_granted(ground: Ground, store: ValkeyServer) -> None:
    """The reason names the command that prints the script; run again, the fact is there."""
    found = settings(ground, store, "ledger")
    async with ground.admin() as admin:
        notices: list[str] = []
        admin.add_log_listener(lambda _, message: notices.append(message.message))
        await admin.execute("ALTER TABLE blnk.api_keys RENAME TO not_yet")
        try:
            async with granted(found, ground, store):
                await admin.execute(grants.postgres(found))
                await admin.execute("ALTER TABLE blnk.not_yet RENAME TO api_keys")
                before = await told(found)
                await admin.execute(grants.postgres(found))
                after = await told(found)
        finally:
            await admin.execute("ALTER TABLE IF EXISTS blnk.not_yet RENAME TO api_keys")
    assert any(re.fullmatch(r"this release of Blnk has no .*expires_at.* in blnk\.api_keys", text) for text in notices)
    assert before is not None
    assert after is not None
    assert set(before.gaps) == {"api_keys", "api_key_expiry"}
    assert all("run what `blnk-exporter grants postgres` prints" in words for _, words in before.gaps.values())
    assert after.gaps == {}


async def test_a_role_that_was_there_before_inherits(ground: Ground, store: ValkeyServer) -> None:
    """Made by somebody else, without a login and without inheriting; a membership that says so, too."""
    found = settings(ground, store, "postgres")
    async with ground.admin() as admin:
        await admin.execute(f"CREATE ROLE {ROLE} NOLOGIN NOINHERIT CONNECTION LIMIT 0")
        await admin.execute(f"GRANT pg_read_all_stats, pg_read_all_settings TO {ROLE}")
    async with granted(found, ground, store):
        least = await told(found)
    assert least is not None
    assert (least.failure, least.gaps) == (None, {})


@newest
@pytest.mark.parametrize("name", ["blnk", "postgres", "clerk"])
async def test_a_role_that_may_write_is_refused(ground: Ground, store: ValkeyServer, name: str) -> None:
    """Blnk's own, a superuser, and one that has Blnk's rights by membership: read-only, Blnk would stand still."""
    made = settings(ground, store, "postgres")
    found = made.model_copy(
        update={"own": made.own.model_copy(update={"postgres": Postgres(user=name)}), "blnk_role": None}
    )
    async with ground.admin() as admin, ground.admin() as runner:
        await admin.execute("CREATE ROLE clerk IN ROLE blnk")
        try:
            with pytest.raises(asyncpg.RaiseError, match=f"{name} is a superuser or has the rights of the owner"):
                await runner.execute(grants.postgres(found))
            await runner.execute("ROLLBACK")
            row = await admin.fetchrow("SELECT rolconfig, rolconnlimit FROM pg_roles WHERE rolname = $1", name)
        finally:
            await admin.execute("DROP ROLE clerk")
    assert tuple(row) == (None, -1)


@newest
async def test_another_database_is_refused(ground: Ground, store: ValkeyServer) -> None:
    """Run where it was not meant for, it says so and leaves no role behind."""
    async with ground.server.admin("empty") as admin:
        with pytest.raises(asyncpg.RaiseError, match=r"this is the database empty, and these grants are for rights_"):
            await admin.execute(grants.postgres(settings(ground, store, "postgres")))
        await admin.execute("ROLLBACK")
        assert await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", ROLE) == 0


async def test_it_waits_for_nobody(ground: Ground, store: ValkeyServer) -> None:
    """Rights are given while Blnk works: a lock that keeps everybody from writing does not keep the script."""
    found = settings(ground, store, *collectors.NAMES)
    async with ground.admin() as blnk, ground.admin() as admin, blnk.transaction():
        await blnk.execute("LOCK blnk.transactions, blnk.balances IN EXCLUSIVE MODE")
        await admin.execute("SET lock_timeout = 1")
        text = grants.postgres(found)
        assert text.count("COMMIT;") == 1
        await admin.execute(text.replace("COMMIT;", "ROLLBACK;"))


@newest
async def test_a_role_may_have_any_name(ground: Ground, store: ValkeyServer) -> None:
    """Quotes, blanks and capitals are part of it."""
    name = 'O\'Brien "the" role'
    made = settings(ground, store, *collectors.NAMES)
    found = made.model_copy(update={"own": made.own.model_copy(update={"postgres": Postgres(user=name)})})
    async with ground.admin() as admin:
        await admin.execute(grants.postgres(found))
        try:
            assert await admin.fetchval("SELECT pg_has_role($1, 'pg_read_all_stats', 'USAGE')", name)
        finally:
            quoted = await admin.fetchval("SELECT quote_ident($1)", name)
            await admin.execute(f"DROP OWNED BY {quoted}")
            await admin.execute(f"DROP ROLE {quoted}")


def _psql(version: int) -> Path:
    found = (debian_postgres() if version == 15 else postgres_bindir(version)) / "psql"
    if not found.exists():
        missing(f"psql {version}")
    return found


def _run(command: list[Any], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", [15, 16, 18])
@pytest.mark.parametrize("function", [False, True], ids=["column", "function"])
async def test_psql_runs_it_as_it_is(
    each_postgres: Database, store: ValkeyServer, tmp_path: Path, version: int, *, function: bool
) -> None:
    """Each psql against each server, twice, with the rights of all collectors; nothing in it is asyncpg's own."""
    script, psql = tmp_path / "exporter_role.sql", _psql(version)
    script.write_text(
        grants.postgres(settings(Ground(each_postgres, "blnk"), store, *collectors.NAMES), function=function)
    )
    where = ("-h", str(each_postgres.server.socket_directory), "-p", str(each_postgres.server.port), "-U", "postgres")
    command = [psql, "-X", "-v", "ON_ERROR_STOP=1", *where, "-d", "blnk", "-f", script]
    environment = os.environ | {"LD_LIBRARY_PATH": str(psql.parent.parent / "lib")} if version != 15 else os.environ
    async with each_postgres.admin() as admin:
        try:
            for _ in range(2):
                done = _run(command, environment)
                assert (done.returncode, "ERROR" in done.stderr) == (0, False), done.stderr
                assert done.stdout.splitlines()[-1] == "COMMIT"
            assert await admin.fetchval("SELECT pg_has_role($1, 'pg_read_all_stats', 'USAGE')", ROLE)
        finally:
            await admin.execute(f"DROP OWNED BY {ROLE}")
            await admin.execute(f"DROP ROLE {ROLE}")
            if function:
                await admin.execute("DROP OWNED BY blnk_exporter_reasons; DROP ROLE blnk_exporter_reasons")
                await admin.execute("DROP SCHEMA blnk_exporter")


@newest
@pytest.mark.parametrize("database", [0, 1])
async def test_redis_refuses_nothing_that_is_sent(
    ground: Ground, each_filled_store: ValkeyServer, database: int
) -> None:
    """Each refusal would stand in the server's own log; without the client's words there is one."""
    found = settings(ground, each_filled_store, *collectors.NAMES, database=database)
    ours = ["+client|setname", *(["+select"] if database else [])]
    logged = []
    async with Redis.from_url(each_filled_store.url()) as admin:
        for left_out in ([], *([word] for word in ours)):
            await admin.execute_command("ACL", "LOG", "RESET")
            async with granted(found, ground, each_filled_store, *left_out):
                await told_by_all(found)
            logged.append({entry[b"object"].decode() for entry in map(_entry, await _acl_log(admin))})
    assert logged == [set(), *({word.removeprefix("+")} for word in ours)]


async def _acl_log(admin: Redis) -> list[Any]:
    return list(await admin.execute_command("ACL", "LOG"))


def _entry(reply: Any) -> dict[bytes, Any]:
    if isinstance(reply, dict):
        return {name.encode() if isinstance(name, str) else name: value for name, value in reply.items()}
    return dict(zip(reply[::2], reply[1::2], strict=True))


@newest
async def test_the_user_of_redis_reads_queues_and_nothing_else(ground: Ground, each_filled_store: ValkeyServer) -> None:
    """Not what a worker is at, which holds the whole task; no key of anybody else's; not one command that writes."""
    found = settings(ground, each_filled_store, *collectors.NAMES)
    key = f"asynq:{{{QUEUE}_1}}:pending"
    commands: list[tuple[Any, ...]] = [
        *(("SET", key, 1), ("DEL", key), ("LPUSH", key, 1), ("LPOP", key), ("EXPIRE", key, 1), ("RENAME", key, "x")),
        *(("HSET", "asynq:{q}:t:1", "a", 1), ("ZADD", "asynq:{q}:retry", 1, "a"), ("SADD", "asynq:queues", "a")),
        *(("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("CLIENT", "LIST"), ("CLIENT", "KILL", "ID", 1)),
        *(("KEYS", "*"), ("SCAN", 0), ("EVAL", "return 1", 0), ("PUBLISH", "asynq:cancel", "x")),
        *(("SLOWLOG", "GET"), ("SLOWLOG", "RESET"), ("MONITOR",), ("SUBSCRIBE", "asynq:cancel")),
        *(
            ("GETRANGE", "asynq:workers:{vm:1:x}", 0, 1),
            ("HGET", "asynq:workers:{vm:1:x}", "a"),
            ("MGET", "idempotency:1"),
        ),
        *(("EXISTS", "session"), ("LLEN", "asynq:{q"), ("GETRANGE", "asynq:queue", 0, 1)),
    ]
    async with granted(found, ground, each_filled_store):
        url = each_filled_store.url(user=ROLE, password=PASSWORD)
        async with Redis.from_url(url, protocol=2) as user:
            assert await user.execute_command("LLEN", key) == 1
            allowed = [command for command in commands if not await _forbidden(user, command)]
    assert allowed == []


async def _forbidden(user: Redis, command: tuple[Any, ...]) -> bool:
    try:
        await user.execute_command(*command)
    except NoPermissionError:
        return True
    except ResponseError as error:
        return "no permissions" in str(error)
    return False


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """One that an unprivileged server may read."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@newest
@pytest.mark.parametrize(
    "taker",
    [(program, kind) for program in ("valkey", "redis") for kind in ("redis.conf", "aclfile", "setuser")],
    ids="-".join,
)
async def test_the_line_is_taken_wherever_acls_are(
    ground: Ground, store: ValkeyServer, new_store: Callable[..., Any], open_directory: Path, taker: tuple[str, str]
) -> None:
    """A file of the configuration takes the whole text, an ACL file its last line, a running server its words."""
    text = grants.redis(settings(ground, store, *collectors.NAMES))
    words, (taken_by, kind) = acl_words(text), taker
    binary = program("redis-server") if taken_by == "redis" else None
    file = open_directory / "exporter.acl"
    comments = text[: text.rindex("user ")]
    file.write_text((comments if kind == "redis.conf" else "") + f"user {' '.join(words)}\n")
    file.chmod(0o644)
    args = {"redis.conf": ("--include", str(file)), "aclfile": ("--aclfile", str(file)), "setuser": ()}[kind]
    async with new_store(args=args, binary=binary) as server:
        if kind == "setuser":
            async with Redis.from_url(server.url()) as admin:
                await admin.execute_command("ACL", "SETUSER", *words)
        async with Redis.from_url(server.url(user=ROLE, password=PASSWORD)) as user:
            assert await user.execute_command("TIME")
            with pytest.raises(NoPermissionError):
                await user.execute_command("KEYS", "*")
