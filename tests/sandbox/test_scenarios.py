"""Every scenario shows what it promises."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter.sandbox import SCENARIOS, Sandbox, ledger_trouble, running, topology, trouble

pytestmark = pytest.mark.sandbox


class Ahead:
    """Starts the sandbox of the next test while that of this test starts: two cores, half the time."""

    def __init__(self) -> None:
        self._starting: dict[str, asyncio.Task[tuple[contextlib.AsyncExitStack, Sandbox]]] = {}
        self.reports: dict[str, list[str]] = {}

    def begin(self, scenario: str) -> None:
        """Start it, unless that was done."""
        if scenario not in self._starting:
            self._starting[scenario] = asyncio.create_task(self._start(scenario))

    @contextlib.asynccontextmanager
    async def take(self, scenario: str) -> AsyncIterator[Sandbox]:
        """Wait until it is ready, and end it afterwards."""
        stack, sandbox = await self._starting.pop(scenario)
        async with stack:
            yield sandbox

    async def close(self) -> None:
        """End those that no test came for."""
        for scenario, task in list(self._starting.items()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                async with self.take(scenario):
                    pass

    async def _start(self, scenario: str) -> tuple[contextlib.AsyncExitStack, Sandbox]:
        lines = self.reports[scenario] = []
        stack = contextlib.AsyncExitStack()
        return stack, await stack.enter_async_context(running(scenario, report=lines.append))


@pytest_asyncio.fixture(scope="module")
async def ahead() -> AsyncIterator[Ahead]:
    made = Ahead()
    yield made
    await made.close()


def scenario_of(item: pytest.Item) -> str:
    return item.name.removeprefix("test_").replace("_", "-")


@pytest_asyncio.fixture
async def sandbox(request: pytest.FixtureRequest, ahead: Ahead) -> AsyncIterator[Sandbox]:
    """The scenario that the test is named after."""
    items = [item for item in request.session.items if item.path == request.path and "sandbox" in item.fixturenames]
    here = items.index(request.node)
    for item in items[here : here + 2]:
        ahead.begin(scenario_of(item))
    async with ahead.take(scenario_of(request.node)) as taken:
        yield taken


def client(sandbox: Sandbox) -> Redis:
    return Redis.from_url(sandbox.valkey.url())


async def lengths(redis: Redis, state: str, queues: Sequence[str] = topology.TRANSACTION_QUEUES) -> list[int]:
    size = redis.llen if state in {"pending", "active"} else redis.zcard
    return [await size(f"asynq:{{{queue}}}:{state}") for queue in queues]


async def health(url: str) -> int | str:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as response:
            return response.status
    except aiohttp.ClientConnectorError:
        return "closed"


async def live_servers(redis: Redis) -> int:
    return int(await redis.zcount("asynq:servers", time.time(), "+inf"))


async def test_unknown_scenario_names_the_known() -> None:
    with pytest.raises(ValueError, match="unknown scenario 'helthy'; known are healthy, queue-backlog"):
        async with running("helthy"):
            pass


async def test_healthy(sandbox: Sandbox, ahead: Ahead) -> None:
    async with client(sandbox) as redis:
        blnk = json.loads(sandbox.blnk_json.read_text())
        assert blnk["server"]["port"] == str(sandbox.server.port)
        assert blnk["queue"]["monitoring_port"] == str(sandbox.worker.port)
        assert blnk["data_source"]["dns"].endswith("/blnk?sslmode=disable")
        assert sandbox.blnk_json.stat().st_mode & 0o077 == 0
        assert json.loads(sandbox.exporter_yml.read_text()) == {}
        assert await health(sandbox.server.url) == await health(sandbox.worker.url) == 200
        assert await live_servers(redis) == 2
        assert sum(await lengths(redis, "pending")) < 50
        assert sandbox.statvfs is None
        connection = await asyncpg.connect(blnk["data_source"]["dns"])
        assert await connection.fetchval("SELECT count(*) FROM blnk.transactions WHERE status = 'APPLIED'") > 50
        await connection.close()
    lines = ahead.reports["healthy"]
    assert lines[-1].startswith("ready after ")
    assert any(sandbox.description in line for line in lines)


async def test_healthy_of_the_old_release() -> None:
    async with running(release="0.13.2") as sandbox:
        connection = await asyncpg.connect(sandbox.postgres.dsn(database="blnk"))
        assert await connection.fetchval("SELECT max(id) FROM blnk.gorp_migrations") == "1770611011.sql"
        assert await connection.fetchval("SELECT count(*) FROM blnk.transactions") > 50
        await connection.close()


async def test_queue_backlog(sandbox: Sandbox) -> None:
    async with client(sandbox) as redis:
        deep = [queue for queue in topology.TRANSACTION_QUEUES if await redis.llen(f"asynq:{{{queue}}}:pending") > 1000]
        assert len(deep) == trouble.BACKLOG_QUEUES
        ages = []
        for queue in deep:
            oldest = (await redis.lindex(f"asynq:{{{queue}}}:pending", -1)).decode()
            since = int(await redis.hget(f"asynq:{{{queue}}}:t:{oldest}", "pending_since"))
            ages.append(time.time() - since / 1e9)
        assert min(ages) > 30 * 60
        connection = await asyncpg.connect(sandbox.postgres.dsn(database="blnk"))
        stuck = (
            "SELECT count(*) FROM blnk.transactions q WHERE status = 'QUEUED' AND NOT EXISTS"
            " (SELECT 1 FROM blnk.transactions c WHERE c.parent_transaction = q.transaction_id)"
        )
        assert await connection.fetchval(stuck) >= trouble.BACKLOG_QUEUES * trouble.BACKLOG_DEPTH
        await connection.close()


async def test_worker_down(sandbox: Sandbox) -> None:
    async with client(sandbox) as redis:
        assert await health(sandbox.worker.url) == "closed"
        assert await health(sandbox.server.url) == 200
        assert await live_servers(redis) == 0
        assert await redis.zcard("asynq:servers") == 2
        assert await redis.keys("asynq:servers:*") == []
        assert sum(await lengths(redis, "pending")) > 200
        overdue = [
            await redis.zcount(f"asynq:{{{q}}}:scheduled", 0, time.time() - 60) for q in topology.TRANSACTION_QUEUES
        ]
        assert sum(overdue) > 5


async def test_redis_memory(sandbox: Sandbox) -> None:
    async with client(sandbox) as redis:
        memory = await redis.info("memory")
        assert memory["maxmemory_policy"] == "allkeys-lru"
        assert 0.85 < memory["used_memory"] / memory["maxmemory"] < 1
        assert (await redis.info("stats"))["evicted_keys"] == 0


async def test_tasks_lost(sandbox: Sandbox) -> None:
    async with client(sandbox) as redis:
        heads = [(q, await redis.lindex(f"asynq:{{{q}}}:pending", -1)) for q in topology.TRANSACTION_QUEUES]
        lost = [q for q, head in heads if head and not await redis.exists(f"asynq:{{{q}}}:t:{head.decode()}")]
        assert len(lost) == 1
        assert await redis.zcount(f"asynq:{{{lost[0]}}}:lease", 0, time.time() - 180) == trouble.LOST_TASKS
        assert await redis.llen(f"asynq:{{{lost[0]}}}:active") >= trouble.LOST_TASKS


async def test_database_down(sandbox: Sandbox) -> None:
    async with client(sandbox) as redis:
        assert not sandbox.postgres.running
        assert await health(sandbox.server.url) == 503
        assert await health(sandbox.worker.url) == 200
        assert await live_servers(redis) == 2


async def test_redis_down(sandbox: Sandbox) -> None:
    """Blnk's server does not look at Redis."""
    assert not sandbox.valkey.running
    assert await health(sandbox.server.url) == await health(sandbox.worker.url) == 200


