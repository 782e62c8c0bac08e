"""``blnk-exporter scrape`` and ``ping`` on a real deployment: what they print, and with which exit code."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from blnk_exporter.sandbox import Sandbox

from .exporter import run, serve
from .page import COLLECTORS, lint, parse

pytestmark = pytest.mark.sandbox


@pytest_asyncio.fixture(scope="module")
async def onlooker(healthy: Sandbox) -> AsyncIterator[None]:
    """A role that may log in and no more."""
    owner = await asyncpg.connect(healthy.postgres.dsn(database="blnk"))
    await owner.execute("CREATE ROLE passerby LOGIN PASSWORD 'pass'")
    yield
    await owner.execute("DROP ROLE passerby")
    await owner.close()


async def test_scrape_of_a_healthy_deployment(healthy: Sandbox, tmp_path: Path) -> None:
    """One command, no configuration of our own: the whole page on standard output, and nothing else anywhere."""
    ended = await run("scrape", "--blnk-config", str(healthy.blnk_json), cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(parse(ended.stdout, "text/plain")) > 150
    assert lint(ended.stdout) == ""


async def test_scrape_as_json_of_a_healthy_deployment(healthy: Sandbox, tmp_path: Path) -> None:
    """The same numbers for programs."""
    ended = await run("scrape", "--json", "--blnk-config", str(healthy.blnk_json), cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    assert list(found["collectors"]) == list(COLLECTORS)
    assert all(collector["success"] for collector in found["collectors"].values())
    assert len(found["samples"]) > 500


@pytest.mark.parametrize(
    ("wrong", "failed", "sentence"),
    [
        ("postgres password", "postgres tables statements ledger books catalog", "password authentication failed"),
        ("redis password", "workers queues redis", "refuses the login"),
        ("no such database", "postgres tables statements ledger books catalog", 'database "nowhere" does not exist'),
        ("missing schema", "tables ledger books catalog", "blnk"),
    ],
)
async def test_scrape_of_what_is_wrong(
    healthy: Sandbox, tmp_path: Path, wrong: str, failed: str, sentence: str
) -> None:
    """Exit 1, the page with all that could be had, and one line for each source that said no."""
    postgres, valkey = healthy.postgres, healthy.valkey
    variables = {
        "postgres password": {"BLNK_EXPORTER_POSTGRES_PASSWORD": "wr0ng"},
        "redis password": {"BLNK_EXPORTER_REDIS_DSN": f"redis://:wr0ng@{valkey.host}:{valkey.port}"},
        "no such database": {"BLNK_EXPORTER_POSTGRES_DSN": postgres.dsn(database="nowhere", sslmode="disable")},
        "missing schema": {"BLNK_EXPORTER_POSTGRES_DSN": postgres.dsn(database="postgres", sslmode="disable")},
    }[wrong]
    ended = await run("scrape", "--blnk-config", str(healthy.blnk_json), cwd=tmp_path, **variables)
    assert ended.returncode == 1
    lines = ended.stderr.splitlines()
    assert [line.split()[0] for line in lines] == failed.split()
    assert all(sentence in line for line in lines)
    assert "Traceback" not in ended.stderr
    assert "wr0ng" not in ended.stdout + ended.stderr
    assert "blnk_server_up" in ended.stdout


async def test_scrape_without_rights(healthy: Sandbox, onlooker: None, tmp_path: Path) -> None:
    """A role with LOGIN only: what it may not see is named, and what nothing can be seen of has failed."""
    dsn = healthy.postgres.dsn(user="passerby", password="pass", database="blnk", sslmode="disable")
    ended = await run("scrape", "--blnk-config", str(healthy.blnk_json), cwd=tmp_path, BLNK_EXPORTER_POSTGRES_DSN=dsn)
    assert ended.returncode == 1
    assert re.search(
        r"^ledger .*: permission denied for schema blnk; run what `blnk-exporter grants", ended.stderr, re.MULTILINE
    )
    assert "postgres has no connections: needs the role pg_read_all_stats, which pg_monitor has\n" in ended.stderr
    assert 'blnk_exporter_fact_missing{collector="postgres"' in ended.stdout


async def test_ping_of_a_running_exporter(healthy: Sandbox, tmp_path: Path) -> None:
    """A container's health check has the exporter's own environment and no argument."""
    with serve(healthy.blnk_json, tmp_path) as running:
        await running.ready()
        address = f"127.0.0.1:{running.port}"
        for arguments, variables in (
            (("--web.listen-address", address), {}),
            ((), {"BLNK_EXPORTER_WEB_LISTEN_ADDRESS": address}),
        ):
            ended = await run("ping", *arguments, cwd=tmp_path, **variables)
            assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        running.process.kill()
        running.process.wait()
        ended = await run("ping", "--web.listen-address", address, cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (1, f"Error: {address}: Connection refused\n")
