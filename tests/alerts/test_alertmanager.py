"""Who is told of what, by Alertmanager's own word on the shipped configuration."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from blnk_exporter import collectors
from blnk_exporter.render import rules
from blnk_exporter.scrape import METRICS

from .alertmanager import ALERTS, CONFIG, SHIPPED, SILENT
from .story import seconds

needs_amtool = pytest.mark.needs("amtool")


def amtool(*arguments: str) -> str:
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_amtool
@pytest.mark.parametrize("text", [SILENT, CONFIG], ids=["as shipped", "with all receivers"])
def test_alertmanager_takes_the_configuration(tmp_path: Path, text: str) -> None:
    """And finds the messages beside it."""
    (tmp_path / "alertmanager.yml").write_text(text)
    shutil.copy(SHIPPED / "blnk.tmpl", tmp_path)
    said = amtool("check-config", str(tmp_path / "alertmanager.yml"))
    assert "1 templates" in said
    assert said.rstrip().endswith("SUCCESS")


def test_as_shipped_no_receiver_dials_out() -> None:
    """An example's address would be tried for as long as alerts fire, and each failure would be an error in the log."""
    shipped = yaml.safe_load(SILENT)
    assert [receiver for receiver in shipped["receivers"] if receiver.keys() != {"name"}] == []
    assert shipped["global"].keys() == {"resolve_timeout"}
    assert [line for line in SILENT.splitlines() if "example.com" in line and not line.lstrip().startswith("#")] == []
    # The examples are whole: each receiver but one has one.
    named = {receiver["name"]: len(receiver) for receiver in yaml.safe_load(CONFIG)["receivers"]}
    assert named == {"nowhere": 1, "dead-mans-switch": 2, "pager": 3, "tickets": 3}


ROUTES = {
    "a page": ("pager", "alertname=BlnkLedgerTransactionsWithoutTask severity=critical service=blnk"),
    "a page of another site": ("pager", "alertname=BlnkPostgresDown severity=critical cluster=eu env=prod"),
    "a ticket": ("tickets", "alertname=BlnkQueuesBacklog severity=warning service=blnk"),
    "context": ("nowhere", "alertname=BlnkPostgresRestarted severity=info service=blnk"),
    "what only inhibits": ("nowhere", "alertname=Something severity=none"),
    "the watchdog": ("dead-mans-switch", "alertname=Watchdog severity=none service=blnk"),
    "a watchdog that somebody made critical": ("dead-mans-switch", "alertname=Watchdog severity=critical"),
    "a severity that nobody knows": ("tickets", "alertname=BlnkQueuesBacklog severity=page service=blnk"),
    "no severity": ("tickets", "alertname=BlnkQueuesBacklog"),
    "somebody else's": ("tickets", "alertname=NodeDown severity=emergency job=node"),
}


@needs_amtool
@pytest.mark.parametrize("what", ROUTES)
def test_each_alert_reaches_who_has_to_act(what: str) -> None:
    """Nothing is lost: what is unknown becomes a ticket."""
    receiver, labels = ROUTES[what]
    file = f"--config.file={SHIPPED}/alertmanager.yml"
    amtool("config", "routes", "test", file, f"--verify.receivers={receiver}", *labels.split())


def test_only_tickets_wait_for_the_morning() -> None:
    """A route that is muted at night loses its pages; and what nobody has thought of never waits."""
    route = yaml.safe_load(CONFIG)["route"]
    waiting = [child["matchers"] for child in route["routes"] if "active_time_intervals" in child]
    assert waiting == [['severity="warning"']]
    assert not {"active_time_intervals", "mute_time_intervals"} & route.keys()


def test_no_secret_stands_in_the_configuration() -> None:
    """Each is a file of its own, in one place."""
    files = re.findall(r"^.*?(\w+_file): (\S+?)[},]?$", CONFIG, re.MULTILINE)
    names = {name for name, _ in files}
    assert names == {"slack_api_url_file", "smtp_auth_password_file", "routing_key_file", "credentials_file"}
    assert all(path.startswith("/etc/alertmanager/secrets/") for _, path in files)
    assert re.findall(r"\b(?:api_url|routing_key|service_key|password|credentials|bearer_token):", CONFIG) == []


def test_inhibition_names_alerts_that_exist() -> None:
    """A rule for an alert that was renamed would mute nothing, and nobody would notice."""
    known = {"alertname": set(ALERTS), "component": set(ALERTS.values())}
    known["collector"] = {collector.name for collector, _ in collectors.ROOMS}
    for rule in yaml.safe_load(CONFIG)["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, value = re.fullmatch(r'(\w+)(?:=~|!=|!~|=)"(.+)"', matcher).groups()
            if label in known:
                assert set(value.split("|")) <= known[label], matcher


def test_a_critical_alert_mutes_only_its_own_warning() -> None:
    """`equal` must hold every label that tells one queue, disk or server from another."""
    (rule,) = (rule for rule in yaml.safe_load(CONFIG)["inhibit_rules"] if "alertname" in rule["equal"])
    declared = {
        metric.name: set(metric.labels)
        for metric in (*METRICS, *(metric for collector, _ in collectors.ROOMS for metric in collector.metrics))
    }
    for template in rules.templates():
        for alert in template.alerts:
            if alert.severity.keys() >= {"warning", "critical"}:
                texts = [alert.expr, *(str(text) for name, text in template.records.items() if name in alert.expr)]
                names = set(re.findall(r"\bblnk_[a-z0-9_]+", " ".join(texts)))
                labels = set().union(*(declared.get(name, set()) for name in names))
                assert labels <= set(rule["equal"]), alert.alert


# What ends with its cause: were it to fire on for longer, somebody would be called when all is well again.
FOLLOWERS = {
    "BlnkPostgresDown": ("BlnkServerDown", "BlnkServerSlow", "BlnkQueuesWaiting"),
    "BlnkRedisDown": ("BlnkQueuesWaiting", "BlnkWorkersNone"),
    "BlnkWorkersNone": ("BlnkWorkersDown", "BlnkWorkersQueueUnserved", "BlnkQueuesWaiting"),
}


@pytest.mark.parametrize("cause", FOLLOWERS)
def test_a_cause_outlasts_what_follows_from_it(cause: str) -> None:
    """A cause that no longer fires mutes nothing."""
    kept = {alert.alert: seconds(alert.keep_firing_for) for template in rules.templates() for alert in template.alerts}
    assert {name: kept[name] for name in FOLLOWERS[cause] if kept[name] >= kept[cause]} == {}
