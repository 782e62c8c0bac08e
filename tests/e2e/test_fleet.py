"""Five deployments behind two exporters, as deploy/prometheus/fleet.yml has it, and a real Prometheus over them.

Two deployments are well, one has a backlog, one is down and one hangs.
"""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from blnk_exporter import sandbox
from blnk_exporter.sandbox import Sandbox
from blnk_exporter.sandbox.process import free_port

from ..programs import program
from ..waiting import PATIENCE_SECONDS, eventually
from .exporter import Running, environment, fetch, started
from .test_prometheus import Prometheus

pytestmark = pytest.mark.sandbox
DEPLOYED = Path(__file__).parents[2] / "deploy/prometheus/fleet.yml"
NAMES = ["acme", "bravo", "backlog", "down", "hung"]


def _target(stack: Sandbox) -> dict[str, object]:
    own = yaml.safe_load(stack.exporter_yml.read_text()) if stack.exporter_yml else {}
    own |= {"servers": [stack.server.url], "workers": [stack.worker.url]}
    return own | {"blnk": {"config": str(stack.blnk_json), "version": "0.15.2"}}


class Fleet:
    """The exporters, Prometheus, and what the names stand for."""

    def __init__(self, exporters: list[Running], prometheus: Prometheus, stacks: dict[str, Sandbox]) -> None:
        self.exporters, self.prometheus, self.stacks = exporters, prometheus, stacks

    async def up(self) -> dict[str, float]:
        """Each target's own scrape."""
        found = await self.prometheus.api("/api/v1/query", query='up{job="blnk-exporter"}')
        return {series["metric"]["instance"]: float(series["value"][1]) for series in found["result"]} if found else {}


@pytest_asyncio.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """All of it."""
    binary = str(program("prometheus"))
    directory = tmp_path_factory.mktemp("fleet")
    async with contextlib.AsyncExitStack() as stack:
        scenarios = {"acme": "healthy", "bravo": "healthy", "backlog": "queue-backlog", "hung": "healthy"}
        stacks = {name: await stack.enter_async_context(sandbox.running(what)) for name, what in scenarios.items()}
        nowhere = f"127.0.0.1:{free_port()}"
        down = {
            "servers": [f"http://{nowhere}"],
            "workers": [],
            "postgres": {"dsn": f"postgres://u@{nowhere}/blnk"},
            "redis": {"dsn": nowhere},
        }
        targets = {name: _target(one) for name, one in stacks.items()} | {"down": down}
        for name, target in targets.items():
            target["labels"] = {"region": "eu" if name == "acme" else "us"}
        (directory / "exporter.yml").write_text(json.dumps({"targets": targets}))
        exporters = [stack.enter_context(_serve(directory)) for _ in range(2)]
        for exporter in exporters:
            await exporter.ready()
        for server in (stacks["hung"].postgres, stacks["hung"].valkey):
            server.pause()
            stack.callback(server.resume)
        prometheus = stack.enter_context(_prometheus(binary, directory, exporters))
        made = Fleet(exporters, prometheus, stacks)
        await eventually(lambda: _all_up(made))
        yield made


async def _all_up(fleet: Fleet) -> bool:
    return len(up := await fleet.up()) == len(NAMES) and set(up.values()) == {1.0}


def _serve(directory: Path) -> contextlib.AbstractContextManager[Running]:
    port = free_port()
    command = [sys.executable, "-m", "blnk_exporter", "serve", "--web.listen-address", f"127.0.0.1:{port}"]
    return started(command, directory, port=port, environ=environment())


@contextlib.contextmanager
def _prometheus(binary: str, directory: Path, exporters: list[Running]):
    """As deployed, but for addresses, intervals and what stands on other machines."""
    text = DEPLOYED.read_text()
    for n, exporter in enumerate(exporters):
        text = text.replace(f"blnk-exporter-{n}:10501", f"127.0.0.1:{exporter.port}")
    deployed = yaml.safe_load(text)
    deployed["global"] |= {"scrape_interval": "5s", "scrape_timeout": "5s"}
    deployed |= {"rule_files": [], "alerting": {}}
    for config in deployed["scrape_configs"][0]["http_sd_configs"]:
        config["refresh_interval"] = "2s"
    (directory / "prometheus.yml").write_text(json.dumps(deployed))
    port, log = free_port(), directory / "prometheus.log"
    arguments = [
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen([binary, *arguments], stdout=output, stderr=output)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}", None, log)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


