"""What a scrape costs as the deployment grows: in queues, in waiting tasks, in transactions."""

import contextlib
from collections.abc import Mapping, Sequence

from . import exporters, ratio
from .bench import Bench
from .exporters import Exporter
from .fleet import running
from .report import Answer, Table, Verdict
from .rounds import COLUMNS, Subject, measure
from .site import Site

_LIMIT = 1.3


async def queues(bench: Bench) -> Answer:
    """More queues, each with as many tasks. There is no target: the page itself grows with them."""
    sites = {f"{number:,} queues": bench.site(store=store, queues=number) for number, store in bench.queues.items()}
    return await _ask(bench, "queues", sites, (exporters.OURS, exporters.ASYNQ), limit=None)


async def backlog(bench: Bench) -> Answer:
    """More waiting tasks in the same queues."""
    sites = {f"{tasks:,} tasks": bench.site(store=store) for tasks, store in bench.backlogs.items()}
    return await _ask(bench, "waiting tasks", sites, (exporters.OURS, exporters.ASYNQ, exporters.REDIS), limit=_LIMIT)


async def table(bench: Bench) -> Answer:
    """More transactions."""
    sites = {f"{rows:,} rows": bench.site(database=database) for rows, database in bench.databases.items()}
    return await _ask(bench, "transactions", sites, (exporters.OURS, exporters.POSTGRES), limit=_LIMIT)


async def _ask(
    bench: Bench, what: str, sites: Mapping[str, Site], compared: Sequence[Exporter], *, limit: float | None
) -> Answer:
    async with contextlib.AsyncExitStack() as stack:
        subjects = {
            (exporter.name, label): Subject(
                f"{exporter.name}, {label}",
                (await stack.enter_async_context(running(exporter, site, bench.directory)),),
            )
            for exporter in compared
            if exporter.program
            for label, site in sites.items()
        }
        found = await measure([*subjects.values()], bench.sizes.rounds)
    smallest, *_, largest = sites
    rows, verdicts = [], []
    for (name, label), subject in subjects.items():
        figures = found[subject.name]
        grown = ratio.of_medians(figures.seconds, found[subjects[name, smallest].name].seconds)
        rows.append((subject.name, *figures.row(), str(grown) if label != smallest else None))
        if limit and name == exporters.OURS.name and label == largest:
            verdicts.append(Verdict(f"growth of p50 with {what}", limit, grown.value, grown.low, grown.high))
    notes = (f"{bench.sizes.rounds} rounds in turns; the last column is p50 against the first line of that exporter.",)
    return Answer((Table(f"Growth with {what}", ("", *COLUMNS, "growth"), tuple(rows), notes),), verdicts)
