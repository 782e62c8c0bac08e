"""``blnk-exporter serve`` as an operator runs it: signals, rotated secrets, faulty files, and what it says of itself."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from blnk_exporter import sandbox
from blnk_exporter.sandbox import Sandbox

from ..waiting import PATIENCE_SECONDS, until
from .exporter import Running, run, serve

pytestmark = pytest.mark.sandbox

RELOADED = "blnk_exporter_config_last_reload_successful"
READ_AT = "blnk_exporter_config_last_reload_success_timestamp_seconds"


RIGHTS = "GRANT USAGE ON SCHEMA blnk TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA blnk TO {0}"


@pytest_asyncio.fixture
async def exporter_role(healthy: Sandbox) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's session, and a role for the exporter whose password is ``first``."""
    owner = await asyncpg.connect(healthy.postgres.dsn(database="blnk"))
    await owner.execute("CREATE ROLE exporter LOGIN PASSWORD 'first' IN ROLE pg_monitor")
    await owner.execute(RIGHTS.format("exporter"))
    yield owner
    await _disconnect(owner, "exporter")
    await owner.execute("DROP OWNED BY exporter; DROP ROLE exporter")
    await owner.close()


async def _disconnect(owner: asyncpg.Connection, role: str) -> None:
    await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role)


def _ended_by(running: Running) -> list[str]:
    return running.lines("Traceback") + running.lines("Unclosed") + running.lines("never awaited")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_it(healthy: Sandbox, tmp_path: Path, number: signal.Signals) -> None:
    """A supervisor that has to kill us would cut a scrape short and report a failure that is none."""
    with serve(healthy.blnk_json, tmp_path) as running:
        await running.ready()
        assert await running.end(number) == 0
        assert _ended_by(running) == []
        assert len(running.lines("stopping")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_it_in_the_middle_of_a_scrape(
    healthy: Sandbox, tmp_path: Path, number: signal.Signals
) -> None:
    """A frozen database must not hold up the stop, neither must the scraper that waits for its page."""
    # Longer than the test waits for the end.
    budget = {"BLNK_EXPORTER_LIMITS_SCRAPE_TIMEOUT_SECONDS": str(10 * PATIENCE_SECONDS)}
    with serve(healthy.blnk_json, tmp_path, **budget) as running:
        await running.ready()
        healthy.postgres.pause()
        healthy.valkey.pause()
        try:
            waiting = asyncio.create_task(running.scrape())
            # It is under way: Blnk's server has been asked, and asks PostgreSQL in vain.
            await until(lambda: healthy.server._pings)
            status = await running.end(number)
        finally:
            healthy.postgres.resume()
            healthy.valkey.resume()
        await asyncio.gather(waiting, return_exceptions=True)
        assert status == 0
        assert _ended_by(running) == []


async def test_second_signal_while_it_stops(healthy: Sandbox, tmp_path: Path) -> None:
    """An impatient Ctrl-C twice is still an orderly end."""
    with serve(healthy.blnk_json, tmp_path) as running:
        await running.ready()
        running.process.send_signal(signal.SIGINT)
        assert await running.end(signal.SIGINT) == 0
        assert _ended_by(running) == []


async def test_hangup_reads_the_configuration_again(healthy: Sandbox, tmp_path: Path) -> None:
    """SIGHUP is what every operator tries first."""
    with serve(healthy.blnk_json, tmp_path) as running:
        await running.ready()
        before = await running.scrape()
        running.process.send_signal(signal.SIGHUP)
        await until(lambda: running.lines("configuration reloaded"))
        after = await running.scrape()
        assert after.whole
        assert after.value(RELOADED) == 1
        assert after.value(READ_AT) > before.value(READ_AT)


async def test_changed_file_is_taken_up_by_itself(healthy: Sandbox, tmp_path: Path) -> None:
    """A mounted ConfigMap changes without a signal; one change is one reload, however many scrapes run at once."""
    with serve(healthy.blnk_json, tmp_path) as running:
        await running.ready()
        await running.scrape()
        (tmp_path / "exporter.yml").write_text("collectors: {host: false}\n")
        pages = await asyncio.gather(*(running.scrape() for _ in range(8)))
        assert all(page.value("blnk_exporter_collector_enabled", collector="host") == 0 for page in pages)
        assert (await running.scrape()).names("blnk_host_") == []
        assert len(running.lines("configuration reloaded")) == 1


async def test_rotated_password_needs_no_restart(
    healthy: Sandbox, exporter_role: asyncpg.Connection, tmp_path: Path
) -> None:
    """Secrets are rotated by programs, at night: the file changes, and the next connection uses it."""
    secret = tmp_path / "password"
    secret.write_text("first\n")
    variables = {"BLNK_EXPORTER_POSTGRES_USER": "exporter", "BLNK_EXPORTER_POSTGRES_PASSWORD_FILE": str(secret)}
    (tmp_path / "exporter.yml").write_text("limits: {slow_interval_seconds: 0}\n")
    with serve(healthy.blnk_json, tmp_path, **variables) as running:
        await running.ready()
        assert (await running.scrape()).whole
        # The server first, then the file, as most rotations do: in between we are refused, and say so.
        await exporter_role.execute("ALTER ROLE exporter PASSWORD 'second'")
        await _disconnect(exporter_role, "exporter")
        page = await running.scrape()
        assert dict.fromkeys(("postgres", "tables", "statements", "ledger", "catalog"), "refused") == page.failures
        secret.write_text("second\n")
        assert (await running.scrape()).whole
        # Replaced as Kubernetes does it, by a rename, and to a text of the same length.
        await exporter_role.execute("ALTER ROLE exporter PASSWORD 'thirds'")
        (tmp_path / "new").write_text("thirds\n")
        (tmp_path / "new").rename(secret)
        await _disconnect(exporter_role, "exporter")
        assert (await running.scrape()).whole
        assert (await running.scrape()).value("blnk_postgres_connections", role="exporter", state="active") == 1


@pytest.mark.parametrize(
    "fault", ["limits: [", "limits: {request: 3}", "servers: 17", "\0", "collectors: {host: maybe}"]
)
async def test_faulty_file_leaves_the_old_one_in_force(healthy: Sandbox, tmp_path: Path, fault: str) -> None:
    """A slip in an editor must not end the monitoring; it must be seen, once, and be gone when it is mended."""
    file = tmp_path / "exporter.yml"
    file.write_text("collectors: {host: false}\n")
    with serve(healthy.blnk_json, tmp_path) as running:
        await running.ready()
        file.write_text(fault)
        for _ in range(3):
            page = await running.scrape()
            assert page.value(RELOADED) == 0
            assert page.failures == {}
            assert page.names("blnk_host_") == []
        assert len(running.lines("configuration not reloaded")) == 1
        file.write_text("collectors: {host: true}\n")
        page = await running.scrape()
        assert page.value(RELOADED) == 1
        assert page.whole
        assert _ended_by(running) == []


async def test_file_that_was_missing_is_taken_up_when_it_comes(healthy: Sandbox, tmp_path: Path) -> None:
    """A configuration that names a secret before the secret is mounted mends itself when it is."""
    file, secret = tmp_path / "exporter.yml", tmp_path / "late"
    with serve(healthy.blnk_json, tmp_path) as running:
        await running.ready()
        file.write_text(json.dumps({"redis": {"password_file": str(secret)}}))
        assert (await running.scrape()).value(RELOADED) == 0
        secret.write_text(f"{healthy.valkey.password}\n")
        page = await running.scrape()
        assert page.value(RELOADED) == 1
        assert page.whole


async def test_port_taken(healthy: Sandbox, tmp_path: Path) -> None:
    """Two exporters by mistake: the second says what is wrong in one sentence and goes."""
    with serve(healthy.blnk_json, tmp_path) as running:
        await running.ready()
        address = f"127.0.0.1:{running.port}"
        second = await run(
            "serve", "--blnk-config", str(healthy.blnk_json), "--web.listen-address", address, cwd=tmp_path
        )
        assert second.returncode == 1
        assert f"Error: cannot listen on {address}: Address already in use" in second.stderr
        assert "Traceback" not in second.stderr
        assert (await running.scrape()).whole


CANARY = "c4n4ry-s3cr3t"


def _canary_json(stack: Sandbox, **changes: Any) -> str:
    """Blnk's own configuration with a canary in every secret."""
    host, port = stack.postgres.host, stack.postgres.port
    content = {
        "project_name": "canary",
        "data_source": {"dns": f"postgres://canary:{CANARY}@{host}:{port}/blnk?sslmode=disable"},
        "redis": {"dns": f"redis://canary:{CANARY}@{stack.valkey.host}:{stack.valkey.port}"},
        "server": {"port": str(stack.server.port), "secure": True, "secret_key": CANARY},
        "queue": {"monitoring_port": str(stack.worker.port)},
        "tokenization_secret": CANARY,
        "typesense": {"dns": f"http://u:{CANARY}@127.0.0.1:1"},
        "type_sense_key": CANARY,
        "aws_access_key_id": CANARY,
        "aws_secret_access_key": CANARY,
        "notification": {
            "slack": {"webhook_url": f"https://hooks.example.org/{CANARY}"},
            "webhook": {"url": f"https://example.org/{CANARY}", "headers": {"Authorization": CANARY}},
        },
    }
    return json.dumps(content | changes)


def _broken_json(stack: Sandbox) -> tuple[str, ...]:
    """Cut short in the middle of a secret, of wrong types, with DSNs that cannot be read."""
    whole = _canary_json(stack)
    return (
        whole[: whole.index(CANARY) + 8],
        _canary_json(stack, data_source={"dns": [CANARY]}, redis={"dns": {CANARY: 1}}),
        _canary_json(stack, data_source={"dns": f"postgres://u:{CANARY}@[::1/x"}),
        _canary_json(stack, redis={"dns": f"redis://:{CANARY}@h:{CANARY}/x"}),
        _canary_json(stack, server={"secret_key": {"a": CANARY}}),
    )


async def _lock_out(owner: asyncpg.Connection, redis: "Redis") -> None:
    """Make the canaries wrong passwords, and end the sessions that they had opened."""
    await owner.execute("ALTER ROLE canary PASSWORD 'another'")
    await _disconnect(owner, "canary")
    await redis.execute_command("ACL", "SETUSER", "canary", "resetpass", ">another")
    await redis.execute_command("CLIENT", "KILL", "USER", "canary")


def _arguments(running: Running) -> str:
    """What everybody sees of the process with ps."""
    return Path(f"/proc/{running.process.pid}/cmdline").read_text()


async def test_no_secret_is_ever_told(tmp_path: Path) -> None:
    """Logs and pages are read by people who may not know the passwords: through every failure, at level debug."""
    async with sandbox.running("healthy") as stack:
        owner = await asyncpg.connect(stack.postgres.dsn(database="blnk"))
        await owner.execute(f"CREATE ROLE canary LOGIN PASSWORD '{CANARY}' IN ROLE pg_monitor")
        await owner.execute(RIGHTS.format("canary"))
        redis = Redis.from_url(stack.valkey.url())
        await redis.execute_command("ACL", "SETUSER", "canary", "on", f">{CANARY}", "+@all", "~*")
        blnk_json = tmp_path / "blnk.json"
        blnk_json.write_text(_canary_json(stack))
        secrets = {"BLNK_METRICS_BEARER_TOKEN": CANARY, "BLNK_TYPESENSE_KEY": CANARY}
        with serve(blnk_json, tmp_path, "--log.level", "debug", **secrets) as running:
            await running.ready()
            arguments = _arguments(running)
            page = await running.scrape()
            assert page.whole, "the canaries are the true passwords"

            await _lock_out(owner, redis)
            page = await running.scrape()
            assert page.failures["postgres"] == page.failures["redis"] == "refused"
            await running.get("/")

            broken = _broken_json(stack)
            for text in broken:
                blnk_json.write_text(text)
                await running.scrape()
                await running.get("/")
            blnk_json.write_text(
                _canary_json(
                    stack,
                    data_source={"dns": f"postgres://u:{CANARY}@127.0.0.1:{stack.server.port}/x?sslmode=disable"},
                    redis={"dns": f"redis://u:{CANARY}@127.0.0.1:{stack.server.port}"},
                )
            )
            page = await running.scrape()
            assert page.failures["postgres"] == page.failures["redis"] == "malformed"
            await running.get("/")

            # Frozen, then gone.
            blnk_json.write_text(_canary_json(stack))
            stack.postgres.pause()
            stack.valkey.pause()
            await running.scrape(timeout="1")
            await running.get("/")
            await stack.postgres.halt()
            await stack.valkey.halt()
            page = await running.scrape(timeout="2")
            assert page.failures["postgres"] == page.failures["redis"] == "unreachable"
            running.process.send_signal(signal.SIGHUP)
            for path in ("/", "/-/ready", "/-/healthy", "/nothing", "/metrics?collect[]=x"):
                await running.get(path)
            status = await running.end(signal.SIGTERM)
        commands = (("check-config",), ("scrape",), ("scrape", "--json"), ("scrape", "--log.level", "debug"))
        outputs = await asyncio.gather(
            *(run(*command, "--blnk-config", str(blnk_json), cwd=tmp_path, **secrets) for command in commands)
        )
        await owner.close()
        await redis.aclose()
    assert status == 0
    assert len(running.lines("configuration not reloaded")) == len(broken)
    told = [running.out, running.err, arguments, *running.pages]
    told += [text for output in outputs for text in (output.stdout, output.stderr)]
    assert all(told[1:3])
    assert [text for text in told if CANARY in text or "c4n4ry" in text] == []
    assert [text for text in told if "Traceback" in text] == []
