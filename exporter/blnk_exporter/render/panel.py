"""One panel of a dashboard as Grafana has it: its queries, colours, limits and links."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from ..thresholds import Threshold
from . import alarms, catalogue, rules
from .board import Color, Panel, Query, States
from .dashboards import places
from .fill import Site, fill

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# One exporter at a time, and so one Blnk: what is summed up over several hides the one that is in trouble.
OURS = 'job=~"$job",instance="$instance"'
# Host metrics come from whoever tells them, under a job and an instance of its own.
_HOST = 'instance=~"$host"'
_NATIVE = 'job=~"$blnk_job"'
_UNKNOWN = "#8a8f98"
# Grafana colours what reaches a step, our limits are met beyond them: beyond nothing is the least there is.
_LEAST = 1e-9
_CHOSEN = "${__all_variables}&${__url_time_range}"
_NAME = re.compile(r"(?<![\w:$])((?:[a-z]+:)?blnk_[a-z0-9_:]+|http_server_[a-z_]+|up)\b(?!\{job=)(\{?)")


def drawn(panel: Panel, site: Site) -> dict[str, Any]:
    """Everything but its id and its place."""
    found = {
        "type": panel.kind,
        "title": panel.title,
        "description": _description(panel, site),
        "datasource": SOURCE,
        "links": [*_links(panel, site)],
        "targets": [_target(panel, number, query, site) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel, site), "overrides": _overrides(panel, site)},
        "options": _options(panel),
    }
    if panel.every:
        found["interval"] = panel.every
    return found | ({"transformations": _transformations(panel)} if panel.kind == "table" else {})


def _links(panel: Panel, site: Site) -> Iterator[dict[str, Any]]:
    if panel.board:
        yield _more(panel)
    told = alarms.of(panel)
    # Of several that one panel shows, the first gives it its name.
    seen = {places()[alert]: alert for alert in reversed(told) if alert not in panel.alerts}
    for path, alert in reversed(seen.items()):
        yield {"title": f"Where {alert} is seen", "url": f"{path}&{_CHOSEN}", "targetBlank": False}
    for alert in told:
        yield {"title": f"Runbook {alert}", "url": f"{site.exporter_url}/runbooks/{alert}", "targetBlank": True}


def _more(panel: Panel) -> dict[str, Any]:
    url = f"/d/blnk-{panel.board}?{_CHOSEN}"
    return {"title": f"More on the board {panel.board}", "url": url, "targetBlank": False}


def selected(expr: str) -> str:
    """The query with the dashboard's variables in every selector."""

    def found(match: re.Match[str]) -> str:
        name, brace = match.groups()
        return f"{name}{{{_selector(name)}" + ("," if brace else "}")

    return _NAME.sub(found, expr)


def _selector(name: str) -> str:
    if name.startswith("host:"):
        return _HOST
    return OURS if name == "up" or name in _own() else _NATIVE


@cache
def _own() -> frozenset[str]:
    """What this exporter tells, and what is recorded of it."""
    recorded = {name for template in rules.templates() if template.name != "blnk" for name in template.records}
    return catalogue.series() | recorded


def _description(panel: Panel, site: Site) -> str:
    told = [panel.about]
    limits = dict.fromkeys(filter(None, (panel.limit, *(query.limit for query in panel.queries))))
    told += [f"{name}: {site.limits[name].words}." for name in limits]
    if panel.alerts:
        told.append(f"Alerts: {', '.join(panel.alerts)}.")
    return "\n\n".join(told)


def _target(panel: Panel, number: int, query: Query, site: Site) -> dict[str, Any]:
    now = panel.kind in {"stat", "table"}
    return {
        "refId": chr(ord("A") + number),
        "datasource": SOURCE,
        "expr": selected(fill(query.expr, site)),
        "editorMode": "code",
        "legendFormat": query.legend or "__auto",
        "instant": now,
        "range": not now,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel, site: Site) -> dict[str, Any]:
    lines = panel.kind == "timeseries"
    found: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": panel.nothing,
        # Of states the mappings have the colours; a legend of thresholds would say "< 1".
        "color": {"mode": "palette-classic" if lines or panel.kind == "state-timeline" else "thresholds"},
        "thresholds": _thresholds(site.limits[panel.limit], lines=lines) if panel.limit else _colors(panel),
        "mappings": _mappings(panel),
    }
    if panel.kind == "stat" and panel.board:
        # A click on the number itself.
        found["links"] = [_more(panel)]
    if panel.decimals is not None:
        found["decimals"] = panel.decimals
    if lines:
        found["min"] = 0
        found["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "auto",
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "dashed" if panel.limit or panel.any_is else "off"},
        }
        if panel.limit:
            # The axis would end far below a limit that is far away, and nobody would see how far.
            found["custom"]["axisSoftMax"] = site.limits[panel.limit].first
    return found


def _thresholds(limit: Threshold, *, fine: str = "green", lines: bool = False) -> dict[str, Any]:
    steps = [("blue" if alarms.mild(limit.name) else "orange", limit.warning), ("red", limit.critical)]
    known = [(color, value or _LEAST) for color, value in steps if value is not None]
    if not limit.below:
        return _steps([fine, *(color for color, _ in known)], [value for _, value in known])
    # From the worst upwards: below a limit is worse than above it. A line has the colour of what lies below it.
    colors, values = [color for color, _ in reversed(known)], [value for _, value in reversed(known)]
    return _steps(["transparent", *colors] if lines else [*colors, fine], values)


