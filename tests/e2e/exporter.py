"""The exporter under test: in this process, or as the process that an operator starts."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from blnk_exporter import config
from blnk_exporter.clients.files import statvfs
from blnk_exporter.config.settings import Web
from blnk_exporter.sandbox import Sandbox
from blnk_exporter.sandbox.process import free_port
from blnk_exporter.serve import listening as listening_at
from blnk_exporter.service import Service

from ..waiting import PATIENCE_SECONDS, eventually, until
from .page import TEXT, Page, parse

HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# Without the header: a slow machine must not make a collector late. Below what a test waits for an answer.
AMPLE = {"limits.scrape_timeout_seconds": 60, "limits.statement_timeout_seconds": 60}


async def fetch(url: str, *, timeout: str | None = None, accept: str = TEXT, **query: str) -> Page:  # noqa: ASYNC109 - the header's
    """One scrape over HTTP, on a connection of its own."""
    headers = {"Accept": accept} | ({HEADER: timeout} if timeout is not None else {})
    started = time.monotonic()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.get(url, headers=headers, params=query) as reply,
    ):
        body = await reply.text()
        seconds = time.monotonic() - started
        samples = parse(body, reply.headers["Content-Type"]) if reply.status == 200 and url.endswith("/metrics") else {}
        return Page(body, reply.status, dict(reply.headers), seconds, samples)


@dataclass(frozen=True)
class Exporter:
    """A service behind HTTP in this process."""

    service: Service
    url: str

    async def scrape(self, **options: str) -> Page:
        """One scrape over HTTP; see ``fetch``."""
        return await fetch(f"{self.url}/metrics", **options)


@contextlib.asynccontextmanager
async def listening(service: Service) -> AsyncIterator[Exporter]:
    """The service's own web application on a free port."""
    await service.start()
    try:
        async with listening_at(service, Web(listen_address="127.0.0.1:0"), stop_seconds=0.1) as opened:
            yield Exporter(service, f"http://127.0.0.1:{opened.port}")
    finally:
        await service.close()


def serving(
    stack: Sandbox, environ: Mapping[str, str] | None = None, **flags: Any
) -> contextlib.AbstractAsyncContextManager[Exporter]:
    """An exporter of a sandbox, configured as an operator would: by its blnk.json, and with the release. ``__`` in a flag is a dot."""
    given = (
        {"blnk.config": str(stack.blnk_json), "blnk.version": "0.15.2"}
        | AMPLE
        | {name.replace("__", "."): value for name, value in flags.items()}
    )

    def load() -> config.Loaded:
        return config.load(
            flags=given, environ=environ or {}, directory=stack.directory, config_file=stack.exporter_yml
        )

    return listening(Service(load, statvfs=stack.statvfs or statvfs))


async def enough(stack: Sandbox, **flags: Any) -> str:
    """Return a scrape timeout in which only what hangs is late: many times what a first scrape takes here and now."""
    async with serving(stack, **flags) as exporter:
        return f"{min(60.0, max(2.0, 10 * (await exporter.scrape()).seconds)):.3f}"


def environment(**variables: str) -> dict[str, str]:
    """An environment without a trace of Blnk but for these variables."""
    kept = {name: value for name, value in os.environ.items() if "BLNK" not in name}
    return kept | {"PYTHONUNBUFFERED": "1"} | variables


async def run(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the exporter to its end, while the sandbox in this process goes on."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "blnk_exporter", *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@dataclass
class Running:
    """A command of the exporter that runs until told to stop."""

    process: subprocess.Popen[bytes]
    port: int
    out_path: Path
    err_path: Path
    pages: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens, or will."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def out(self) -> str:
        """All that it has said on standard output."""
        return self.out_path.read_text("utf-8", "replace")

    @property
    def err(self) -> str:
        """All that it has said on standard error."""
        return self.err_path.read_text("utf-8", "replace")

    async def ready(self) -> "Running":
        """Wait until its first scrape is done."""

        async def answers() -> bool:
            found = False
            with contextlib.suppress(aiohttp.ClientError):
                found = (await fetch(f"{self.url}/-/ready")).status == 200
            # Afterwards: the answer may be that of another process on this port.
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.out}{self.err}"
            return found

        await eventually(answers, "its readiness")
        return self

    async def get(self, path: str, **options: str) -> Page:
        """Fetch a page and keep it."""
        page = await fetch(self.url + path, **options)
        self.pages.append(f"{page.headers}\n{page.body}")
        return page

    async def scrape(self, **options: str) -> Page:
        """Fetch the metrics."""
        return await self.get("/metrics", **options)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the exit status."""
        self.process.send_signal(number)
        await until(lambda: self.process.poll() is not None, "the end of the process")
        return self.process.returncode

    def lines(self, text: str) -> list[str]:
        """The lines of the log that hold a text."""
        return [line for line in self.err.splitlines() if text in line]


@contextlib.contextmanager
def started(
    command: list[str], directory: Path, *, port: int, environ: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run a program with its output in files, and be sure that it ends."""
    out_path, err_path = directory / f"{port}.out", directory / f"{port}.err"
    with out_path.open("wb") as out, err_path.open("wb") as err:
        process = subprocess.Popen(
            command, cwd=directory, env=dict(environ or environment()), stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
    try:
        yield Running(process, port, out_path, err_path)
    finally:
        process.kill()
        process.wait()


def serve(
    blnk_json: Path, directory: Path, *arguments: str, **variables: str
) -> contextlib.AbstractContextManager[Running]:
    """``blnk-exporter serve`` as a process that works in a directory, where it finds its exporter.yml, if any."""
    port = free_port()
    options = ("--blnk-config", str(blnk_json), "--web.listen-address", f"127.0.0.1:{port}")
    command = [sys.executable, "-m", "blnk_exporter", "serve", *options, *arguments]
    ample = {f"BLNK_EXPORTER_{key.replace('.', '_').upper()}": str(value) for key, value in AMPLE.items()}
    return started(command, directory, port=port, environ=environment(**(ample | variables)))
