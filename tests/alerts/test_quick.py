"""Quick motion must change nothing but times: else what is tried is not what is shipped."""

import json
import re
from pathlib import Path

import pytest
import yaml

from blnk_exporter.render import alerts, fill, quick
from blnk_exporter.render.quick import Pace

ROUTING = (Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yml").read_text()
RULE = """groups:
  - name: blnk-x
    rules:
      - alert: BlnkX
        expr: |-
          max_over_time(a[10m]) > 600
            and b[1h30m:5m] offset 1d > 0 unless c offset
            7d
        for: 1h
        keep_firing_for: 15m
        annotations:
          description: Since 10m, for 1h, offset by little.
"""


def test_only_times_of_rules_change() -> None:
    """Limits and texts stay, short windows stay long enough for a rate."""
    text = quick.rules(RULE, Pace(holds=60, windows=60, scrape_seconds=2))
    (rule,) = yaml.safe_load(text)["groups"][0]["rules"]
    assert rule["expr"] == (
        "max_over_time(a[10000ms]) > 600\n  and b[90000ms:5m] offset 1440000ms > 0 unless c offset\n  10080000ms"
    )
    assert (rule["for"], rule["keep_firing_for"]) == ("60000ms", "15000ms")
    assert rule["annotations"]["description"] == "Since 10m, for 1h, offset by little."
    assert "[8000ms]" in quick.rules("[1m]", Pace(scrape_seconds=2))


def test_the_pack_loses_nothing() -> None:
    """Without its times each file is what it was."""
    times = re.compile(r"(\[|offset\s+|for: )(?:\d+(?:ms|[smhdw]))+")
    for name, text in alerts.render(fill.Site()).items():
        if name.endswith(".rules.yml"):
            assert times.sub(r"\1", quick.rules(text, Pace())) == times.sub(r"\1", text), name


def test_routes_and_inhibitions_stay() -> None:
    """The same receivers, each a webhook or nobody, and the same tree."""
    shipped, local = yaml.safe_load(ROUTING), json.loads(quick.alertmanager(ROUTING, Pace(), "http://h:1"))
    assert local["inhibit_rules"] == shipped["inhibit_rules"]
    tree = [(route["matchers"], route["receiver"]) for route in shipped["route"]["routes"]]
    assert [(route["matchers"], route["receiver"]) for route in local["route"]["routes"]] == tree
    hooks = {one["name"]: [hook["url"] for hook in one["webhook_configs"]] for one in local["receivers"]}
    assert hooks == {
        "nowhere": [],
        "dead-mans-switch": ["http://h:1/dead-mans-switch"],
        "pager": ["http://h:1/pager"],
        "tickets": ["http://h:1/tickets"],
    }
    assert local["route"]["repeat_interval"] == "720000ms"
    # A cause is known before what follows from it is told.
    assert local["route"]["group_wait"] == "4000ms"
    assert "secrets" not in json.dumps(local)


@pytest.mark.parametrize(
    "text", ["", "# Read me\n\n- a: b: c", "scrape_configs: []", "receivers: 1", "- 1", "route: {}\nreceivers: [x]"]
)
def test_what_is_no_configuration_is_told(text: str) -> None:
    """And no traceback."""
    with pytest.raises(ValueError, match="is no configuration of Alertmanager"):
        quick.alertmanager(text, Pace(), "http://h:1")
