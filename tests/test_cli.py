"""The command line: what is wrong is said in a sentence on standard error, with an exit code, and never as a traceback."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from blnk_exporter import __version__, cli, collectors

from .waiting import PATIENCE_SECONDS

COMMANDS = (*cli.COMMANDS,)
CONFIGURED = ("serve", "check-config", "scrape")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without a trace of Blnk."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if "BLNK" in name]:
        monkeypatch.delenv(name)
    return tmp_path


def invoke(*arguments: str, **variables: str) -> Result:
    """Run a command in this process; whatever it ends in, it is no exception."""
    result = CliRunner().invoke(cli.cli, arguments, env=variables, prog_name="blnk-exporter")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process, for those that set up the log."""
    command = [sys.executable, "-m", "blnk_exporter", *arguments]
    ended = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended


def test_version() -> None:
    """The first question of every bug report."""
    result = invoke("--version")
    assert (result.exit_code, result.output) == (0, f"blnk-exporter, version {__version__}\n")


def test_help_names_every_command() -> None:
    """Who types the name alone learns what there is, with an example for each errand."""
    for arguments in (["--help"], ["-h"], []):
        result = invoke(*arguments)
        assert result.exit_code == (0 if arguments else 2)
        assert all(f"  {command} " in result.output for command in COMMANDS)
        assert "cd /etc/blnk && blnk-exporter serve" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str) -> None:
    """--help teaches: a description, and a help for every flag."""
    for flag in ("--help", "-h"):
        result = invoke(command, flag)
        assert result.exit_code == 0
        assert result.stderr == ""
    made = cli.cli.get_command(click.Context(cli.cli), command)
    assert made
    assert len(made.help or "") > 40
    assert [
        option.name
        for option in made.params
        if isinstance(option, click.Option) and not option.help and option.name not in {"address", "level"}
    ] == []


def test_flags_have_the_names_that_prometheus_users_know() -> None:
    """Muscle memory and unit files of other exporters work here."""
    text = invoke("serve", "--help").output
    for flag in (
        "--web.listen-address",
        "--web.external-url",
        "--web.route-prefix",
        "--web.telemetry-path",
        "--log.level",
        "--log.format",
        "--config.file",
    ):
        assert flag in text
    for name in collectors.NAMES:
        assert f"--collector.{name}" in text
        assert f"--no-collector.{name}" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope"], "No such command 'nope'"),
        (["serve", "--nope"], "No such option '--nope'"),
        (["serve", "surplus"], "unexpected extra argument"),
        (["serve", "--no-collector.nope"], "No such option '--no-collector.nope'"),
        (["serve", "--log.level", "loud"], "'loud' is not one of"),
        (["serve", "--log.format", "xml"], "'xml' is not one of"),
        (["serve", "--blnk-config"], "requires an argument"),
        (["ping", "--timeout", "soon"], "'soon' is not a valid float"),
        (["ping", "--timeout", "-1"], "not in the range"),
        (["ping", "--timeout", "0"], "not in the range"),
        (["ping", "--timeout", "inf"], "not in the range"),
        (["demo", "--log.level", "x"], "'x' is not one of"),
    ],
)
def test_wrong_usage(arguments: list[str], sentence: str) -> None:
    """Exit code 2 and the way to the help, as every Unix program."""
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


FAULTS = {
    "wrong JSON": ("blnk.json", '{"a": ', "is no JSON"),
    "JSON of another kind": ("blnk.json", "[1, 2]", "blnk.json"),
    "empty": ("blnk.json", "", "blnk.json"),
    "wrong type": ("blnk.json", '{"redis": {"dns": 17}, "data_source": {"dns": "postgres://h/d"}}', "redis.dns"),
    "binary": ("blnk.json", "\udcff\udcfe", "blnk.json"),
    "DSN without sense": ("blnk.json", '{"data_source": {"dns": "postgres://[::1/x"}}', "data_source.dns"),
    "wrong YAML": ("exporter.yml", "limits: [", "exporter.yml"),
    "unknown key": ("exporter.yml", "web: {listen_adress: x}", "the nearest is web.listen_address"),
    "wrong number": ("exporter.yml", "limits: {requests: many}", "exporter.yml limits.requests: must be"),
    "number out of range": ("exporter.yml", "limits: {requests: 0}", "exporter.yml limits.requests: must be"),
    "list instead of keys": ("exporter.yml", "limits: [1]", "must hold keys and their values"),
    "secret twice": ("exporter.yml", "redis: {password: a, password_file: b}", "together with"),
    "secret's file missing": ("exporter.yml", "redis: {password_file: nowhere}", "does not exist"),
    "no address": ("exporter.yml", "web: {listen_address: nonsense}", "host:port"),
}


