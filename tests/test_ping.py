"""The health check: it finds the exporter where ``serve`` would listen, and imports next to nothing to do so."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from blnk_exporter import config
from blnk_exporter.config import listening

# All that a health check without options may load of ours; yaml only where exporter.yml has a section web.
OURS = {
    "blnk_exporter",
    "blnk_exporter.__main__",
    "blnk_exporter.ping",
    "blnk_exporter.config",
    "blnk_exporter.config.address",
    "blnk_exporter.config.listening",
}
DEAR = {
    "aiohttp",
    "asyncio",
    "asyncpg",
    "bcrypt",
    "dataclasses",
    "inspect",
    "markdown_it",
    "prometheus_client",
    "psutil",
    "pydantic",
    "redis",
    "structlog",
}
OF_CLICK = {"dataclasses", "inspect"}
_LOADED = """
import json, sys
sys.argv = ["blnk-exporter", *sys.argv[1:]]
from blnk_exporter.__main__ import main
try:
    main()
finally:
    with open("loaded", "w") as file:
        json.dump([*sys.modules], file)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without a trace of Blnk."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if "BLNK" in name]:
        monkeypatch.delenv(name)
    return tmp_path


def loaded(directory: Path, *arguments: str, **variables: str) -> set[str]:
    """What a run of the command has imported by its end."""
    subprocess.run(
        [sys.executable, "-c", _LOADED, *arguments], cwd=directory, env=os.environ | variables, capture_output=True, check=False
    )  # fmt: skip
    return set(json.loads((directory / "loaded").read_text()))


def test_health_check_imports_nothing_it_does_not_need(here: Path) -> None:
    """It runs every half minute under the limits of the container that it judges."""
    (here / "exporter.yml").write_text("servers: [http://127.0.0.1:1]\n")
    (here / "web.yml").write_text("tls_server_config: {cert_file: a, key_file: b}\n")
    modules = loaded(here, "ping", BLNK_EXPORTER_WEB_CONFIG_FILE="web.yml")
    assert {name for name in modules if name.startswith("blnk_exporter")} == OURS
    assert {*DEAR, "click", "yaml"} & modules == set()


def test_health_check_reads_yaml_only_for_a_section_web(here: Path) -> None:
    (here / "exporter.yml").write_text("web: {listen_address: '127.0.0.1:1'}\n")
    modules = loaded(here, "ping")
    assert {name for name in modules if name.startswith("blnk_exporter")} == OURS
    assert {*DEAR, "click"} & modules == set()
    assert "yaml" in modules


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], [], ["ping", "--timeout", "1"]])
def test_command_line_imports_no_command_that_is_not_used(here: Path, arguments: list[str]) -> None:
    """Of the command line itself click, and nothing else of weight."""
    modules = loaded(here, *arguments)
    ours = {name for name in modules if name.startswith("blnk_exporter")}
    assert ours <= {*OURS, "blnk_exporter.cli", "blnk_exporter.cli.ping"}
    assert ({*DEAR, "yaml"} - OF_CLICK) & modules == set()


def test_every_name_of_the_configuration_is_found() -> None:
    """They are imported when they are used, so that a wrong name would be seen late."""
    for name in config.__all__:
        assert getattr(config, name)
    with pytest.raises(AttributeError, match="nonsense"):
        config.nonsense  # noqa: B018 - what it raises is the point


TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
# exporter.yml, variables, flags.
PLACES: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "nothing": ("", {}, {}),
    "file": ("web:\n  listen_address: 127.0.0.1:7\n", {}, {}),
    "file in flow style": ("{web: {listen_address: ':7'}, servers: ['http://h']}", {}, {}),
    "file with a quoted key": ('"web": {"listen_address": "[::1]:7"}', {}, {}),
    "variable over file": ("web: {listen_address: ':7'}", {"WEB_LISTEN_ADDRESS": "0.0.0.0:8"}, {}),
    "empty variable": ("web: {listen_address: ':7'}", {"WEB_LISTEN_ADDRESS": " "}, {}),
    "flag over both": ("web: {listen_address: ':7'}", {"WEB_LISTEN_ADDRESS": ":8"}, {"web.listen_address": ":9"}),
    "spaces": ("", {"WEB_LISTEN_ADDRESS": "  :8 "}, {}),
    "TLS": ("web: {config_file: tls.yml}", {}, {}),
    "TLS by a variable": ("", {"WEB_CONFIG_FILE": "tls.yml"}, {}),
    "no TLS over TLS": ("web: {config_file: tls.yml}", {"WEB_CONFIG_FILE": "users.yml"}, {}),
    "users alone": ("web: {config_file: users.yml}", {}, {}),
    "another section": ("log: {level: debug}  # web: {listen_address: ':7'}", {}, {}),
    "empty section": ("web:\n", {}, {}),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("pki")
