"""Plain hosts, the image and Prometheus' own files: what can be held without systemd, an engine, or other machines."""

import re
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

from blnk_exporter import watchdog
from blnk_exporter.render.targets import render as render_targets

from ..programs import program

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/systemd/blnk-exporter.service"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# What a unit that only reads and talks can do without.
HARDENED = {
    "ProtectSystem": "strict",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
}


def unit() -> dict[str, list[str]]:
    """Each directive with its values; systemd lets one stand several times."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_is_locked_in() -> None:
    """It may neither write nor gain a right; it has a user of its own and bounds."""
    found = unit()
    for key, value in HARDENED.items():
        assert found[key] == [value], key
    assert found["User"] == ["blnk-exporter"]
    assert {"MemoryMax", "TasksMax", "LimitNOFILE"} <= set(found)
    assert found["Restart"] == ["always"]
    assert found["Type"] == ["notify"]
    assert int(found["WatchdogSec"][0].removesuffix("s")) >= 2 * watchdog.STILL_SECONDS
    assert "HUP" in found["ExecReload"][0]


def test_the_units_program_and_user_are_those_of_the_instructions() -> None:
    """A path that is made nowhere would be found out by the first who installs it."""
    text = (ROOT / "deploy/systemd/README.md").read_text()
    program = unit()["ExecStart"][0].split()[0]
    assert f"python3 -m venv {Path(program).parents[1]}" in text
    for path in re.findall(r"deploy/[\w./-]+\.(?:service|conf|yml)", text):
        assert (ROOT / path).is_file(), path
    sysusers = (ROOT / "deploy/systemd/blnk-exporter.sysusers.conf").read_text().splitlines()
    assert any(line.split()[:2] == ["u", "blnk-exporter"] for line in sysusers)


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """Every directive, by systemd's own judge; and what it thinks of its safety."""
    analyze = program("systemd-analyze")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/blnk-exporter/bin/blnk-exporter", "/bin/true"))
    done = subprocess.run([analyze, "verify", copy], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []
    judged = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", copy], capture_output=True, text=True, check=False
    )
    if "Unknown" not in judged.stderr and "unrecognized" not in judged.stderr:
        assert judged.returncode == 0, judged.stdout[-300:]


@pytest.mark.parametrize("name", ["prometheus.yml", "fleet.yml"])
def test_prometheus_takes_its_configuration(tmp_path: Path, name: str) -> None:
    """By its own judge, with our rules and a token beside it."""
    promtool = program("promtool")
    text = (ROOT / "deploy/prometheus" / name).read_text()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/blnk_metrics_token").write_text("t")
    shutil.copytree(ROOT / "alerts", tmp_path / "blnk")
    targets = render_targets("0.15.2", ["blnk-server:5001", "blnk-worker:5004"])
    (tmp_path / "blnk/blnk-targets.yml").write_text(targets["blnk-targets.yml"])
    (tmp_path / name).write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))
    done = subprocess.run([promtool, "check", "config", tmp_path / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    assert len(re.findall(r"SUCCESS: \d+ rules found", done.stdout)) == len([*(ROOT / "alerts").glob("*.rules.yml")])


def test_prometheus_configurations_name_the_jobs_that_rules_know() -> None:
    """Ours, and Blnk's own by a name that `--blnk-job` matches by default."""
    one = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    many = yaml.safe_load((ROOT / "deploy/prometheus/fleet.yml").read_text())
    jobs = {job["job_name"] for job in one["scrape_configs"]}
    assert {"blnk-exporter", "blnk"} <= jobs
    assert "blnk-exporter" in {job["job_name"] for job in many["scrape_configs"]}
    for each in (one, many):
        assert each["global"]["scrape_interval"] == "15s"


def test_the_image_is_pinned_and_runs_as_nobody() -> None:
    """By version, as a number, without a shell line, and with a check of its health."""
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    images = re.findall(r"^ARG PYTHON_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", images[0])
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["65532:65532"]
    assert "HEALTHCHECK" in DOCKERFILE
    assert 'CMD ["blnk-exporter", "ping"]' in DOCKERFILE
    assert 'ENTRYPOINT ["blnk-exporter"]' in DOCKERFILE
    assert not re.search(r"^ADD ", DOCKERFILE, re.MULTILINE)
    assert "--require-hashes" in DOCKERFILE
    assert "compileall" in DOCKERFILE
    version = re.search(r"__version__ = \"([^\"]+)\"", (ROOT / "exporter/blnk_exporter/__init__.py").read_text())[1]
    assert f"ARG VERSION={version}" in DOCKERFILE
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert tuple(map(int, images[0].split(":")[1].split("-")[0].split(".")[:2])) >= tuple(
        map(int, supported[2:].split("."))
    )


def test_the_image_is_built_without_a_foreign_frontend() -> None:
    """A line `# syntax=` makes BuildKit fetch a frontend image from a registry and run it for every build."""
    assert not re.search(r"^#\s*(?:syntax|escape|check)\s*=", DOCKERFILE, re.MULTILINE | re.IGNORECASE)


def test_the_image_listens_on_both_families() -> None:
    """As the chart does: an address of IPv4 cannot be reached in a network that has only IPv6."""
    assert "BLNK_EXPORTER_WEB_LISTEN_ADDRESS=:10501" in DOCKERFILE


def test_the_image_s_health_check_has_time() -> None:
    """Under half of a CPU, on a busy machine, and while the exporter starts."""
    (check,) = re.findall(r"^HEALTHCHECK (.+) CMD", DOCKERFILE, re.MULTILINE)
    assert dict(re.findall(r"--([\w-]+)=(\d+)", check)) == {
        "interval": "30",
        "timeout": "15",
        "start-period": "60",
        "retries": "3",
    }


@pytest.mark.parametrize(
    "name", ["compose/secrets/blnk.json", "compose/.env", "compose/web/tls.key", "compose/web/web.yml"]
)
def test_secrets_of_a_deployment_are_kept_out(name: str) -> None:
    """Of the repository by .gitignore, and of what is sent to the builder by .dockerignore."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    assert any(f"deploy/{name}" == line or (line.endswith("/") and f"deploy/{name}".startswith(line)) for line in lines)
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert sent[0] == "*"
    assert {line for line in sent if line.startswith("!")} == {
        "!exporter", "!requirements", "!pyproject.toml", "!README.md", "!LICENSE",
    }  # fmt: skip


def test_hadolint_finds_nothing() -> None:
    """Not even a hint."""
    program = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([program, "--no-fail", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
