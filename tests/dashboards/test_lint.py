"""Every dashboard keeps the rules that Grafana's linter knows, and those that make ours readable."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from blnk_exporter import thresholds
from blnk_exporter.render import catalogue, fill, grafana, rules, tree
from blnk_exporter.render.board import COLUMNS, Board, Panel
from blnk_exporter.render.dashboards import BOARDS, places
from blnk_exporter.render.fill import Site

from ..alerts.native import NATIVE

ROOT = Path(__file__).parents[2]
SITE = Site()
DRAWN = {name: json.loads(text) for name, text in grafana.render(SITE).items()}
ALERTS = {alert.alert: (template, alert) for template in rules.templates() for alert in template.alerts}
RECORDS = {name: template for template in rules.templates() for name in template.records}
PANELS = [(board, panel) for board in BOARDS for panel in board.panels()]
# What Prometheus itself tells of a target and of alerts, and every process of itself.
PLAIN = {"ALERTS", "up", "scrape_duration_seconds"}
SERIES = re.compile(
    r"(?<![\w:\"$])((?:[a-z]+:)?blnk_[a-z0-9_:]+|ALERTS|up|http_server_[a-z_]+|process_[a-z_]+|scrape_[a-z_]+)\b(\{[^}]*\})?"
)
UNITS = {
    "short",
    "s",
    "ms",
    "bytes",
    "percentunit",
    "ops",
    "reqps",
    "Bps",
    "dateTimeAsIso",
    "none",
    "cps",
    "wps",
    "rps",
}


@dataclass(frozen=True)
class Shown:
    """A panel as Grafana has it."""

    file: str
    panel: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file}: {self.panel['title']}"


def shown() -> Iterator[Shown]:
    for file, dashboard in DRAWN.items():
        for panel in dashboard["panels"]:
            yield from (Shown(file, inner) for inner in (panel["panels"] if panel["type"] == "row" else [panel]))


def targets() -> Iterator[tuple[Shown, str]]:
    for one in shown():
        yield from ((one, target["expr"]) for target in one.panel["targets"])


def identified(item: Any) -> str:
    return str(item) if isinstance(item, Shown) else ""


@pytest.mark.parametrize("file", DRAWN)
def test_a_dashboard_can_be_provisioned(file: str) -> None:
    """A stable address, read-only, with its siblings at hand and the time kept."""
    dashboard = DRAWN[file]
    assert file == f"{dashboard['uid']}.json"
    assert dashboard["editable"] is False
    assert dashboard["tags"] == ["blnk"]
    assert dashboard["description"].endswith("? Rendered by `blnk-exporter render dashboards`.")
    (link,) = dashboard["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == ("dashboards", ["blnk"], True, True)
    assert {"__inputs", "__requires", "id"} & dashboard.keys() == set()
    names = [annotation["name"] for annotation in dashboard["annotations"]["list"]]
    assert names == ["Critical alerts", "PostgreSQL started", "Redis started", "A worker started"]


@pytest.mark.parametrize("file", DRAWN)
def test_variables_are_those_that_are_used(file: str) -> None:
    """Data source, job and instance always; whatever is named in a query exists, whatever exists is named."""
    dashboard = DRAWN[file]
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r'"\$([a-z_]+)"', " ".join(target["expr"] for target in _targets(dashboard))))
    assert {"datasource", "job", "instance"} | used == set(variables)
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    for name, variable in variables.items():
        if name != "datasource":
            assert variable["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            # A board is about one Blnk; and what is not chosen is all of ours, never all that Prometheus scrapes.
            several = name != "instance"
            assert (variable["multi"], variable["includeAll"]) == (several, several)
            assert variable.get("allValue") == {"queue": ".+", "host": ".+"}.get(name)
            assert variable["refresh"] == 2


def _targets(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        for inner in [panel, *panel.get("panels", ())]:
            yield from inner.get("targets", ())


@pytest.mark.parametrize("file", DRAWN)
def test_nothing_lies_on_anything_else(file: str) -> None:
    """Each line of panels is as wide as the page and of one height; a folded row holds its own."""
    taken: dict[tuple[int, int], str] = {}
    ids: set[int] = set()
    bottom = 0
    for panel in DRAWN[file]["panels"]:
        place = panel["gridPos"]
        folded = panel.get("panels", [])
        for inner in [panel, *folded]:
            assert inner["id"] not in ids, inner["title"]
            ids.add(inner["id"])
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
        bottom = max(bottom, place["y"] + place["h"])
        lines: dict[int, int] = {}
        for inner in folded:
            lines[inner["gridPos"]["y"]] = lines.get(inner["gridPos"]["y"], 0) + inner["gridPos"]["w"]
        assert set(lines.values()) <= {COLUMNS}, panel["title"]
    holes = {(x, y) for x in range(COLUMNS) for y in range(bottom)} - taken.keys()
    assert sorted(holes) == []


@pytest.mark.parametrize("one", list(shown()), ids=identified)
def test_a_panel_explains_itself(one: Shown) -> None:
    """Title, what it means, unit, and words for where there is nothing to draw."""
    panel = one.panel
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    assert panel["title"][0].isupper()
    assert panel["description"].split("\n")[0].endswith(".")
    assert len(panel["description"]) > 20
    assert defaults["unit"] in UNITS
    assert defaults["noValue"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"]
    for link in panel["links"]:
        board = re.match(r"/d/(blnk-\w+)\?", link["url"])
        assert link["url"].removeprefix(f"{SITE.exporter_url}/runbooks/") in ALERTS or f"{board[1]}.json" in DRAWN
    if panel["type"] == "stat":
        (unknown,) = (entry for entry in defaults["mappings"] if entry["type"] == "special")
        assert unknown["options"]["match"] == "null+nan"
        assert unknown["options"]["result"]["text"] == defaults["noValue"]
        assert unknown["options"]["result"]["color"] not in {"green", "orange"}, "nothing is known, and nothing is well"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_titles_tell_panels_apart(board: Board) -> None:
    """Their addresses are made of them."""
    titles = [panel.title for panel in board.panels()]
    assert len(set(titles)) == len(titles)
    assert len(board.rows) >= 3


@pytest.mark.parametrize(("one", "expr"), list(targets()), ids=identified)
def test_a_query_asks_for_what_is_declared(one: Shown, expr: str) -> None:
    """Of the chosen job and instance; Blnk's own of its job; the host's of the chosen host."""
    known = catalogue.series() | RECORDS.keys() | NATIVE.keys() | PLAIN
    found = SERIES.findall(expr)
    assert found
    for name, selector in found:
        assert name in known or name.startswith("process_"), name
        if name == "ALERTS":
            continue
        if name.startswith("host:"):
            assert 'instance=~"$host"' in selector
        elif 'job=~"$blnk_job"' not in selector:
            assert 'job=~"$job",instance="$instance"' in selector, name
            assert name not in NATIVE or name in PLAIN or name.startswith("process_")


@pytest.mark.parametrize(("one", "expr"), list(targets()), ids=identified)
def test_a_rate_fits_the_zoom(one: Shown, expr: str) -> None:
    """A window that is shorter than two scrapes has no rate, one typed by hand hides what is short; a number says its own."""
    for _, window in re.findall(r"\b(rate|irate|increase|deriv)\(.*?\[([^\]]+)\]", expr):
        own = one.panel["type"] == "stat" and one.panel["title"].endswith(f", {window.replace('m', ' min')}")
        assert own or window in {"$__rate_interval", "$__rate_interval:"}
    counters = re.findall(r"(?:(\w+)\()?\b(?:blnk|process)_[a-z0-9_]+_total\b", expr)
    # Since when does not matter where one is one too many.
    assert set(counters) <= {"rate", "increase", "resets", "clamp_max", "delta"}


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=lambda part: getattr(part, "title", ""))
def test_no_limit_is_typed(board: Board, panel: Panel) -> None:
    """What is compared with stands in thresholds.yml; 0 and 1 are yes and no."""
    for query in panel.queries:
        numbers = re.findall(r"(?:[<>]=?|[=!]=)\s*(?:bool\s*)?(-?[0-9][0-9.e]*)", query.expr)
        assert set(numbers) <= {"0", "1"}, query.expr


def test_another_limit_is_another_line() -> None:
    """Whatever limit a panel has, it is the one of the site."""
    limits = thresholds.load()
    moved = {
        name: replace(limit, warning=_moved(limit.warning), critical=_moved(limit.critical))
        for name, limit in limits.items()
    }
    other = {name: json.loads(text) for name, text in grafana.render(Site(limits=moved)).items()}
    for board in BOARDS:
        before, after = DRAWN[f"{board.uid}.json"], other[f"{board.uid}.json"]
        for panel in board.panels():
            if panel.limit:
                steps = [_steps(dashboard, board.id(panel)) for dashboard in (before, after)]
                assert [_moved(value) for value in steps[0]] == pytest.approx(steps[1]), panel.title


def _moved(value: float | None) -> float | None:
    return None if value is None else value * 3 if value > 1e-6 else value


def _steps(dashboard: dict[str, Any], panel_id: int) -> list[float]:
    (found,) = (
        inner for panel in dashboard["panels"] for inner in [panel, *panel.get("panels", ())] if inner["id"] == panel_id
    )
    steps = found["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert len(steps) > 1
    return [step["value"] for step in steps[1:]]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_leads_to_a_panel_that_shows_it(name: str) -> None:
    """With a series of its expression and the limit that it compares with; and the panel leads back to the runbook."""
    template, alert = ALERTS[name]
    found = [(board, panel) for board, panel in PANELS if name in panel.alerts]
    assert len(found) == 1
    board, panel = found[0]
    assert places()[name] == f"/d/{board.uid}?viewPanel={board.id(panel)}"
    asked = {series for query in panel.queries for series, _ in SERIES.findall(query.expr)}
    compared = {series for series, _ in SERIES.findall(alert.expr)}
    for record in compared & template.records.keys():
        compared |= {series for series, _ in SERIES.findall(str(template.records[record]))}
    assert not compared or asked & compared
    limits = fill.limits_in(alert.expr)
    drawn = {panel.limit, *(query.limit for query in panel.queries)}
    drawn |= {limit for query in panel.queries for limit in fill.limits_in(query.expr)}
    # What says that there is enough to judge by is no limit of what is drawn.
    assert not limits or limits & drawn or panel.any_is or panel.kind == "table"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_ids_outlive_everything_but_the_title(board: Board) -> None:
    """A link in an old ticket still leads to its panel when others come and go."""
    fewer = replace(board, rows=board.rows[1:])
    for panel in fewer.panels():
        assert fewer.id(panel) == board.id(panel)
    assert json.dumps(DRAWN[f"{board.uid}.json"]).count(f'"id": {board.id(board.rows[0])},') == 1


def test_what_is_committed_is_what_is_rendered() -> None:
    """`blnk-exporter render dashboards` brings it up to date."""
    assert list(tree.differences(grafana.render(SITE), ROOT / "dashboards", grafana.OWNED)) == []


def test_provisioning_reads_where_dashboards_are_mounted() -> None:
    """The files that Grafana finds below /etc/grafana/provisioning."""
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "blnk.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/blnk"
    (source,) = yaml.safe_load((provisioning / "datasources" / "blnk.yml").read_text())["datasources"]
    assert (source["type"], source["access"]) == ("prometheus", "proxy")
    # A second default keeps Grafana from starting, and a name that is taken is taken over.
    assert "isDefault" not in source
    assert source["uid"] == "blnk-prometheus"
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
