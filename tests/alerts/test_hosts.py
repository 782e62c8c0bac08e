"""Each source of host metrics: rules that Prometheus takes, the same labels, and alerts only where it can tell."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from blnk_exporter.render import alerts, rules
from blnk_exporter.render.fill import HOST_METRICS, Site

from .story import LIMITS, Case, told
from .test_rules import needs_promtool, promtool

HOST = next(template for template in rules.templates() if template.name == "host")
EVERYWHERE = {"BlnkHostDiskHigh", "BlnkHostInodesHigh", "BlnkHostDiskFilling"}
EVERY = {alert.alert for alert in HOST.alerts}
FULL = LIMITS["host.disk"].critical or 0
SIZE = 1_000_000
NODE = 'job="node",instance="db-1:9100",device="/dev/sda1",fstype="ext4",mountpoint="/var/lib/postgresql"'
MEMORY_DISK = 'job="node",instance="db-1:9100",device="tmpfs",fstype="tmpfs",mountpoint="/dev/shm"'
OTHERS = 'job="node",instance="web-1:9100",device="/dev/sda1",fstype="ext4",mountpoint="/"'
CLAIM = 'job="kubelet",instance="10.0.0.1:10250",namespace="blnk",persistentvolumeclaim="data-postgres-0"'
STRANGERS = 'job="kubelet",instance="10.0.0.1:10250",namespace="shop",persistentvolumeclaim="data-0"'


def _node(labels: str, used: float) -> dict[str, float]:
    """A tenth is for root alone."""
    values = {"size": SIZE, "free": SIZE * (1 - used), "avail": SIZE * (1 - used)}
    return {f"node_filesystem_{what}_bytes{{{labels}}}": value for what, value in values.items()}


def _claim(labels: str, used: float) -> dict[str, float]:
    values = {"used": SIZE * used, "available": SIZE * (1 - used)}
    return {f"kubelet_volume_stats_{what}_bytes{{{labels}}}": value for what, value in values.items()}


STORIES: Mapping[str, tuple[str, Case, str]] = {
    "node_exporter": (
        'instance=~"db-.*"',
        Case(
            quiet=_node(NODE, FULL),
            loud=_node(NODE, FULL + 0.001),
            always=_node(MEMORY_DISK, 0.999) | _node(OTHERS, 0.999),
            severity="critical",
        ),
        '{instance="db-1:9100",job="node",path="/var/lib/postgresql"}',
    ),
    "kubelet": (
        'namespace="blnk"',
        Case(
            quiet=_claim(CLAIM, FULL),
            loud=_claim(CLAIM, FULL + 0.001),
            always=_claim(STRANGERS, 0.999),
            severity="critical",
        ),
        '{instance="10.0.0.1:10250",job="kubelet",namespace="blnk",path="data-postgres-0"}',
    ),
}


def written(directory: Path, site: Site) -> list[Path]:
    for name, text in alerts.render(site).items():
        if name.endswith(".rules.yml"):
            (directory / name).write_text(text)
    return sorted(directory.glob("*.rules.yml"))


@needs_promtool
@pytest.mark.parametrize("matchers", ["", 'job="node",instance=~"db-.*"'])
@pytest.mark.parametrize("source", HOST_METRICS)
def test_prometheus_takes_the_rules_of_each_source(source: str, matchers: str, tmp_path: Path) -> None:
    """With hosts that are told apart from others, and without."""
    files = written(tmp_path, Site(host_metrics=source, host_matchers=matchers))
    promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, files))


@pytest.mark.parametrize(
    ("source", "wanted"), [("blnk-exporter", EVERY), ("node_exporter", EVERY), ("kubelet", EVERYWHERE)]
)
def test_what_a_source_cannot_tell_is_no_rule(source: str, wanted: set[str]) -> None:
    """Neither in the rules nor in their index; and every series that a rule reads is recorded."""
    site = Site(host_metrics=source)
    found = yaml.safe_load(rules.render(HOST, site))["groups"][0]["rules"]
    assert {rule["alert"] for rule in found if "alert" in rule} == wanted
    index = alerts.render(site)["README.md"]
    assert {name for name in EVERY if f"[{name}]" in index} == wanted
    recorded = {rule["record"] for rule in found if "record" in rule}
    read = {name for rule in found if "alert" in rule for name in HOST.records if name in rule["expr"]}
    assert read == recorded


@needs_promtool
@pytest.mark.parametrize("source", STORIES)
def test_a_full_disk_is_told_whoever_watches_it(source: str, tmp_path: Path) -> None:
    """Of Blnk's hosts, and of no others; a disk in memory is none."""
    matchers, case, labels = STORIES[source]
    written(tmp_path, Site(host_metrics=source, host_matchers=matchers))
    story = told("BlnkHostDiskHigh", case)
    # In the midst of trouble: the labels are those that alerts and panels name.
    at = story["promql_expr_test"][1]["eval_time"]
    story["promql_expr_test"].append(
        {
            "expr": f"host:blnk_filesystem_used:ratio > bool {FULL}",
            "eval_time": at,
            "exp_samples": [{"labels": labels, "value": 1}],
        }
    )
    content = {"rule_files": ["host.rules.yml"], "evaluation_interval": "15s", "tests": [story]}
    (tmp_path / "story.yml").write_text(yaml.safe_dump(content))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "story.yml"))
