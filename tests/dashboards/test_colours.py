"""A colour says what its alert says: red wakes somebody, orange waits for a working day, and what nobody hears of is neither."""

import re
from collections.abc import Iterator

import pytest

from blnk_exporter import thresholds
from blnk_exporter.render import alarms, grafana, rules
from blnk_exporter.render.board import Panel
from blnk_exporter.render.dashboards import BOARDS
from blnk_exporter.render.fill import Site

LIMITS = thresholds.load()
SEVERITIES = {alert.alert: set(alert.severity) for template in rules.templates() for alert in template.alerts}
# These count alerts, and have their colours from them.
PANELS = [(board, panel) for board in BOARDS for panel in board.panels() if "ALERTS" not in panel.queries[0].expr]


def _colours(panel: Panel) -> Iterator[str | None]:
    """What a figure of it may be coloured with; of no figure at all, there is another test."""
    yield panel.any_is
    yield from (colour for _, colour in panel.states.values())
    for query in panel.queries:
        yield query.none_is
        yield from (colour for _, colour in query.states.values())
    for name in {panel.limit, *(query.limit for query in panel.queries)} - {""}:
        yield "red" if LIMITS[name].critical is not None else None
        yield "orange" if LIMITS[name].warning is not None and not alarms.mild(name) else None


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=lambda part: getattr(part, "title", ""))
def test_a_colour_has_an_alert(board: object, panel: Panel) -> None:
    """Which the panel leads to, and which is as loud."""
    colours, loud = {*_colours(panel)}, {severity for alert in alarms.of(panel) for severity in SEVERITIES[alert]}
    assert "red" not in colours or "critical" in loud
    assert "orange" not in colours or "warning" in loud


def test_only_what_tells_nobody_is_mild() -> None:
    """Context has limits, too."""
    assert {name for name in LIMITS if alarms.mild(name)} == {"host.cpu", "redis.snapshot"}
    assert '"color": "blue",\n' in grafana.render(Site())["blnk-host.json"]


def test_alerts_are_asked_for_by_a_name_that_they_have() -> None:
    """One that no rule has never fires, which looks well."""
    asked = {
        name for board in BOARDS for panel in board.panels() for query in panel.queries for name in _named(query.expr)
    }
    assert {"Watchdog", "BlnkLedgerChainHeadInconsistent"} <= asked <= SEVERITIES.keys()


def _named(expr: str) -> Iterator[str]:
    for names in re.findall(r'alertname=~?"([^"]+)"', expr):
        yield from names.split("|")
