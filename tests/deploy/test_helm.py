"""The chart of deploy/helm: which values it takes, and what it makes of them."""

import base64
import gzip
import json
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

import blnk_exporter
from blnk_exporter import config
from blnk_exporter.config import own
from blnk_exporter.render import rules
from blnk_exporter.render.fill import Site

from ..programs import program

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "blnk-exporter"
MANIFESTS = ROOT / "deploy" / "kubernetes"
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
needs_helm = pytest.mark.needs("helm")
Objects = dict[tuple[str, str], Any]

# Everything that an operator may set, at once.
ALL = """
fullnameOverride: watcher
image: {repository: registry.example.com/blnk-exporter, digest: "sha256:DIGEST"}
imagePullSecrets: [{name: pull}]
blnk: {existingSecret: "", existingConfigMap: blnk-json, key: conf.json}
envFrom: [{secretRef: {name: blnk-env}}]
env: [{name: BLNK_EXPORTER_POSTGRES_DSN, valueFrom: {secretKeyRef: {name: databases, key: postgres}}}]
passwords: {redis: {existingSecret: redis, key: exporter}}
config: {ledger: {open_rows: 1000000}, web: {telemetry_path: /prometheus}, collectors: {books: false}}
webConfig: {existingSecret: web, certificateSecret: certificate, tls: true}
volumes: [{name: ca, configMap: {name: ca}}]
volumeMounts: [{name: ca, mountPath: /etc/ca, readOnly: true}]
service: {port: 80, annotations: {team: ledger}}
serviceAccount: {name: watchers, annotations: {team: ledger}}
networkPolicy: {ingress: {from: []}, egress: {postgres: {to: [{ipBlock: {cidr: 10.20.0.0/24}}], ports: [6432]}}}
priorityClassName: high
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: monitoring, operator: Exists}]
affinity: {podAntiAffinity: {}}
podAnnotations: {team: ledger}
podLabels: {team: ledger}
serviceMonitor:
  enabled: true
  labels: {release: prometheus}
  tlsConfig: {ca: {secret: {name: certificate, key: ca.crt}}, serverName: watcher}
  basicAuth: {username: {name: scraper, key: user}, password: {name: scraper, key: password}}
rules:
  enabled: true
  labels: {release: prometheus}
  exporterUrl: https://watcher.example.com/blnk
  grafanaUrl: https://grafana.example.com
  hostMetrics: node_exporter
  hostMatchers: 'instance=~"db-\\\\d+", job="node"'
dashboards: {enabled: true, namespace: grafana}
""".replace("DIGEST", "0" * 64)


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("helm"), *map(str, arguments)], capture_output=True, text=True, check=False)


def template(tmp_path: Path, values: str, *, release: str = "ledger", namespace: str = "money") -> Objects:
    """What the chart makes of values, by kind and name."""
    file = tmp_path / "values.yml"
    file.write_text(values)
    done = helm("template", release, CHART, "--namespace", namespace, "--kube-version", "1.27.0", "--values", file)
    assert done.returncode == 0, done.stderr
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout) if one}


def groups(site: Site) -> dict[str, Any]:
    texts = [yaml.safe_load(rules.render(template, site)) for template in rules.templates()]
    return {group["name"]: group for text in texts for group in text["groups"]}


def merged(base: Any, over: Any) -> Any:
    """As Helm lays values over the chart's own."""
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: merged(base.get(key), value) for key, value in over.items()}
    return over


def faults(values: str) -> Iterator[str]:
    """Where the schema finds something wrong."""
    given = merged(DEFAULTS, yaml.safe_load(values))
    for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(given):
        yield ".".join(map(str, error.absolute_path))


def test_the_first_keys_of_exporter_yml_are_known() -> None:
    """A slip is refused by Helm, and not by a pod that does not start."""
    known = SCHEMA["properties"]["config"]["propertyNames"]["enum"]
    assert set(known) == {"targets", *(key.partition(".")[0] for key in own.KEYS)}


