"""What is released works where there is no checkout: installed from the wheel, beside nothing but the locked packages."""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

from blnk_exporter.sandbox.process import free_port

from ..waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/ci.yml"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheel and source distribution of this checkout, and the wheel that the latter gives."""
    made = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d"]
    subprocess.run([*build, made], cwd=ROOT, check=True, capture_output=True)
    (source,) = made.glob("*.tar.gz")
    with tarfile.open(source) as packed:
        # Before Python 3.11.4 there is no filter to ask for, and from 3.14 on it is asked for anyway.
        packed.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        packed.extractall(made / "source")
    (unpacked,) = (made / "source").iterdir()
    subprocess.run([*build, made / "again", "-t", "wheel"], cwd=unpacked, check=True, capture_output=True)
    (wheel,) = made.glob("*.whl")
    (again,) = (made / "again").glob("*.whl")
    return {"wheel": wheel, "source": source, "again": again}


@pytest.fixture(scope="module")
def installed(dist: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment of its own. Packages that it needs come from this one, which has them locked."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", dist["wheel"]], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    # A path in such a file is searched; such files in that path, as that of an editable install, are not read.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    return home / "bin/blnk-exporter"


@pytest.fixture
def command(installed: Path, tmp_path: Path) -> Command:
    """Run it in an empty directory."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [installed, *arguments], cwd=tmp_path, env=clean(), capture_output=True, text=True, check=False
        )

    return run


def clean() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "BLNK" not in name and "PYTHON" not in name}
    return kept | {"PYTHONUNBUFFERED": "1"}


def test_wheel_and_source_hold_the_same(dist: dict[str, Path]) -> None:
    """Whoever builds from source gets what we release; no test, and nothing of this machine, is in the wheel."""
    contents = []
    for kind in ("wheel", "again"):
        with zipfile.ZipFile(dist[kind]) as packed:
            contents.append({name: packed.read(name) for name in packed.namelist() if not name.endswith("RECORD")})
    assert contents[0] == contents[1]
    names = {name for name in contents[0] if not name.startswith("blnk_exporter/")}
    assert all(".dist-info/" in name for name in names)
    assert {"blnk_exporter/thresholds.yml", "blnk_exporter/web/status.css", "blnk_exporter/py.typed"} <= set(
        contents[0]
    )
    assert not [name for name in contents[0] if "__pycache__" in name or "/tests/" in name]
    with tarfile.open(dist["source"]) as packed:
        paths = {name.partition("/")[2] for name in packed.getnames()}
    assert {"alerts/queues.rules.yml", "deploy/compose/compose.yml", "tests/deploy/test_package.py", "LICENSE"} <= paths
    assert not [path for path in paths if path.startswith((".venv", ".git/")) or "secrets/" in path]


def test_it_is_the_installed_one_that_runs(installed: Path, tmp_path: Path) -> None:
    """Not this checkout: or all that follows would prove nothing."""
    python = installed.with_name("python")
    told = subprocess.run(
        [python, "-c", "import blnk_exporter; print(blnk_exporter.__file__)"],
        cwd=tmp_path, env=clean(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(told.stdout.strip()).is_relative_to(installed.parents[1])


def test_rules_boards_and_documents_are_in_it(command: Command, tmp_path: Path) -> None:
    """They are rendered as they are committed."""
    assert command("--version").stdout.startswith("blnk-exporter, version ")
    for kind in ("alerts", "dashboards"):
        done = command("render", kind, "--output", str(tmp_path / kind))
        assert done.returncode == 0, done.stderr
        ours = {path.relative_to(tmp_path / kind): path.read_bytes() for path in (tmp_path / kind).rglob("*.*")}
        committed = {path.relative_to(ROOT / kind): path.read_bytes() for path in (ROOT / kind).rglob("*.*")}
        assert ours == {path: content for path, content in committed.items() if path in ours}
        assert len(ours) >= 6
    assert command("metrics").stdout == (ROOT / "docs/metrics.md").read_text()
    assert command("grants", "postgres").stdout == (ROOT / "deploy/postgres/exporter_role.sql").read_text()


def test_a_scrape_and_a_faulty_configuration(command: Command) -> None:
    """Of nothing that is there: each collector says so, and the exit status."""
    done = command("scrape", "--blnk-config", "none.json")
    assert (done.returncode, done.stderr.count("\n")) == (1, 2)


def test_the_demo_runs(installed: Path, tmp_path: Path) -> None:
    """With the sandbox's tables and runbooks, and serves the page, metrics and runbooks; `serve` with it."""
    port = free_port()
    log = tmp_path / "log"
    with log.open("w") as output:
        demo = subprocess.Popen(
            [installed, "demo", "--web.listen-address", f"127.0.0.1:{port}"], cwd=tmp_path, env=clean(), stdout=output, stderr=output
        )  # fmt: skip
    try:
        pages = subprocess.run(
            [sys.executable, "-c", _ASK, str(port)],
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_SECONDS,
            check=False,
        )
        assert pages.returncode == 0, pages.stderr + log.read_text()
        found = json.loads(pages.stdout)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(PATIENCE_SECONDS)
    assert "blnk_ledger_" in found["/metrics"]
    assert "Oldest" in found["/"] or "oldest" in found["/"]
    assert "BlnkQueuesWaiting" in found["/runbooks/BlnkQueuesWaiting"]


_ASK = """
import json, sys, time, urllib.error, urllib.request
url, until, found = f"http://127.0.0.1:{sys.argv[1]}", time.monotonic() + 120, {}
for path in ("/-/ready", "/metrics", "/", "/runbooks/BlnkQueuesWaiting"):
    while True:
        try:
            found[path] = urllib.request.urlopen(url + path, timeout=120).read().decode()
            break
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
print(json.dumps(found))
"""


def test_the_workflow_is_one() -> None:
    """By the forge's own schema; every action by the commit of a release, and every Python that we say we support."""
    vendored = resources.files("check_jsonschema") / "builtin_schemas/vendor/github-workflows.json"
    workflow = yaml.safe_load(WORKFLOW.read_text())
    workflow["on"] = workflow.pop(True)  # to YAML 1.1, on is a boolean
    jsonschema.Draft7Validator(json.loads(vendored.read_text())).validate(workflow)
    for action in re.findall(r"uses: (\S+)(.*)", WORKFLOW.read_text()):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action[0])
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", action[1])
    jobs = workflow["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert all("timeout-minutes" in job for job in jobs.values())
    assert workflow["permissions"] == {"contents": "read"}


def test_the_locks_hold_everything_with_hashes() -> None:
    """Each package by version and hash, so that what is installed is what was looked at."""
    for lock in (ROOT / "requirements").glob("*.txt"):
        blocks = re.split(r"\n(?=\S)", lock.read_text().strip())
        for block in blocks:
            assert re.match(r"[\w.-]+(\[\w+\])?==\S+", block), f"{lock.name}: {block[:60]}"
            assert "--hash=sha256:" in block, f"{lock.name}: {block[:60]}"