def _colors(panel: Panel) -> dict[str, Any]:
    """Of states, of what should not be, and of what is neither good nor bad."""
    if panel.any_is:
        return _steps(["green", panel.any_is], [_LEAST])
    numbers = sorted(panel.states)
    if not numbers:
        return _steps(["blue" if panel.kind == "stat" else "text"], [])
    return _steps([panel.states[number][1] for number in numbers], [float(number) for number in numbers[1:]])


def _steps(colors: Sequence[str], values: Sequence[float]) -> dict[str, Any]:
    pairs = zip(colors, [None, *values], strict=True)
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in pairs]}


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    found = [*_told(panel.states)]
    if panel.kind == "stat":
        # Otherwise Grafana gives what is unknown the colour of 0, which is mostly green.
        nothing = {"text": panel.nothing, "color": "red" if panel.alarm else _UNKNOWN, "index": len(panel.states)}
        found.append({"type": "special", "options": {"match": "null+nan", "result": nothing}})
    return found


def _told(states: States) -> Iterator[dict[str, Any]]:
    words = enumerate(sorted(states.items()))
    options = {str(number): {"text": text, "color": color, "index": at} for at, (number, (text, color)) in words}
    if options:
        yield {"type": "value", "options": options}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        several = any(query.legend for query in panel.queries)
        return {
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "center",
            "orientation": "auto",
            "textMode": "value_and_name" if several else "value",
            "wideLayout": True,
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    if panel.kind == "table":
        found = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": [], "fields": ""}}
        columns = [{"displayName": name.removeprefix("-"), "desc": name.startswith("-")} for name in panel.sort]
        return found | ({"sortBy": columns} if columns else {})
    if panel.kind == "state-timeline":
        return {"showValue": "auto", "rowHeight": 0.9, "mergeValues": True, "legend": _legend(), "tooltip": _tooltip()}
    # Of the most or the least of many, the first to be read is the one that matters.
    ranked = {"displayMode": "table", "calcs": ["last"], "sortBy": "Last", "sortDesc": True}
    several = any("topk(" in query.expr for query in panel.queries)
    return {"legend": _legend() | (ranked if several else {"calcs": ["lastNotNull"]}), "tooltip": _tooltip()}


def _legend() -> dict[str, Any]:
    return {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}


def _tooltip() -> dict[str, Any]:
    return {"mode": "multi", "sort": "desc"}


def _columns(panel: Panel) -> Iterator[tuple[str, Query]]:
    """What Grafana calls each query's values, and the query."""
    for number, query in enumerate(panel.queries):
        yield (f"Value #{chr(ord('A') + number)}" if len(panel.queries) > 1 else "Value"), query


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    """One line for each set of labels, with what each query says of it."""
    columns = dict(_columns(panel))
    named = {name: query.legend for name, query in columns.items() if query.legend}
    order = [*panel.labels, *named]
    hidden = ["Time", *(name for name, query in columns.items() if not query.legend)]
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": dict.fromkeys(hidden, True),
                "indexByName": {name: number for number, name in enumerate(order)},
                "renameByName": named,
            },
        },
    ]


def _overrides(panel: Panel, site: Site) -> list[dict[str, Any]]:
    if panel.kind != "table":
        return []
    # The words for an empty table would stand in each empty cell, too.
    every = {"matcher": {"id": "byRegexp", "options": "/.*/"}, "properties": [{"id": "noValue", "value": ""}]}
    found = [every, *(_override(query, site) for query in panel.queries if _is_special(query))]
    found += [_colored(column, words) for column, words in panel.words.items()]
    if "alertname" in panel.labels:
        found += [
            _linked("alertname", "Runbook", f"{site.exporter_url}/runbooks/${{__value.raw}}"),
            _linked("instance", "Its overview", "/d/blnk-overview?var-instance=${__value.raw}&${__url_time_range}"),
        ]
    return found


def _linked(column: str, title: str, url: str) -> dict[str, Any]:
    link = {"title": title, "url": url, "targetBlank": not url.startswith("/")}
    return {"matcher": _by_name(column), "properties": [{"id": "links", "value": [link]}]}


def _is_special(query: Query) -> bool:
    return bool(query.unit or query.limit or query.none_is or query.states)


def _override(query: Query, site: Site) -> dict[str, Any]:
    properties: list[dict[str, Any]] = [{"id": "unit", "value": query.unit}] if query.unit else []
    if query.states or query.none_is:
        # An empty cell would have the colour of the least there is.
        empty = {"type": "special", "options": {"match": "null+nan", "result": {"text": "", "color": "transparent"}}}
        properties.append({"id": "mappings", "value": [*_told(query.states), empty]})
    if query.limit or query.none_is or query.states:
        steps = _thresholds(site.limits[query.limit], fine="transparent") if query.limit else None
        properties += [
            {"id": "thresholds", "value": steps or _steps([query.none_is or "transparent", "transparent"], [_LEAST])},
            {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
        ]
    return {"matcher": _by_name(query.legend), "properties": properties}


def _colored(column: str, words: Mapping[str, Color]) -> dict[str, Any]:
    options = {text: {"color": color, "index": number} for number, (text, color) in enumerate(words.items())}
    properties = [
        {"id": "mappings", "value": [{"type": "value", "options": options}]},
        {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
    ]
    return {"matcher": _by_name(column), "properties": properties}


def _by_name(name: str) -> dict[str, Any]:
    return {"id": "byName", "options": name}
