"""The whole stack in containers: the specification's own schema, the checklist's section on containers, and real servers.

No engine runs here: what images hold is taken from their documentation.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import asyncpg
import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from blnk_exporter import config
from blnk_exporter.cli import cli
from blnk_exporter.sandbox import PostgresServer, ValkeyServer, schema
from blnk_exporter.sandbox.binaries import postgres_bindir

from ..programs import program

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
TEXT = (COMPOSE / "compose.yml").read_text()
# As compose does it: ${NAME:-default}.
STACK: dict[str, Any] = yaml.safe_load(re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", TEXT).replace("$$", "$"))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
ONCE = {"migrate", "grants", "render"}
DATABASES = {"postgres", "redis"}


def bytes_of(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([kmgKMG])(?:i?[bB])?", text).groups()
    return int(number) << {"k": 10, "m": 20, "g": 30}[unit.lower()]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What secrets.sh makes."""
    program("openssl")
    made = tmp_path_factory.mktemp("compose") / "secrets"
    run_secrets(made)
    return made


def run_secrets(directory: Path) -> str:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin", "SECRETS": str(directory)}
    done = subprocess.run(["sh", COMPOSE / "secrets.sh"], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def settings() -> dict[str, str]:
    """postgresql.conf, as PostgreSQL reads it."""
    lines = (line.partition("#")[0].strip() for line in (COMPOSE / "postgres/postgresql.conf").read_text().splitlines())
    return {key: value.strip("'") for key, _, value in (line.partition(" = ") for line in lines if line)}


def directives() -> dict[str, str]:
    """redis.conf, as Redis reads it."""
    lines = (line.partition("#")[0].strip() for line in (COMPOSE / "redis/redis.conf").read_text().splitlines())
    return {key: value for key, _, value in (line.partition(" ") for line in lines if line)}


def test_it_keeps_to_the_specification() -> None:
    """The schema of the compose specification, as check-jsonschema brings it."""
    vendored = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    jsonschema.Draft7Validator(json.loads(vendored.read_text())).validate(STACK)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_passes_the_checklist(name: str) -> None:
    """Pinned, limited, watched, restarted, and without any right that it does not need."""
    service = SERVICES[name]
    tag = service["image"].rpartition(":")[2]
    assert re.search(r"\d+\.\d+", tag), "a version, to the last number"
    assert "latest" not in service["image"]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    if name in ONCE:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"].startswith("on-failure")
    else:
        assert service["restart"] == "unless-stopped"
        check = service["healthcheck"]
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(check)
        assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "a number, and not root"
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_networks_are_no_wider_than_needed(name: str) -> None:
    """Databases reach nobody outside and are published nowhere; what is published is so on loopback."""
    service = SERVICES[name]
    for port in service.get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    if name in DATABASES:
        assert "ports" not in service
        assert service["networks"] == ["data"]
    if "network_mode" in service:
        assert service["network_mode"] == "none"
    else:
        assert set(service["networks"]) <= set(STACK["networks"])
    assert STACK["networks"]["data"] == STACK["networks"]["watch"] == {"internal": True}


def test_everybody_reaches_whom_they_need() -> None:
    """Who is asked by name is in a network with who asks."""
    asks = {
        "blnk-server": DATABASES,
        "blnk-worker": DATABASES,
        "migrate": DATABASES,
        "blnk-exporter": {*DATABASES, "blnk-server", "blnk-worker"},
        "prometheus": {"blnk-exporter", "blnk-server", "blnk-worker", "alertmanager"},
        "grafana": {"prometheus"},
    }
    for name, others in asks.items():
        for other in others:
            assert {*SERVICES[name]["networks"]} & {*SERVICES[other]["networks"]}, f"{name} and {other}"


def test_no_secret_stands_in_it() -> None:
    """Neither in the environment nor in a command; secrets are files, and each has a user."""
    used = set()
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|_KEY", key):
                assert key.endswith(("_FILE", "__FILE")), f"{name} {key}"
                assert value.startswith("/run/secrets/")
            assert not re.search(r"://[^/@]*:[^/@]+@", str(value)), f"{name} {key}"
        used |= {entry if isinstance(entry, str) else entry["source"] for entry in service.get("secrets", ())}
    assert used == set(STACK["secrets"])


def test_all_that_is_mounted_is_there() -> None:
    """Files of this repository, volumes and configurations that are declared, and nothing that nobody uses."""
    mounted: dict[str, set[str]] = {"volumes": set(), "configs": set()}
    for service in SERVICES.values():
        mounted["configs"] |= {entry["source"] for entry in service.get("configs", ())}
        for volume in service.get("volumes", ()):
            kind, source = (
                ("volume", volume.partition(":")[0]) if isinstance(volume, str) else (volume["type"], volume["source"])
            )
            if kind == "bind":
                assert (COMPOSE / source).is_dir(), source
            else:
                mounted["volumes"].add(source)
    assert mounted == {"volumes": set(STACK["volumes"]), "configs": set(STACK["configs"])}
    for name, entry in STACK["configs"].items():
        assert (COMPOSE / entry["file"]).is_file(), name


def test_health_checks_have_time() -> None:
    """Each takes a program that starts, on a machine that is busy; the exporter's starts a Python."""
    for name, service in SERVICES.items():
        if name not in ONCE:
            check = service["healthcheck"]
            limits = {key: int(check[key].removesuffix("s")) for key in ("interval", "timeout", "start_period")}
            assert limits["start_period"] >= 60, name
            assert 5 <= limits["timeout"] <= limits["interval"], name
    ours = SERVICES["blnk-exporter"]["healthcheck"]
    (image,) = re.findall(r"^HEALTHCHECK (.+) CMD", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    told = {key.replace("-", "_"): value for key, value in re.findall(r"--([\w-]+)=(\w+)", image)}
    assert {key: str(ours[key]) for key in told} == told


def test_the_health_check_of_postgresql_is_let_in() -> None:
    """By the role and to the database that pg_hba.conf has for TCP: for others each check is two FATAL lines in the log."""
    _, program, *given = [part for part in SERVICES["postgres"]["healthcheck"]["test"] if part != "-q"]
    assert program == "pg_isready"
    options = dict(zip(given[::2], given[1::2], strict=True))
    hosts = [line.split() for line in (COMPOSE / "postgres/pg_hba.conf").read_text().splitlines()]
    assert ["hostssl", options["-d"], options["-U"], "samenet", "scram-sha-256"] in hosts
    assert options["-h"] == "127.0.0.1"


def rendered(directory: Path, variables: dict[str, str]) -> dict[str, str]:
    """What the service render writes with these variables, by the name of its file."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1], match[2])

    command = yaml.safe_load(re.sub(r"\$\{(\w+):-([^}]*)\}", value, TEXT))["services"]["render"]["command"]
    arguments = shlex.split(command.replace("/rendered/", f"{directory}/"))
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    mounted = {volume.partition(":")[2] for volume in SERVICES["render"]["volumes"]}
    assert {f"/rendered/{path.name}" for path in directory.iterdir()} == mounted
    return {path.name: path.read_text() for path in directory.rglob("*.*")}


def test_links_follow_the_environment_file(tmp_path: Path) -> None:
    """Rules and boards are rendered with the addresses of .env: names of containers lead nowhere in a browser."""
    theirs = {"EXPORTER_URL": "https://exporter.bank.example", "GRAFANA_URL": "https://grafana.bank.example/g"}
    files = rendered(tmp_path, theirs | {"RENDER_OPTIONS": "--set queues.depth.warning=4321"})
    text = "".join(files.values())
    assert "https://exporter.bank.example/runbooks/BlnkQueuesWaiting" in files["queues.rules.yml"]
    assert "https://grafana.bank.example/g/d/blnk-queues" in files["queues.rules.yml"]
    assert "https://exporter.bank.example/runbooks/" in files["blnk-overview.json"]
    assert "4321" in files["queues.rules.yml"]
    for name in SERVICES:
        assert f"http://{name}:" not in text, name


def test_every_variable_is_in_the_example(tmp_path: Path) -> None:
    """With the default that it has, so that what .env.example says is true."""
    example = dict(re.findall(r"^#?(\w+)=(.*)$", (COMPOSE / ".env.example").read_text(), re.MULTILINE))
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))
    assert used.keys() - {"REVISION"} == example.keys()
    assert {name: used[name] for name in used if name.endswith(("_URL", "_PORT", "_VERSION"))} == {
        name: example[name] for name in used if name.endswith(("_URL", "_PORT", "_VERSION"))
    }
    text = "".join(rendered(tmp_path, {}).values())
    assert set(re.findall(r"https?://[\w.-]+:\d+(?=/(?:d|runbooks)/)", text)) == {
        example["EXPORTER_URL"],
        example["GRAFANA_URL"],
    }


@pytest.mark.parametrize(("version", "count"), [("0.13.2", 0), ("0.15.2", 2)])
def test_prometheus_asks_for_what_the_release_has(tmp_path: Path, version: str, count: int) -> None:
    """With either release every target is up: Blnk before 0.14 exports no metrics."""
    made = yaml.safe_load(rendered(tmp_path, {"BLNK_VERSION": version})["blnk-targets.yml"])
    targets = [target for group in made for target in group["targets"]]
    assert len(targets) == count
    assert {target.partition(":")[0] for target in targets} <= {"blnk-server", "blnk-worker"} <= set(SERVICES)
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    files = [sd["files"] for job in prometheus["scrape_configs"] for sd in job.get("file_sd_configs", ())]
    assert files == [["/etc/prometheus/blnk/blnk-targets.yml"]]
    for job in prometheus["scrape_configs"]:
        for target in [target for group in job.get("static_configs", ()) for target in group["targets"]]:
            assert target.partition(":")[0] in {*SERVICES, "localhost"}, target


def test_prometheus_names_no_directory_that_is_not_mounted() -> None:
    """It watches the directories of file_sd_configs, and one that is missing is an error in its log."""
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    named = [
        file for job in prometheus["scrape_configs"] for sd in job.get("file_sd_configs", ()) for file in sd["files"]
    ]
    service = SERVICES["prometheus"]
    mounted = {volume["target"] for volume in service["volumes"] if isinstance(volume, dict)}
    assert {str(Path(file).parent) for file in [*named, *prometheus["rule_files"]]} <= mounted
    assert service["depends_on"]["render"] == {"condition": "service_completed_successfully", "restart": True}


def test_data_outlive_their_containers() -> None:
    """On volumes of their own."""
    for name in ("postgres", "redis", "prometheus", "alertmanager", "grafana"):
        assert any(str(volume).startswith(f"{name}-data:") for volume in SERVICES[name]["volumes"])


def test_secrets_are_made_once(secrets: Path) -> None:
    """All that are named; a second run changes none, and a lost one is made anew."""
    named = {Path(entry["file"]).name for entry in STACK["secrets"].values()}
    # The two of Blnk's own go into its blnk.json.
    assert {path.name for path in secrets.iterdir()} == named | {"blnk_secret_key", "blnk_tokenization_secret"}
    assert secrets.stat().st_mode & 0o777 == 0o700
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    assert run_secrets(secrets) == ""
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before
    # What others may read by accident is closed again, and what is made anew is made of the same.
    secrets.chmod(0o755)
    for name in ("blnk.json", "redis_users"):
        (secrets / name).unlink()
    assert run_secrets(secrets).count("made ") == 2
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o777 == 0o700
    values = [content for name, content in before.items() if name.endswith("_password")]
    assert len(set(values)) == len([value for value in values if b"replace-me" not in value]) + 1


def test_the_exporter_takes_what_its_container_gives(secrets: Path, tmp_path: Path) -> None:
    """Its environment, with the files of secrets, is a valid configuration for all collectors."""
    service = SERVICES["blnk-exporter"]
    environ = {key: str(value).replace("/run/secrets", str(secrets)) for key, value in service["environment"].items()}
    loaded = config.load(flags={}, environ=environ, directory=tmp_path)
    (postgres,) = loaded.settings.postgres
    assert (postgres.address, postgres.user, postgres.sslmode) == ("postgres:5432", "blnk_exporter", "require")
    assert postgres.password.get_secret_value() == (secrets / "exporter_postgres_password").read_text().strip()
    assert loaded.settings.redis.address == "redis:6379"
    assert len(loaded.settings.queues) == 24
    paths = {volume["target"] for volume in service["volumes"] if isinstance(volume, dict)}
    assert set(loaded.settings.own.host.paths) == paths


def test_blnk_takes_what_its_container_gives(secrets: Path, tmp_path: Path) -> None:
    """The same blnk.json and environment that the server has; its keys are as long as Blnk asks."""
    shutil.copy(secrets / "blnk.json", tmp_path / "blnk.json")
    environ = {key: str(value) for key, value in SERVICES["blnk-server"]["environment"].items()}
    loaded = config.load(flags={"blnk.version": "0.15.2"}, environ=environ, directory=tmp_path)
    assert loaded.settings.postgres[0].user == "blnk"
    told = json.loads((secrets / "blnk.json").read_text())
    assert len(told["server"]["secret_key"]) == len(told["tokenization_secret"]) == 32
    assert told["server"]["metrics_bearer_token"] == (secrets / "blnk_metrics_token").read_text().strip()


def test_sizes_fit_each_other() -> None:
    """Connections below the server's, memory of databases within their containers."""
    limit = bytes_of(SERVICES["postgres"]["deploy"]["resources"]["limits"]["memory"])
    postgres = settings()
    assert bytes_of(postgres["shared_buffers"]) == limit // 4
    assert bytes_of(postgres["effective_cache_size"]) == limit // 4 * 3
    pools = int(SERVICES["blnk-server"]["environment"]["BLNK_DATABASE_MAX_OPEN_CONNS"]) * 2
    assert pools + 5 + 3 < int(postgres["max_connections"])
    assert int(postgres["log_min_duration_statement"]) <= 1000
    assert float(postgres["random_page_cost"]) == 1.1
    redis, room = directives(), bytes_of(SERVICES["redis"]["deploy"]["resources"]["limits"]["memory"])
    assert bytes_of(redis["maxmemory"]) * 2 <= room
    assert (redis["appendonly"], redis["appendfsync"]) == ("yes", "everysec")
    assert redis["maxmemory-policy"] == "noeviction"
    assert redis["save"]


@pytest.fixture
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A PostgreSQL 16 with our settings, but for what the wheel is built without, and with less memory."""
    taken = {
        key: value for key, value in settings().items() if not key.startswith(("pg_stat_statements", "shared_preload"))
    }
    taken |= {"shared_buffers": "32MB", "listen_addresses": "127.0.0.1"}
    server = await PostgresServer.start(tmp_path_factory.mktemp("postgres"), settings=taken)
    try:
        yield server
    finally:
        await server.stop()


async def test_postgresql_takes_its_settings_and_roles(postgres: Any, secrets: Path, tmp_path: Path) -> None:
    """Each setting by name and value; roles with passwords, rights and nothing more, as the exporter needs them."""
    owner = await asyncpg.connect(postgres.dsn())
    for name, value in settings().items():
        if name.startswith(("pg_stat_statements", "shared_preload", "shared_buffers", "listen_addresses")):
            continue
        text, kind = await owner.fetchrow(
            "SELECT current_setting($1), vartype FROM pg_settings WHERE lower(name) = $1", name
        )
        assert kind in {"integer", "real"} or text.lower() == value.lower(), name
    await owner.execute("CREATE DATABASE blnk")
    await owner.close()
    psql(postgres, (COMPOSE / "postgres/roles.sql").read_text(), secrets)
    base = await asyncpg.connect(postgres.dsn(database="blnk", user="blnk"))
    await schema.apply(base, "0.15.2")
    await base.close()
    psql(postgres, (ROOT / "deploy/postgres/exporter_role.sql").read_text(), secrets)
    psql(postgres, (COMPOSE / "postgres/login.sql").read_text(), secrets)
    owner = await asyncpg.connect(postgres.dsn(database="blnk"))
    rows = await owner.fetch("SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolpassword FROM pg_authid")
    roles = {row["rolname"]: row for row in rows}
    for name in ("blnk", "blnk_exporter"):
        assert not any(roles[name][right] for right in ("rolsuper", "rolcreatedb", "rolcreaterole"))
        assert roles[name]["rolpassword"].startswith("SCRAM-SHA-256$")
    assert await owner.fetchval("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'blnk'") == "blnk"
    await owner.close()
    reader = await asyncpg.connect(postgres.dsn(database="blnk", user="blnk_exporter"))
    assert await reader.fetchval("SELECT count(transaction_id) FROM blnk.transactions") == 0
    await reader.close()


@pytest.fixture
def operator(secrets: Path, tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], subprocess.CompletedProcess[str]]]]:
    """A copy of the deployment that an ordinary user owns, and how that user runs a line of a shell in it."""
    home = Path(tempfile.mkdtemp(prefix="operator", dir="/tmp"))
    home.chmod(0o755)
    shutil.copytree(COMPOSE, home / "compose", ignore=shutil.ignore_patterns("secrets", ".env"))
    shutil.copytree(ROOT / "deploy/redis", home / "redis")
    shutil.copytree(ROOT / "deploy/alertmanager", home / "alertmanager")
    shutil.copytree(secrets, home / "compose/secrets")
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": 65534, "group": 65534, "extra_groups": []}
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)

    def run(line: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home)}
        return subprocess.run(
            ["sh", "-euc", line],
            cwd=home / "compose",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            **user,
        )

    yield home / "compose", run
    shutil.rmtree(home)


def steps(name: str) -> list[str]:
    """The lines of the README's block of commands in which a word is, without those for the engine and comments."""
    (block,) = (
        block
        for block in re.findall(r"```sh\n(.*?)```", (COMPOSE / "README.md").read_text(), re.DOTALL)
        if name in block
    )
    lines = (line.partition("  #")[0].rstrip() for line in block.splitlines())
    return [line for line in lines if line and not line.startswith(("docker ", "cd "))]


@pytest.mark.parametrize("name", ["exporter_postgres_password", "blnk_postgres_password", "redis_password"])
def test_an_ordinary_user_rotates_a_password(operator: Any, name: str) -> None:
    """By the steps of the README, to the letter: the file has a new value, and all that is made of it has it."""
    directory, run = operator
    before = {path.name: path.read_text() for path in (directory / "secrets").iterdir()}
    for line in steps("name=exporter_postgres_password"):
        done = run(
            line.replace("name=exporter_postgres_password", f"name={name}")
            if "name=" in line
            else f"name={name}; {line}"
        )
        assert done.returncode == 0, (line, done.stderr)
    after = {path.name: path.read_text() for path in (directory / "secrets").iterdir()}
    changed = {path for path in before if before[path] != after[path]}
    assert changed - {"redis_users", "blnk.json"} == {name}
    assert after.keys() == before.keys()
    assert after[name].strip() in after["blnk.json"] or name.startswith("exporter_")
    for path in (directory / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o644, f"{path.name}: containers run as other users"


def test_an_upgrade_brings_the_new_acl(operator: Any) -> None:
    """By the steps of the README: what a release may read in Redis is in a file that secrets.sh keeps once it is there."""
    directory, run = operator
    acl = directory.parent / "redis/exporter.acl"
    acl.write_text(acl.read_text().replace(" +info", " +info +pttl +newer"))
    before = (directory / "secrets/redis_users").read_text()
    for line in steps("git pull"):
        if line != "git pull":
            done = run(line)
            assert done.returncode == 0, (line, done.stderr)
    after = (directory / "secrets/redis_users").read_text()
    assert "+newer" in after
    assert re.findall(r"#[0-9a-f]{64}", after) == re.findall(r"#[0-9a-f]{64}", before)


async def test_blnk_s_password_follows_its_file(postgres: Any, secrets: Path, tmp_path: Path) -> None:
    """roles.sql, which made the role, may run again: after a rotation the role has what the file holds."""
    owner = await asyncpg.connect(postgres.dsn())
    await owner.execute("CREATE DATABASE blnk")
    await owner.close()
    theirs = tmp_path / "secrets"
    shutil.copytree(secrets, theirs)
    kept = []
    for value in ("first", "second", "second"):
        (theirs / "blnk_postgres_password").write_text(value + "\n")
        psql(postgres, (COMPOSE / "postgres/roles.sql").read_text(), theirs)
        owner = await asyncpg.connect(postgres.dsn(database="blnk"))
        kept.append(await owner.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'blnk'"))
        await owner.close()
    # libpq makes another salt each time, so that each is another text; that the password is right shows the salt.
    assert all(one.startswith("SCRAM-SHA-256$") for one in kept)
    assert len(set(kept)) == 3


def test_it_is_said_that_no_receiver_is_named(tmp_path: Path) -> None:
    """Where secrets are made, which comes before the first start: alerts that go nowhere must be known to."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin", "SECRETS": str(tmp_path / "secrets")}
    done = subprocess.run(["sh", COMPOSE / "secrets.sh"], env=environment, capture_output=True, text=True, check=True)
    assert "no alert is sent to anyone until" in done.stderr
    assert "no alert is sent to anyone until" in (COMPOSE / "README.md").read_text().replace("\n  ", " ")


def psql(server: Any, script: str, secrets: Path) -> None:
    """Run a script as the image does, with the wheel's psql; what its pg_stat_statements would have is left out."""
    script = script.replace("/run/secrets", str(secrets))
    for line in ("CREATE EXTENSION IF NOT EXISTS pg_stat_statements;", "SET pg_stat_statements.track = none;"):
        script = script.replace(line, "")
    program = postgres_bindir(16) / "psql"
    arguments = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(server.socket_directory), "-p", str(server.port)]
    done = subprocess.run(
        [program, *arguments, "-U", "postgres", "-d", "blnk"],
        input=script,
        env={"LD_LIBRARY_PATH": str(program.parents[1] / "lib"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def test_redis_takes_its_settings_and_users(secrets: Path, tmp_path: Path) -> None:
    """Nobody gets in without a login; the exporter may read, and Blnk do all but throw everything away."""
    ours = {key: value for key, value in directives().items() if key not in {"bind", "port", "aclfile", "dir"}}
    users = tmp_path / "users"
    users.write_bytes((secrets / "redis_users").read_bytes())
    users.chmod(0o644)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    arguments = [part for key, value in ours.items() for part in (f"--{key}", *value.split())]
    server = await ValkeyServer.start(tmp_path, args=(*arguments, "--aclfile", str(users)))
    try:
        word = (secrets / "redis_password").read_text().strip()
        async with Redis(port=server.port) as stranger:
            with pytest.raises(AuthenticationError):
                await stranger.ping()
        async with Redis(port=server.port, password=word, decode_responses=True) as blnk:
            found: Mapping[str, str] = await blnk.config_get("*")
            assert found["maxmemory-policy"] == "noeviction"
            assert found["appendonly"] == "yes"
            await blnk.set("asynq:{a}:t:1", "x")
            with pytest.raises(NoPermissionError):
                await blnk.flushall()
        login = {"username": "blnk_exporter", "password": (secrets / "exporter_redis_password").read_text().strip()}
        async with Redis(port=server.port, **login) as exporter:
            assert (await exporter.info("memory"))["maxmemory"] == bytes_of(ours["maxmemory"])
            with pytest.raises(NoPermissionError):
                await exporter.set("a", "b")
    finally:
        await server.stop()


def test_hosts_may_come_encrypted_and_from_inside_alone() -> None:
    """The superuser by the socket, the two roles by TLS from the containers' network to Blnk's database, nobody else."""
    lines = [line.split() for line in (COMPOSE / "postgres/pg_hba.conf").read_text().splitlines() if line[:1] != "#"]
    assert lines == [
        ["local", "all", "postgres", "peer"],
        ["hostssl", "blnk", "blnk", "samenet", "scram-sha-256"],
        ["hostssl", "blnk", "blnk_exporter", "samenet", "scram-sha-256"],
        ["host", "all", "all", "all", "reject"],
    ]
