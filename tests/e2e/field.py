"""Every scenario with an exporter of its own, watched by one Prometheus and one Alertmanager."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from blnk_exporter import sandbox
from blnk_exporter.render.quick import Pace
from blnk_exporter.sandbox import Alert, Delivery, Monitoring, Sandbox

from ..waiting import PATIENCE_SECONDS
from .exporter import Exporter, serving

# Longer than any rule holds or looks back before it fires in one of the scenarios.
PATIENCE_SCRAPES = 25
Key = frozenset[tuple[str, str]]
# How busy the machine is that runs the tests is no part of any scenario.
OF_THIS_MACHINE = frozenset({"BlnkHostCpuHigh", "BlnkHostMemoryHigh"})


@dataclass
class Place:
    """One scenario: the deployment and its exporter, each with its end."""

    stack: Sandbox
    exporter: Exporter
    sandbox_ends: contextlib.AsyncExitStack
    exporter_ends: contextlib.AsyncExitStack

    async def end(self) -> None:
        """The exporter, if it is still there, and then the deployment."""
        await self.exporter_ends.aclose()
        await self.sandbox_ends.aclose()


@dataclass
class Field:
    """All scenarios, watched."""

    places: Mapping[str, Place]
    servers: Monitoring
    deliveries: list[Delivery]
    pace: Pace

    @property
    def patience_seconds(self) -> float:
        """In which what has to come does come: three times what it takes, and no less than in other tests."""
        return max(PATIENCE_SECONDS, 3 * PATIENCE_SCRAPES * self.pace.scrape_seconds)

    async def now(self, name: str, state: str = "firing") -> set[str]:
        """The names of a scenario's alerts that are in a state."""
        return {alert.name for alert in await self.alerts(name) if alert.state == state}

    async def alerts(self, name: str) -> list[Alert]:
        """A scenario's alerts."""
        found = await self.servers.alerts()
        return [alert for alert in found if alert.labels.get("cluster") == name and alert.name not in OF_THIS_MACHINE]

    async def ever(self, name: str) -> set[str]:
        """The names of all that has fired in a scenario since the beginning."""
        expression = f'count by (alertname) (count_over_time(ALERTS{{alertstate="firing",cluster="{name}"}}[1h]))'
        return {labels["alertname"] for labels, _ in await self.servers.query(expression)} - OF_THIS_MACHINE

    async def muted(self) -> set[Key]:
        """What is not told because of something else."""
        return {frozenset(labels.items()) for labels in await self.servers.inhibited()}

    def told(self, name: str, state: str = "firing") -> set[tuple[str, str, str]]:
        """Receiver, name and severity of all that was sent of a scenario."""
        return {
            (delivery.receiver, alert.name, alert.labels["severity"])
            for delivery in self.deliveries
            for alert in delivery.alerts
            if alert.state == state and alert.labels.get("cluster") == name and alert.name not in OF_THIS_MACHINE
        }


async def deploy(name: str) -> Place:
    sandbox_ends, exporter_ends = contextlib.AsyncExitStack(), contextlib.AsyncExitStack()
    stack = await sandbox_ends.enter_async_context(sandbox.running(name))
    # The disk of this machine is its own affair; where it is the scenario's, the sandbox says how full it is.
    flags = {} if stack.statvfs else {"collectors__host": False}
    exporter = await exporter_ends.enter_async_context(
        serving(stack, limits__slow_interval_seconds=1, books__interval_seconds=1, **flags)
    )
    return Place(stack, exporter, sandbox_ends, exporter_ends)
