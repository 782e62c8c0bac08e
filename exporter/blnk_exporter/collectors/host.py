"""The host: file systems, memory, CPU and load.

Source:   statvfs of the configured paths; /proc/meminfo, /proc/stat, /proc/loadavg below the configured root
Needs:    nothing; in a container the host's root mounted read-only and host.root set to it
By hand:  df -k /; free -b
Cost:     one system call per path, three small files
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..collector import Collector, Gap, Reading, Result
from ..errors import ReadingError
from ..metric import Metric, Sample

SIZE = Metric("blnk_host_filesystem_size_bytes", "Size of the file system that holds the path.", ("path",), "statvfs")
FREE = Metric("blnk_host_filesystem_free_bytes", "Free bytes, those reserved for root included.", ("path",), "statvfs")
AVAILABLE = Metric(
    "blnk_host_filesystem_available_bytes", "Bytes that ordinary users may still write.", ("path",), "statvfs"
)
FILES = Metric(
    "blnk_host_filesystem_files", "Inodes; absent where the file system does not count them.", ("path",), "statvfs"
)
FILES_FREE = Metric(
    "blnk_host_filesystem_files_free",
    "Free inodes; absent where the file system does not count them.",
    ("path",),
    "statvfs",
)
READ_ONLY = Metric(
    "blnk_host_filesystem_read_only",
    "Whether the file system is read-only for everybody, as after an error; not what only the exporter may not write.",
    ("path",),
    "statvfs, mountinfo",
)
MEMORY = Metric("blnk_host_memory_total_bytes", "Memory of the host.", (), "/proc/meminfo MemTotal")
MEMORY_AVAILABLE = Metric(
    "blnk_host_memory_available_bytes", "Memory that can be had without swapping.", (), "/proc/meminfo MemAvailable"
)
CPUS = Metric("blnk_host_cpus", "Logical CPUs.", (), "sysconf")
CPU_SECONDS = Metric(
    "blnk_host_cpu_seconds_total", "Time that all CPUs together spent, by mode.", ("mode",), "/proc/stat"
)
LOAD = Metric("blnk_host_load", "Average number of runnable tasks over so many minutes.", ("minutes",), "/proc/loadavg")

# Guest time is already within user and nice.
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


class HostSource(Protocol):
    """The machine."""

    paths: tuple[str, ...]

    @property
    def address(self) -> str:
        """Always the same: there is one."""
        ...

    async def file_system(self, path: str) -> os.statvfs_result:
        """Raises ReadingError."""
        ...

    def memory(self) -> tuple[int, int]:
        """Total and available bytes; raises ReadingError."""
        ...

    def cpu_seconds(self) -> Mapping[str, float]:
        """By mode; raises ReadingError."""
        ...

    def cpus(self) -> int | None:
        """Logical CPUs; None when the system does not tell."""
        ...

    def load(self) -> tuple[float, float, float]:
        """Over 1, 5 and 15 minutes; raises ReadingError."""
        ...


@dataclass(frozen=True, kw_only=True)
class HostReading(Reading):
    """File systems by path, and the rest of the machine; None is not known."""

    file_systems: Mapping[str, os.statvfs_result]
    memory: tuple[int, int] | None
    cpu_seconds: Mapping[str, float] | None
    cpus: int | None
    load: tuple[float, float, float] | None


def samples(results: Sequence[Result[HostReading]]) -> Iterator[Sample]:
    """Everything that could be read."""
    for reading in (result.reading for result in results if result.reading):
        for path, found in reading.file_systems.items():
            yield from _file_system(path, found)
        total, available = reading.memory or (None, None)
        yield from MEMORY(total)
        yield from MEMORY_AVAILABLE(available)
        yield from CPUS(reading.cpus)
        for mode in _MODES:
            yield from CPU_SECONDS((reading.cpu_seconds or {}).get(mode), mode=mode)
        for minutes, load in zip(("1", "5", "15"), reading.load or (), strict=False):
            yield from LOAD(load, minutes=minutes)


def _file_system(path: str, found: os.statvfs_result) -> Iterator[Sample]:
    yield from SIZE(found.f_blocks * found.f_frsize, path=path)
    yield from FREE(found.f_bfree * found.f_frsize, path=path)
    yield from AVAILABLE(found.f_bavail * found.f_frsize, path=path)
    # Btrfs and some network file systems report no inodes at all.
    yield from FILES(found.f_files or None, path=path)
    yield from FILES_FREE(found.f_ffree if found.f_files else None, path=path)
    yield from READ_ONLY(bool(found.f_flag & os.ST_RDONLY), path=path)


async def read(source: HostSource) -> HostReading:
    """Raises the ReadingError when nothing of the host can be read."""
    failures: dict[str, ReadingError] = {}

    async def file_system(path: str) -> tuple[str, os.statvfs_result] | None:
        try:
            return path, await source.file_system(path)
        except ReadingError as error:
            failures["file_system"] = error
            return None

    file_systems = dict(filter(None, await asyncio.gather(*map(file_system, source.paths))))
    rest = {}
    for fact in FACTS[1:]:
        try:
            rest[fact] = getattr(source, fact)()
        except ReadingError as error:
            failures[fact] = error
    if not file_systems and len(failures) >= len(FACTS) - 1:
        raise next(iter(failures.values()))
    gaps = tuple(Gap(fact, error.reason, str(error)) for fact, error in failures.items())
    return HostReading(file_systems=file_systems, gaps=gaps, **{fact: rest.get(fact) for fact in FACTS[1:]})


FACTS = ("file_system", "memory", "cpu_seconds", "cpus", "load")
COLLECTOR = Collector(
    name="host",
    help="File systems, memory, CPU and load of the host.",
    metrics=(
        *(SIZE, FREE, AVAILABLE, FILES, FILES_FREE, READ_ONLY),
        *(MEMORY, MEMORY_AVAILABLE, CPUS, CPU_SECONDS, LOAD),
    ),
    read=read,
    samples=samples,
    facts=FACTS,
)
