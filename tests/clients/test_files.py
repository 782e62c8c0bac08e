"""The host's figures: real ones, a root that was made up, and file systems that hang."""

import asyncio
import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from blnk_exporter.clients import files
from blnk_exporter.clients.files import HostClient, statvfs
from blnk_exporter.clients.threads import is_asked
from blnk_exporter.errors import Malformed, Refused, TimedOut, Unreachable

from ..waiting import until

MEMINFO = """MemTotal:        8000000 kB
MemFree:         1000000 kB
MemAvailable:    5000000 kB
Buffers:          100000 kB
Cached:           200000 kB
SwapCached:            0 kB
Active:           300000 kB
Inactive:         100000 kB
Shmem:             10000 kB
Slab:              50000 kB
SReclaimable:      20000 kB
"""
# Three CPUs; the first line's numbers are in clock ticks.
STAT = "cpu  1000 200 300 4000 50 6 7 8 0 0\n" + "".join(f"cpu{n} 1 1 1 1 1 1 1 1 0 0\n" for n in range(3))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's root as a container has it mounted."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    (tmp_path / "proc/stat").write_text(STAT)
    (tmp_path / "proc/loadavg").write_text("0.50 1.25 2.00 3/400 12345\n")
    return tmp_path


def client(root: Path | str = "/", *paths: str) -> HostClient:
    """A host."""
    return HostClient(str(root), paths, statvfs=os.statvfs)


async def test_a_real_file_system(tmp_path: Path) -> None:
    """The kernel's own word on a directory that exists."""
    found, expected = await client().file_system(str(tmp_path)), os.statvfs(tmp_path)
    assert (found.f_blocks, found.f_frsize, found.f_files) == (expected.f_blocks, expected.f_frsize, expected.f_files)


def test_the_librarys_folder_is_put_back(root: Path) -> None:
    """Else no process of this machine would be found any more."""
    before = psutil.PROCFS_PATH
    assert client(root).load() == (0.5, 1.25, 2.0)
    assert before == psutil.PROCFS_PATH


async def test_paths_are_below_the_root(tmp_path: Path) -> None:
    """/var/lib in a container is the host's /host/var/lib."""
    asked = []

    def statvfs(path: str) -> os.statvfs_result:
        asked.append(path)
        return os.statvfs("/")

    host = HostClient(str(tmp_path), ("/", "/var/lib"), statvfs=statvfs)
    for path in host.paths:
        await host.file_system(path)
    assert [Path(path) for path in asked] == [tmp_path, tmp_path / "var/lib"]


async def test_a_missing_path_is_unreachable(tmp_path: Path) -> None:
    """Not zero bytes: no series."""
    with pytest.raises(Unreachable, match="/none: No such file"):
        await client(tmp_path).file_system("/none")


async def test_a_forbidden_path_is_refused() -> None:
    """The reason that sends the operator to the mount's permissions."""

    def forbidden(_: str) -> os.statvfs_result:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(Refused, match="/secret"):
        await HostClient("/", (), statvfs=forbidden).file_system("/secret")