async def test_webhook_archived(sandbox: Sandbox) -> None:
    async with client(sandbox) as redis:
        archived = await redis.zrange("asynq:{new:webhook}:archived", -1, -1, withscores=True)
        assert await redis.zcard("asynq:{new:webhook}:archived") == trouble.ARCHIVED_WEBHOOKS
        assert time.time() - 900 < archived[0][1] < time.time()
        assert await redis.hget(f"asynq:{{new:webhook}}:t:{archived[0][0].decode()}", "state") == b"archived"


async def test_queue_paused(sandbox: Sandbox) -> None:
    async with client(sandbox) as redis:
        paused = [key async for key in redis.scan_iter("asynq:*:paused")]
        assert len(paused) == 2
        assert [time.time() - int(await redis.get(key)) > 600 for key in paused] == [True, True]
        assert max(await lengths(redis, "pending")) >= 150


async def test_disk_full(sandbox: Sandbox) -> None:
    assert sandbox.statvfs
    disk = sandbox.statvfs("/")
    assert 1 - disk.f_bavail / disk.f_blocks == pytest.approx(trouble.DISK_USED_RATIO, abs=0.001)


async def test_replica_lag(sandbox: Sandbox) -> None:
    (dsn,) = json.loads(sandbox.exporter_yml.read_text())["postgres"]["replicas"]
    replica = await asyncpg.connect(dsn)
    assert await replica.fetchval("SELECT pg_is_wal_replay_paused()")
    await replica.close()
    primary = await asyncpg.connect(sandbox.postgres.dsn())
    await primary.execute("CREATE TABLE moves (n int)")
    behind = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication"
    assert await primary.fetchval(behind) > 0
    await primary.close()


