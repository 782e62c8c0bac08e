"""A real Prometheus with our rules and a real Alertmanager with a given configuration, both in quick motion.

Their programs are Debian's or any other's, found in PATH; they listen on free ports of loopback.
"""

import asyncio
import contextlib
import http.client
import json
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from ..render import alerts, quick
from ..render.fill import Site
from ..render.quick import Pace
from .failure import SandboxError
from .process import ServerProcess, on_free_port

_HOST = "127.0.0.1"
_PROMETHEUS = ("prometheus",)
_ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")
# Far beyond need: a busy machine must not end the wait.
_START_SECONDS = 120.0
_PROBE_SECONDS = 0.25
_STOP = ((signal.SIGTERM, 20.0),)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert as Prometheus or Alertmanager tells it; ``state`` is pending, firing or resolved."""

    state: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The label ``alertname``."""
        return self.labels["alertname"]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One message that Alertmanager has sent, and whom it was for."""

    receiver: str
    alerts: Sequence[Alert]


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """Both servers, running. Calls raise aiohttp.ClientError when one of them is gone."""

    prometheus_url: str
    alertmanager_url: str
    _session: aiohttp.ClientSession = field(repr=False)

    async def alerts(self) -> list[Alert]:
        """What is pending or firing in Prometheus."""
        found = (await self._get(f"{self.prometheus_url}/api/v1/alerts"))["data"]["alerts"]
        return [
            Alert(state=alert["state"], labels=alert["labels"], annotations=alert["annotations"]) for alert in found
        ]

    async def query(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """The series that an expression has now: labels and value."""
        answer = await self._get(f"{self.prometheus_url}/api/v1/query", query=expression)
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    async def reload(self) -> None:
        """Let Prometheus read its configuration again."""
        async with self._session.post(f"{self.prometheus_url}/-/reload") as reply:
            reply.raise_for_status()

    async def inhibited(self) -> list[Mapping[str, str]]:
        """The labels of the alerts that Alertmanager does not tell because of others."""
        found = await self._get(f"{self.alertmanager_url}/api/v2/alerts")
        return [alert["labels"] for alert in found if alert["status"]["inhibitedBy"]]

    async def _get(self, url: str, **query: str) -> Any:
        async with self._session.get(url, params=query) as reply:
            return await reply.json()


def programs() -> tuple[Path, Path]:
    """Prometheus and Alertmanager; raises SandboxError where one is not to be found."""
    return _program(_PROMETHEUS), _program(_ALERTMANAGER)


@contextlib.asynccontextmanager
async def watching(
    directory: Path,
    targets: Mapping[str, str],
    *,
    routing: str,
    heard: Callable[[Delivery], None],
    pace: Pace,
) -> AsyncIterator[Monitoring]:
    """Watch exporters, each the only one of its ``cluster``: its name and ``host:port``.

    ``routing`` is an Alertmanager's configuration; ``heard`` is told of each message. Raises SandboxError when a server is
    missing or does not start. Files go below ``directory``, which is the caller's to remove.
    """
    prometheus, _ = programs()
    async with contextlib.AsyncExitStack() as stack:
        webhook = await _listen(stack, heard)
        told = await stack.enter_async_context(alerted(directory, quick.alertmanager(routing, pace, webhook)))
        config = _write(directory / "prometheus.yml", json.dumps(_config(targets, told, pace), indent=2))
        flags = (
            f"--storage.tsdb.path={directory}/prometheus",
            "--rules.alert.resend-delay=1s",
            "--web.enable-lifecycle",
        )
        asked = await _boot(stack, directory, prometheus, (config, *flags))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        servers = Monitoring(prometheus_url=f"http://{asked}", alertmanager_url=f"http://{told}", _session=session)
        await _add_rules(directory, targets, servers, pace)
        yield servers


@contextlib.asynccontextmanager
async def alerted(directory: Path, configuration: str) -> AsyncIterator[str]:
    """Run Alertmanager with a configuration; gives its ``host:port``. Raises SandboxError as above."""
    _, alertmanager = programs()
    config = _write(directory / "alertmanager.yml", configuration)
    storage = f"--storage.path={directory}/alertmanager"
    async with contextlib.AsyncExitStack() as stack:
        yield await _boot(stack, directory, alertmanager, (config, storage, "--cluster.listen-address="))


def _write(path: Path, text: str) -> str:
    """Gives the flag that names the written file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return f"--config.file={path}"


async def _add_rules(directory: Path, targets: Mapping[str, str], servers: Monitoring, pace: Pace) -> None:
    """Once the targets are known, for which Prometheus takes five seconds, whatever the pace: until then they are absent."""
    for _ in range(int(_START_SECONDS / _PROBE_SECONDS)):
        if len(await servers.query("up")) >= len(targets):
            break
        await asyncio.sleep(_PROBE_SECONDS)
    else:
        raise SandboxError("Prometheus does not scrape its targets")
    site = Site(exporter_url=f"http://{next(iter(targets.values()))}")
    for name, text in alerts.render(site).items():
        if name.endswith(".rules.yml"):
            _write(directory / name, quick.rules(text, pace))
    await servers.reload()


def _config(targets: Mapping[str, str], alertmanager: str, pace: Pace) -> Mapping[str, Any]:
    every = pace.scrape
    exporters = [{"targets": [address], "labels": {"cluster": cluster}} for cluster, address in targets.items()]
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["*.rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [{"job_name": Site.exporter_job, "static_configs": exporters}],
    }


async def _boot(stack: contextlib.AsyncExitStack, logs: Path, program: Path, flags: Sequence[str]) -> str:
    """Start one of the two on a free port; gives its address once it is ready."""

    async def on(port: int) -> str:
        address = f"{_HOST}:{port}"
        process = ServerProcess(
            [program, *flags, f"--web.listen-address={address}"],
            directory=logs,
            log_path=logs / f"{program.name}.{port}.log",
        )
        stack.push_async_callback(process.stop, _STOP)
        await process.ready(lambda: _answers(port), _START_SECONDS)
        return address

    return await on_free_port(on)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(_HOST, port, timeout=_PROBE_SECONDS)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


async def _listen(stack: contextlib.AsyncExitStack, heard: Callable[[Delivery], None]) -> str:
    """The address that each receiver's messages are sent to."""

    async def take(request: web.Request) -> web.Response:
        heard(Delivery(receiver=request.match_info["receiver"], alerts=list(_told(await request.json()))))
        return web.Response()

    application = web.Application()
    application.router.add_post("/{receiver}", take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_PROBE_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, _HOST, 0).start()
    return f"http://{_HOST}:{runner.addresses[0][1]}"


def _told(message: Mapping[str, Any]) -> Iterator[Alert]:
    for alert in message["alerts"]:
        yield Alert(state=alert["status"], labels=alert["labels"], annotations=alert["annotations"])


def _program(names: Sequence[str]) -> Path:
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    raise SandboxError(f"there is no {names[0]} in PATH; Debian has it in the package of that name")
