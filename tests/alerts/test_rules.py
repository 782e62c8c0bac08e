"""Every alert, by Prometheus' own word: it fires just over its limit, is silent just under it, and clears."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from blnk_exporter import collectors
from blnk_exporter.render import alerts, fill, rules
from blnk_exporter.render.catalogue import OWN

from .cases import CASES
from .native import NATIVE
from .story import LIMITS, found, seconds, told

TEMPLATES = {template.name: template for template in rules.templates()}
ALERTS = {alert.alert: alert for template in rules.templates() for alert in template.alerts}
needs_promtool = pytest.mark.needs("promtool")


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    for name, text in alerts.render(fill.Site()).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_alert_has_its_cases() -> None:
    """Each severity of each alert fires in a test, and no test is for an alert that is no more."""
    wanted = {(alert.alert, severity) for alert in ALERTS.values() for severity in alert.severity}
    # It has no quiet time.
    wanted -= {("Watchdog", "none")}
    tested = {
        (name, case.severity or next(iter(ALERTS[name].severity))) for name, cases in CASES.items() for case in cases
    }
    assert wanted == tested


@needs_promtool
@pytest.mark.parametrize("name", TEMPLATES)
def test_each_alert_fires_and_clears(name: str, rendered: Path) -> None:
    """Silent under the limit, firing over it, silent again."""
    stories: list[str] = []
    for alert, cases in CASES.items():
        if found(alert)[0].name != name:
            continue
        # Its own rules alone, for what promtool takes its time for is all the others.
        (rendered / f"{alert}.yml").write_text(yaml.safe_dump(alone(alert, rendered / f"{name}.rules.yml")))
        tests = [told(alert, case) for case in cases]
        # A story of weeks is told in longer steps, and rules are looked at as often.
        for step in sorted({test["interval"] for test in tests}):
            told_so = [test for test in tests if test["interval"] == step]
            content = {"rule_files": [f"{alert}.yml"], "evaluation_interval": step, "tests": told_so}
            stories.append(str(rendered / f"{alert}-{step}.story.yml"))
            Path(stories[-1]).write_text(yaml.safe_dump(content))
    assert promtool("test", "rules", *stories).count("SUCCESS") == len(stories) > 0


def alone(alert: str, rules_file: Path) -> dict[str, Any]:
    """The file's group with one alert, and what it records."""
    (group,) = yaml.safe_load(rules_file.read_text())["groups"]
    kept = [rule for rule in group["rules"] if rule.get("alert", alert) == alert]
    return {"groups": [group | {"rules": kept}]}


@needs_promtool
def test_prometheus_takes_the_rules(rendered: Path) -> None:
    """No duplicate, no syntax that only newer ones know."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, sorted(rendered.glob("*.rules.yml"))))


def expressions() -> list[tuple[str, str]]:
    found_texts: list[tuple[str, str]] = []
    for template in TEMPLATES.values():
        for name, texts in template.records.items():
            found_texts += [(name, texts)] if isinstance(texts, str) else [(name, texts["blnk-exporter"])]
        found_texts += [(alert.alert, alert.expr) for alert in template.alerts]
    return found_texts


def test_rules_name_what_is_declared() -> None:
    """A metric or a label that no collector has would be an alert that never fires."""
    declared: dict[str, set[str]] = {}
    for metric in (*OWN, *(metric for collector, _ in collectors.ROOMS for metric in collector.metrics)):
        declared |= {name: {*metric.labels, "job", "instance"} for name in metric.series}
    declared |= {record: set() for template in TEMPLATES.values() for record in template.records}
    for where, text in expressions():
        for name, selector in re.findall(
            r"\b([a-z_]+:[a-z0-9_:]+|blnk_[a-z0-9_]+|up|process_[a-z_]+|http_server_[a-z_]+|ALERTS)\b(?:\{([^}]*)\})?",
            text,
        ):
            assert name in declared.keys() | NATIVE.keys(), f"{where}: {name}"
            known = declared.get(name) or NATIVE.get(name) or set()
            if known and name in declared:
                labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector))
                assert labels <= known, f"{where}: {name}"


def test_no_rule_holds_a_limit_of_its_own() -> None:
    """What is compared with stands in thresholds.yml; 0 and 1 are yes and no."""
    for where, text in expressions():
        found_numbers = re.findall(r"(?:[<>]=?|[=!]=)\s*(?:bool\s*)?(-?[0-9][0-9.e]*)", text)
        assert set(found_numbers) <= {"0", "1"}, f"{where}: {found_numbers}"


def test_every_limit_is_used() -> None:
    """By a rule, at each of its levels: what no rule compares with is no limit."""
    used = {name for _, text in expressions() for name in fill.limits_in(text)}
    assert LIMITS.keys() - used == set()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_the_matter(name: str) -> None:
    """The summary is the same for all of a group; the description is this one's; money comes before monitoring."""
    alert = ALERTS[name]
    assert name.startswith("Blnk") or name == "Watchdog"
    assert alert.summary.endswith(".")
    assert "{{" not in alert.summary
    assert "@{" not in alert.summary
    assert alert.description.rstrip().endswith(".")
    # The limit that it tells is the one that it compares with, and its value is told in that one's unit.
    assert fill.limits_in(alert.summary + alert.description) <= fill.limits_in(alert.expr)
    units = {LIMITS[limit].unit for limit in fill.limits_in(alert.expr)}
    for form, unit in (("humanizePercentage", "ratio"), ("humanizeDuration", "seconds"), ("humanize1024", "bytes")):
        assert not re.search(rf"\$value \| {form}\b", alert.description) or unit in units, form


def test_nobody_woken_is_told_resolved_by_a_dead_exporter(rendered: Path) -> None:
    """Each critical alert outlives its series until BlnkExporterDown fires, a scrape and two minutes later."""
    kept = {
        rule["alert"]: seconds(rule.get("keep_firing_for", ""))
        for path in rendered.glob("*.rules.yml")
        if path.name != "exporter.rules.yml"
        for rule in yaml.safe_load(path.read_text())["groups"][0]["rules"]
        if rule.get("labels", {}).get("severity") == "critical"
    }
    assert len(kept) > 30
    assert {name for name, span in kept.items() if span < 300} == set()


def test_what_is_committed_is_what_is_rendered(rendered: Path) -> None:
    """`blnk-exporter render alerts` brings it up to date."""
    from blnk_exporter.render import tree  # noqa: PLC0415

    committed = Path(__file__).parent.parent.parent / "alerts"
    assert list(tree.differences(alerts.render(fill.Site()), committed, alerts.OWNED)) == []
