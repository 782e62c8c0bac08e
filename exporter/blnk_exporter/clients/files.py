"""The host's figures: file systems by statvfs, memory, CPU and load from the kernel's proc files."""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from ..errors import Malformed, Refused, TimedOut, Unreachable

# A file system that needs longer than this hangs.
_PATIENCE_SECONDS = 2.0

T = TypeVar("T")


class HostClient:
    """The machine below a root directory: ``/`` itself, or where a container has the host's root mounted.

    A call into a dead network file system never returns. Each path is therefore asked in a thread of its own,
    and not asked again while the last question still hangs.
    """

    address = "host"

    def __init__(self, root: str, paths: tuple[str, ...], *, statvfs: Callable[[str], os.statvfs_result]) -> None:
        self.paths = paths
        self._root = Path(root)
        self._statvfs = statvfs
        self._asked: dict[str, asyncio.Future[os.statvfs_result]] = {}
        self._proc = str(self._root / "proc")

    async def file_system(self, path: str) -> os.statvfs_result:
        """Raises Unreachable (no such path), Refused (no right) or TimedOut (the file system hangs)."""
        asked = self._asked.get(path)
        if asked is None or asked.done():
            mounted = str(self._root / path.lstrip("/"))
            asked = self._asked[path] = _in_thread(lambda: self._statvfs(mounted), name=f"statvfs {path}")
        done, _ = await asyncio.wait([asked], timeout=_PATIENCE_SECONDS)
        if not done:
            raise TimedOut(f"{path} does not answer")
        try:
            return asked.result()
        except PermissionError:
            raise Refused(f"no right to look at {path}") from None
        except OSError as error:
            raise Unreachable(f"{path}: {error.strerror}") from None
        except ValueError as error:
            raise Unreachable(f"{path!r}: {error}") from None

    def memory(self) -> tuple[int, int]:
        """Total and available bytes, as the kernel counts them."""
        memory = self._ask(psutil.virtual_memory)
        return memory.total, memory.available

    def cpu_seconds(self) -> dict[str, float]:
        """Seconds since boot by mode, summed over all CPUs."""
        times = self._ask(psutil.cpu_times)
        return {mode: getattr(times, mode) for mode in times._fields}

    def cpus(self) -> int | None:
        """Logical CPUs of the host."""
        return self._ask(psutil.cpu_count)

    def load(self) -> tuple[float, float, float]:
        """Load averages over 1, 5 and 15 minutes."""

        def loads() -> tuple[float, float, float]:
            one, five, fifteen = map(float, (Path(self._proc) / "loadavg").read_text().split()[:3])
            return one, five, fifteen

        return self._ask(loads)

    def _ask(self, question: Callable[[], T]) -> T:
        # The library keeps the folder in a module variable; nobody else in this process uses it.
        psutil.PROCFS_PATH = self._proc
        try:
            return question()
        except PermissionError:
            raise Refused(f"no right to read {self._proc}") from None
        except OSError as error:
            raise Unreachable(f"{self._proc}: {error.strerror}") from None
        except (ValueError, LookupError, TypeError) as error:
            # The library takes these files to be as the kernel writes them.
            raise Malformed(f"{self._proc}: not as Linux writes it: {error}") from None


def _in_thread(work: Callable[[], T], *, name: str) -> asyncio.Future[T]:
    """Run blocking work in a thread that does not keep the process alive when it hangs."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(work())
        except (OSError, ValueError) as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(future)
