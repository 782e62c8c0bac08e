"""``blnk-exporter grants``: whose rights it prints, under which names, and what it keeps to itself."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from blnk_exporter import cli, collectors
from blnk_exporter.config.settings import Collectors, Limits, Own, Settings
from blnk_exporter.render import grants
from blnk_exporter.right import Command, Keys, Member, Select

CANARY = "canary-7f3a"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without a trace of Blnk."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if "BLNK" in name]:
        monkeypatch.delenv(name)
    return tmp_path


def invoke(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(cli.cli, ["grants", *arguments], env=variables, prog_name="blnk-exporter")


def settings(own: Own | None = None) -> Settings:
    """Nothing but our own keys."""
    return Settings(own=own or Own(), blnk=None, servers=(), workers=(), postgres=(), redis=None, queues=())


def line(text: str) -> list[str]:
    """The words of the ACL's line."""
    return text.splitlines()[-1].split()


@pytest.mark.parametrize("store", ["postgres", "redis"])
def test_it_needs_no_configuration(here: Path, store: str) -> None:
    """An administrator of the database has no blnk.json."""
    result = invoke(store)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == grants.RENDERED[store](settings())


def test_every_right_of_every_collector_is_there() -> None:
    """What a room declares is what is printed; nothing is on a second list."""
    sql, acl = grants.postgres(settings()), line(grants.redis(settings()))
    rights = [right for room, _ in collectors.ROOMS for right in room.rights]
    assert {type(right) for right in rights} >= {Select, Member, Command, Keys}
    for right in rights:
        match right:
            case Select():
                assert f"('{right.table}', ARRAY[" in sql
                assert all(f"'{column}'" in sql for column in right.columns)
            case Member():
                assert f"GRANT {right.role} TO" in sql
            case Command():
                assert f"+{right.name}" in acl
            case Keys():
                assert f"%R~{right.pattern}" in acl


@pytest.mark.parametrize("store", ["postgres", "redis"])
@pytest.mark.parametrize("name", collectors.NAMES)
def test_a_collector_that_is_switched_off_is_not_in_it(store: str, name: str) -> None:
    """By flag, variable or file: all of them end in this setting."""
    found = settings(Own(collectors=Collectors(**{name: False})))
    text = grants.RENDERED[store](found)
    assert f"{name}:" not in text
    head = " ".join(text.partition("collectors: ")[2].partition(".")[0].replace("#", "").replace("--", "").split())
    assert head.split(", ") == [other for other in collectors.NAMES if other != name]


def test_rights_that_nobody_needs_are_not_in_it() -> None:
    """One collector's are its own alone; what an earlier run may have given is taken back."""
    only = settings(Own(collectors=Collectors(**{name: name == "redis" for name in collectors.NAMES})))
    assert line(grants.redis(only)) == [
        *("user", "blnk_exporter", "reset", "on", "#PASSWORD_SHA256", "resetchannels"),
        *("+info", "+slowlog|len", "+client|setname"),
    ]
    sql = grants.postgres(only)
    assert "GRANT pg_" not in sql
    assert "GRANT USAGE" not in sql
    assert 'REVOKE pg_read_all_stats FROM "blnk_exporter";' in sql
    assert 'REVOKE ALL ON ALL TABLES IN SCHEMA blnk FROM "blnk_exporter";' in sql


def test_the_switches_of_the_command_line_and_the_file(here: Path) -> None:
    """The same as those of serve."""
    (here / "exporter.yml").write_text("collectors: {ledger: false, books: false}\n")
    assert "chain_state" not in invoke("postgres").stdout
    assert "chain_state" in invoke("postgres", "--collector.ledger").stdout
    assert "+info" not in line(invoke("redis", "--no-collector.redis").stdout)
    assert "+info" in line(invoke("redis").stdout)


def test_the_limits_of_the_settings() -> None:
    """What the session gives itself is what the role is given."""
    text = grants.postgres(settings(Own(limits=Limits(statement_timeout_seconds=1.25))))
    assert "SET statement_timeout = 1250;" in text


DSNS = {"data_source": {"dns": f"postgres://blnk:{CANARY}@db/ledger"}, "redis": {"dns": f"redis://blnk:{CANARY}@r:1/3"}}


