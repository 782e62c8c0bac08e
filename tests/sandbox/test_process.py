"""A process ends with all that it has started."""

import asyncio
import contextlib
import sys
import time
from pathlib import Path

import pytest

from blnk_exporter.sandbox.process import ServerProcess

from ..waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.sandbox

# Bounded, should it ever be left alone: 400 children, each for some seconds.
BREEDER = "for n in $(seq 400); do sleep 5 & done; wait"


def alive_in_session(session: int) -> list[int]:
    """Processes that have not ended; a zombie has."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = stat.read_text("ascii", "replace").rpartition(")")[2].split()[:4]
            if int(its_session) == session and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("after_seconds", [0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2])
async def test_killed_while_it_starts_children(after_seconds: float, tmp_path: Path) -> None:
    """A child that is started while the children are looked for is one as well, and would go on writing."""
    process = ServerProcess(["/bin/sh", "-c", BREEDER], directory=tmp_path, log_path=tmp_path / "log")
    await asyncio.sleep(after_seconds)
    process.kill()
    assert alive_in_session(process.pid) == []


# vfork as C has it, with a child that hesitates between it and exec: its parent cannot be stopped meanwhile.
HESITATES = "import ctypes; libc = ctypes.CDLL(None); libc.vfork() or libc.sleep(60)"


async def test_killed_while_it_waits_in_vfork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As initdb does, each time that it runs a program; a wait for its stop would take as long as is allowed."""
    monkeypatch.setattr("blnk_exporter.sandbox.process._KILL_SECONDS", 3 * PATIENCE_SECONDS)
    process = ServerProcess(
        [sys.executable, "-I", "-S", "-c", HESITATES], directory=tmp_path, log_path=tmp_path / "log"
    )
    await until(lambda: len(alive_in_session(process.pid)) == 2)
    began = time.monotonic()
    process.kill()
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert alive_in_session(process.pid) == []