async def test_each_target_is_scraped_once_by_one_exporter(fleet: Fleet) -> None:
    """Though both exporters name all of them; and the exporters share them out."""
    active = (await fleet.prometheus.api("/api/v1/targets", state="active"))["activeTargets"]
    probes = [target for target in active if target["labels"]["job"] == "blnk-exporter"]
    assert sorted(target["labels"]["instance"] for target in probes) == sorted(NAMES)
    assert {target["labels"]["region"] for target in probes} == {"eu", "us"}
    assert all("/probe?target=" in target["scrapeUrl"] for target in probes)
    by = {target["scrapeUrl"].partition("/probe")[0] for target in probes}
    assert by == {exporter.url for exporter in fleet.exporters}


async def test_what_hangs_and_what_is_down_costs_the_others_nothing(fleet: Fleet) -> None:
    """Their scrapes take what they take alone; those of the hung one end in time, and say what could not be read."""
    prometheus = fleet.prometheus

    async def value(metric: str, instance: str, **labels: str) -> list[float]:
        matchers = ",".join(f'{name}="{text}"' for name, text in ({"instance": instance} | labels).items())
        return await prometheus.query(f"{metric}{{{matchers}}}")

    # What hangs takes all the time that it is given; the others never have to wait for that.
    (hung,) = await prometheus.query('min_over_time(scrape_duration_seconds{job="blnk-exporter",instance="hung"}[10m])')
    for name in ("acme", "bravo", "backlog"):
        assert await value("blnk_postgres_up", name) == [1.0]
        assert await value("blnk_redis_up", name) == [1.0]
        (fastest,) = await prometheus.query(
            f'min_over_time(scrape_duration_seconds{{job="blnk-exporter",instance="{name}"}}[10m])'
        )
        assert fastest < hung
    for name, reason in (("down", "unreachable"), ("hung", "timeout")):
        assert await value("blnk_redis_up", name) == [0.0]
        assert await value("blnk_exporter_collector_failure", name, collector="redis", reason=reason) == [1.0]
        assert await value("blnk_queues_pending_tasks", name) == []
    assert await value("up", "hung") == [1.0]
    (deepest,) = await prometheus.query('max(blnk_queues_pending_tasks{instance="backlog"})')
    assert deepest > 100


async def test_the_exporters_own_pages(fleet: Fleet) -> None:
    """Under a job of their own, so that no rule takes them for a Blnk."""
    assert await fleet.prometheus.query('blnk_exporter_targets{job="blnk-exporters"}') == [5.0, 5.0]
    assert await fleet.prometheus.query('{__name__=~"blnk_(server|redis|postgres)_.+",job="blnk-exporters"}') == []


async def test_a_target_more_is_found_without_a_restart(fleet: Fleet) -> None:
    """Of exporters or Prometheus; and gone again once it is no longer named."""
    directory = fleet.exporters[0].out_path.parent
    before = (directory / "exporter.yml").read_text()
    content = json.loads(before)
    content["targets"]["more"] = content["targets"]["acme"]
    for text, names in ((json.dumps(content), [*NAMES, "more"]), (before, NAMES)):
        (directory / "new").write_text(text)
        (directory / "new").replace(directory / "exporter.yml")

        async def found(names: list[str] = names) -> bool:
            return sorted(await fleet.up()) == sorted(names)

        await eventually(found)


async def test_unknown_names(fleet: Fleet) -> None:
    """Nothing is dialled; who asked is told what there is."""
    page = await fetch(f"{fleet.exporters[0].url}/probe?target=127.0.0.1:6379")
    assert page.status == 400
    assert "there are acme, bravo, backlog, hung, down" in page.body


async def test_nothing_is_left_when_they_end(fleet: Fleet) -> None:
    """In time, though one of the targets hangs."""
    for exporter in fleet.exporters:
        assert exporter.lines("Traceback") == []
    assert await fleet.exporters[1].end(signal.SIGTERM) == 0
    assert fleet.exporters[1].lines("Unclosed") == []
