"""The host: hand-built readings, a made-up root, and this very machine."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from blnk_exporter.clients.files import HostClient
from blnk_exporter.collector import Result
from blnk_exporter.collectors import host
from blnk_exporter.collectors.host import COLLECTOR, HostReading
from blnk_exporter.errors import Malformed, Refused, Unreachable

from .conftest import Somewhere, page, read_page, unseen

# bsize, frsize, blocks, bfree, bavail, files, ffree, favail, flag, namemax
DISK = os.statvfs_result((8192, 4096, 1000, 400, 300, 50, 20, 20, 0, 255))
CPU = {"user": 1.5, "nice": 2.0, "system": 3.0, "idle": 4.0, "iowait": 5.0, "irq": 6.0, "softirq": 7.0, "steal": 8.0}


def told(**fields: object) -> dict[str, dict[tuple[str, ...], float]]:
    """The page of a reading, without the room's prefix."""
    nothing = {"file_systems": {}, "memory": None, "cpu_seconds": None, "cpus": None, "load": None}
    reading = HostReading(**nothing | fields)
    return {name[10:]: series for name, series in page(COLLECTOR.samples([Result(Somewhere(), reading)])).items()}


def test_samples_of_a_whole_host() -> None:
    """Sizes in fragments, guest time left out because it is in user already."""
    found = told(
        file_systems={"/": DISK}, memory=(8000, 5000), cpu_seconds=CPU | {"guest": 9.0}, cpus=3, load=(0.5, 1.0, 2.0)
    )
    assert found == {
        "filesystem_size_bytes": {("/",): 4096000},
        "filesystem_free_bytes": {("/",): 1638400},
        "filesystem_available_bytes": {("/",): 1228800},
        "filesystem_files": {("/",): 50},
        "filesystem_files_free": {("/",): 20},
        "filesystem_read_only": {("/",): 0},
        "memory_total_bytes": {(): 8000},
        "memory_available_bytes": {(): 5000},
        "cpus": {(): 3},
        "cpu_seconds_total": {(mode,): value for mode, value in CPU.items()},
        "load": {("1",): 0.5, ("5",): 1.0, ("15",): 2.0},
    }


def test_a_file_system_without_inodes_and_a_read_only_one() -> None:
    """Btrfs counts none: absent, or an alert on 0 free would never rest."""
    btrfs = os.statvfs_result((*DISK[:5], 0, 0, 0, os.ST_RDONLY, 255))
    found = told(file_systems={"/": btrfs})
    assert found["filesystem_read_only"] == {("/",): 1}
    assert {"filesystem_files", "filesystem_files_free"} & set(found) == set()


def test_nothing_known_is_nothing_told() -> None:
    """Neither zeros nor a failure of its own."""
    assert told() == {}
    assert page(COLLECTOR.samples([Result(Somewhere(), failure=Unreachable("gone"))])) == {}


@dataclass
class Machine:
    """A host of which some things can be read."""

    broken: tuple[str, ...] = ()
    paths: tuple[str, ...] = ("/", "/gone")
    address: str = "host"

    def _say(self, fact: str, value: object) -> object:
        if fact in self.broken:
            raise Malformed(f"{fact} is broken")
        return value

    async def file_system(self, path: str) -> os.statvfs_result:
        """One is missing, and one refuses where a test says so."""
        if "file_system" in self.broken:
            raise Refused("no right")
        if path == "/gone":
            raise Unreachable("/gone: No such file or directory")
        return DISK

    def memory(self) -> object:
        """Total and available."""
        return self._say("memory", (8, 5))

    def cpu_seconds(self) -> object:
        """By mode."""
        return self._say("cpu_seconds", CPU)

    def cpus(self) -> object:
        """Three."""
        return self._say("cpus", 3)

    def load(self) -> object:
        """All the same."""
        return self._say("load", (1.0, 1.0, 1.0))


async def test_a_missing_path_costs_itself_only() -> None:
    """A slip of the pen in one path must not hide that another is full."""
    reading = await host.read(Machine())
    assert reading.file_systems == {"/": DISK}
    assert [(gap.fact, gap.reason) for gap in reading.gaps] == [("file_system", "unreachable")]


@pytest.mark.parametrize("fact", ["memory", "cpu_seconds", "cpus", "load"])
async def test_a_missing_proc_file_costs_itself_only(fact: str) -> None:
    """One room, many facts: each may fail alone."""
    reading = await host.read(Machine(broken=(fact,), paths=("/",)))
    assert getattr(reading, fact) is None
    assert [(gap.fact, gap.reason, gap.detail) for gap in reading.gaps] == [(fact, "malformed", f"{fact} is broken")]


async def test_a_host_of_which_nothing_can_be_read_is_a_failure() -> None:
    """The mount was forgotten altogether."""
    with pytest.raises(Refused):
        await host.read(Machine(broken=COLLECTOR.facts))


async def test_this_machine(tmp_path: Path) -> None:
    """Every declared metric is seen on a real one; on a file system without inodes two are not."""
    found = await read_page(COLLECTOR, HostClient("/", ("/", str(tmp_path)), statvfs=os.statvfs))
    without_inodes = not os.statvfs(tmp_path).f_files and not os.statvfs("/").f_files
    inodes = {"blnk_host_filesystem_files", "blnk_host_filesystem_files_free"}
    assert unseen(COLLECTOR, found) == (inodes if without_inodes else set())
    assert set(found["blnk_host_filesystem_size_bytes"]) == {("/",), (str(tmp_path),)}


async def test_a_container_with_the_hosts_root_mounted(tmp_path: Path) -> None:
    """Paths are named as the host names them."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "proc/loadavg").write_text("7.00 8.00 9.00 1/2 3\n")
    found = await read_page(COLLECTOR, HostClient(str(tmp_path), ("/var",), statvfs=os.statvfs))
    assert found["blnk_host_load"] == {("1",): 7, ("5",): 8, ("15",): 9}
    assert set(found["blnk_host_filesystem_size_bytes"]) == {("/var",)}
    assert "blnk_host_memory_total_bytes" not in found
