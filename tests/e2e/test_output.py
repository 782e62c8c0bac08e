"""A log that cannot be written: the metrics are served all the same, and say that lines were lost."""

import contextlib
import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bare import Bare, bare, value

DROPPED = "blnk_exporter_log_lines_dropped_total"


async def _change_state(running: Bare, directory: Path) -> None:
    """Make it log: a faulty configuration, and a whole one."""
    for text in ("limits: [", "limits: {requests: 3}"):
        (directory / "exporter.yml").write_text(text)
        assert "blnk_server_up" in await running.page()


@contextlib.contextmanager
def _stalled_pipe() -> Iterator[int]:
    """A pipe that is full and that no process reads."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 512)
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@contextlib.contextmanager
def _closed_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextlib.contextmanager
def _full_disk() -> Iterator[int]:
    with Path("/dev/full").open("wb") as full:
        yield full.fileno()


async def test_it_serves_with_closed_output(tmp_path: Path) -> None:
    """The numbers 1 and 2 are then those of sockets, which no line may be written to."""
    with bare(tmp_path, prefix=("sh", "-c", 'exec "$@" >&- 2>&-', "sh")) as running:
        await running.ready()
        await _change_state(running, tmp_path)
        assert await running.terminate() == 0


@pytest.mark.parametrize("output", [_full_disk, _closed_pipe, _stalled_pipe])
async def test_it_starts_serves_and_ends_without_a_log(
    tmp_path: Path, output: "contextlib._GeneratorContextManager[int]"
) -> None:
    """Whatever becomes of its output, it answers, and ends with 0 when told to."""
    with output() as descriptor, bare(tmp_path, output=descriptor) as running:
        await running.ready()
        await _change_state(running, tmp_path)
        page = await running.page()
        assert output is _stalled_pipe or value(page, DROPPED) >= 3
        assert await running.terminate() == 0


async def test_disk_that_fills_up_later(tmp_path: Path) -> None:
    """From then on lines are dropped and counted; those from before are whole, and those after it is emptied as well."""
    log = tmp_path / "log"
    with log.open("wb") as file, bare(tmp_path, output=file) as running:
        await running.ready()
        assert value(await running.page(), DROPPED) == 0
        # A line and a half more.
        limit = log.stat().st_size + 200
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for _ in range(3):
            await _change_state(running, tmp_path)
        assert value(await running.page(), DROPPED) >= 3
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await _change_state(running, tmp_path)
        assert await running.terminate() == 0
    lines = log.read_text().splitlines()
    assert lines[-1].endswith("event=stopping")
    # The line that was cut off has not swallowed the next one.
    assert all(line.startswith("timestamp=") for line in lines)


async def test_reader_that_stalls_costs_lines_and_no_memory(tmp_path: Path) -> None:
    """What waits is bounded; what does not fit is counted."""
    before = """
import structlog, threading
from blnk_exporter.web import health
from aiohttp import web
async def say(_):
    for _ in range(40):
        structlog.get_logger().error("x" * 100_000)
    return web.Response(text="said")
health.healthy = say
"""
    with _stalled_pipe() as descriptor, bare(tmp_path, output=descriptor, before=before) as running:
        await running.ready()
        assert await running.page("/-/healthy") == "said"
        assert 28 <= value(await running.page(), DROPPED) <= 40
        assert await running.terminate() == 0


@pytest.mark.parametrize("text", ["limits: [", "nonsense: 1"])
async def test_a_faulty_configuration_at_the_start_is_said_as_before(tmp_path: Path, text: str) -> None:
    """On standard error, in full, before the process ends."""
    (tmp_path / "exporter.yml").write_text(text)
    with (tmp_path / "log").open("wb") as file, bare(tmp_path, output=file) as running:
        assert await running.ended() == 1
    assert "exporter.yml" in (tmp_path / "log").read_text()
