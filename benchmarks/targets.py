"""``python -m benchmarks.targets``: what an exporter of many deployments costs, per deployment, from one to a thousand.

All of the targets are the same servers under different names: a machine has no room for a thousand databases. So what
the exporter does is whole, with a connection or two of its own to each; what servers do is not what is measured.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import click
import psutil

from blnk_exporter.sandbox import account
from blnk_exporter.sandbox.blnk import BlnkServer, BlnkWorker
from blnk_exporter.sandbox.process import ServerProcess, free_port, removes_after_us

from .fleet import cpu_seconds
from .ratio import quantile
from .report import Table
from .servers import Database, Store, database, store
from .site import DEFAULT_QUEUES, Site

_SIZES, _QUICK = (1, 10, 100, 300, 1000), (1, 10, 50)
_ROUNDS = 3
# Prometheus spreads its scrapes over the interval; so few are ever under way at once.
_AT_ONCE = 4
_ROWS = 10_000
# A session of ours takes some 16 MiB of PostgreSQL's memory. Of more than so many, those that were idle for a few seconds
# are closed by the server, and each scrape has to log in anew: what that costs is in the figures.
_SESSIONS_MAX, _IDLE = 300, "3s"


@dataclass
class Found:
    """What one size of fleet has shown; seconds, bytes and counts."""

    ready: float
    first: float
    scrapes: list[float]
    cpu: float
    idle: int
    rss: int
    descriptors: int
    sessions: int
    discovery: int

    def row(self, targets: int) -> tuple[str, *tuple[float, ...]]:
        """As COLUMNS has it."""
        p50, p95 = statistics.median(self.scrapes) * 1000, quantile(self.scrapes, 0.95) * 1000
        memory = self.rss / (1 << 20), (self.rss - self.idle) / targets / 1024
        counts = self.descriptors, self.sessions / targets
        return (
            f"{targets:,}",
            self.ready,
            self.first,
            p50,
            p95,
            self.cpu * 1000,
            *memory,
            *counts,
            self.discovery / 1024,
        )


COLUMNS = ("targets", "ready s", "all once s", "p50 ms", "p95 ms", "CPU ms", "RSS MiB", "KiB each", "files", "sessions each", "/sd KiB")  # fmt: skip


def _exporter_yml(site: Site, targets: int) -> str:
    one = {
        "blnk": {"config": "blnk.json", "version": "0.15.2"},
        "servers": [f"http://127.0.0.1:{site.server_port}"],
        "workers": [f"http://127.0.0.1:{site.worker_port}"],
    }
    # As an operator's tools would write it: as YAML, a line for each key.
    lines = ["targets:"]
    for n in range(1, targets + 1):
        lines += [f"  blnk-{n:04}:", f"    labels: {{region: eu, shard: '{n % 7}'}}"]
        lines += [f"    {key}: {json.dumps(value)}" for key, value in one.items()]
    return "\n".join(lines) + "\n"


@contextlib.asynccontextmanager
async def _site(directory: Path, sessions: int) -> AsyncIterator[tuple[Site, Database, Store]]:
    async with contextlib.AsyncExitStack() as stack:
        base = await stack.enter_async_context(database(directory, _ROWS, max_connections=sessions))
        queues = await stack.enter_async_context(store(directory, DEFAULT_QUEUES, 1000))
        blnk, worker = BlnkServer(base.server.dsn()), BlnkWorker()
        for endpoint in (blnk, worker):
            await endpoint.start()
            stack.push_async_callback(endpoint.stop)
        site = Site(queues.server.port, base.server.port, blnk.port, worker.port)
        told = {"data_source": {"dns": site.dsn()}, "redis": {"dns": f"redis://{site.redis}"}}
        (directory / "blnk.json").write_text(json.dumps(told))
        yield site, base, queues


async def measure(directory: Path, site: Site, base: Database, targets: int) -> Found:
    """One exporter of so many targets, from its start."""
    (directory / "exporter.yml").write_text(_exporter_yml(site, targets))
    base.server.reload({"idle_session_timeout": _IDLE if targets > _SESSIONS_MAX else "0"})
    address = f"127.0.0.1:{free_port()}"
    command = (sys.executable, "-m", "blnk_exporter", "serve", "--web.listen-address", address, "--log.level", "error")
    began = time.monotonic()
    process = ServerProcess(
        command, directory=directory, log_path=directory / f"exporter-{targets}.log", environment={}
    )
    try:
        async with aiohttp.ClientSession(f"http://{address}", connector=aiohttp.TCPConnector(limit=0)) as session:
            await _ready(session, process)
            ready, idle = time.monotonic() - began, psutil.Process(process.pid).memory_info().rss
            names = [entry["labels"]["instance"] for entry in json.loads(await _page(session, "/sd"))]
            began = time.monotonic()
            await _round(session, names)
            first = time.monotonic() - began
            cpu, seconds = cpu_seconds(process.pid), []
            for _ in range(_ROUNDS):
                seconds += await _round(session, names)
            cpu = (cpu_seconds(process.pid) - cpu) / len(seconds)
            here = psutil.Process(process.pid)
            sessions = await base.connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'blnk_exporter'"
            )
            discovery = len(await _page(session, "/sd"))
            return Found(ready, first, seconds, cpu, idle, here.memory_info().rss, here.num_fds(), sessions, discovery)
    except aiohttp.ClientError as error:
        raise click.ClickException(f"{error}\n{process.log_tail()}") from None
    finally:
        await process.stop(((signal.SIGTERM, 10.0),))


async def _ready(session: aiohttp.ClientSession, process: ServerProcess) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.running:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get("/-/ready") as reply:
                if reply.status == 200:
                    return
        await asyncio.sleep(0.02)
    raise click.ClickException(f"the exporter is not ready\n{process.log_tail()}")


async def _page(session: aiohttp.ClientSession, path: str) -> bytes:
    async with session.get(path) as reply:
        body = await reply.read()
    if reply.status != 200:
        raise click.ClickException(f"{path} answers {reply.status}: {body[:200]!r}")
    return body


async def _round(session: aiohttp.ClientSession, names: list[str]) -> list[float]:
    """Each target once; how long each took."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> float:
        async with gate:
            began = time.perf_counter()
            page = await _page(session, f"/probe?target={name}")
            if b'success{collector="postgres"} 1' not in page or b"\nblnk_redis_up 1" not in page:
                failed = [line for line in page.decode().splitlines() if "failure{" in line and line.endswith(" 1.0")]
                raise click.ClickException(f"the page of {name} is not whole: {failed}")
            return time.perf_counter() - began

    return list(await asyncio.gather(*map(one, names)))


