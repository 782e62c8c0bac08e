"""What dashboards ask Prometheus, with their variables filled in as Grafana does it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from blnk_exporter.render import grafana
from blnk_exporter.render.dashboards import BOARDS
from blnk_exporter.render.fill import Site

UNSEEN = {
    ("ledger", "Moved in half an hour"): "no sandbox is a week old",
    ("postgres", "Age of the archive"): "archive_mode is off",
    ("postgres", "Damaged pages"): "the cluster has no checksums",
    ("postgres", "Lag"): "a standby that has replayed nothing yet does not tell how late it is",
    ("postgres", "Mean time of Blnk's statements"): "the wheel has no pg_stat_statements",
    ("postgres", "Statements"): "the wheel has no pg_stat_statements",
    ("postgres", "Statements at a time"): "the wheel has no pg_stat_statements",
    ("queues", "Since a transaction was given up"): "only webhooks are given up",
    ("redis", "Link to the primary"): "no replica",
    ("redis", "Replicas are behind by"): "no replica",
    ("redis", "Silence of replicas"): "no replica",
    ("redis", "What saving costs"): "no snapshots",
}
"""Panels with a query that no scenario of the sandbox has anything for, and why."""


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


def marks() -> dict[str, str]:
    """What is asked for annotations, the same on every board, by name."""
    dashboard = json.loads(grafana.render(Site())[f"{BOARDS[0].uid}.json"])
    return {annotation["name"]: annotation["expr"] for annotation in dashboard["annotations"]["list"]}


def chosen(expr: str, window: str, **variables: str) -> str:
    """The query as it is sent: what is not chosen is everything, but for the one instance."""
    expr = expr.replace("$__rate_interval", window).replace("$__interval_ms", "60000")
    return re.sub(r'"\$([a-z_]+)"', lambda match: f'"{variables.get(match[1], ".+")}"', expr)
