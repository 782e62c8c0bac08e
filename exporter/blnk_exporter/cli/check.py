"""The commands ``check-config`` and ``scrape``."""

import asyncio
import json
import os
import sys
from typing import Any

import click

from .. import exposition, log
from ..config import report
from ..service import Service
from . import HELP
from .options import TARGET, load_or_exit, loader, settings_flags


@click.command("check-config", context_settings=HELP)
@TARGET
@settings_flags
def check_config(**options: Any) -> None:
    """Print every effective value with its origin, secrets masked; exit 1 and print every fault if there is one.

    With targets, all of them are checked; the values of one are printed with --target.
    """
    load = loader(options, dict(os.environ))
    click.echo(report.render_check(load_or_exit(lambda: load().checked())), nl=False)


@click.command(context_settings=HELP)
@TARGET
@click.option("--json", "as_json", is_flag=True, help="Print collectors and samples as JSON.")
@settings_flags
def scrape(*, as_json: bool, **options: Any) -> None:
    """Read everything once and print it; exit 1 if a collector failed."""
    load = loader({"log__level": "error"} | {k: v for k, v in options.items() if v is not None}, dict(os.environ))
    loaded = load_or_exit(load)
    if loaded.targets:
        raise click.UsageError(f"which target? --target NAME, of {', '.join(loaded.targets)}")
    log.set_up(loaded.settings.own.log.level, loaded.settings.own.log.format)
    sys.exit(asyncio.run(_scrape(Service(load), as_json=as_json)))


async def _scrape(service: Service, *, as_json: bool) -> int:
    await service.start()
    try:
        limits = service.settings.own.limits
        snapshot = await service.scrape(budget_seconds=limits.scrape_timeout_seconds)
        if as_json:
            click.echo(json.dumps(snapshot.as_dict(), indent=2))
        else:
            samples = service.samples(snapshot)
            click.echo(exposition.render(samples, series_limit=limits.series_per_metric).decode(), nl=False)
    finally:
        await service.close()
    for outcome in snapshot.outcomes:
        for result in outcome.results:
            if result.failure:
                click.echo(f"{outcome.collector.name} {result.address}: {result.failure}", err=True)
        for gap in outcome.gaps:
            click.echo(f"{outcome.collector.name} has no {gap.fact}: {gap.detail}", err=True)
    return 1 if any(outcome.failure for outcome in snapshot.outcomes) else 0
