"""Exporters as processes of their own: started, proven to work, looked at from outside, ended."""

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from blnk_exporter.sandbox.process import ServerProcess, free_port

from .exporters import Exporter
from .site import Site

# As Prometheus 3 asks.
_HEADERS = {
    "Accept": (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    ),
    "Accept-Encoding": "gzip",
    "User-Agent": "Prometheus/3.5.0",
    "X-Prometheus-Scrape-Timeout-Seconds": "30",
}
_PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.05
_STOP_SECONDS = 3.0


class BenchmarkError(Exception):
    """Nothing that was to be measured: an exporter that does not start or not do its work."""


@dataclass
class Running:
    """One exporter that serves; ``scrapes`` is how many pages it has served since it was proven to work."""

    exporter: Exporter
    url: str
    proof: tuple[str, ...]
    process: ServerProcess
    session: aiohttp.ClientSession = field(repr=False)
    scrapes: int = 0

    async def scrape(self) -> bytes:
        """One page as it comes over the wire; raises BenchmarkError for any other answer."""
        async with self.session.get(self.url) as reply:
            body = await reply.read()
        if reply.status != 200:
            raise BenchmarkError(f"{self.exporter.name} answers {reply.status}")
        self.scrapes += 1
        return body

    async def page(self) -> str:
        """One page as plain text in the classic format."""
        async with self.session.get(self.url, headers={"Accept": "text/plain", "Accept-Encoding": "identity"}) as reply:
            return await reply.text()

    async def prove(self) -> None:
        """Scrape until all is there that shows that it does its work; raises BenchmarkError when that never comes."""
        deadline, missing = time.monotonic() + _PATIENCE_SECONDS, ["any page"]
        while missing:
            if time.monotonic() > deadline or not self.process.running:
                told = ", ".join(text.strip() for text in missing)
                raise BenchmarkError(f"{self.exporter.name} does not tell {told}\n{self.process.log_tail()}")
            await asyncio.sleep(_PAUSE_SECONDS)
            with contextlib.suppress(aiohttp.ClientError):
                page = await self.page()
                missing = [text for text in self.proof if text not in page]

    def cpu_seconds(self) -> float:
        """CPU time of all its threads since it started, those that have ended among them."""
        return cpu_seconds(self.process.pid)

    def memory_bytes(self) -> tuple[int, int]:
        """Resident set size; and the same with shared pages divided by how many share them (PSS)."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text("ascii")
        found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines() if line.endswith(" kB")}
        return found["Rss"], found["Pss"]


def cpu_seconds(pid: int) -> float:
    """CPU time of a process by its own clock, in nanoseconds' steps; /proc counts in hundredths of a second."""
    # As clock_getcpuclockid(3) makes it: https://man7.org/linux/man-pages/man3/clock_getcpuclockid.3.html
    return time.clock_gettime((~pid << 3) | 2)


@contextlib.asynccontextmanager
async def running(exporter: Exporter, site: Site, directory: Path) -> AsyncIterator[Running]:
    """An exporter that was proven to do its work."""
    address = f"127.0.0.1:{free_port()}"
    launch = exporter.launch(site, address)
    process = ServerProcess(
        (exporter.program or exporter.file, *launch.arguments),
        directory=directory,
        log_path=directory / f"{exporter.file.rpartition('/')[2]}-{secrets.token_hex(4)}.log",
        environment=launch.environment,
    )
    try:
        # What comes is not unpacked: that would be our time, not the exporter's.
        async with aiohttp.ClientSession(headers=_HEADERS, auto_decompress=False) as session:
            made = Running(exporter, f"http://{address}/metrics", launch.proof, process, session)
            await made.prove()
            yield made
    finally:
        await process.stop(((signal.SIGTERM, _STOP_SECONDS),))
