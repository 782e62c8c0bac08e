"""Dashboards as Grafana 10 to 13 import and provision them: the classic JSON, for the limits of a site."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .board import COLUMNS, Board, Row
from .dashboards import BOARDS
from .dashboards.needs import OUR_ALERTS
from .fill import Site, fill
from .panel import OURS, SOURCE, drawn, selected
from .tree import MARK

OWNED = ("blnk-*.json",)
_VARIABLES = {
    # Prometheus' own word: what an exporter tells is gone when it is down, and with it would go its name.
    "job": 'label_values(up{job=~"@{exporter_job}"}, job)',
    "instance": 'label_values(up{job=~"$job"}, instance)',
    "queue": f"label_values(blnk_queues_pending_tasks{{{OURS}}}, queue)",
    "host": "label_values(host:blnk_filesystem_used:ratio, instance)",
    "blnk_job": 'label_values(http_server_duration_milliseconds_count{job=~"@{blnk_job}",job!~"@{exporter_job}"}, job)',
}
# Where what is not chosen is everything, also what has no such series now. All jobs are those that the variable knows:
# others have targets, too.
_EVERYTHING = {"queue": ".+", "host": ".+"}
_LABELS = {"job": "Job", "instance": "Instance", "queue": "Queue", "host": "Host", "blnk_job": "Blnk's job"}
# As young as the point before is old: of a long time Grafana asks for few points.
_YOUNG = "< 120 + $__interval_ms / 1000"
_RESTARTS = (
    ("PostgreSQL started", f"time() - blnk_postgres_start_timestamp_seconds {_YOUNG}", "{{address}}"),
    ("Redis started", f"blnk_redis_uptime_seconds {_YOUNG}", "{{instance}}"),
    ("A worker started", f"time() - blnk_workers_newest_start_timestamp_seconds {_YOUNG}", "{{instance}}"),
)


def render(site: Site) -> Mapping[str, str]:
    """File name and text of every dashboard."""
    return {f"{board.uid}.json": f"{json.dumps(_dashboard(board, site), indent=2)}\n" for board in BOARDS}


def _dashboard(board: Board, site: Site) -> dict[str, Any]:
    panels = list(_placed(board, site))
    used = json.dumps(panels)
    names = [name for name in _VARIABLES if name in {"job", "instance"} or f"${name}" in used]
    return {
        "uid": board.uid,
        "title": f"Blnk / {board.title}",
        "description": f"{board.question} {MARK}dashboards`.",
        "tags": ["blnk"],
        "editable": False,
        "schemaVersion": 39,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "tags": ["blnk"],
                "title": "Blnk",
                "icon": "external link",
                "tooltip": "",
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "url": "",
            }
        ],
        "annotations": {"list": list(_annotations())},
        "templating": {"list": [_datasource(), *(_variable(name, site) for name in names)]},
        "panels": panels,
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(name: str, site: Site) -> dict[str, Any]:
    text = fill(_VARIABLES[name], site)
    several = name != "instance"
    found = {
        "name": name,
        "label": _LABELS[name],
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": text, "refId": "StandardVariableQuery"},
        "definition": text,
        "multi": several,
        "includeAll": several,
        "hide": 0,
        "refresh": 2,
        "sort": 1,
        "current": {"text": ["All"], "value": ["$__all"]} if several else {},
    }
    return found | ({"allValue": _EVERYTHING[name]} if name in _EVERYTHING else {})


def _annotations() -> Iterator[dict[str, Any]]:
    firing = 'ALERTS{alertstate="firing",severity="critical",service="blnk"}'
    yield _annotation("Critical alerts", f"{firing} and ({OUR_ALERTS})", "{{alertname}}", "red")
    for name, expr, text in _RESTARTS:
        yield _annotation(name, selected(expr), text, "blue")


def _annotation(name: str, expr: str, text: str, color: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expr,
        "target": {"refId": "Anno", "expr": expr, "interval": "60s"},
        "titleFormat": name,
        "textFormat": text,
        "step": "60s",
        "useValueForTime": False,
    }


def _placed(board: Board, site: Site) -> Iterator[dict[str, Any]]:
    """Rows from top to bottom, each as high as what stands in it."""
    top = 0
    for row in board.rows:
        panels, height = _flow(board, row, site, top + 1)
        yield {
            "id": board.id(row),
            "type": "row",
            "title": row.title,
            "collapsed": row.collapsed,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": panels if row.collapsed else [],
        }
        if not row.collapsed:
            yield from panels
        # What is folded away takes the height of its heading.
        top += 1 if row.collapsed else 1 + height


def _flow(board: Board, row: Row, site: Site, top: int) -> tuple[list[dict[str, Any]], int]:
    """The panels of a row from left to right, wrapped as words are, and their height."""
    panels, x, y, tallest = [], 0, 0, 0
    for panel in row.panels:
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        place = {"x": x, "y": top + y, "w": panel.width, "h": panel.height}
        panels.append(drawn(panel, site) | {"id": board.id(panel), "gridPos": place})
        x, tallest = x + panel.width, max(tallest, panel.height)
    return panels, y + tallest
