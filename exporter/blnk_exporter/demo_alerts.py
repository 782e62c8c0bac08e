"""What the demo tells of alerts: a line for each that goes pending, fires or ends, and for each message that is sent."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping

import aiohttp
import click

from . import sandbox
from .render.quick import Pace
from .sandbox import Alert, Delivery

_PACE = Pace()
_LOOK_SECONDS = 0.5
_SAID_ANYWAY = frozenset({"alertname", "severity", "service", "component", "cluster", "job", "instance"})
_COLOURS = {"critical": "red", "warning": "yellow"}
_WATCHDOG = "Watchdog"

Known = Mapping[frozenset[tuple[str, str]], Alert]


async def tell(listening: asyncio.Event, stack: sandbox.Sandbox, targets: Mapping[str, str], routing: str) -> None:
    """Print what becomes of the alerts of exporters (by name, ``host:port``) once they listen; raises SandboxError."""

    def heard(delivery: Delivery) -> None:
        if line := sent(delivery):
            _print(line)

    await listening.wait()
    directory = stack.directory / "monitoring"
    async with sandbox.watching(directory, targets, routing=routing, heard=heard, pace=_PACE) as servers:
        click.echo(f"""
  prometheus    {servers.prometheus_url}/alerts
  alertmanager  {servers.alertmanager_url}

Alerts as they go; an hour of the rules takes a minute here.""")
        await _tell(servers)


async def _tell(servers: sandbox.Monitoring) -> None:
    before: Known = {}
    while True:
        # Between two servers that are starting or ending there is nothing to tell.
        with contextlib.suppress(aiohttp.ClientError):
            now = known(await servers.alerts())
            for line in changes(before, now):
                _print(line)
            before = now
        await asyncio.sleep(_LOOK_SECONDS)


def known(alerts: list[Alert]) -> Known:
    """Alerts by their labels, without the one that always fires."""
    return {frozenset(alert.labels.items()): alert for alert in alerts if alert.name != _WATCHDOG}


def changes(before: Known, now: Known) -> Iterator[str]:
    """One line for all alerts of a name that have come into the same state together."""
    moved: dict[tuple[str, str, str], list[Alert]] = {}
    for key, alert in now.items():
        if key not in before or before[key].state != alert.state:
            moved.setdefault((alert.state, alert.labels.get("severity", ""), alert.name), []).append(alert)
    for key, alert in before.items():
        # What was only pending and ends has told nobody.
        if key not in now:
            state = "resolved" if alert.state == "firing" else "passed"
            moved.setdefault((state, alert.labels.get("severity", ""), alert.name), []).append(alert)
    for (state, severity, name), alerts in moved.items():
        many = f" ({len(alerts)})" if len(alerts) > 1 else ""
        colour = _COLOURS.get(severity) if state == "firing" else "green" if state == "resolved" else None
        yield f"{click.style(f'{state:<9}', fg=colour)} {severity:<9} {name}{many}  {_what(alerts, state)}".rstrip()


def _what(alerts: list[Alert], state: str) -> str:
    first = alerts[0]
    own = " ".join(f"{name}={value}" for name, value in sorted(first.labels.items()) if name not in _SAID_ANYWAY)
    if state == "firing":
        return first.annotations.get("description" if len(alerts) == 1 else "summary", own)
    return own if len(alerts) == 1 else ""


def sent(delivery: Delivery) -> str:
    """One line for a message: whom it was for and what it told."""
    counted = Counter((alert.state, alert.name) for alert in delivery.alerts if alert.name != _WATCHDOG)
    told = ", ".join(f"{name} {state}" + (f" ({many})" if many > 1 else "") for (state, name), many in counted.items())
    return f"{'told':<9} {delivery.receiver:<9} {told}" if told else ""


def _print(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')}  {line}")