@pytest.mark.parametrize("command", CONFIGURED)
@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_file(here: Path, command: str, fault: str) -> None:
    """Every command that reads the configuration says where and what, and does nothing else."""
    name, text, sentence = FAULTS[fault]
    (here / name).write_text(text, errors="surrogateescape")
    result = invoke(command)
    assert result.exit_code == 1
    assert "in the configuration:\n" in result.stderr
    assert sentence in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", CONFIGURED)
def test_every_fault_at_once(here: Path, command: str) -> None:
    """Who mends one fault must not find the next one at the next start."""
    (here / "exporter.yml").write_text("web: {listen_adress: x}\nlimits: {requests: many}\n")
    (here / "blnk.json").write_text('{"redis": {"dns": 17}}')
    result = invoke(command, "--log.level", "info", BLNK_EXPORTER_LIMITS_QUEUES="all", BLNK_EXPORTER_FOO="1")
    assert result.exit_code == 1
    assert result.stderr.startswith("6 faults in the configuration:\n")
    assert len(result.stderr.splitlines()) == 7


@pytest.mark.parametrize("command", CONFIGURED)
def test_nothing_configured(here: Path, command: str) -> None:
    """The first thing that a new user sees must say what to do."""
    result = invoke(command)
    assert result.exit_code == 1
    assert "--blnk-config" in result.stderr


def test_file_that_is_no_file(here: Path) -> None:
    """A directory, a pipe or a device where a file is expected neither hangs nor breaks."""
    os.mkfifo(here / "pipe")
    for path in (str(here), "/dev/zero", "pipe", "nowhere", "a\nb", "x" * 5000):
        result = invoke("check-config", "--blnk-config", path)
        assert result.exit_code == 1
        assert "1 fault in the configuration" in result.stderr


def test_valid_configuration(here: Path) -> None:
    """check-config answers the question "what does it use, and why": values, origins, no secrets."""
    (here / "blnk.json").write_text(
        '{"data_source": {"dns": "postgres://u:s3cret@db/blnk"}, "redis": {"dns": "redis:6379"}}'
    )
    result = invoke("check-config", "--collector.host", BLNK_EXPORTER_LIMITS_REQUESTS="7")
    assert result.exit_code == 0
    assert result.stdout.endswith("The configuration is valid.\n")
    assert result.stderr == ""
    assert "s3cret" not in result.output
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert lines["limits.requests"].split()[1:] == ["7", "environment", "BLNK_EXPORTER_LIMITS_REQUESTS"]
    assert "default" in lines["limits.queues"]


def test_scenarios_are_listed() -> None:
    """``demo --scenario list`` is the table of contents of the sandbox."""
    result = invoke("demo", "--scenario", "list")
    assert result.exit_code == 0
    assert {"healthy", "redis-down"} <= {line.split()[0] for line in result.stdout.splitlines()}


def test_metrics_are_listed(here: Path) -> None:
    """The list needs no configuration."""
    result = invoke("metrics")
    assert result.exit_code == 0
    assert "blnk_server_up" in result.stdout


def test_settings_are_listed(here: Path) -> None:
    """So is this one, and it can be piped into a file."""
    result = invoke("settings")
    assert result.exit_code == 0
    assert "| `limits.queues` |" in result.stdout


NOBODY = {
    "BLNK_EXPORTER_SERVERS": "http://127.0.0.1:1",
    "BLNK_EXPORTER_REDIS_DSN": "redis://:s3cret@127.0.0.1:1",
    "BLNK_EXPORTER_POSTGRES_DSN": "postgres://u:s3cret@127.0.0.1:1/d",
}


def test_scrape_prints_the_page_though_nobody_is_there(here: Path) -> None:
    """Standard output is a page that can be piped on; what failed is on standard error and in the exit code."""
    ended = run("scrape", **NOBODY)
    assert ended.returncode == 1
    assert "blnk_redis_up 0.0\n" in ended.stdout
    assert "redis 127.0.0.1:1: Connection refused\n" in ended.stderr
    assert "s3cret" not in ended.stdout + ended.stderr


def test_scrape_as_json(here: Path) -> None:
    """The same for programs: parsable also when something failed."""
    ended = run("scrape", "--json", **NOBODY)
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    assert found["collectors"]["host"]["success"] is True
    assert found["collectors"]["redis"]["failures"] == [
        {"source": "127.0.0.1:1", "reason": "unreachable", "detail": "Connection refused"}
    ]
    assert {"metric": "blnk_redis_up", "labels": {}, "value": 0.0} in found["samples"]


