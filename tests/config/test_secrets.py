"""A canary in every place where a secret may stand: nothing that is printed may hold it."""

import json

import pytest

from blnk_exporter.config.blnk_fields import FIELDS
from blnk_exporter.config.origin import Entry, environment
from blnk_exporter.config.own import LEAVES
from blnk_exporter.config.report import render_check
from blnk_exporter.errors import ConfigError

CANARY = "canary-9f3b"
PG = f"postgres://u:{CANARY}@h/d?sslpassword={CANARY}"
OWN = {
    "postgres": {"dsn": PG, "password": CANARY, "replicas": [PG.replace("@h", "@r"), f"host=s password={CANARY}"]},
    "redis": {"dsn": f"redis://:{CANARY}@h", "password": CANARY},
}


def texts(loading, **layers) -> str:
    """Everything that could be printed of an outcome, joined."""
    try:
        outcome = loading(**layers)
    except ConfigError as error:
        return "\n".join([render_check(error), str(error), repr(error), repr(error.faults), repr(error.__context__)])
    return "\n".join(
        [
            render_check(outcome),
            repr(outcome),
            repr(outcome.settings),
            str(outcome.settings),
            repr(outcome.values),
            str(outcome.notes),
        ]
    )


def blnk(value: str) -> dict:
    """A blnk.json whose every secret is the value, its DSNs aside."""
    content: dict = {}
    for field in FIELDS:
        if field.is_secret or field.path.endswith("Authorization"):
            *sections, last = field.path.split(".")
            branch = content
            for section in sections:
                branch = branch.setdefault(section, {})
            branch[last] = value
    content["data_source"]["dns"] = PG
    content["redis"]["dns"] = f"rediss://{CANARY}@h"
    content["notification"]["webhook"]["headers"] = {"Authorization": value}
    return content


def test_a_valid_configuration_shows_none(loading) -> None:
    """In files."""
    shown = texts(loading, blnk=blnk(CANARY), files={"exporter.yml": json.dumps(OWN)})
    assert "The configuration is valid" in shown
    assert CANARY not in shown


def test_variables_show_none(loading, tmp_path) -> None:
    """In every variable, and in every file that one points to."""
    (tmp_path / "secret").write_text(CANARY)
    environ = {field.env: CANARY for field in FIELDS if field.is_secret and field.env}
    environ |= {"BLNK_DATA_SOURCE_DNS": PG, "BLNK_REDIS_DNS": f"{CANARY}@h:1", "BLNK_WEBHOOK_HEADERS": f"A:{CANARY}"}
    environ |= {"BLNK_EXPORTER_POSTGRES_PASSWORD_FILE": "secret", "BLNK_EXPORTER_REDIS_PASSWORD": CANARY}
    shown = texts(loading, environ=environ)
    assert "The configuration is valid" in shown
    assert CANARY not in shown


@pytest.mark.parametrize(
    "bad",
    [f"postgres://u:{CANARY}%zz@h/d", f"postgres://u:{CANARY}/x@h/d", f"host=h password={CANARY} {CANARY}", f"redis://:{CANARY}@h?x=1", f"{CANARY}", f"host=h sslmode={CANARY}", f"host=h port={CANARY}", f"postgres://h:{CANARY}/d", f"rediss://:a/{CANARY}@h"],
)  # fmt: skip
def test_faults_of_connection_strings_show_none(loading, bad) -> None:
    """In every place that takes one."""
    for layers in (
        {"blnk": {"data_source": {"dns": bad}, "redis": {"dns": bad}}},
        {"environ": {"BLNK_DATA_SOURCE_DNS": bad, "BLNK_REDIS_DNS": bad}},
        {"flags": {"postgres.dsn": bad, "redis.dsn": bad, "postgres.replicas": bad}},
    ):
        shown = texts(loading, **layers)
        assert "fault" in shown
        assert CANARY not in shown


@pytest.mark.parametrize(
    "path", sorted(set(LEAVES) - {"blnk.config", "postgres.user", "redis.username", "redis.ca_file", "web.config_file"})
)
def test_faults_of_settings_show_none(loading, path) -> None:
    """A secret that was put in the wrong place stays unseen too."""
    for value in (CANARY, [CANARY], {"x": CANARY}, f"http://u:{CANARY}@h", f"http://h/?{CANARY}"):
        section, _, key = path.partition(".")
        content = {section: {key: value} if key else value}
        assert CANARY not in texts(loading, files={"exporter.yml": json.dumps(content)})


@pytest.mark.parametrize(
    "text",
    [
        f"postgres: {{password: !{CANARY} }}",
        f"postgres: {{password: *{CANARY} }}",
        f"postgres: {{password: %{CANARY} }}",
        f"a: b: {CANARY}",
        f"'{CANARY}",
        f"postgres: {CANARY}",
    ],
)
def test_faults_of_yaml_show_none(loading, text) -> None:
    """PyYAML quotes what it stumbles over; we do not."""
    assert CANARY not in texts(loading, files={"exporter.yml": text})


@pytest.mark.parametrize(
    "text",
    [
        f'{{"redis": {{"dns": "{CANARY}',
        f'{{"a": {CANARY}}}',
        f'{{"server": {{"secure": "{CANARY}"}}}}',
        f'{{"server": "{CANARY}"}}',
        f'"{CANARY}"',
    ],
)
def test_faults_of_json_show_none(loading, text) -> None:
    """Neither does a JSON that breaks off in a password."""
    assert CANARY not in texts(loading, files={"blnk.json": text})


def test_faults_of_variables_show_none(loading) -> None:
    """Where a number or a word is wanted."""
    environ = {field.env: CANARY for field in FIELDS if field.env and not field.is_secret and field.kind != "text"}
    shown = texts(loading, blnk={}, environ=environ)
    assert "faults in the configuration" in shown
    assert CANARY not in shown


def test_a_layer_does_not_print_itself() -> None:
    """It would, in the traceback of a defect."""
    assert repr(Entry(CANARY, environment("X"))) == "Entry(environment X)"
