"""The peak memory of a process that scrapes a hostile PostgreSQL, beside one that scrapes a closed door."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..e2e.exporter import environment
from .hostile_postgres import Talk, hostile, message, saying

MIB = 1 << 20
CLAIM = saying(message(b"D", length=2_000_000_000), forever=b"x" * 65_536)
FREEZE = saying(b"\0\0\0\0\x04")
NOTICES = saying(forever=message(b"N", b"SNOTICE\0C00000\0Mx\0\0") * 1_000)


async def _peak(port: int, directory: Path) -> tuple[int, str]:
    """Scrape once and return the peak of the memory in bytes and what was said on standard error."""
    off = {
        f"BLNK_EXPORTER_COLLECTORS_{name}": "false" for name in ("BOOKS", "LEDGER", "TABLES", "CATALOG", "STATEMENTS")
    }
    dsn = f"postgres://u:p@127.0.0.1:{port}/d?sslmode=disable"
    with (directory / "err").open("wb") as err:
        child = subprocess.Popen(  # noqa: ASYNC220 - it is waited for in a thread, by wait4
            [sys.executable, "-m", "blnk_exporter", "scrape"],
            cwd=directory,
            env=environment(BLNK_EXPORTER_POSTGRES_DSN=dsn, BLNK_EXPORTER_REDIS_DSN="redis://127.0.0.1:1", **off),
            stdout=subprocess.DEVNULL,
            stderr=err,
        )
        _, _, usage = await asyncio.to_thread(os.wait4, child.pid, 0)
        child.returncode = 0
    return usage.ru_maxrss * 1_024, (directory / "err").read_text()


@pytest.mark.parametrize("state", ["at_login", "in_session"])
@pytest.mark.parametrize("talk", [CLAIM, FREEZE, NOTICES], ids=["a claim of 2 GB", "type 0", "notices"])
async def test_a_scrape_ends_and_takes_no_memory(talk: Talk, state: str, tmp_path: Path) -> None:
    """One claim took 1,977 MiB, and type 0 never ended."""
    usual, _ = await _peak(1, tmp_path)
    async with hostile(**{state: talk}) as port, asyncio.timeout(60):
        peak, err = await _peak(port, tmp_path)
    assert "postgres 127.0.0.1" in err, err
    assert "defect" not in err
    assert peak - usual < 64 * MIB
