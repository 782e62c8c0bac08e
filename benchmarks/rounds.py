"""Scrapes in turns: whatever disturbs the machine disturbs all of them alike."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from .fleet import Running
from .ratio import quantile

_WARM_ROUNDS = 3
# Long enough for what an exporter does behind a scrape: to free memory, to log.
_REST_SECONDS = 0.01
_MIB = 1 << 20


@dataclass(frozen=True)
class Subject:
    """What is scraped together, as Prometheus would: at once, and done when the last page is there."""

    name: str
    exporters: tuple[Running, ...]


@dataclass
class Figures:
    """What was measured of one subject. ``seconds`` has one scrape per round, in order."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    rss_bytes: int = 0
    pss_bytes: int = 0
    page_bytes: int = 0
    series: int = 0

    @property
    def p50(self) -> float:
        """The median in milliseconds."""
        return statistics.median(self.seconds) * 1000

    def row(self) -> tuple[float, ...]:
        """As COLUMNS has it."""
        times = (self.p50, quantile(self.seconds, 0.95) * 1000, self.cpu_seconds * 1000)
        return (*times, self.rss_bytes / _MIB, self.pss_bytes / _MIB, self.series, self.page_bytes / 1024)


COLUMNS = ("p50 ms", "p95 ms", "CPU ms", "RSS MiB", "PSS MiB", "series", "page KiB")


async def measure(
    subjects: Sequence[Subject], rounds: int, *, before_round: Callable[[], Awaitable[None]] | None = None
) -> dict[str, Figures]:
    """Figures by the subjects' names, out of so many rounds; every other round runs backwards.

    ``before_round`` is what happens in the deployment meanwhile. CPU is that of a whole process over all its
    scrapes in all subjects, what it does between them included.
    """
    found = {subject.name: Figures() for subject in subjects}
    everybody = [*dict.fromkeys(id(one) for subject in subjects for one in subject.exporters)]
    by_id = {id(one): one for subject in subjects for one in subject.exporters}
    before: dict[int, tuple[float, int]] = {}
    for number in range(-_WARM_ROUNDS, rounds):
        if number == 0:
            before = {key: (by_id[key].cpu_seconds(), by_id[key].scrapes) for key in everybody}
        if before_round:
            await before_round()
        for subject in subjects if number % 2 else reversed(subjects):
            await asyncio.sleep(_REST_SECONDS)
            seconds, size = await _scrape(subject)
            if number >= 0:
                found[subject.name].seconds.append(seconds)
                found[subject.name].page_bytes = size
    cpu = {key: _per_scrape(by_id[key], *before[key]) for key in everybody}
    for subject in subjects:
        figures = found[subject.name]
        memory = [one.memory_bytes() for one in subject.exporters]
        figures.cpu_seconds = sum(cpu[id(one)] for one in subject.exporters)
        figures.rss_bytes, figures.pss_bytes = (sum(sizes) for sizes in zip(*memory, strict=True))
        figures.series = sum([_series(await one.page()) for one in subject.exporters])
    return found


async def _scrape(subject: Subject) -> tuple[float, int]:
    """How long it took in seconds, and how many bytes came."""
    started = time.perf_counter()
    pages = await asyncio.gather(*(one.scrape() for one in subject.exporters))
    return time.perf_counter() - started, sum(map(len, pages))


def _per_scrape(one: Running, cpu_seconds: float, scrapes: int) -> float:
    return (one.cpu_seconds() - cpu_seconds) / (one.scrapes - scrapes)


def _series(page: str) -> int:
    return sum(bool(line) and not line.startswith("#") for line in page.splitlines())
