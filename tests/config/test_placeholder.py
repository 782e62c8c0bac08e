"""Placeholders that nothing replaced: said where they are, refused where they cannot be a value, never with a secret."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from blnk_exporter.config import Loaded

from .conftest import MINIMAL

HOW = "which was not replaced; values are used as they are written, so write the value itself"
DSN = "postgres://blnk:canary${PW}canary@db/blnk"


def blnk(**sections: Any) -> dict[str, Any]:
    return {"blnk.json": json.dumps(MINIMAL | sections)}


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"files": blnk(data_source={"dns": DSN})}, "blnk.json data_source.dns: holds ${PW}"),
        ({"files": blnk(server={"secret_key": "{{ .Values.canary }}"})}, "blnk.json server.secret_key: holds {{ … }}"),
        ({"files": blnk(), "environ": {"BLNK_DATA_SOURCE_DNS": DSN}}, "BLNK_DATA_SOURCE_DNS: holds ${PW}"),
        (
            {"files": blnk(), "environ": {"BLNK_EXPORTER_POSTGRES_PASSWORD": "$(PW)"}},
            "BLNK_EXPORTER_POSTGRES_PASSWORD: holds $(PW)",
        ),
        (
            {"files": blnk() | {"exporter.yml": "redis: {password: 'canary${canary}'}"}},
            "exporter.yml redis.password: holds ${…}",
        ),
        (
            {"files": blnk() | {"exporter.yml": f"postgres: {{replicas: ['{DSN.replace('db', 'db2')}']}}"}},
            "exporter.yml postgres.replicas: holds ${PW}",
        ),
        (
            {"files": blnk() | {"exporter.yml": "postgres: {password_file: secret}", "secret": b"canary{{ x }}"}},
            "exporter.yml postgres.password_file: holds {{ … }}",
        ),
    ],
)
def test_a_value_that_may_be_meant_is_noted(loading: Callable[..., Loaded], given: dict[str, Any], note: str) -> None:
    """A password may hold such a thing; check-config says so before the login fails."""
    notes = loading(**given).notes
    assert f"{note}, {HOW}." in notes
    assert "canary" not in "".join(notes)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"files": blnk(data_source={"dns": "${DATABASE_URL}"})}, "blnk.json data_source.dns: holds ${DATABASE_URL}"),
        ({"files": blnk(redis={"dns": "${REDIS_URL}"})}, "blnk.json redis.dns: holds ${REDIS_URL}"),
        ({"files": blnk(redis={"dns": "{{ .Values.redis }}"})}, "blnk.json redis.dns: holds {{ … }}"),
        ({"files": blnk(redis={"dns": "$(REDIS)"})}, "blnk.json redis.dns: holds $(REDIS)"),
        ({"files": blnk(redis={"dns": "redis://:${PW}@${HOST}:${PORT}/"})}, "blnk.json redis.dns: holds ${PW}"),
        ({"files": blnk(server={"port": "${PORT}"})}, "blnk.json server.port: holds ${PORT}"),
        ({"files": blnk(queue={"number_of_queues": "${N}"})}, "blnk.json queue.number_of_queues: holds ${N}"),
        ({"files": blnk(), "environ": {"BLNK_SERVER_SSL": "${SSL}"}}, "BLNK_SERVER_SSL: holds ${SSL}"),
        (
            {"files": blnk(), "environ": {"BLNK_EXPORTER_SERVERS": "http://${HOST}:5001"}},
            "BLNK_EXPORTER_SERVERS: holds ${HOST}",
        ),
        (
            {"files": blnk(), "environ": {"BLNK_EXPORTER_WEB_LISTEN_ADDRESS": ":$(PORT)"}},
            "BLNK_EXPORTER_WEB_LISTEN_ADDRESS: holds $(PORT)",
        ),
        (
            {"files": {"exporter.yml": "postgres: {dsn: '${DATABASE_URL:-canary}'}"}},
            "exporter.yml postgres.dsn: holds ${DATABASE_URL}",
        ),
    ],
)
def test_a_value_that_cannot_be_used_has_the_reason(
    faults: Callable[..., list[str]], given: dict[str, Any], fault: str
) -> None:
    """Not "percent-encode its password" of a text that has none."""
    assert faults(**given) == [f"{fault}, {HOW}"]


TARGET = """
targets:
  a:
    environment_file: blnk.env
    servers: [http://a:5001]
    workers: []
"""


def target(loading: Callable[..., Loaded], lines: str) -> Loaded:
    files: Mapping[str, Any] = {"exporter.yml": TARGET, "blnk.env": lines}
    return loading(files=files).target("a")


def test_an_environment_file_has_the_variables_of_its_earlier_lines(loading: Callable[..., Loaded]) -> None:
    """As Compose reads it: in single quotes nothing is replaced."""
    lines = """
PW=secret
BLNK_DATA_SOURCE_DNS=postgres://blnk:${PW}@${HOST:-db}/blnk
BLNK_REDIS_DNS="redis://:${PW}@cache:6379"
BLNK_SERVER_SECRET_KEY='${PW}'
"""
    loaded = target(loading, lines)
    (postgres,) = loaded.settings.postgres
    assert (postgres.hosts, postgres.password.get_secret_value()) == (("db",), "secret")
    assert loaded.settings.redis.password.get_secret_value() == "secret"
    assert loaded.settings.blnk.secret_key.get_secret_value() == "${PW}"
    assert [note for note in loaded.notes if "was not replaced" in note] == [
        f"blnk.env BLNK_SERVER_SECRET_KEY: holds ${{PW}}, {HOW}."
    ]


def test_a_variable_from_elsewhere_stays_and_is_noted(loading: Callable[..., Loaded]) -> None:
    """Compose takes it from its own environment, which the exporter does not have."""
    lines = "BLNK_DATA_SOURCE_DNS=postgres://blnk:${OTHER}@db/blnk\nBLNK_REDIS_DNS=cache:6379\nOTHER=late\n"
    loaded = target(loading, lines)
    assert loaded.settings.postgres[0].password.get_secret_value() == "${OTHER}"
    assert f"blnk.env BLNK_DATA_SOURCE_DNS: holds ${{OTHER}}, {HOW}." in loaded.notes


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (
            {"files": blnk(data_source={"dsn": "x"})},
            "Blnk ignores blnk.json data_source.dsn: was it meant to be dns?",
        ),
        (
            {"environ": {"BLNK_DATA_SOURCE_DSN": "x", "BLNK_REDIS_DNS": "h:1"}},
            "Blnk ignores BLNK_DATA_SOURCE_DSN: was it meant to be dns?",
        ),
    ],
)
def test_a_missing_connection_string_that_is_misspelt(faults: Callable[..., list[str]], given: Any, hint: str) -> None:
    """Every other program calls it a DSN."""
    (fault,) = faults(**given)
    assert fault.startswith("Blnk data_source.dns: is missing")
    assert fault.endswith(hint)


@pytest.mark.parametrize("name", ["BLNK_SERVER_SSL", "BLNK_QUEUE_NUMBER_OF_QUEUES", "BLNK_RATE_LIMIT_RPS"])
def test_an_empty_variable_stops_blnk_too(faults: Callable[..., list[str]], name: str) -> None:
    """Blnk's own example has one of them empty."""
    (fault,) = faults(files=blnk(), environ={name: ""})
    assert fault.startswith(f"{name}: must be ")
    assert fault.endswith("; Blnk itself does not start with it empty")