@pytest.mark.parametrize(
    ("own", "role", "user"),
    [
        ("", "blnk_exporter", "blnk_exporter"),
        ("postgres: {user: watch}\nredis: {username: eye}", "watch", "eye"),
        ("postgres: {dsn: 'postgres://dsn_user:x@db/d'}\nredis: {dsn: 'redis://dsn_eye:x@r'}", "dsn_user", "dsn_eye"),
        ("postgres: {user: blnk}\nredis: {username: default}", "blnk_exporter", "blnk_exporter"),
    ],
)
def test_the_names_are_ours_and_never_blnks(here: Path, own: str, role: str, user: str) -> None:
    """Where nobody named a role of our own, Blnk's is in force; the script would make that one read-only."""
    (here / "blnk.json").write_text(json.dumps(DSNS))
    (here / "exporter.yml").write_text(own)
    assert f'ALTER ROLE "{role}" LOGIN' in invoke("postgres").stdout
    assert line(invoke("redis").stdout)[:2] == ["user", user]


def test_the_databases_are_those_of_the_connection_strings(here: Path) -> None:
    """PostgreSQL's has a name; in Redis another one than 0 has to be chosen."""
    (here / "blnk.json").write_text(json.dumps(DSNS))
    assert 'GRANT CONNECT ON DATABASE "ledger"' in invoke("postgres").stdout
    assert "+select" in line(invoke("redis").stdout)
    assert "+select" not in line(grants.redis(settings()))


@pytest.mark.parametrize("store", ["postgres", "redis"])
def test_no_password_is_in_it(here: Path, store: str) -> None:
    """It is made to be sent to somebody else."""
    (here / "blnk.json").write_text(json.dumps(DSNS))
    (here / "exporter.yml").write_text(f"postgres: {{password: {CANARY}}}\nredis: {{password: {CANARY}}}\n")
    result = invoke(store)
    assert result.exit_code == 0
    assert CANARY not in result.output
    assert ("\\password" if store == "postgres" else "sha256sum") in result.stdout


def test_a_function_in_place_of_the_column(here: Path) -> None:
    """The flag is the choice, and it is one of PostgreSQL's alone."""
    column, function = invoke("postgres").stdout, invoke("postgres", "--rejection-reasons", "function").stdout
    assert "'meta_data'" in column
    assert "'meta_data'" not in function
    assert "SECURITY DEFINER SET search_path = pg_catalog, pg_temp" in function
    assert "CREATE FUNCTION" not in column
    assert "blnk_exporter_reasons, needs a policy as well" in function
    assert "DROP FUNCTION IF EXISTS blnk_exporter.rejection_reason(bigint);" in column
    refused = invoke("redis", "--rejection-reasons", "function")
    assert (refused.exit_code, refused.stdout) == (2, "")
    without = invoke("postgres", "--no-collector.ledger", "--rejection-reasons", "function").stdout
    assert "meta_data" not in without


def test_every_word_of_the_line_is_explained() -> None:
    """Whoever is to grant something wants to know what for."""
    text = grants.redis(settings())
    told = {words[1] for words in (found.split() for found in text.splitlines()) if len(words) > 2 and words[0] == "#"}
    assert [word for word in line(text) if word[0] in "+%" and word not in told] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Missing argument"),
        (["mysql"], 2, "'mysql' is not one of 'postgres', 'redis'"),
        (["redis", "--no-collector.nope"], 2, "No such option"),
        (["redis", "--log.level", "info", "--config.file", "nowhere.yml"], 1, "nowhere.yml"),
    ],
)
def test_wrong_usage(here: Path, arguments: list[str], code: int, words: str) -> None:
    """As with every other command: on standard error, and nothing that could be taken for rights."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr


def test_help_teaches(here: Path) -> None:
    """How it is run, in one line for each store."""
    text = invoke("--help").stdout
    assert "blnk-exporter grants postgres | psql" in text
    assert "blnk-exporter grants redis > exporter.acl" in text


@pytest.mark.parametrize("store", ["postgres", "redis"])
def test_lines_fit_a_screen(store: str) -> None:
    """But for the ACL's own line, which cannot be broken."""
    text: Any = grants.RENDERED[store](settings()).splitlines()
    assert [found for found in text if len(found) > 120 and not found.startswith("user ")] == []
