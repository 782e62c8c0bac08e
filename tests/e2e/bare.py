"""``blnk-exporter serve`` without anything to watch, on its own port, with output and limits as a test wants them."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from blnk_exporter.sandbox.process import free_port

from ..waiting import PATIENCE_SECONDS, until
from .exporter import environment


@dataclass
class Bare:
    """The process, and where it listens."""

    process: subprocess.Popen[bytes]
    port: int

    def get(self, path: str, **headers: str) -> str:
        """Return a page, of whatever status; raises OSError without an answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as reply:
                return reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()

    async def page(self, path: str = "/metrics") -> str:
        """Return a page without blocking the test's loop."""
        return await asyncio.to_thread(self.get, path)

    async def ready(self) -> "Bare":
        """Wait until it has scraped once."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert self.process.poll() is None, f"ended with {self.process.returncode}"
            with contextlib.suppress(OSError):
                if "ready" in await self.page("/-/ready") and "not completed" not in await self.page("/-/ready"):
                    return self
            assert time.monotonic() < deadline, "not ready"
            await asyncio.sleep(0.1)

    async def ended(self) -> int:
        """Wait for its end, and return the status."""
        await until(lambda: self.process.poll() is not None, "the end of the process")
        return self.process.returncode

    async def terminate(self) -> int:
        """Ask it to end, wait, and return the status."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()


def value(page: str, name: str) -> float:
    """The value of the one series of a metric."""
    (found,) = [line.split()[-1] for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return float(found)


@contextlib.contextmanager
def bare(
    directory: Path,
    *arguments: str,
    before: str = "",
    output: int | IO[Any] = subprocess.DEVNULL,
    prefix: Sequence[str] = (),
    **variables: str,
) -> Iterator[Bare]:
    """Run it; ``before`` is Python that the process runs first, ``output`` takes what it says, ``prefix`` starts it."""
    port = free_port()
    given = ["serve", "--web.listen-address", f"127.0.0.1:{port}", *arguments]
    program = f"{before}\nimport sys\nfrom blnk_exporter.__main__ import main\nsys.argv[1:] = {given!r}\nmain()\n"
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", program],
        cwd=directory,
        env=environment(**{"BLNK_EXPORTER_SERVERS": "http://127.0.0.1:1"} | variables),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )
    try:
        yield Bare(process, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.wait()
