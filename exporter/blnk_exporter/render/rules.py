"""Recording and alerting rules for Prometheus, out of the templates in ``rules/`` and the limits of a site."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from . import dashboards
from .fill import Site, fill
from .tree import MARK

_SEVERITIES = ("none", "info", "warning", "critical")
# Longer than BlnkExporterDown takes to fire: who was woken is not told that all is well when it is our page that is gone.
_KEPT = "5m"
# Which of several the board is to show, in the words of an alert's own labels; not every alert has an instance.
_OURS = "{{ with $labels.instance }}&var-instance={{ . | urlquery }}{{ end }}"
_OF = {"host": "{{ with $labels.instance }}&var-host={{ . | urlquery }}{{ end }}", "blnk": ""}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert before its limits are known; it becomes a rule for each of its severities.

    ``severity`` maps each to how long the expression must hold. ``checklist`` are items of the production checklist;
    none only for what watches the monitoring itself.
    """

    alert: str
    severity: Mapping[str, str]
    expr: str
    summary: str
    description: str
    checklist: tuple[str, ...]
    keep_firing_for: str = ""

    def __post_init__(self) -> None:
        if unknown := self.severity.keys() - set(_SEVERITIES):
            raise ValueError(f"{self.alert}: {', '.join(sorted(unknown))} is no severity")


@dataclass(frozen=True, kw_only=True)
class Template:
    """One file of ``rules/``: series that are worth a name of their own, then alerts.

    A recording's expression is a text, or a text for each source of host metrics; an empty one where that source cannot
    tell. Then neither the recording nor an alert on it is rendered.
    """

    name: str
    records: Mapping[str, Mapping[str, str] | str]
    alerts: tuple[Alert, ...]


@cache
def templates() -> tuple[Template, ...]:
    """All of them, by file name."""
    files = sorted(resources.files(__package__).joinpath("rules").iterdir(), key=lambda file: file.name)
    return tuple(
        _template(file.name.removesuffix(".yml"), yaml.safe_load(file.read_text("utf-8")))
        for file in files
        if file.name.endswith(".yml")
    )


def _template(name: str, content: Mapping[str, Any]) -> Template:
    alerts = (
        Alert(
            **{
                "keep_firing_for": _KEPT if "critical" in entry["severity"] and name != "exporter" else "",
                **entry,
                "checklist": tuple(entry["checklist"]),
            }
        )
        for entry in content.get("alerts", ())
    )
    return Template(name=name, records=content.get("records", {}), alerts=tuple(alerts))


def render(template: Template, site: Site) -> str:
    """The file that Prometheus loads; the same text for the same site, whatever machine."""
    rules = [*_records(template, site)]
    rules += [rule for alert in told(template, site) for rule in _rules(alert, site, template)]
    head = f"# {MARK}alerts`, which also sets other limits, jobs and addresses: see its --help.\n"
    groups = {"groups": [{"name": f"blnk-{template.name}", "rules": rules}]}
    return head + yaml.dump(groups, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def told(template: Template, site: Site) -> tuple[Alert, ...]:
    """The alerts that the site's source of host metrics can tell of."""
    untold = [name for name, texts in template.records.items() if not _text(texts, site)]
    return tuple(alert for alert in template.alerts if not any(name in alert.expr for name in untold))


def expression(text: str, site: Site, level: str) -> str:
    """The PromQL of one rule."""
    return fill(text, site, level=level).strip()


def _records(template: Template, site: Site) -> Iterator[dict[str, Any]]:
    for name, texts in template.records.items():
        if text := _text(texts, site):
            yield {"record": name, "expr": expression(text, site, "")}


def _text(texts: Mapping[str, str] | str, site: Site) -> str:
    return texts if isinstance(texts, str) else texts[site.host_metrics]


def _rules(alert: Alert, site: Site, template: Template) -> Iterator[dict[str, Any]]:
    for severity, duration in alert.severity.items():
        rule: dict[str, Any] = {"alert": alert.alert, "expr": expression(alert.expr, site, severity)}
        # Prometheus takes neither of them as zero for granted: what is not there is clearer.
        rule |= {key: value for key, value in (("for", duration), ("keep_firing_for", alert.keep_firing_for)) if value}
        rule["labels"] = {"severity": severity, "service": "blnk", "component": template.name}
        rule["annotations"] = {
            "summary": fill(alert.summary, site, level=severity),
            "description": fill(alert.description, site, level=severity).strip(),
            "checklist": ", ".join(alert.checklist),
            "runbook_url": f"{site.exporter_url}/runbooks/{alert.alert}",
            "dashboard_url": f"{site.grafana_url}{dashboards.places().get(alert.alert, '')}{_OF.get(template.name, _OURS)}",
        }
        rule["annotations"] = {key: value for key, value in rule["annotations"].items() if value}
        yield rule


class _Dumper(yaml.SafeDumper):
    """Lists indented as people write them, texts of several lines as such."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  PyYAML's signature
        super().increase_indent(flow, False)

    def text(self, value: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _Dumper.text)
