"""The exporter on the sandbox; wiring only."""

import asyncio
import os
import signal
import sys

import click

from . import config, sandbox
from .config.settings import Web
from .errors import CannotListen
from .serve import serve, try_address
from .service import Service

# A terminal that is closed ends the demo as Ctrl-C does; there is no configuration that one would want to be read again.
_STOP_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def scenarios() -> str:
    """One line per scenario: its name and what to look at."""
    width = max(map(len, sandbox.SCENARIOS))
    return "\n".join(f"{name:<{width}}  {scenario.description}" for name, scenario in sandbox.SCENARIOS.items())


def run(scenario: str, *, where: Web) -> None:
    """Until SIGINT or SIGTERM; a fault ends it with one sentence."""
    if scenario not in sandbox.SCENARIOS:
        raise click.ClickException(f"unknown scenario {scenario!r}; known are {', '.join(sandbox.SCENARIOS)}")
    try:
        asyncio.run(_run(scenario, where))
    except (sandbox.SandboxError, CannotListen) as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        click.echo("\nstopped before it was ready")
        sys.exit(1)
    else:
        click.echo("\nstopped")


async def _run(scenario: str, where: Web) -> None:
    # Until serve takes the signals over, the first one ends the start-up, and the sandbox cleans up behind itself.
    start_up, loop = asyncio.current_task(), asyncio.get_running_loop()

    def stop() -> None:
        if start_up and not start_up.cancelling():
            start_up.cancel()

    for number in _STOP_ON:
        loop.add_signal_handler(number, stop)
    await try_address(where)
    address = where.listen_address
    async with sandbox.running(scenario, report=click.echo) as stack:
        service = Service(lambda: _load(stack, address), statvfs=stack.statvfs or os.statvfs)
        await service.start()
        await serve(service, announce=lambda: _announce(stack, scenario, address), stop_on=_STOP_ON)


def _load(stack: sandbox.Sandbox, address: str) -> config.Loaded:
    """What an operator would have: blnk.json, and an exporter.yml where the scenario needs one. No environment."""
    flags = {"blnk.config": str(stack.blnk_json), "web.listen_address": address}
    return config.load(flags=flags, environ={}, directory=stack.directory, config_file=stack.exporter_yml)


def _announce(stack: sandbox.Sandbox, scenario: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    url = f"http://{host or '127.0.0.1'}:{port}"
    click.echo(
        f"""
  page      {url}/
  metrics   {url}/metrics
  showing   {scenario}: {stack.description}
  same eye  {sys.argv[0]} scrape --blnk-config {stack.blnk_json} --config.file {stack.exporter_yml}

Ctrl-C stops everything; blnk-exporter demo --scenario list tells of other states."""
    )
