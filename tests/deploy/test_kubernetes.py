"""The manifests of deploy/kubernetes: what the API takes, what fits together, and what the exporter makes of them."""

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import blnk_exporter
from blnk_exporter import config
from blnk_exporter.config.own import LEAVES
from blnk_exporter.render import rules
from blnk_exporter.render.fill import Site

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "helm" / "blnk-exporter"
KUSTOMIZATION = yaml.safe_load((MANIFESTS / "kustomization.yml").read_text())
FILES = {path.name: [*yaml.safe_load_all(path.read_text())] for path in sorted(MANIFESTS.glob("*.yml"))}
OBJECTS = {(one["kind"], one["metadata"]["name"]): one for name in KUSTOMIZATION["resources"] for one in FILES[name]}
NAME = "blnk-exporter"
OURS = [key for key in OBJECTS if not OBJECTS[key]["apiVersion"].startswith("monitoring.coreos.com/")]
DASHBOARDS = {path.name: path for path in (ROOT / "dashboards").glob("*.json")}
# The oldest release that the chart is for, and the newest whose schemas there are.
RELEASES = (yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"][2:6], "1.37")
PROBES = {"liveness": "/-/healthy", "readiness": "/-/ready"}
Object = dict[str, Any]


def spec(kind: str) -> Any:
    return OBJECTS[kind, NAME]["spec"]


def pod() -> Any:
    return spec("Deployment")["template"]["spec"]


def container() -> Any:
    (only,) = pod()["containers"]
    return only


def environment() -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container()["env"]}


def exporter_yml() -> str:
    return str(OBJECTS["ConfigMap", NAME]["data"]["exporter.yml"])


def provided() -> Iterator[tuple[str, str, str]]:
    """Kind, name of the object and path in the pod of each file that a volume brings."""
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    for volume in pod()["volumes"]:
        where = mounts[volume["name"]]
        for source in volume.get("projected", {"sources": [volume]})["sources"]:
            if "configMap" in source:
                name = source["configMap"]["name"]
                for key in OBJECTS["ConfigMap", name]["data"]:
                    yield "ConfigMap", name, f"{where}/{key}"
            else:
                secret = source["secret"]
                for item in secret["items"]:
                    yield "Secret", secret.get("secretName") or secret["name"], f"{where}/{item['path']}"


def test_nothing_is_left_out_of_the_kustomization() -> None:
    assert sorted(KUSTOMIZATION["resources"]) == sorted(set(FILES) - {"kustomization.yml", "values.yml"})
    assert sum(len(FILES[name]) for name in KUSTOMIZATION["resources"]) == len(OBJECTS)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("key", OURS, ids="/".join)
def test_the_api_takes_it(key: tuple[str, str], release: str) -> None:
    """Without a field that it does not know: an API server drops those without a word."""
    assert kubernetes_validate.validate(OBJECTS[key], release, strict=True) == release


def test_the_schemas_are_strict() -> None:
    wrong = copy.deepcopy(OBJECTS["Deployment", NAME])
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenessprobe"):
        kubernetes_validate.validate(wrong, RELEASES[-1], strict=True)


@pytest.mark.parametrize("key", OBJECTS, ids="/".join)
def test_objects_are_found_by_their_labels(key: tuple[str, str]) -> None:
    metadata = OBJECTS[key]["metadata"]
    assert metadata["namespace"] == "blnk"
    assert (
        metadata["labels"].items()
        >= {
            "app.kubernetes.io/name": NAME,
            "app.kubernetes.io/instance": NAME,
            "app.kubernetes.io/version": blnk_exporter.__version__,
        }.items()
    )
    # kubectl apply keeps the whole object in an annotation of at most 256 KiB.
    assert len(json.dumps(OBJECTS[key])) < 262_144


def test_everybody_means_the_same_pods() -> None:
    labels = spec("Deployment")["template"]["metadata"]["labels"]
    selector = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": NAME}
    spread = [rule["labelSelector"]["matchLabels"] for rule in pod()["topologySpreadConstraints"]]
    found = [spec("Service")["selector"], spec("NetworkPolicy")["podSelector"]["matchLabels"], *spread]
    found += [spec(kind)["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")]
    assert found == [selector] * 5
    assert selector.items() <= labels.items()
    assert (
        spec("ServiceMonitor")["selector"]["matchLabels"].items()
        <= OBJECTS["Service", NAME]["metadata"]["labels"].items()
    )