# Without an outcome for so many seconds since they were created, or due.
UNRESOLVED = """
SELECT q.status, q.transaction_id, extract(epoch FROM now() - w.due) AS age
FROM blnk.transactions q, LATERAL (SELECT greatest(q.created_at, q.scheduled_for) AT TIME ZONE 'UTC' AS due) w
WHERE q.status IN ('QUEUED', 'SCHEDULED') AND w.due < now() - make_interval(secs => $1)
  AND NOT EXISTS (SELECT FROM blnk.transactions c WHERE c.reference = q.reference || '_q')
"""


@contextlib.asynccontextmanager
async def ledger(sandbox: Sandbox) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(sandbox.postgres.dsn(database="blnk"))
    try:
        yield connection
    finally:
        await connection.close()


async def messages(redis: Redis) -> bytes:
    """All tasks' contents in one."""
    keys = [key async for key in redis.scan_iter("asynq:{new:transaction*}:t:*")]
    return b"".join([await redis.hget(key, "msg") or b"" for key in keys])


async def test_transactions_stuck(sandbox: Sandbox) -> None:
    """Accepted and in no queue; and one hold is days old, as the balances say too."""
    async with ledger(sandbox) as connection, client(sandbox) as redis:
        stuck = await connection.fetch(UNRESOLVED, 55.0)
        schedules = [row for row in stuck if row["status"] == "SCHEDULED"]
        queued = [row["age"] for row in stuck if row["status"] == "QUEUED"]
        assert len(schedules) == ledger_trouble.STUCK_SCHEDULES
        assert ledger_trouble.STUCK_TRANSFERS - 3 < len(queued) <= ledger_trouble.STUCK_TRANSFERS
        assert 0 <= max(queued) - ledger_trouble.STUCK_SECONDS < 300
        tasks = await messages(redis)
        assert tasks
        assert [row["transaction_id"] for row in stuck if row["transaction_id"].encode() in tasks] == []
        old = await connection.fetch(
            "SELECT source, precise_amount FROM blnk.transactions h WHERE status = 'INFLIGHT' AND created_at < now() -"
            " interval '2 days' AND NOT EXISTS (SELECT FROM blnk.transactions c WHERE c.parent_transaction IN"
            " (h.transaction_id, h.parent_transaction) AND c.status IN ('APPLIED', 'VOID'))"
        )
        assert len(old) == 1
        held = "SELECT inflight_debit_balance FROM blnk.balances WHERE balance_id = $1"
        assert await connection.fetchval(held, old[0]["source"]) >= old[0]["precise_amount"]
        written = (
            "SELECT timestamp - created_at FROM blnk.transaction_journal JOIN blnk.transactions USING (transaction_id)"
        )
        assert not await connection.fetchval(f"SELECT EXISTS ({written} WHERE timestamp - created_at > '1 hour')")


