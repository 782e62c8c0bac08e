"""What dashboards ask Prometheus, with their variables filled in as Grafana does it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from blnk_exporter.render import grafana
from blnk_exporter.render.dashboards import BOARDS
from blnk_exporter.render.fill import Site


@dataclass(frozen=True)
class Asked:
    """One query, where it stands, and the alerts of its panel."""

    board: str
    panel: str
    expr: str
    alerts: tuple[str, ...]


def asked() -> Iterator[Asked]:
    """Every query of every panel, those of folded rows included."""
    rendered = grafana.render(Site())
    for board in BOARDS:
        alerts = {panel.title: panel.alerts for panel in board.panels()}
        for panel in json.loads(rendered[f"{board.uid}.json"])["panels"]:
            for inner in [panel, *panel.get("panels", ())]:
                for target in inner.get("targets", ()):
                    yield Asked(board.name, inner["title"], target["expr"], alerts[inner["title"]])


def chosen(expr: str, window: str, **variables: str) -> str:
    """The query as it is sent: what is not chosen is everything."""
    expr = expr.replace("$__rate_interval", window)
    return re.sub(r'"\$([a-z_]+)"', lambda match: f'"{variables.get(match[1], ".+")}"', expr)
