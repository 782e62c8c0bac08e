"""The process with a hostile PostgreSQL: it answers meanwhile, ends on SIGTERM, and does not keep what it was sent."""

import asyncio
import json
import signal
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..conftest import Pki
from ..e2e.exporter import serve
from ..waiting import PATIENCE_SECONDS
from .hostile_postgres import DESCRIBED, answer, hostile, message, parameter, row, saying, server_context

pytestmark = pytest.mark.usefixtures("nothing_left")
MIB = 1 << 20
# The bound of a statement; two sessions have one at a time, and TLS and the driver hold as much again.
BUDGET = 16 * MIB
# What is sent once, and what is then sent without end.
HOSTILE = {
    "zeros": (b"", b"\0" * 2_000),
    "type 0": (b"\0\0\0\0\x04", b""),
    "a claim of 2 GB": (message(b"D", length=2_000_000_000), b"x" * 65_536),
    "an authentication of 2 GB": (message(b"R", length=2_000_000_000), b"x" * 65_536),
    "a row of the budget": (message(b"D", length=16_777_000), b"x" * 65_536),
    "notices": (b"", message(b"N", b"SNOTICE\0C00000\0Mx\0\0") * 1_000),
    "parameters": (b"", b"".join(parameter(f"p{number}", "x") for number in range(1_000))),
    "notifications": (b"", message(b"A", b"\0\0\0\0c\0p\0") * 1_000),
    "rows": (DESCRIBED + message(b"2"), row(b"x") * 1_000),
    "rows of many columns": (DESCRIBED + message(b"2"), row(*[b"xx"] * 1_000) * 10),
    "deep JSON": (DESCRIBED + answer(row(b"[" * 200_000)), b""),
    "garbage": (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}


@pytest.mark.parametrize(("state", "encrypted"), [("at_login", False), ("in_session", True)])
async def test_memory_and_liveness_of_the_process(tmp_path: Path, pki: Pki, state: str, *, encrypted: bool) -> None:
    """One zero byte froze all targets for good; one claim took memory from 69 to 1,977 MiB."""
    kinds = cycle(HOSTILE.values())
    now: list[tuple[bytes, bytes]] = []

    async def attack(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        once, forever = now[0]
        await saying(once, forever=forever)(reader, writer)

    context = server_context(pki.server) if encrypted else None
    async with hostile(**{state: attack}, tls=context) as port:
        with serve(_blnk_json(tmp_path, port), tmp_path) as running:
            now[:] = [next(kinds)]
            await running.ready()
            process = psutil.Process(running.process.pid)
            before = most = process.memory_info().rss
            for _ in HOSTILE:
                scrape: asyncio.Task[Any] = asyncio.create_task(running.scrape(timeout="2"))
                while not scrape.done():
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        assert (await running.get("/-/healthy")).status == 200
                    most = max(most, process.memory_info().rss)
                page = await scrape
                assert page.failures["postgres"] in {"malformed", "timeout"}, (now, running.err[-3_000:])
                now[:] = [next(kinds)]
            after = process.memory_info().rss
            assert most - before < 6 * BUDGET, f"{before / MIB:.0f} to {most / MIB:.0f} MiB"
            assert after - before < 3 * BUDGET, f"{before / MIB:.0f} to {after / MIB:.0f} MiB"
            assert not running.lines("defect"), running.err
            running.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(running.process.wait, PATIENCE_SECONDS) == 0


def _blnk_json(directory: Path, port: int) -> Path:
    blnk_json = directory / "blnk.json"
    watched = {"dns": f"postgres://u:secret@127.0.0.1:{port}/d?sslmode=prefer"}
    blnk_json.write_text(json.dumps({"data_source": watched, "redis": {"dns": "redis://127.0.0.1:1"}}))
    return blnk_json
