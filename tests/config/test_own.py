"""The exporter's own settings: layers, secrets in files, faults."""

from pathlib import Path

import pytest

from blnk_exporter.config.own import KEYS, LEAVES, VARIABLES

BASE = "servers: [http://base]\n"


def test_flags_win_over_variables_over_the_file(loading) -> None:
    """The nearer to the hand, the stronger."""
    files = {"exporter.yml": BASE + "log: {level: error, format: json}\nweb: {listen_address: ':1'}"}
    environ = {"BLNK_EXPORTER_LOG_LEVEL": "WARNING", "BLNK_EXPORTER_WEB_LISTEN_ADDRESS": ":2"}
    own = loading(files, environ=environ, flags={"web.listen_address": "[::]:3", "log.level": None}).settings.own
    assert (own.log.format, own.log.level) == ("json", "warning")
    assert (own.web.listen_address, own.web.host, own.web.port) == ("[::]:3", "::", 3)


def test_every_value_knows_where_it_came_from(origins, tmp_path) -> None:
    """The first question of whoever finds a wrong one."""
    (tmp_path / "pw").write_text("secret")
    rows = origins(
        {"exporter.yml": BASE + "postgres: {user: me}\nhost: {root: /host/}"},
        environ={"BLNK_EXPORTER_POSTGRES_PASSWORD_FILE": "pw", "BLNK_EXPORTER_LIMITS_QUEUES": "5"},
        flags={
            "web.telemetry_path": "/m",
            "collectors.host": False,
            "collectors.redis": True,
            "postgres.dsn": "host=h",
        },
    )
    assert rows["log.level"] == ("info", "default")
    assert rows["postgres.user"] == ("me", "exporter.yml")
    assert rows["host.root"] == ("/host", "exporter.yml")
    assert rows["limits.queues"] == ("5", "environment BLNK_EXPORTER_LIMITS_QUEUES")
    assert rows["postgres.password"] == ("***", "file pw (BLNK_EXPORTER_POSTGRES_PASSWORD_FILE)")
    assert rows["web.telemetry_path"] == ("/m", "flag --web.telemetry-path")
    assert rows["collectors.host"] == ("false", "flag --no-collector.host")
    assert rows["collectors.redis"] == ("true", "flag --collector.redis")
    assert rows["target postgres"] == ("postgres://me:***@h:5432/?sslmode=prefer", "flag --postgres.dsn")


def test_lists_may_be_text(loading) -> None:
    """Variables and flags know no lists; a DSN may hold commas of its own."""
    environ = {
        "BLNK_EXPORTER_SERVERS": "http://a, http://b/ ,",
        "BLNK_EXPORTER_HOST_PATHS": "/,/data",
        "BLNK_EXPORTER_POSTGRES_REPLICAS": "postgres://r1:1,r2:2/d,postgresql://r3/d",
    }
    settings = loading(environ=environ).settings
    assert settings.servers == ("http://a", "http://b")
    assert settings.own.host.paths == ("/", "/data")
    assert [dsn.hosts for dsn in settings.postgres] == [("r1", "r2"), ("r3",)]


def test_an_empty_list_means_none(loading) -> None:
    """Whoever has no worker beside the server says so."""
    assert loading({"exporter.yml": "workers: []"}, blnk={}).settings.workers == ()


def test_an_empty_variable_is_not_set(loading) -> None:
    """Compose files pass what is not there as nothing."""
    assert loading({"exporter.yml": BASE}, environ={"BLNK_EXPORTER_LOG_LEVEL": ""}).settings.own.log.level == "info"


def test_an_empty_section_or_value_says_nothing(loading) -> None:
    """What is left when its lines are commented out."""
    assert (
        loading({"exporter.yml": BASE + "log:\nweb: {telemetry_path: }\n"}).settings.own.web.telemetry_path
        == "/metrics"
    )


@pytest.mark.parametrize("path", sorted(path for path, secret in LEAVES.items() if secret))
def test_every_secret_has_a_file(path) -> None:
    """In exporter.yml and in the environment."""
    assert KEYS[f"{path}_file"] == path
    assert VARIABLES[f"BLNK_EXPORTER_{path.upper().replace('.', '_')}_FILE"] == f"{path}_file"


