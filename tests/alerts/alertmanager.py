"""The shipped Alertmanager's configuration, and what Prometheus sends to one that runs."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from blnk_exporter.render import rules

from ..programs import ALERTMANAGER

SHIPPED = Path(__file__).parents[2] / "deploy" / "alertmanager"
SILENT = (SHIPPED / "alertmanager.yml").read_text()
# With the examples of receivers switched on, as README.md says; a comment in prose has one space behind its #.
CONFIG = re.sub(r"^( +)#(?! \S)", r"\1", SILENT, flags=re.MULTILINE)
ALERTS = {alert.alert: template.name for template in rules.templates() for alert in template.alerts}
needs_alertmanager = pytest.mark.needs(ALERTMANAGER)
Labels = Mapping[str, str]


def alert(name: str, severity: str = "critical", **labels: str) -> dict[str, str]:
    """The labels of an alert of the pack as Prometheus gives them; an empty one is taken away."""
    own = {"job": "blnk-exporter", "instance": "exporter:10501", "service": "blnk"}
    given = own | {"alertname": name, "severity": severity, "component": ALERTS.get(name, "exporter")} | labels
    return {key: value for key, value in given.items() if value}


async def post(address: str, *alerts: Labels, annotations: Labels | None = None, ended: bool = False) -> None:
    """What Prometheus sends."""
    began = datetime.now(UTC) - timedelta(minutes=5)
    times = {"startsAt": began.isoformat()} | ({"endsAt": datetime.now(UTC).isoformat()} if ended else {})
    body = [{"labels": dict(labels), "annotations": dict(annotations or {}), **times} for labels in alerts]
    async with aiohttp.ClientSession() as session, session.post(f"http://{address}/api/v2/alerts", json=body) as reply:
        assert reply.status == 200, await reply.text()
