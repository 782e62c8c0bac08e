"""A real Prometheus scrapes us, as the user's will."""

import asyncio
import json
import math
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from blnk_exporter.sandbox import Sandbox
from blnk_exporter.sandbox.process import free_port

from ..programs import program
from ..waiting import PATIENCE_SECONDS, eventually
from .exporter import Exporter, serving

pytestmark = pytest.mark.sandbox


@dataclass
class Prometheus:
    """A server, the exporter that it scrapes, and what it logs."""

    url: str
    exporter: Exporter
    log: Path

    async def api(self, path: str, **query: str) -> Any:
        """One call of its HTTP interface; None while it does not answer."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url + path, params=query) as reply:
                return (await reply.json())["data"] if reply.status == 200 else None
        except aiohttp.ClientError:
            return None

    async def query(self, expression: str) -> list[float]:
        """The values that an expression has now."""
        found = await self.api("/api/v1/query", query=expression)
        return [float(series["value"][1]) for series in found["result"]] if found else []


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=log.parent, stdout=output, stderr=output)


@pytest_asyncio.fixture(scope="module")
async def prometheus(healthy: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """Debian's Prometheus with a target that it scrapes every second, or more slowly on a slow machine."""
    directory, port = tmp_path_factory.mktemp("prometheus"), free_port()
    async with serving(healthy) as exporter:
        jobs = [{"job_name": "blnk", "static_configs": [{"targets": [exporter.url.removeprefix("http://")]}]}]
        seconds = math.ceil(max(1.0, 10 * (await exporter.scrape()).seconds))
        settings = {"scrape_interval": f"{seconds}s", "scrape_timeout": f"{seconds}s"}
        # JSON is YAML, too.
        (directory / "prometheus.yml").write_text(json.dumps({"global": settings, "scrape_configs": jobs}))
        arguments = (
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        )
        log = directory / "log"
        process = _start([str(program("prometheus")), *arguments], log)
        try:
            server = Prometheus(f"http://127.0.0.1:{port}", exporter, log)
            await eventually(lambda: server.query('up{job="blnk"} == 1'))
            yield server
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, PATIENCE_SECONDS)


async def test_target_is_healthy(prometheus: Prometheus) -> None:
    """Prometheus reads the page without an error, within its timeout."""
    (target,) = (await prometheus.api("/api/v1/targets"))["activeTargets"]
    assert target["health"] == "up"
    assert target["lastError"] == ""
    assert target["lastScrapeDuration"] < float(target["scrapeTimeout"].removesuffix("s"))
    (samples,) = await prometheus.query("scrape_samples_scraped")
    assert samples > 500
    assert [samples] == await prometheus.query("scrape_samples_post_metric_relabeling")


async def test_series_are_what_the_page_says(prometheus: Prometheus) -> None:
    """From the exporter through Prometheus to a query, the number is the same."""
    assert await prometheus.query("blnk_server_up") == [1]
    assert await prometheus.query("blnk_redis_up") == [1]
    assert await prometheus.query("count(blnk_queues_pending_tasks)") == [24]
    assert await prometheus.query("sum(blnk_exporter_collector_success)") == [11]
    # No label of ours clashes with one of Prometheus' own.
    assert await prometheus.query('count({__name__=~"blnk_.*", exported_job!=""})') == []
    assert await prometheus.query('count({__name__=~"blnk_.*", exported_instance!=""})') == []


async def test_counters_are_counters(prometheus: Prometheus) -> None:
    """rate() works from the first minute, and the type of every family has arrived as we declared it."""
    await eventually(lambda: prometheus.query("sum(rate(blnk_queues_processed_total[5m])) > 0"))
    metadata = await prometheus.api("/api/v1/targets/metadata")
    kinds = {entry["metric"]: entry["type"] for entry in metadata if entry["metric"].startswith("blnk_")}
    # OpenMetrics names a counter's family without its suffix.
    assert kinds["blnk_queues_processed"] == "counter"
    assert kinds["blnk_queues_pending_tasks"] == "gauge"
    assert kinds["blnk_ledger_queue_to_apply_seconds"] == "histogram"
    assert set(kinds.values()) == {"counter", "gauge", "histogram"}
    assert all(entry["help"] for entry in metadata if entry["metric"].startswith("blnk_"))


async def test_nothing_in_its_log(prometheus: Prometheus) -> None:
    """A duplicate or an out-of-order sample is only told there."""
    await eventually(lambda: prometheus.query("count_over_time(blnk_server_up[10m]) >= 3"))
    lines = prometheus.log.read_text().splitlines()
    assert [line for line in lines if "level=warn" in line or "level=error" in line] == []


async def test_a_series_that_ends_is_stale_at_once(healthy: Sandbox, prometheus: Prometheus) -> None:
    """With Redis gone the depth of a queue is unknown; no graph may go on drawing the last one."""
    assert await prometheus.query("count(blnk_queues_pending_tasks)") == [24]
    healthy.valkey.pause()
    try:
        await eventually(lambda: prometheus.query("blnk_redis_up == 0"))

        async def stale() -> bool:
            return await prometheus.query("blnk_queues_pending_tasks") == []

        await eventually(stale)
        assert await prometheus.query("up") == [1]
        assert await prometheus.query("blnk_server_up") == [1]
    finally:
        healthy.valkey.resume()
    await eventually(lambda: prometheus.query("blnk_redis_up == 1"))