def test_secrets_are_read_from_files(loading, tmp_path) -> None:
    """The line break at the end is the editor's."""
    (tmp_path / "pg").write_text("p w\r\n")
    (tmp_path / "replicas").write_text("host=r1\nhost=r2\n")
    loaded = loading(
        {"exporter.yml": "postgres: {dsn: host=h, password_file: pg, replicas_file: replicas}\nredis: {dsn: 'r:1'}\n"},
        environ={"BLNK_EXPORTER_REDIS_PASSWORD_FILE": str(tmp_path / "pg")},
    )
    passwords = [dsn.password.get_secret_value() for dsn in (*loaded.settings.postgres, loaded.settings.redis)]
    assert passwords == ["p w"] * 4
    assert {tmp_path / "pg", tmp_path / "replicas", tmp_path / "exporter.yml", tmp_path / "blnk.json"} <= set(
        loaded.files
    )


def test_a_file_that_is_overridden_need_not_exist(loading) -> None:
    """Only what counts is read."""
    environ = {"BLNK_EXPORTER_POSTGRES_PASSWORD": "x"}
    assert loading({"exporter.yml": BASE + "postgres: {dsn: host=h, password_file: nowhere}"}, environ=environ)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "secret does not exist"),
        (b"", "secret is empty"),
        (b"\n", "secret is empty"),
        (b"a\0b", "secret holds a NUL byte"),
        (b"\xff", "secret is not UTF-8 text"),
        (b"x" * 65_537, "secret is larger than 64 KiB"),
    ],
)
def test_a_bad_secret_file_is_a_fault(faults, tmp_path, content, what) -> None:
    """Said without what it holds."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    environ = {"BLNK_EXPORTER_REDIS_PASSWORD_FILE": "secret", "BLNK_EXPORTER_REDIS_DSN": "h:1"}
    assert faults(environ=environ) == [f"BLNK_EXPORTER_REDIS_PASSWORD_FILE: {what}"]


def test_the_file_may_be_named(loading, tmp_path) -> None:
    """By flag or variable; a flag wins."""
    (tmp_path / "a.yml").write_text("servers: [http://a]")
    (tmp_path / "b.yml").write_text("servers: [http://b]")
    environ = {"BLNK_EXPORTER_CONFIG_FILE": "a.yml"}
    assert loading(environ=environ).settings.servers == ("http://a",)
    assert loading(environ=environ, config_file=Path("b.yml")).settings.servers == ("http://b",)


def test_a_named_file_must_exist(faults) -> None:
    """A slip in a path must not mean defaults."""
    assert faults(config_file=Path("mine.yml")) == ["mine.yml: does not exist"]
    assert faults(environ={"BLNK_EXPORTER_CONFIG_FILE": "mine.yml"}) == ["mine.yml: does not exist"]


def test_what_kubernetes_sets_is_let_pass(loading) -> None:
    """A Service called blnk-exporter must not keep the exporter from starting."""
    environ = {
        "BLNK_EXPORTER_SERVICE_HOST": "10.0.0.1",
        "BLNK_EXPORTER_PORT": "tcp://10.0.0.1:10501",
        "BLNK_EXPORTER_PORT_10501_TCP_ADDR": "x",
    }
    assert loading({"exporter.yml": BASE}, environ=environ)


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"BLNK_EXPORTER_POSTGRES_DNS": "x"}, "BLNK_EXPORTER_POSTGRES_DNS: is not a known variable; the nearest is BLNK_EXPORTER_POSTGRES_DSN"),
        ({"BLNK_EXPORTER_LIMITS_QUEUES": "many"}, "BLNK_EXPORTER_LIMITS_QUEUES: must be a whole number"),
        ({"BLNK_EXPORTER_LIMITS_HEALTH_TIMEOUT_SECONDS": "nan"}, "BLNK_EXPORTER_LIMITS_HEALTH_TIMEOUT_SECONDS: must be a number"),
        ({"BLNK_EXPORTER_LIMITS_HEALTH_TIMEOUT_SECONDS": "0"}, "BLNK_EXPORTER_LIMITS_HEALTH_TIMEOUT_SECONDS: must be more than 0.0"),
        ({"BLNK_EXPORTER_COLLECTORS_HOST": "perhaps"}, "BLNK_EXPORTER_COLLECTORS_HOST: must be true or false"),
        ({"BLNK_EXPORTER_LOG_FORMAT": "xml"}, "BLNK_EXPORTER_LOG_FORMAT: must be one of logfmt or json"),
        ({"BLNK_EXPORTER_WORKERS": "http://a,http://a/"}, "BLNK_EXPORTER_WORKERS: holds the same entry twice"),
        ({"BLNK_EXPORTER_REDIS_CA_FILE": "nowhere"}, "BLNK_EXPORTER_REDIS_CA_FILE: the file nowhere does not exist"),
    ],
)  # fmt: skip
def test_a_bad_variable_is_a_fault(faults, environ, fault) -> None:
    """Under the name that the operator wrote."""
    assert faults({"exporter.yml": BASE}, environ=environ) == [fault]


def test_a_bad_flag_is_a_fault(faults) -> None:
    """Under its own name."""
    assert faults(flags={"web.listen_address": "nonsense", "servers": "http://a"}) == [
        "--web.listen-address: must be host:port, [::1]:port or :port"
    ]
    assert faults(flags={"web.nonsense_key": "x"})[0].startswith("--web.nonsense-key: is not a known flag")


def test_a_secret_and_its_file_contradict(faults) -> None:
    """In one layer; a higher layer may replace the one by the other."""
    environ = {"BLNK_EXPORTER_REDIS_DSN": "h:1", "BLNK_EXPORTER_REDIS_DSN_FILE": "x"}
    assert faults(environ=environ) == [
        "BLNK_EXPORTER_REDIS_DSN_FILE: is given together with BLNK_EXPORTER_REDIS_DSN; give one of them"
    ]


def test_all_layers_faults_come_at_once(faults) -> None:
    """Mended in one go."""
    found = faults(
        {
            "exporter.yml": "web: {telemetry_path: metrics}\nredis: {dsn: localhost}\n",
            "blnk.json": '{"server": {"port": 1}}',
        },
        environ={"BLNK_EXPORTER_X": "1", "BLNK_SERVER_SECURE": "2", "BLNK_DATA_SOURCE_DNS": "nonsense"},
        flags={"limits.requests": "0"},
    )
    assert [fault.partition(":")[0] for fault in found] == [
        "--limits.requests",
        "BLNK_DATA_SOURCE_DNS",
        "BLNK_EXPORTER_X",
        "BLNK_SERVER_SECURE",
        "blnk.json server.port",
        "exporter.yml redis.dsn",
        "exporter.yml web.telemetry_path",
    ]


@pytest.mark.parametrize("path", sorted(LEAVES))
@pytest.mark.parametrize("bad", ["\udce9", "\0"], ids=["not UTF-8", "NUL"])
def test_no_setting_holds_what_cannot_be_sent(faults, path: str, bad: str) -> None:
    """A variable may hold any bytes; a driver that cannot encode them prints the whole password."""
    found = faults(environ={f"BLNK_EXPORTER_{path.upper().replace('.', '_')}": f"CANARY{bad}"})
    assert any("is not UTF-8 text" in fault or "holds a NUL character" in fault for fault in found)
    assert "CANARY" not in "".join(found)


def test_a_file_of_ours_has_a_name_that_can_be_shown(faults) -> None:
    """And so have those that hold secrets."""
    environ = {"BLNK_EXPORTER_CONFIG_FILE": "a\udce9", "BLNK_EXPORTER_REDIS_PASSWORD_FILE": "b\udce9"}
    assert faults(environ=environ, blnk={}) == [
        "BLNK_EXPORTER_CONFIG_FILE: is not UTF-8 text",
        "BLNK_EXPORTER_REDIS_PASSWORD_FILE: is not UTF-8 text",
    ]


def test_a_statement_may_last_as_long_as_a_scrape(loading) -> None:
    """Unless somebody said how long: the default of one follows the other."""

    def seconds(**limits: float) -> float:
        flags = {f"limits.{key}": value for key, value in limits.items()}
        return loading(flags={"redis.dsn": "h:1", **flags}).settings.own.limits.statement_timeout_seconds

    assert seconds() == 5
    assert seconds(scrape_timeout_seconds=2) == 2
    assert seconds(scrape_timeout_seconds=20) == 5
    assert seconds(scrape_timeout_seconds=2, statement_timeout_seconds=1) == 1