def test_scrape_of_what_works(here: Path) -> None:
    """Exit 0 and silence on standard error, so that it can be used in scripts."""
    ended = run("scrape", "--no-collector.server", BLNK_EXPORTER_SERVERS="http://127.0.0.1:1")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "blnk_host_memory_total_bytes" in ended.stdout


@contextlib.contextmanager
def answering(answer: bytes, asked: list[bytes] | None = None) -> Iterator[int]:
    """A port that gives each client the same answer, and notes what it was asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        said = connection.recv(4096)
                        if asked is not None:
                            asked.append(said)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("answer", "code", "sentence"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhealthy\n", 0, ""),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 1, "answers 503"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 1, "answers 404"),
        (b"220 mail.example.org ESMTP\r\n", 1, "no HTTP"),
        (b"", 1, "closed"),
        (b"\0" * 100, 1, "no HTTP"),
    ],
)
def test_ping_judges_the_answer(here: Path, answer: bytes, code: int, sentence: str) -> None:
    """A container is restarted on this word: alive is who answers 200, and nobody else."""
    with answering(answer) as port:
        result = invoke("ping", "--web.listen-address", f"127.0.0.1:{port}")
    assert result.exit_code == code
    assert sentence in result.stderr
    assert result.stderr.count("\n") == (1 if code else 0)


def test_ping_of_nobody(here: Path) -> None:
    """No exporter there is a failure in one sentence, within the timeout."""
    result = invoke("ping", "--web.listen-address", "127.0.0.1:1")
    assert (result.exit_code, result.stderr) == (1, "Error: 127.0.0.1:1: Connection refused\n")
    for wrong in ("nonsense", "host:99999", "nosuch.invalid:80"):
        result = invoke("ping", "--web.listen-address", wrong)
        assert result.exit_code == 1
        assert result.stderr


def test_ping_asks_below_the_prefix(here: Path) -> None:
    """The prefix is that of the exporter: from a flag, a variable or the external address, also beside a faulty file."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    given: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("--web.route-prefix", "/ops/blnk"), {}),
        (("--web.external-url", "https://ops.example/ops/blnk/"), {}),
        ((), {"BLNK_EXPORTER_WEB_ROUTE_PREFIX": "ops/blnk"}),
        ((), {"BLNK_EXPORTER_WEB_EXTERNAL_URL": "https://ops.example/ops/blnk"}),
    ]
    for faulty in (False, True):
        if faulty:
            (here / "exporter.yml").write_text("nonsense: 1\n")
        for flags, environ in given:
            asked: list[bytes] = []
            with answering(answer, asked) as port:
                result = invoke("ping", "--web.listen-address", f"127.0.0.1:{port}", *flags, **environ)
            assert (result.exit_code, result.stderr) == (0, "")
            assert asked[0].startswith(b"GET /ops/blnk/-/healthy HTTP/1.1\r\n")


def test_ping_of_somebody_who_is_silent(here: Path) -> None:
    """A hanging exporter is no healthy one; the probe itself must not hang either."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        result = invoke("ping", "--web.listen-address", address, "--timeout", "0.1")
    assert (result.exit_code, result.stderr) == (1, f"Error: {address}: timed out\n")


@pytest.mark.parametrize("listen", ["0.0.0.0", "", "[::]"])
def test_ping_of_every_interface(here: Path, listen: str) -> None:
    """Who listens everywhere is asked on loopback, with the settings that the exporter itself has."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        result = invoke("ping", BLNK_EXPORTER_WEB_LISTEN_ADDRESS=f"{listen}:{port}", BLNK_EXPORTER_SERVERS="http://h")
    # Nobody listens on ::1 here.
    assert result.exit_code == (1 if listen == "[::]" else 0)


def test_ping_survives_a_faulty_configuration(here: Path) -> None:
    """The exporter runs on with the old one; its health check must not kill it for a slip in the new."""
    (here / "exporter.yml").write_text("limits: [")
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        result = invoke("ping", BLNK_EXPORTER_WEB_LISTEN_ADDRESS=f"127.0.0.1:{port}")
        assert result.exit_code == 0


def test_working_directory_that_is_gone(here: Path) -> None:
    """A shell may stand in a directory that was removed."""
    gone = here / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    for command in CONFIGURED:
        result = invoke(command)
        assert result.exit_code == 1
        assert "in the configuration" in result.stderr


async def test_output_that_nobody_reads(here: Path) -> None:
    """``blnk-exporter scrape | head -1`` ends quietly."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "blnk_exporter",
        "scrape",
        env=os.environ | NOBODY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stdout._transport.close()  # type: ignore[attr-defined]
    errors = await process.stderr.read()
    assert await process.wait() == 1
    assert b"Traceback" not in errors
