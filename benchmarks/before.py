"""This checkout beside an earlier one: what a change costs per scrape, in memory, and until the first page."""

import contextlib
import functools
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from . import exporters, ratio
from .bench import Bench
from .exporters import OURS, Exporter, Launch
from .fleet import BenchmarkError, running
from .report import Answer, Table, Verdict
from .rounds import COLUMNS, Figures, Subject, measure
from .site import Site

_NOW, _AGAIN, _BEFORE = OURS.name, f"{OURS.name}, a second process", "the earlier checkout"
_STARTS = 7


async def ask(bench: Bench, *, checkout: Path) -> Answer:
    """Compare with the package in ``checkout``, run by the same interpreter with the same libraries.

    Raises BenchmarkError if the package is missing there.
    """
    source = checkout / "exporter"
    if not (source / "blnk_exporter").is_dir():
        raise BenchmarkError(f"{checkout}: must be a checkout of this project, with exporter/blnk_exporter")
    earlier = Exporter(_BEFORE, OURS.file, functools.partial(_launch, source))
    async with contextlib.AsyncExitStack() as stack:
        subjects = [
            Subject(name, (await stack.enter_async_context(running(exporter, bench.site(), bench.directory)),))
            for name, exporter in ((_NOW, OURS), (_BEFORE, earlier), (_AGAIN, OURS))
        ]

        async def work() -> None:
            await bench.database.work(bench.sizes.new_rows)

        found = await measure(subjects, bench.sizes.rounds, before_round=work)
    starts: dict[str, list[float]] = {_NOW: [], _BEFORE: []}
    for _ in range(_STARTS):
        for name, exporter in ((_NOW, OURS), (_BEFORE, earlier)):
            starts[name].append(await _start_seconds(bench, exporter))
    return Answer((_table(bench, found, starts),), _verdicts(found, starts))


def _launch(source: Path, site: Site, address: str) -> Launch:
    launch = exporters.OURS.launch(site, address)
    return replace(launch, environment={**launch.environment, "PYTHONPATH": str(source)})


async def _start_seconds(bench: Bench, exporter: Exporter) -> float:
    """From the start of the process to a page that has every collector's figures."""
    began = time.monotonic()
    async with running(exporter, bench.site(), bench.directory):
        return time.monotonic() - began


def _table(bench: Bench, found: Mapping[str, Figures], starts: Mapping[str, list[float]]) -> Table:
    rows = tuple(
        (name, *figures.row(), statistics.median(starts[name]) if name in starts else None)
        for name, figures in found.items()
    )
    floor = ratio.of_medians(found[_NOW].seconds, found[_AGAIN].seconds)
    cpu = found[_NOW].cpu_seconds / found[_AGAIN].cpu_seconds
    return Table(
        f"Beside an earlier checkout: {bench.sizes.rounds} rounds in turns",
        ("", *COLUMNS, "start s"),
        rows,
        (f"Noise floor: the two of this checkout differ by {floor} in p50, by {cpu:.3f} in CPU.",),
    )


def _verdicts(found: Mapping[str, Figures], starts: Mapping[str, list[float]]) -> list[Verdict]:
    now, earlier = found[_NOW], found[_BEFORE]
    time_ratio = ratio.of_medians(now.seconds, earlier.seconds)
    return [
        Verdict("CPU per scrape against the earlier checkout", 1.03, now.cpu_seconds / earlier.cpu_seconds),
        Verdict("p50 against the earlier checkout", 1.03, time_ratio.value, time_ratio.low, time_ratio.high),
        Verdict("RSS against the earlier checkout", 1.02, now.rss_bytes / earlier.rss_bytes),
        Verdict(
            "start against the earlier checkout",
            1.0,
            statistics.median(starts[_NOW]) / statistics.median(starts[_BEFORE]),
        ),
    ]
