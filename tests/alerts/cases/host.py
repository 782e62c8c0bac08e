"""The host, as the exporter itself sees it; other sources are in ../test_hosts.py."""

from ..story import LIMITS, Case, Course, Rate

_P = '{path="/var/lib/postgresql"}'
_SIZE, _FREE, _AVAILABLE = (f"blnk_host_filesystem_{what}_bytes{_P}" for what in ("size", "free", "available"))
_FILES, _FILES_FREE = f"blnk_host_filesystem_files{_P}", f"blnk_host_filesystem_files_free{_P}"
_READ_ONLY = f"blnk_host_filesystem_read_only{_P}"
_IDLE, _BUSY = (f'blnk_host_cpu_seconds_total{{mode="{mode}"}}' for mode in ("idle", "user"))


def _levels(name: str) -> tuple[tuple[str, float], ...]:
    limit = LIMITS[name]
    return tuple(
        (level, value)
        for level, value in (("warning", limit.warning), ("critical", limit.critical))
        if value is not None
    )


def _disk(used: float) -> dict[str, Course]:
    """Of what ordinary users may have; a tenth more is for root alone."""
    return {_FREE: 1_000_000 * (1.1 - used), _AVAILABLE: 1_000_000 * (1 - used)}


_CPU = LIMITS["host.cpu"].warning or 0
_FILLING = LIMITS["host.disk_filling"].warning or 0

CASES = {
    "BlnkHostDiskHigh": tuple(
        Case(quiet=_disk(value - 1e-6), loud=_disk(value + 1e-6), always={_SIZE: 1_100_000}, severity=level)
        for level, value in _levels("host.disk")
    ),
    "BlnkHostInodesHigh": (
        *(
            Case(
                quiet={_FILES_FREE: 1_000_000 * (1 - value) + 1},
                loud={_FILES_FREE: 1_000_000 * (1 - value) - 1},
                always={_FILES: 1_000_000},
                severity=level,
            )
            for level, value in _levels("host.inodes")
        ),
    ),
    # Much is written within a moment; quiet before, and once it is as it will stay.
    "BlnkHostDiskFilling": Case(
        quiet=_disk(0.1), loud=_disk(_FILLING + 0.01), always={_SIZE: 1_100_000}, seconds=7200, step_seconds=60
    ),
    "BlnkHostReadOnly": (
        Case(quiet={_READ_ONLY: 0}, loud={_READ_ONLY: 1}, seconds=1800, calm_seconds=3600),
        # The host's root in a container: read-only from the first look on. Then another path becomes so.
        Case(
            quiet={'blnk_host_filesystem_read_only{path="/host"}': 1, _READ_ONLY: 0},
            loud={'blnk_host_filesystem_read_only{path="/host"}': 1, _READ_ONLY: 1},
            seconds=1800,
            calm_seconds=3600,
        ),
    ),
    "BlnkHostMemoryHigh": tuple(
        Case(
            quiet={"blnk_host_memory_available_bytes": 1_000_000 * (1 - value) + 1},
            loud={"blnk_host_memory_available_bytes": 1_000_000 * (1 - value) - 1},
            always={"blnk_host_memory_total_bytes": 1_000_000},
            severity=level,
        )
        for level, value in _levels("host.memory")
    ),
    "BlnkHostCpuHigh": Case(
        quiet={_BUSY: Rate(_CPU * 0.999), _IDLE: Rate(1 - _CPU * 0.999)},
        loud={_BUSY: Rate(_CPU * 1.001), _IDLE: Rate(1 - _CPU * 1.001)},
        # Time that is spent waiting for disks.
        always={'blnk_host_cpu_seconds_total{mode="iowait"}': Rate(0.0001)},
    ),
}
