"""Two worlds in which nobody is to be called: a ledger at work, and one that nobody uses for a day."""

import asyncio
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from blnk_exporter import sandbox
from blnk_exporter.render import alerts, fill

from ..alerts.story import Ago, Course, Rate, Until, course
from ..waiting import eventually
from .exporter import Exporter, serving

pytestmark = pytest.mark.needs("promtool")
# Long enough for a daily rhythm to be missed, in steps that one missed scrape would be too short for.
HOURS, STEP_SECONDS = 26, 300
# What one look finds, and the next one does not: it would stay for a day here.
MOMENTARY = ("blnk_queues_pending", "blnk_queues_oldest", "blnk_queues_active", "blnk_ledger_unresolved")
# What is rare is no rate after two seconds: of a thousand transactions four are rejected like this, not one of ten.
RARE = ("blnk_ledger_rejections_total", "blnk_queues_failed_total")
# How busy the machine is that runs the tests is no part of any world.
OF_THIS_MACHINE = ("blnk_host_cpu", "blnk_host_memory")
PROCESSED = "blnk_queues_processed_total"
Lines = Mapping[str, float]


@pytest_asyncio.fixture(scope="module")
async def seen() -> tuple[Lines, Lines, float]:
    """Two pages of a healthy deployment at work, and the seconds between them: of its own, which nobody has broken before."""
    found = []
    async with sandbox.running("healthy") as stack, serving(stack, limits__slow_interval_seconds=0.01) as exporter:
        processed = 0.0
        for _ in range(2):
            # Traffic has to pass between the two.
            await eventually(lambda least=processed: _grows(exporter, least))
            # The slow collectors take turns; at the end of these all have been read.
            for _ in range(6):
                page = await exporter.scrape()
            found.append((dict(_lines(page.body)), time.time()))
            processed = sum(page.values(PROCESSED)) + 5
    (first, began), (second, ended) = found
    return first, second, ended - began


async def _grows(exporter: Exporter, least: float) -> bool:
    return sum((await exporter.scrape()).values(PROCESSED)) >= least


def _lines(body: str) -> Iterator[tuple[str, float]]:
    for line in body.splitlines():
        if line.startswith("blnk_") and not line.startswith(OF_THIS_MACHINE):
            selector, _, value = line.rpartition(" ")
            yield selector, float(value)


def _name(selector: str) -> str:
    return selector.partition("{")[0]


def _counts(selector: str) -> bool:
    return _name(selector).endswith(("_total", "_bucket", "_count", "_sum"))


def _firing(world: Mapping[str, Course], directory: Path) -> set[str]:
    """The alerts that fire at the end of any hour, besides the Watchdog, which has to fire at the end of each."""
    length = HOURS * 3600
    # A sandbox makes no snapshots of what is gone with it; a deployment does.
    written = {"blnk_redis_rdb_changes_since_save": 0}
    world = {selector: written.get(_name(selector), told) for selector, told in world.items()}
    series = [course(selector, [(told, length)], STEP_SECONDS) for selector, told in {**world, "up": 1}.items()]
    for name, text in alerts.render(fill.Site()).items():
        if name.endswith(".yml"):
            (directory / name).write_text(text)
    expr = 'count by (alertname) (ALERTS{alertstate="firing"})'
    always = [{"labels": '{alertname="Watchdog"}', "value": 1}]
    test = {
        "interval": f"{STEP_SECONDS}s",
        "input_series": series,
        "promql_expr_test": [
            {"expr": expr, "eval_time": f"{hour}h", "exp_samples": always} for hour in range(1, HOURS)
        ],
    }
    files = sorted(path.name for path in directory.glob("*.rules.yml"))
    (directory / "world.yml").write_text(
        yaml.safe_dump({"rule_files": files, "evaluation_interval": f"{STEP_SECONDS}s", "tests": [test]})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(directory / "world.yml")], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    found = set(re.findall(r'alertname="(\w+)"', said)) - {"Watchdog"}
    assert done.returncode == 0 or found, said
    return found


async def test_a_ledger_at_work_calls_nobody(seen: tuple[Lines, Lines, float], tmp_path: Path) -> None:
    """Counters go on as they did, ages stay what they were."""
    first, second, seconds = seen
    now = time.time()
    world: dict[str, Course] = {}
    for selector, value in second.items():
        if _name(selector).startswith((*MOMENTARY, *RARE)):
            world[selector] = 0
        elif _counts(selector):
            world[selector] = Rate(max(0.0, value - first.get(selector, value)) / seconds)
        elif "_start_timestamp_seconds" in _name(selector):
            world[selector] = value - now
        elif "_timestamp_seconds" in _name(selector):
            world[selector] = Ago(now - value) if value <= now else Until(value - now)
        else:
            world[selector] = value
    assert any(isinstance(told, Rate) and told.per_second > 0 for told in world.values())
    assert await asyncio.to_thread(_firing, world, tmp_path) == set()


async def test_a_ledger_that_nobody_uses_calls_nobody(seen: tuple[Lines, Lines, float], tmp_path: Path) -> None:
    """A bank holiday: every counter stands, nothing waits, and what was done last was done a day ago."""
    _, second, _ = seen
    now = time.time()
    world: dict[str, Course] = {}
    for selector, value in second.items():
        if _name(selector).startswith(MOMENTARY):
            world[selector] = 0
        elif "_timestamp_seconds" in _name(selector) and not selector.startswith("blnk_exporter_"):
            # Prometheus' tests begin at 0.
            world[selector] = value - now
        elif selector.startswith("blnk_exporter_") and "_timestamp_seconds" in _name(selector):
            world[selector] = Ago(0)
        else:
            world[selector] = value
    assert await asyncio.to_thread(_firing, world, tmp_path) == set()