async def test_a_path_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead network file system: one thread waits, however many scrapes come, and the answer is taken when it comes."""
    monkeypatch.setattr(files, "_PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(files, "_PATIENCE_SECONDS_AGAIN", 0.01)
    gate, asked = threading.Event(), []

    def hanging(path: str) -> os.statvfs_result:
        asked.append(path)
        if path == "/dead":
            gate.wait()
        return os.statvfs("/")

    host = HostClient("/", ("/dead", "/alive"), statvfs=hanging)
    try:
        for _ in range(3):
            with pytest.raises(TimedOut, match="/dead"):
                await host.file_system("/dead")
            assert await host.file_system("/alive")
            # A reload makes a new client.
            host = HostClient("/", ("/dead", "/alive"), statvfs=hanging)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(host.file_system("/dead"), 0.001)
        assert asked.count("/dead") == 1
    finally:
        gate.set()
    await until(lambda: not is_asked((hanging, "/dead")))
    assert await host.file_system("/dead")
    assert asked.count("/dead") == 2


async def test_a_dead_path_costs_less_than_a_scrape() -> None:
    """Scrapes of a second still tell memory, load and the other paths; from the second time on almost at once."""
    gate = threading.Event()

    def hanging(_: str) -> os.statvfs_result:
        gate.wait()
        return os.statvfs("/")

    async def seconds(scrape_seconds: float) -> float:
        began = time.monotonic()
        with pytest.raises(TimedOut):
            await HostClient("/", (), statvfs=hanging, scrape_seconds=scrape_seconds).file_system("/")
        return time.monotonic() - began

    try:
        first = await seconds(files._PATIENCE_SECONDS * 4)
        assert first >= files._PATIENCE_SECONDS * 0.9
        assert await seconds(60.0) < first
    finally:
        gate.set()
    assert files._PATIENCE_SECONDS <= 1
    await until(lambda: not is_asked((hanging, "/")))


async def test_any_failure_of_the_call_is_a_failure_in_words() -> None:
    """A path with a NUL in it is refused by Python before the kernel sees it."""
    with pytest.raises(Unreachable, match="null"):
        await client().file_system("/a\0b")


def test_the_hosts_proc_files_below_the_root(root: Path) -> None:
    """A container's own /proc tells of the container in part; the host's tells the truth."""
    host = client(root)
    assert host.memory() == (8000000 * 1024, 5000000 * 1024)
    assert host.load() == (0.5, 1.25, 2.0)
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = host.cpu_seconds()
    assert {
        mode: seconds[mode] * ticks for mode in ("user", "nice", "system", "idle", "iowait", "steal")
    } == pytest.approx({"user": 1000, "nice": 200, "system": 300, "idle": 4000, "iowait": 50, "steal": 8})


def test_the_real_proc_files() -> None:
    """Whatever machine this is, its figures make sense."""
    host = client()
    total, available = host.memory()
    assert 0 < available <= total
    assert host.cpu_seconds()["idle"] > 0
    assert min(host.load()) >= 0
    assert host.cpus() == os.cpu_count()


@pytest.mark.parametrize("ask", [HostClient.memory, HostClient.cpu_seconds, HostClient.load])
def test_a_root_without_proc_is_unreachable(tmp_path: Path, ask) -> None:
    """The mount was forgotten: said so, and not taken from the container instead."""
    with pytest.raises(Unreachable, match="proc"):
        ask(client(tmp_path))


@pytest.mark.parametrize(
    ("file", "ask"),
    [("loadavg", HostClient.load), ("stat", HostClient.cpu_seconds), ("meminfo", HostClient.memory)],
)
@pytest.mark.parametrize("text", ["", "nonsense\n"])
def test_a_proc_file_of_another_shape_is_malformed(root: Path, file: str, ask, text: str) -> None:
    """Never a traceback, never a zero."""
    (root / "proc" / file).write_text(text)
    with pytest.raises(Malformed):
        ask(client(root))


MOUNTS = """\
25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
{id} 25 {device} /data /var/lib/postgresql ro,nosuid master:3 - xfs /dev/sdb1 {options}
"""


@pytest.mark.parametrize(
    ("options", "read_only"), [("rw,attr2", False), ("ro,attr2", True), ("attr2,rwx", True), (None, True)]
)
def test_read_only_is_what_nobody_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str | None, read_only: bool
) -> None:
    """A volume that a container has read-only is written by the database beside it."""
    real, number = os.statvfs(tmp_path), tmp_path.stat().st_dev
    flagged = os.statvfs_result((*real[:8], real.f_flag | os.ST_RDONLY, real.f_namemax))
    monkeypatch.setattr(os, "statvfs", lambda _: flagged)
    device = f"{os.major(number)}:{os.minor(number)}" if options else "0:99"
    (tmp_path / "mountinfo").write_text(MOUNTS.format(id=31, device=device, options=options or "rw"))
    found = statvfs(str(tmp_path), mountinfo=tmp_path / "mountinfo")
    assert bool(found.f_flag & os.ST_RDONLY) is read_only
    assert found[:8] == flagged[:8]


def test_a_file_system_that_can_be_written() -> None:
    """Is asked for nothing more."""
    assert not statvfs("/tmp", mountinfo=Path("/does/not/exist")).f_flag & os.ST_RDONLY