TAKEN = {"nothing": "{}", "the example": (MANIFESTS / "values.yml").read_text(), "everything": ALL}
REFUSED = {
    "a password": ("config: {postgres: {password: x}}", "config.postgres.password"),
    "a password of Redis": ("config: {redis: {password: x}}", "config.redis.password"),
    "one in a URL": ("config: {postgres: {dsn: 'postgres://blnk:x@db/blnk'}}", "config.postgres.dsn"),
    "one in a connection string": ("config: {postgres: {dsn: host=db password=x}}", "config.postgres.dsn"),
    "one of a replica": ("config: {postgres: {replicas: ['postgres://u:x@db/b']}}", "config.postgres.replicas.0"),
    "one of Redis without a user": ("config: {redis: {dsn: 'redis://:x@redis'}}", "config.redis.dsn"),
    "one far below": ("config: {targets: [{postgres: {password: x}}]}", "config.targets.0.postgres.password"),
    "one of a server": ("config: {servers: ['http://u:x@blnk:5001']}", "config.servers.0"),
    "one as a variable": ("env: [{name: BLNK_EXPORTER_POSTGRES_PASSWORD, value: x}]", "env.0"),
    "Blnk's own as a variable": ("env: [{name: BLNK_DATA_SOURCE_DNS, value: x}]", "env.0"),
    "an address that the chart gives": ("config: {web: {listen_address: ':1'}}", "config.web.listen_address"),
    "a token as a value": (
        "serviceMonitor: {authorization: {credentials: x}}",
        "serviceMonitor.authorization.credentials",
    ),
    "an unknown key": ("replica: 2", ""),
    "an unknown key below": ("image: {tags: x}", "image"),
    "an unknown key of exporter.yml": ("config: {servrs: []}", "config"),
    "no number of pods": ("replicas: -1", "replicas"),
    "no release": ("image: {tag: latest}", "image.tag"),
    "no digest": ("image: {digest: 'sha256:0'}", "image.digest"),
    "a name in capitals": ("blnk: {existingSecret: Blnk}", "blnk.existingSecret"),
    "no port": ("service: {port: 0}", "service.port"),
    "no ports of a database": ("networkPolicy: {egress: {redis: {ports: []}}}", "networkPolicy.egress.redis.ports"),
    "another selector": (
        "topologySpreadConstraints: [{labelSelector: {}}]",
        "topologySpreadConstraints.0.labelSelector",
    ),
    "an unknown source": ("rules: {hostMetrics: cadvisor}", "rules.hostMetrics"),
    "what no PromQL is": ("rules: {hostMatchers: 'instance=db'}", "rules.hostMatchers"),
    "an address with a quote": ("rules: {exporterUrl: 'http://a\"b'}", "rules.exporterUrl"),
    "no interval": ("serviceMonitor: {interval: often}", "serviceMonitor.interval"),
}


@pytest.mark.parametrize("what", TAKEN)
def test_the_schema_takes(what: str) -> None:
    assert [*faults(TAKEN[what])] == []


@pytest.mark.parametrize("what", REFUSED)
def test_the_schema_refuses(what: str) -> None:
    """A secret among the values, above all: they lie in the cluster for whoever reads the release."""
    values, where = REFUSED[what]
    assert where in set(faults(values))


def test_the_chart_has_the_rules_and_dashboards_of_today() -> None:
    """Copies, since a chart is packed from its own folder and many tools follow no links."""
    copies = {path.relative_to(CHART / "files").as_posix(): path.read_text() for path in (CHART / "files").rglob("*.*")}
    alerts = {path.name: path.read_text() for path in (ROOT / "alerts").glob("*.rules.yml")}
    wanted = {"host/blnk-exporter.rules.yml": alerts.pop("host.rules.yml")}
    (host,) = (template for template in rules.templates() if template.name == "host")
    for source in ("kubelet", "node_exporter"):
        text = rules.render(host, Site(host_metrics=source, host_matchers='hosts_of_blnk=""'))
        wanted[f"host/{source}.rules.yml"] = text
    wanted |= {f"alerts/{name}": text for name, text in alerts.items()}
    wanted |= {f"dashboards/{path.name}": path.read_text() for path in (ROOT / "dashboards").glob("*.json")}
    assert copies == wanted