async def test_ledger_unbalanced(sandbox: Sandbox) -> None:
    """One balance that is not its credits less its debits, in a currency that sums up to 0; and one that does not."""
    async with ledger(sandbox) as connection:
        wrong = await connection.fetch(
            "SELECT currency, credit_balance - debit_balance - balance AS off FROM blnk.balances"
            " WHERE balance <> credit_balance - debit_balance"
        )
        assert [tuple(row) for row in wrong] == [("USD", ledger_trouble.MISMATCHED_CENTS)]
        sums = await connection.fetch("SELECT currency, sum(balance) FROM blnk.balances GROUP BY 1 ORDER BY 1")
        assert [tuple(row) for row in sums] == [("EUR", ledger_trouble.UNBALANCED_CENTS), ("USD", 0)]


async def test_ledger_tampered(sandbox: Sandbox) -> None:
    """Rows are gone and go on to go, the chain's end with them; a guard is off, and an index is of no use."""
    async with ledger(sandbox) as connection:
        deleted = "SELECT count(*) FROM blnk.transaction_journal WHERE action_type = 'DELETE'"
        assert await connection.fetchval(deleted) >= ledger_trouble.CUT_ROWS + 1
        gone = "SELECT old_data ->> 'status' FROM blnk.transaction_journal WHERE action_type = 'DELETE' ORDER BY id LIMIT 1"
        assert await connection.fetchval(gone) == "APPLIED"
        last, sealed = await connection.fetchrow(
            "SELECT last_seq, (SELECT max(chain_seq) FROM blnk.transactions) FROM blnk.chain_state"
        )
        assert last - sealed >= ledger_trouble.CUT_ROWS
        off = await connection.fetch("SELECT tgname FROM pg_trigger WHERE tgenabled = 'D'")
        assert [row[0] for row in off] == ["prevent_transaction_update_trigger"]
        assert (
            await connection.execute(f"UPDATE blnk.transactions SET status = 'VOID' WHERE chain_seq = {sealed}")
            == "UPDATE 1"
        )
        broken = await connection.fetch(
            "SELECT indrelid::regclass::text, indisready FROM pg_index WHERE NOT indisvalid"
        )
        assert [tuple(row) for row in broken] == [("blnk.transactions", False)]


async def test_ledger_tampered_of_the_old_release() -> None:
    """It has no chain to cut."""
    async with running("ledger-tampered", release="0.13.2") as sandbox, ledger(sandbox) as connection:
        deleted = "SELECT count(*) FROM blnk.transaction_journal WHERE action_type = 'DELETE'"
        assert await connection.fetchval(deleted) >= 1
        assert await connection.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 1


async def test_lineage_failed(sandbox: Sandbox) -> None:
    """What failed, what waits and will for ever, and a reconciliation that has no end."""
    async with ledger(sandbox) as connection:
        entries = await connection.fetch(
            "SELECT status, count(*) AS number, min(attempts) AS attempts, count(last_error) AS errors,"
            " extract(epoch FROM localtimestamp - min(created_at)) AS age FROM blnk.lineage_outbox GROUP BY 1"
        )
        known = {row["status"]: row for row in entries}
        failed, pending = known["failed"], known["pending"]
        assert (failed["number"], failed["attempts"], failed["errors"]) == (ledger_trouble.FAILED_ENTRIES, 5, 12)
        assert pending["number"] >= ledger_trouble.PENDING_ENTRIES
        assert 0 < pending["age"] - ledger_trouble.PENDING_SECONDS < 300
        runs = await connection.fetch(
            "SELECT status, completed_at IS NULL AS open, extract(epoch FROM localtimestamp - started_at) AS age"
            " FROM blnk.reconciliations ORDER BY id"
        )
        assert [(row["status"], row["open"]) for row in runs] == [("completed", False), ("in_progress", True)]
        assert 0 < runs[1]["age"] - ledger_trouble.RECONCILING_SECONDS < 300


def test_every_scenario_is_tested() -> None:
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    assert set(SCENARIOS) <= tested
    assert all("blnk_" in scenario.description for scenario in SCENARIOS.values())