def test_it_looks_where_the_exporter_listens(here: Path, place: str) -> None:
    """The same answer as from the whole configuration, a hundred times cheaper."""
    text, variables, flags = PLACES[place]
    (here / "exporter.yml").write_text(text)
    (here / "users.yml").write_text("rate_limit: {burst: 5}\n")
    (here / "tls.yml").write_text(TLS)
    environ = {f"BLNK_EXPORTER_{name}": value for name, value in variables.items()}
    whole = config.load(flags={"servers": "http://h"} | flags, environ=environ, directory=here)
    web = whole.settings.own.web
    found = listening.find(environ, flags)
    assert (found.address, found.host, found.port) == (web.listen_address, web.host, web.port)
    assert found.tls == (whole.protection.tls is not None)


@pytest.fixture
def pki(here: Path) -> None:
    """A certificate and its key, beside the configuration."""
    import trustme  # noqa: PLC0415 - only here

    certificate = trustme.CA().issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(here / "server.crt")
    certificate.private_key_pem.write_to_path(here / "server.key")


FAULTY = {
    "no YAML": b"web: [",
    "no text": b"\xff\xfeweb",
    "a section that is a text": b"web: ':7'",
    "an address that is none": b"web: {listen_address: nonsense}",
    "an address that is a number": b"web: {listen_address: 17}",
    "a list": b"- web\n- web",
    "a bomb": b"a: &a [web,web]\nb: &b [*a,*a]\nc: &c [*b,*b]\nweb: *c\n",
    "a tag": b"web: !!python/object/apply:os.system ['touch hacked']",
    "deep": b"web: " + b"[" * 5000,
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_file_counts_as_none(here: Path, fault: str) -> None:
    """An exporter runs on with what it read before; its health check must not end it for a slip in a file."""
    (here / "exporter.yml").write_bytes(FAULTY[fault])
    assert listening.find({}, {}).address == "127.0.0.1:10501"
    assert listening.find({"BLNK_EXPORTER_WEB_LISTEN_ADDRESS": ":7"}, {}).address == ":7"
    assert not (here / "hacked").exists()


def test_a_fault_elsewhere_in_the_file_does_not_hide_the_address(here: Path) -> None:
    (here / "exporter.yml").write_text("limits: {requests: many}\nweb: {listen_address: ':7'}\n")
    assert listening.find({}, {}).port == 7


def test_a_pipe_or_a_device_is_not_waited_for(here: Path) -> None:
    os.mkfifo(here / "pipe")
    for name in ("pipe", "/dev/zero", str(here), "nowhere", "a\0b"):
        assert listening.find({"BLNK_EXPORTER_CONFIG_FILE": name}, {}).port == 10501
        assert listening.find({"BLNK_EXPORTER_WEB_CONFIG_FILE": name}, {}).tls is False


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "host:99999", "[::1]:x", "a\nb:1"])
def test_with_and_without_options_it_says_the_same(here: Path, address: str) -> None:
    """A check without options, which containers use, does without click."""
    done = [
        subprocess.run(
            [sys.executable, "-m", "blnk_exporter", "ping", *options],
            env=os.environ | {"BLNK_EXPORTER_WEB_LISTEN_ADDRESS": address},
            capture_output=True,
            text=True,
            check=False,
        )
        for options in ([], ["--timeout", "3"])
    ]
    assert done[0].stderr == done[1].stderr != ""
    assert [one.returncode for one in done] == [1, 1]
    assert "Traceback" not in done[0].stderr


# The prefix in the file may be newer than the process.
OURS_IS_ELSEWHERE = b"HTTP/1.1 404 Not Found\r\nServer: blnk-exporter\r\nContent-Length: 0\r\n\r\n"
NOT_OURS = b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, b""),
        (OURS_IS_ELSEWHERE, 0, b""),
        (NOT_OURS, 1, b"answers 404"),
    ],
    ids=["healthy", "under another prefix", "another server"],
)
def test_an_exporter_that_answers_is_alive(here: Path, answer: bytes, status: int, said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (here / "exporter.yml").write_text(f"web: {{listen_address: ':{port}'}}\n")
        check = subprocess.Popen([sys.executable, "-m", "blnk_exporter", "ping"], stderr=subprocess.PIPE)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(4096).startswith(b"GET /-/healthy HTTP/1.1\r\n")
            connection.sendall(answer)
        _, errors = check.communicate()
    assert check.returncode == status
    assert (said in errors) if said else errors == b""