def test_the_rules_go_by_the_job_that_the_monitor_makes() -> None:
    labels = OBJECTS["Service", NAME]["metadata"]["labels"]
    assert re.fullmatch(Site.exporter_job, labels[spec("ServiceMonitor")["jobLabel"]])


def test_ports_agree() -> None:
    (port,) = container()["ports"]
    (service,) = spec("Service")["ports"]
    (endpoint,) = spec("ServiceMonitor")["endpoints"]
    (ingress,) = spec("NetworkPolicy")["ingress"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"\nEXPOSE {port['containerPort']}\n" in dockerfile
    assert environment()["BLNK_EXPORTER_WEB_LISTEN_ADDRESS"] == f":{port['containerPort']}"
    assert [service["targetPort"], *(one["port"] for one in ingress["ports"])] == [port["name"]] * 2
    assert endpoint["port"] == service["name"]
    probes = {(one["path"], one["port"]) for one in (container()[f"{kind}Probe"]["httpGet"] for kind in PROBES)}
    assert probes == {(path, port["name"]) for path in PROBES.values()}


def restricted(pod: Object) -> list[str]:
    """What the restricted Pod Security Standard, and an image that writes nothing, have against a pod."""
    own = pod.get("securityContext", {})
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    found += [
        kind for volume in pod["volumes"] for kind in volume if kind not in {"name", "configMap", "projected", "secret"}
    ]
    for one in pod["containers"] + pod.get("initContainers", []):
        context = own | one.get("securityContext", {})
        wanted = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
        wanted |= {"capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
        found += [name for name, value in wanted.items() if context.get(name) != value]
        found += ["privileged"] if context.get("privileged") else []
        found += ["runAsUser"] if not context.get("runAsUser") else []
        found += ["hostPort"] if any("hostPort" in port for port in one["ports"]) else []
        found += ["resources"] if {*one["resources"]} != {"limits", "requests"} else []
    return found + ([] if pod.get("automountServiceAccountToken") is False else ["token"])


BROKEN: dict[str, Callable[[Any], object]] = {
    "hostNetwork": lambda pod: pod.update(hostNetwork=True),
    "hostPath": lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    "runAsNonRoot": lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    "runAsUser": lambda pod: pod["securityContext"].update(runAsUser=0),
    "seccompProfile": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "allowPrivilegeEscalation": lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "readOnlyRootFilesystem": lambda pod: pod["containers"][0]["securityContext"].pop("readOnlyRootFilesystem"),
    "capabilities": lambda pod: pod["containers"][0]["securityContext"]["capabilities"].update(add=["SYS_PTRACE"]),
    "privileged": lambda pod: pod["containers"][0]["securityContext"].update(privileged=True),
    "resources": lambda pod: pod["containers"][0]["resources"].pop("limits"),
    "token": lambda pod: pod.pop("automountServiceAccountToken"),
}


@pytest.mark.parametrize("what", [None, *BROKEN])
def test_pods_are_restricted(what: str | None) -> None:
    """And whatever is taken from it is missed."""
    changed = copy.deepcopy(pod())
    if what:
        BROKEN[what](changed)
    assert restricted(changed) == ([what] if what else [])


def test_the_pod_runs_as_the_image_does() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user
    context = pod()["securityContext"]
    assert [context["runAsUser"], context["runAsGroup"]] == [int(text) for text in user.groups()]
    # Files of 0440 are root's; it reads them by their group.
    assert context["fsGroup"] == context["runAsGroup"]


def test_the_account_is_its_own_and_gives_no_token() -> None:
    account = OBJECTS["ServiceAccount", pod()["serviceAccountName"]]
    assert account["automountServiceAccountToken"] is False
    assert not {kind for kind, _ in OBJECTS} & {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}


def test_services_put_no_variables_into_the_pod() -> None:
    """Those of a Service called blnk begin like Blnk's own."""
    assert pod()["enableServiceLinks"] is False


def test_files_are_where_the_exporter_looks() -> None:
    """In whole directories: what is mounted by subPath never changes."""
    mounts = container()["volumeMounts"]
    assert sorted(mount["name"] for mount in mounts) == sorted(volume["name"] for volume in pod()["volumes"])
    assert not [mount for mount in mounts if "subPath" in mount or not mount["readOnly"]]
    paths = {value for value in environment().values() if value.startswith("/")}
    assert paths == {path for _, _, path in provided()}


def test_secrets_are_referred_to_and_nowhere_told() -> None:
    assert not [kind for kind, _ in OBJECTS if kind == "Secret"]
    assert {name for kind, name, _ in provided() if kind == "Secret"} == {
        "blnk",
        "blnk-exporter-postgres",
        "blnk-exporter-redis",
    }
    secret = {f"BLNK_EXPORTER_{path.upper().replace('.', '_')}" for path, masked in LEAVES.items() if masked}
    assert "BLNK_EXPORTER_POSTGRES_PASSWORD" in secret
    assert not secret & set(environment())
    given = {f"{section}.{key}" for section, keys in yaml.safe_load(exporter_yml()).items() for key in keys}
    assert not {path for path, masked in LEAVES.items() if masked} & given


def test_the_exporter_takes_what_the_pod_gives(tmp_path: Path) -> None:
    """Its own reading of the ConfigMap, the variables and the files, with Secrets made for the purpose."""
    contents = {"exporter.yml": exporter_yml(), "postgres": "pg-secret\n", "redis": "redis-secret\n"}
    contents["blnk.json"] = json.dumps(
        {"data_source": {"dns": "postgres://blnk:x@postgres/blnk"}, "redis": {"dns": "redis:6379"}}
    )
    for _, _, path in provided():
        file = tmp_path / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(contents[file.name])
    given = {name: re.sub("^/", f"{tmp_path}/", value) for name, value in environment().items()}
    loaded = config.load(flags={}, environ=given, directory=tmp_path)
    own = loaded.settings.own
    assert (own.web.host, own.web.port, own.collectors.host) == ("", 10501, False)
    assert own.postgres.password
    assert own.postgres.password.get_secret_value() == "pg-secret"
    assert own.redis.password
    assert own.redis.password.get_secret_value() == "redis-secret"
    assert list(own.servers or []) == ["http://blnk:5001"]


def test_the_exporter_may_reach_what_it_watches() -> None:
    ports = {
        (port["protocol"], port["port"]): [*peer.values()]
        for rule in spec("NetworkPolicy")["egress"]
        for port in rule["ports"]
        for peer in rule["to"]
    }
    assert {("TCP", 5432), ("TCP", 6379), ("TCP", 53), ("UDP", 53)} < ports.keys()
    own = yaml.safe_load(exporter_yml())
    assert {("TCP", int(url.rpartition(":")[2])) for url in own["servers"] + own["workers"]} < ports.keys()
    assert len(ports) == 6
    assert spec("NetworkPolicy")["policyTypes"] == ["Ingress", "Egress"]


def test_one_pod_stays_while_others_go() -> None:
    strategy = spec("Deployment")["strategy"]["rollingUpdate"]
    assert (strategy["maxUnavailable"], strategy["maxSurge"]) == (0, 1)
    assert 0 < spec("PodDisruptionBudget")["maxUnavailable"] < spec("Deployment")["replicas"]


def test_a_scrape_ends_before_the_next_one() -> None:
    (endpoint,) = spec("ServiceMonitor")["endpoints"]
    interval, timeout = (int(endpoint[key].removesuffix("s")) for key in ("interval", "scrapeTimeout"))
    assert 0 < timeout < interval
    # The operator's kind has fields of these names; no more of them are used.
    assert endpoint.keys() == {"port", "path", "scheme", "interval", "scrapeTimeout"}
    assert spec("ServiceMonitor").keys() == {"jobLabel", "selector", "endpoints"}


def test_the_rules_are_those_of_alerts() -> None:
    """But for the host, of which the kubelet tells: in a pod nobody sees PostgreSQL's volume."""
    site = Site(host_metrics="kubelet", host_matchers='namespace="blnk"')
    wanted = [yaml.safe_load(rules.render(template, site))["groups"] for template in rules.templates()]
    found = {group["name"]: group for group in spec("PrometheusRule")["groups"]}
    assert found == {group["name"]: group for groups in wanted for group in groups}
    assert spec("PrometheusRule").keys() == {"groups"}


@pytest.mark.needs("promtool")
def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "kubernetes.rules.yml"
    file.write_text(yaml.safe_dump(spec("PrometheusRule")))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_are_those_of_the_folder() -> None:
    found = [one for (kind, name), one in OBJECTS.items() if kind == "ConfigMap" and name != NAME]
    data = {file: text for one in found for file, text in one["data"].items()}
    assert data == {name: path.read_text() for name, path in DASHBOARDS.items()}
    assert len(found) == len(data)
    assert {one["metadata"]["labels"]["grafana_dashboard"] for one in found} == {"1"}
