"""The exporter on the sandbox; wiring only."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import click

from . import config, demo_alerts, sandbox
from .clients.files import statvfs
from .config.settings import Web
from .errors import CannotListen
from .render import quick
from .serve import serve, try_address
from .service import Service

_SCRAPE_SECONDS = 5.0
# A terminal that is closed ends the demo as Ctrl-C does; there is no configuration that one would want to be read again.
_STOP_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def scenarios() -> str:
    """One line per scenario: its name and what to look at."""
    width = max(map(len, sandbox.SCENARIOS))
    return "\n".join(f"{name:<{width}}  {scenario.description}" for name, scenario in sandbox.SCENARIOS.items())


def run(scenario: str, *, where: Web, routing: str | None = None) -> None:
    """Until SIGINT or SIGTERM; a fault ends it with one sentence. With an Alertmanager's configuration alerts are told."""
    if routing is not None:
        try:
            quick.alertmanager(routing, quick.Pace(), "")
        except ValueError as error:
            raise click.ClickException(f"--alertmanager: the file {error}") from None
    if scenario not in sandbox.SCENARIOS:
        raise click.ClickException(f"unknown scenario {scenario!r}; known are {', '.join(sandbox.SCENARIOS)}")
    try:
        asyncio.run(_run(scenario, where, routing))
    except (sandbox.SandboxError, CannotListen) as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        click.echo("\nstopped before it was ready")
        sys.exit(1)
    else:
        click.echo("\nstopped")


async def _run(scenario: str, where: Web, routing: str | None) -> None:
    # Until serve takes the signals over, the first one ends the start-up, and the sandbox cleans up behind itself.
    start_up, loop = asyncio.current_task(), asyncio.get_running_loop()

    def stop() -> None:
        if start_up and not start_up.cancelling():
            start_up.cancel()

    for number in _STOP_ON:
        loop.add_signal_handler(number, stop)
    await try_address(where)
    if routing is not None:
        sandbox.programs()
    address = where.listen_address
    async with sandbox.running(scenario, report=click.echo) as stack:
        service = Service(lambda: _load(stack, address), statvfs=stack.statvfs or statvfs)
        await service.start()
        listening = asyncio.Event()

        def announce() -> None:
            _announce(stack, scenario, address)
            listening.set()

        serving = serve(service, announce=announce, stop_on=_STOP_ON)
        if routing is None:
            await _beside(serving, _scrape(service, listening))
        else:
            await _beside(serving, demo_alerts.tell(listening, stack, {scenario: _reached(address)}, routing))


async def _scrape(service: Service, listening: asyncio.Event) -> None:
    """Do what Prometheus does for a real exporter: the page shows the last scrape and never reads anything."""
    await listening.wait()
    while True:
        await asyncio.sleep(_SCRAPE_SECONDS)
        await service.scrape(budget_seconds=service.settings.own.limits.scrape_timeout_seconds)


async def _beside(first: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    """Run both until the first ends; a fault of one ends both."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(other)
            await first
            task.cancel()
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _reached(address: str) -> str:
    """Where a listener is reached from this machine."""
    host, _, port = address.rpartition(":")
    return f"{host or '127.0.0.1'}:{port}"


def _load(stack: sandbox.Sandbox, address: str) -> config.Loaded:
    """What an operator would have: blnk.json, and an exporter.yml where the scenario needs one. No environment."""
    flags = {"blnk.config": str(stack.blnk_json), "web.listen_address": address}
    return config.load(flags=flags, environ={}, directory=stack.directory, config_file=stack.exporter_yml)


def _announce(stack: sandbox.Sandbox, scenario: str, address: str) -> None:
    url = f"http://{_reached(address)}"
    click.echo(
        f"""
  page      {url}/
  metrics   {url}/metrics
  showing   {scenario}: {stack.description}
  same eye  {sys.argv[0]} scrape --blnk-config {stack.blnk_json} --config.file {stack.exporter_yml}

The demo scrapes itself every {_SCRAPE_SECONDS:.0f} s. Ctrl-C stops everything; blnk-exporter demo --scenario list tells of other states."""
    )
