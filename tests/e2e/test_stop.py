"""SIGTERM in the middle of scrapes: each is answered, with what there is, and the process ends."""

import asyncio
import signal
from pathlib import Path

from ..waiting import PATIENCE_SECONDS, until
from .bare import Bare, bare

SCRAPES = 20
# A collector that answers at once, and one that never does.
HANGING = """
import asyncio
from blnk_exporter.collectors import server
async def read(source):
    await asyncio.Event().wait()
object.__setattr__(server.COLLECTOR, "read", read)
"""
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Prometheus-Scrape-Timeout-Seconds: 60\r\n\r\n"


async def _answer(running: Bare, words: bytes = REQUEST) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(words)
    async with asyncio.timeout(PATIENCE_SECONDS):
        # To the end of the connection, which an answer of its last moments announces.
        answer = (await reader.read()).decode()
    writer.close()
    return answer


def _is_whole(answer: str) -> bool:
    return (
        answer.startswith("HTTP/1.1 200")
        and "Connection: close" in answer
        and 'blnk_exporter_collector_failure{collector="server",reason="timeout"} 1.0' in answer
        and 'blnk_exporter_collector_success{collector="host"} 1.0' in answer
    )


def _is_read(running: Bare, count: int) -> bool:
    """Whether the process has read what this many connections have sent."""
    established = [line for line in _connections(running) if line[3] == "01"]
    return len(established) >= count and all(line[4].endswith(":00000000") for line in established)


def _connections(running: Bare) -> list[list[str]]:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [line.split() for line in lines if line.split()[1].endswith(f":{running.port:04X}")]


def _listens(running: Bare) -> bool:
    return any(line[3] == "0A" for line in _connections(running))


def _established(running: Bare) -> int:
    return sum(line[3] == "01" for line in _connections(running))


async def test_scrapes_in_flight_are_answered(tmp_path: Path) -> None:
    """All of them, with the readings that were there and a verdict on the one that was not."""
    (tmp_path / "exporter.yml").write_text("limits: {scrape_timeout_seconds: 60}\n")
    with (tmp_path / "log").open("wb") as log, bare(tmp_path, before=HANGING, output=log) as running:
        await until(lambda: "listening" in (tmp_path / "log").read_text())
        scrapes = [asyncio.create_task(_answer(running)) for _ in range(SCRAPES)]
        await until(lambda: _is_read(running, SCRAPES))
        assert await running.terminate() == 0
        answers = await asyncio.gather(*scrapes)
        assert [_is_whole(answer) for answer in answers] == [True] * SCRAPES
    # The readings that were cut short are not a change of state.
    assert "collector=server" not in (tmp_path / "log").read_text()


async def test_connections_that_wait_to_be_accepted_are_answered(tmp_path: Path) -> None:
    """The process is stopped while they come, so that they wait in the backlog when it finds the signal."""
    (tmp_path / "exporter.yml").write_text("limits: {scrape_timeout_seconds: 60}\n")
    with bare(tmp_path, before=HANGING) as running:
        await until(lambda: running.process.poll() is None and _listens(running))
        running.process.send_signal(signal.SIGSTOP)
        scrapes = [asyncio.create_task(_answer(running)) for _ in range(SCRAPES)]
        await until(lambda: _established(running) >= SCRAPES)
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGCONT)
        assert await running.ended() == 0
        answers = await asyncio.gather(*scrapes)
        assert [_is_whole(answer) for answer in answers] == [True] * SCRAPES


async def test_silent_clients_do_not_delay_the_end(tmp_path: Path) -> None:
    """A connection that says nothing, half of a request, or reads nothing of its answer, is cut in bounded time."""
    with bare(tmp_path) as running:
        await running.ready()
        held = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
        for (_, writer), words in zip(held, (b"", b"GET /metrics HTTP/1.1\r\nX: ", REQUEST * 200), strict=True):
            writer.write(words)
        assert await running.terminate() == 0
        for _, writer in held:
            writer.close()