async def _ask(sizes: tuple[int, ...], report: Callable[[str], None]) -> Table:
    directory = account.shared_directory("blnk-benchmark")
    guard = removes_after_us(directory)
    try:
        rows = []
        async with _site(directory, sessions=3 * _SESSIONS_MAX) as (site, base, _):
            for targets in sizes:
                report(f"{targets:,} targets")
                rows.append((await measure(directory, site, base, targets)).row(targets))
    finally:
        guard.dismiss()
        shutil.rmtree(directory, ignore_errors=True)
    notes = (
        f"{_ROUNDS} rounds, {_AT_ONCE} scrapes at once; CPU is the exporter's, per scrape; KiB above what it has when ready.",
        f"Above {_SESSIONS_MAX} targets PostgreSQL closes sessions after {_IDLE}, and each scrape logs in anew.",
    )
    return Table("Many targets", COLUMNS, tuple(rows), notes)


@click.command()
@click.option("--quick", is_flag=True, help="Small fleets: to see that it works, not to quote.")
def main(*, quick: bool) -> None:
    """Measure fleets of several sizes."""
    table = asyncio.run(_ask(_QUICK if quick else _SIZES, lambda text: click.echo(text, err=True)))
    click.echo(table.text())


if __name__ == "__main__":
    main()
