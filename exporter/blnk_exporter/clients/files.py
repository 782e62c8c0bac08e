"""The host's figures: file systems by statvfs, memory, CPU and load from the kernel's proc files."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from ..errors import Malformed, Refused, TimedOut, Unreachable
from .threads import ask, is_asked

# A file system that needs longer than this hangs, and one that hung before has had its time: the rest of the host
# must be told within a scrape of a second.
_PATIENCE_SECONDS = 1.0
_PATIENCE_SECONDS_AGAIN = 0.05

T = TypeVar("T")


def statvfs(path: str, *, mountinfo: Path = Path("/proc/self/mountinfo")) -> os.statvfs_result:
    """As ``os.statvfs``, but read-only is only what nobody may write: not what a container or a unit has of it.

    Where a file system is not in ``mountinfo`` by its device, as with Btrfs, what this process may do is what is told.
    """
    found = os.statvfs(path)
    if found.f_flag & os.ST_RDONLY:
        device = Path(path).stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        for line in mountinfo.read_text("utf-8", "surrogateescape").splitlines():
            mount, _, super_block = line.partition(" - ")
            if mount.split(" ", 3)[2] == number and "rw" in super_block.split(" ")[-1].split(","):
                return os.statvfs_result((*found[:8], found.f_flag & ~os.ST_RDONLY, found.f_namemax))
    return found


class HostClient:
    """The machine below a root directory: ``/`` itself, or where a container has the host's root mounted.

    A call into a dead network file system never returns. Each path is therefore asked in a thread of its own,
    and not asked again while the last question still hangs, not even after a reload.
    """

    address = "host"

    def __init__(
        self,
        root: str,
        paths: tuple[str, ...],
        *,
        statvfs: Callable[[str], os.statvfs_result],
        scrape_seconds: float = float("inf"),
    ) -> None:
        self.paths = paths
        self._patience = min(_PATIENCE_SECONDS, scrape_seconds / 4)
        self._root = Path(root)
        self._statvfs = statvfs
        self._proc = str(self._root / "proc")

    async def file_system(self, path: str) -> os.statvfs_result:
        """Raises Unreachable (no such path), Refused (no right) or TimedOut (the file system hangs)."""
        mounted = str(self._root / path.lstrip("/"))
        question = (self._statvfs, mounted)
        patience = _PATIENCE_SECONDS_AGAIN if is_asked(question) else self._patience
        asked = ask(question, lambda: self._statvfs(mounted))
        done, _ = await asyncio.wait([asked], timeout=patience)
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
        # The library keeps the folder in a module variable, which others in this process may go by.
        before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, self._proc
        try:
            return question()
        except PermissionError:
            raise Refused(f"no right to read {self._proc}") from None
        except OSError as error:
            raise Unreachable(f"{self._proc}: {error.strerror}") from None
        except (ValueError, LookupError, TypeError) as error:
            # The library takes these files to be as the kernel writes them.
            raise Malformed(f"{self._proc}: not as Linux writes it: {error}") from None
        finally:
            psutil.PROCFS_PATH = before
