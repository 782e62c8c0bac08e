"""No field is misspelt: Grafana's own types read what is rendered, and nothing of it is lost."""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from blnk_exporter.render import grafana
from blnk_exporter.render.fill import Site

with warnings.catch_warnings():
    # It would rather have the schema that Grafana 10 does not know.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()

DRAWN = {name: json.loads(text) for name, text in grafana.render(Site()).items()}


def paths(value: Any, where: str = "") -> Iterator[str]:
    """Every key, by the way to it; the numbers of a list do not matter."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{where}.{key}"
            yield from paths(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{where}[]")


def lost(dashboard: dict[str, Any]) -> set[str]:
    """What comes in and does not come out again."""
    again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))
    return set(paths(dashboard)) - set(paths(again))


@pytest.mark.parametrize("file", DRAWN)
def test_grafana_knows_every_field(file: str) -> None:
    """All that is written is read."""
    assert lost(DRAWN[file]) == set()


def test_a_misspelt_field_would_be_found() -> None:
    """In the dashboard, in a panel, in its field, its options and its query."""
    dashboard = json.loads(json.dumps(next(iter(DRAWN.values()))))
    panel = next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")
    for place in (dashboard, panel, panel["fieldConfig"]["defaults"], panel["targets"][0], panel["options"]):
        place["unitt"] = 1
    assert len(lost(dashboard)) == 5