def test_the_chart_is_for_this_exporter() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == blnk_exporter.__version__


def test_a_release_fits_into_its_secret() -> None:
    """Helm keeps chart and manifests of each release, packed, in one Secret, which holds a MiB."""
    files = {str(path): base64.b64encode(path.read_bytes()).decode() for path in CHART.rglob("*") if path.is_file()}
    manifests = "".join(path.read_text() for path in MANIFESTS.glob("*.yml"))
    packed = base64.b64encode(gzip.compress(json.dumps([files, manifests]).encode()))
    assert 100_000 < len(packed) < 750_000


@needs_helm
@pytest.mark.parametrize("what", TAKEN)
def test_helm_finds_nothing_to_say(what: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yml"
    file.write_text(TAKEN[what])
    done = helm("lint", "--strict", "--quiet", "--kube-version", "1.27.0", "--values", file, CHART)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


@needs_helm
def test_the_manifests_are_what_the_chart_makes(tmp_path: Path) -> None:
    made = template(tmp_path, TAKEN["the example"], release="blnk-exporter", namespace="blnk")
    resources = yaml.safe_load((MANIFESTS / "kustomization.yml").read_text())["resources"]
    kept = [one for name in resources for one in yaml.safe_load_all((MANIFESTS / name).read_text())]
    assert made == {(one["kind"], one["metadata"]["name"]): one for one in kept}


CONTRADICTIONS = {
    "blnk: {existingSecret: a, existingConfigMap: b}": "not from both",
    "webConfig: {tls: true}": "need webConfig.existingSecret",
    "config: {postgres: {password: x}}": "config.postgres.password",
}


@needs_helm
@pytest.mark.parametrize("values", CONTRADICTIONS)
def test_helm_refuses(values: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=CONTRADICTIONS[values]):
        template(tmp_path, values)


@needs_helm
def test_by_default_there_is_nothing_that_a_bare_cluster_lacks(tmp_path: Path) -> None:
    """No kind of the Prometheus Operator; and one pod has no budget, which would keep its node from being drained."""
    made = template(tmp_path, "{}")
    kinds = ["ConfigMap", "Deployment", "NetworkPolicy", "Service", "ServiceAccount"]
    assert sorted(made) == [(kind, "ledger-blnk-exporter") for kind in kinds]
    assert made["Deployment", "ledger-blnk-exporter"]["spec"]["replicas"] == 1


@needs_helm
def test_everything_at_once(tmp_path: Path) -> None:
    made = template(tmp_path, ALL)
    for (kind, _), one in made.items():
        if not one["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes_validate.validate(one, "1.27", strict=True)
        assert one["metadata"]["namespace"] == (
            "grafana" if "grafana_dashboard" in str(one["metadata"]) else "money"
        ), kind
    pod = made["Deployment", "watcher"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"registry.example.com/blnk-exporter@sha256:{'0' * 64}"
    assert {container[f"{kind}Probe"]["httpGet"]["scheme"] for kind in ("startup", "liveness", "readiness")} == {
        "HTTPS"
    }
    assert sorted(mount["name"] for mount in container["volumeMounts"]) == ["blnk", "ca", "config", "passwords", "web"]
    assert [*made["ServiceAccount", "watchers"]["metadata"]["annotations"]] == ["team"]
    assert pod["serviceAccountName"] == "watchers"
    # A number stays one, which is no matter of course: 1e+06 would be a text for the exporter.
    own = yaml.safe_load(made["ConfigMap", "watcher"]["data"]["exporter.yml"])
    assert (own["ledger"]["open_rows"], own["collectors"]) == (1000000, {"host": False, "books": False})
    (endpoint,) = made["ServiceMonitor", "watcher"]["spec"]["endpoints"]
    assert (endpoint["scheme"], endpoint["path"]) == ("https", "/prometheus")
    assert {"tlsConfig", "basicAuth"} < endpoint.keys()
    given = {"exporter_url": "https://watcher.example.com/blnk", "grafana_url": "https://grafana.example.com"}
    site = Site(host_metrics="node_exporter", host_matchers='instance=~"db-\\\\d+", job="node"', **given)
    assert {group["name"]: group for group in made["PrometheusRule", "watcher"]["spec"]["groups"]} == groups(site)
    board = made["ConfigMap", "watcher-overview"]["data"]["blnk-overview.json"]
    assert "https://watcher.example.com/blnk/runbooks/" in board
    assert Site.exporter_url not in board


FLEET = """
blnk: {existingSecret: ""}
config: {targets: {a: {environment_file: /etc/a.env, servers: ["http://a:5001"], workers: []}}}
serviceMonitor: {enabled: true, basicAuth: {username: {name: scraper, key: user}}}
"""


@needs_helm
def test_several_blnks(tmp_path: Path) -> None:
    """Prometheus is sent to the exporter's own list; what names the one Blnk of the defaults is left out."""
    made = template(tmp_path, FLEET)
    (own,) = made["ServiceMonitor", "ledger-blnk-exporter"]["spec"]["endpoints"]
    assert own["relabelings"] == [{"targetLabel": "job", "replacement": "blnk-exporters"}]
    assert not re.fullmatch(Site.exporter_job, "blnk-exporters")
    scrape = made["ScrapeConfig", "ledger-blnk-exporter"]["spec"]
    assert re.fullmatch(Site.exporter_job, scrape["jobName"])
    (discovery,) = scrape["httpSDConfigs"]
    assert discovery["url"] == "http://ledger-blnk-exporter.money.svc:10501/sd"
    assert discovery["basicAuth"] == scrape["basicAuth"]
    assert scrape["scheme"] == "HTTP"
    own = yaml.safe_load(made["ConfigMap", "ledger-blnk-exporter"]["data"]["exporter.yml"])
    assert {"servers", "workers"}.isdisjoint(own)
    loaded = config.load(flags={}, environ={}, directory=tmp_path, config_file=written(tmp_path, own))
    assert list(loaded.targets) == ["a"]
    below = FLEET.replace("config: {", 'config: {web: {external_url: "https://ops.example/blnk"}, ')
    (discovery,) = template(tmp_path, below)["ScrapeConfig", "ledger-blnk-exporter"]["spec"]["httpSDConfigs"]
    assert discovery["url"] == "http://ledger-blnk-exporter.money.svc:10501/blnk/sd"
    (tmp_path / "values.yml").write_text(FLEET + "replicas: 2\n")
    refused = helm("template", "ledger", CHART, "--kube-version", "1.27.0", "--values", tmp_path / "values.yml")
    assert "replicas must be 1" in refused.stderr


def written(directory: Path, content: Any) -> Path:
    path = directory / "exporter.yml"
    path.write_text(json.dumps(content))
    return path


@needs_helm
@pytest.mark.parametrize("source", ["blnk-exporter", "kubelet", "node_exporter", "none"])
def test_the_host_s_rules_are_of_one_source(source: str, tmp_path: Path) -> None:
    made = template(tmp_path, f"rules: {{enabled: true, hostMetrics: {source}}}")
    found = {group["name"]: group for group in made["PrometheusRule", "ledger-blnk-exporter"]["spec"]["groups"]}
    if source == "none":
        wanted = {name: group for name, group in groups(Site()).items() if name != "blnk-host"}
    else:
        wanted = groups(Site(host_metrics=source, host_matchers='namespace="money"' if source == "kubelet" else ""))
    assert found == wanted


@needs_helm
@pytest.mark.parametrize(
    ("web", "prefix"),
    [
        ('{external_url: "https://ops.example/blnk/"}', "/blnk"),
        ('{external_url: "https://ops.example/blnk", route_prefix: /}', ""),
        ("{route_prefix: ops/blnk}", "/ops/blnk"),
        ("{listen_address: null}", ""),
    ],
)
def test_probes_and_scrapes_go_below_the_prefix(web: str, prefix: str, tmp_path: Path) -> None:
    """The chart finds the prefix where the exporter itself does."""
    made = template(tmp_path, f"config: {{web: {web}}}\nserviceMonitor: {{enabled: true}}")
    (container,) = made["Deployment", "ledger-blnk-exporter"]["spec"]["template"]["spec"]["containers"]
    paths = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")]
    (endpoint,) = made["ServiceMonitor", "ledger-blnk-exporter"]["spec"]["endpoints"]
    assert [*paths, endpoint["path"]] == [f"{prefix}{path}" for path in ("/-/healthy", "/-/ready", "/metrics")]
    (directory := tmp_path / "exporter").mkdir()
    (directory / "exporter.yml").write_text(made["ConfigMap", "ledger-blnk-exporter"]["data"]["exporter.yml"])
    loaded = config.load(flags={"servers": "http://a"}, environ={}, directory=directory)
    assert loaded.settings.own.web.prefix == prefix


@needs_helm
@pytest.mark.parametrize("why", ["tls: true, clientCertificates: true", "protectHealth: true"])
def test_a_kubelet_without_credentials_asks_in_another_way(why: str, tmp_path: Path) -> None:
    made = template(tmp_path, f"webConfig: {{existingSecret: web, {why}}}")
    (container,) = made["Deployment", "ledger-blnk-exporter"]["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["exec"]["command"] == ["blnk-exporter", "ping"]
    for name, period in (("livenessProbe", 30), ("readinessProbe", 30), ("startupProbe", 5)):
        assert "httpGet" not in container[name]
        # A tenth of a CPU second each.
        assert (container[name]["periodSeconds"], container[name]["timeoutSeconds"]) == (period, 15)


def test_probes_have_time() -> None:
    """For a start on a busy node two minutes; a page that is late by seconds ends no pod."""
    probes = DEFAULTS["probes"]
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 120
    assert probes["liveness"]["periodSeconds"] == 30
    assert min(probe["timeoutSeconds"] for probe in probes.values()) >= 10


URLS = {
    "rules: {enabled: true}": {"rules.exporterUrl", "rules.grafanaUrl"},
    "dashboards: {enabled: true}": {"rules.exporterUrl"},
    "rules: {enabled: true, exporterUrl: 'https://e.example'}": {"rules.grafanaUrl"},
    "rules: {enabled: true, exporterUrl: 'https://e.example', grafanaUrl: 'https://g.example'}": set(),
    "{}": set(),
}


@needs_helm
@pytest.mark.parametrize("values", URLS)
def test_links_that_lead_nowhere_are_noted(values: str, tmp_path: Path) -> None:
    """Helm prints it after an installation: names of Services do not resolve in a browser."""
    # Helm prints notes only with a cluster; so they are rendered as an object of the chart.
    shutil.copytree(CHART, tmp_path / "chart")
    notes = (CHART / "templates/NOTES.txt").read_text()
    text = "kind: Notes\nmetadata: {name: notes}\ntext: |\n  Notes:\n" + textwrap.indent(notes, "  ")
    (tmp_path / "chart/templates/notes.yml").write_text(text)
    (tmp_path / "values.yml").write_text(values)
    done = helm(
        "template", "ledger", tmp_path / "chart", "--kube-version", "1.27.0", "--values", tmp_path / "values.yml"
    )
    assert done.returncode == 0, done.stderr
    (shown,) = (one["text"] for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == "Notes")
    assert "port-forward" in shown
    noted = [line for line in shown.splitlines() if "lead nowhere yet" in line]
    assert {name for name in ("rules.exporterUrl", "rules.grafanaUrl") for line in noted if name in line} == URLS[
        values
    ]
