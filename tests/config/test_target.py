"""Several deployments in one exporter.yml: what is theirs, what is everybody's, and what is wrong with one of them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from blnk_exporter import collectors
from blnk_exporter.config import Loaded, load
from blnk_exporter.config.target import TAKEN_LABELS
from blnk_exporter.errors import ConfigError
from blnk_exporter.render import catalogue, rules
from blnk_exporter.render.fill import Site

from .conftest import MINIMAL
from .test_fuzz import VALUES, WORDS, outcome

SERVED = {"servers": ["http://a:5001"], "workers": ["http://a:5004"]}
BLNK = {"data_source": {"dns": "postgres://blnk:s3cret@a-db/blnk"}, "redis": {"dns": "redis://:s3cret@a-cache:6379"}}


@pytest.fixture
def fleet(tmp_path: Path) -> Callable[..., Loaded]:
    """Load an exporter.yml beside which a.json is a Blnk's."""
    (tmp_path / "a.json").write_text(json.dumps(MINIMAL | BLNK))

    def run(content: Mapping[str, Any], environ: Mapping[str, str] | None = None, **flags: Any) -> Loaded:
        (tmp_path / "exporter.yml").write_text(json.dumps(dict(content)))
        return load(flags=flags, environ=environ or {}, directory=tmp_path)

    return run


def test_each_has_a_blnk_of_its_own(fleet: Callable[..., Loaded], tmp_path: Path) -> None:
    """By its blnk.json, by an environment file, or by addresses; and the exporter itself watches none."""
    (tmp_path / "b.env").write_text(
        "# as its containers have it\nexport BLNK_DATA_SOURCE_DNS='postgres://blnk:pa$$w@b-db/blnk'\n"
        'BLNK_REDIS_DNS="redis://b-cache:6379"  # beside it\n\nBLNK_SERVER_PORT=6001\n'
    )
    loaded = fleet(
        {
            "targets": {
                "a": {"blnk": {"config": "a.json"}, **SERVED},
                "b": {"environment_file": "b.env", **SERVED, "labels": {"region": "eu", "tier": "gold"}},
                "c": {"redis": {"dsn": "c-cache:6379"}, "collectors": {"server": False, "workers": False}},
            }
        }
    )
    assert list(loaded.targets) == ["a", "b", "c"]
    assert (loaded.settings.postgres, loaded.settings.redis, loaded.settings.servers) == ((), None, ())
    settings = {name: target.read().settings for name, target in loaded.targets.items()}
    assert [dsn.address for name in "ab" for dsn in settings[name].postgres] == ["a-db:5432", "b-db:5432"]
    assert settings["b"].postgres[0].password.get_secret_value() == "pa$$w"
    assert [settings[name].redis.address for name in "abc"] == ["a-cache:6379", "b-cache:6379", "c-cache:6379"]
    assert settings["a"].servers == ("http://a:5001",)
    assert loaded.targets["b"].labels == {"region": "eu", "tier": "gold"}


def test_what_holds_for_all_and_what_for_one(fleet: Callable[..., Loaded]) -> None:
    """What a target says of itself wins over file, variables and flags; what it does not say is everybody's."""
    loaded = fleet(
        {
            "postgres": {"user": "everybodys"},
            "limits": {"queues": 7},
            "targets": {
                "a": {"blnk": {"config": "a.json"}, **SERVED},
                "b": {
                    "blnk": {"config": "a.json"},
                    **SERVED,
                    "postgres": {"user": "its_own"},
                    "limits": {"queues": 40},
                },
            },
        },
        {"BLNK_EXPORTER_LIMITS_QUEUES": "50", "BLNK_EXPORTER_REDIS_PASSWORD": "pw"},
    )
    a, b = (loaded.targets[name].read().settings for name in "ab")
    assert (a.postgres[0].user, b.postgres[0].user) == ("everybodys", "its_own")
    assert (a.own.limits.queues, b.own.limits.queues) == (50, 40)
    assert a.redis.password == b.redis.password


def test_blnks_variables_of_this_process_belong_to_no_target(fleet: Callable[..., Loaded]) -> None:
    """They would make all of them one and the same."""
    content = {"targets": {"a": {"blnk": {"config": "a.json"}, **SERVED}}}
    a = fleet(content, {"BLNK_DATA_SOURCE_DNS": "postgres://elsewhere/blnk"}).targets["a"].read().settings
    assert a.postgres[0].address == "a-db:5432"


def test_the_host_is_not_the_targets(fleet: Callable[..., Loaded]) -> None:
    """Unless somebody says so, of one or of all."""
    a = {"blnk": {"config": "a.json"}, **SERVED}
    hosts = {"collectors": {"host": True}}
    assert not fleet({"targets": {"a": a}}).targets["a"].read().settings.own.collectors.host
    assert fleet({"targets": {"a": a | hosts}}).targets["a"].read().settings.own.collectors.host
    assert fleet(hosts | {"targets": {"a": a}}).targets["a"].read().settings.own.collectors.host


def test_notes_of_all_targets_are_told(fleet: Callable[..., Loaded], tmp_path: Path) -> None:
    """One that holds for several is one line; and a value says which file it came from."""
    (tmp_path / "a.env").write_text("BLNK_DATABASE_MAX_OPN_CONNS=7\nBLNK_PROJECT_NAME=a\n")
    known = {"blnk": {"config": "a.json", "version": "0.15.2"}, **SERVED}
    loaded = fleet(
        {
            "targets": {
                "a": {**known, "environment_file": "a.env"},
                "b": known,
                "c": {"blnk": {"config": "a.json"}, **SERVED},
            }
        }
    )
    told = loaded.checked().notes
    assert any(note.startswith("target a: BLNK_DATABASE_MAX_OPN_CONNS: Blnk does not know") for note in told)
    assert any(note.startswith("target c: The defaults of Blnk 0.15.2 are assumed") for note in told)
    (name,) = (value for value in loaded.target("a").values if value.path == "Blnk project_name")
    assert name.origin == "a.env"
    unsaid = {"blnk": {"config": "a.json"}, **SERVED}
    (note, *_) = fleet({"targets": dict.fromkeys("abc", unsaid)}).checked().notes
    assert note.startswith("target a and 2 more: ")


def test_a_blnk_json_beside_us_is_nobodys(fleet: Callable[..., Loaded], tmp_path: Path) -> None:
    """A target that does not say where its Blnk is must not be given another's."""
    (tmp_path / "blnk.json").write_text(json.dumps(MINIMAL | BLNK))
    loaded = fleet({"targets": {"a": {"collectors": {"server": False, "workers": False}}}})
    with pytest.raises(ConfigError, match="there is nothing to watch"):
        loaded.targets["a"].read()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([], "exporter.yml targets: must hold names, and under each the settings of that deployment"),
        ({}, "exporter.yml targets: must hold names, and under each the settings of that deployment"),
        (None, "exporter.yml targets: must hold names, and under each the settings of that deployment"),
        ({"a b": {}}, "exporter.yml targets: holds the name 'a b'; it may hold letters, digits and . _ -"),
        ({"a": ["x"]}, "exporter.yml targets.a: must hold keys and their values"),
        ({"a": {"postgres": {"usr": "x"}}}, "exporter.yml targets.a postgres.usr: is not a known key; the nearest is postgres.user"),
        ({"a": {"web": {"listen_address": ":1"}}}, "exporter.yml targets.a web.listen_address: belongs to the exporter, not to one of its targets"),
        ({"a": {"limits": {"connections": 9}}}, "exporter.yml targets.a limits.connections: belongs to the exporter, not to one of its targets"),
        ({"a": {"labels": ["x"]}}, "exporter.yml targets.a labels: must hold keys and their values"),
        ({"a": {"labels": {"__address__": "x"}}}, "exporter.yml targets.a labels: holds '__address__', which is no name of a label"),
        ({"a": {"labels": {"queue": "x"}}}, "exporter.yml targets.a labels: holds 'queue', which our own series or alerts have"),
        ({"a": {"labels": {"job": "x"}}}, "exporter.yml targets.a labels: holds 'job', which our own series or alerts have"),
        ({"a": {"labels": {"tier": 1}}}, "exporter.yml targets.a labels.tier: must be text; put it in quotes"),
        ({"a": {"environment_file": 3}}, "exporter.yml targets.a environment_file: must be the path of a file"),
        ({"a": {"targets": {}}}, "exporter.yml targets.a targets: is not a known key"),
        ({"a": {"enviroment_file": "x"}}, "exporter.yml targets.a enviroment_file: is not a known key; the nearest is environment_file"),
        ({"a": {"labels": {"tier": ["x"]}}}, "exporter.yml targets.a labels.tier: must be text"),
        ({"a": {"labels": {"tier": ""}}}, "exporter.yml targets.a labels.tier: is empty, which to Prometheus is no label"),
    ],
)  # fmt: skip
def test_a_faulty_shape_is_a_fault_of_the_file(fleet: Callable[..., Loaded], content: Any, fault: str) -> None:
    """exporter.yml is one file: it is refused whole."""
    with pytest.raises(ConfigError) as caught:
        fleet({"targets": content})
    (told,) = map(str, caught.value.faults)
    assert told.startswith(fault)


def test_no_label_of_a_target_hides_one_of_ours() -> None:
    """Prometheus would call ours exported_…, and no rule would find it."""
    declared = (*catalogue.OWN, *(metric for collector, _ in collectors.ROOMS for metric in collector.metrics))
    assert {label for metric in declared for label in metric.labels} <= TAKEN_LABELS
    for template in rules.templates():
        for rule in yaml.safe_load(rules.render(template, Site()))["groups"][0]["rules"]:
            assert rule.get("labels", {}).keys() <= TAKEN_LABELS


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ({"blnk": {"config": "a.json"}}, ["exporter.yml targets.a servers: is missing; it says where Blnk's servers are reached, or [] where none are to be watched", "exporter.yml targets.a workers: is missing; it says where Blnk's workers are reached, or [] where none are to be watched"]),
        ({"blnk": {"config": "a.json"}, **SERVED, "servers": "blnk:5001"}, ["exporter.yml targets.a servers: entry 1 must begin with http:// or https://"]),
        ({"blnk": {"config": "none.json"}, **SERVED}, ["exporter.yml targets.a blnk.config: none.json does not exist"]),
        ({"environment_file": "none.env", **SERVED}, ["exporter.yml targets.a environment_file: none.env does not exist"]),
        ({"environment_file": "bad.env", **SERVED}, ["bad.env: line 2: must be NAME=value"]),
        ({"environment_file": "ours.env", **SERVED}, ["ours.env BLNK_EXPORTER_POSTGRES_USER: is the exporter's own; say it in exporter.yml targets.a"]),
        ({"environment_file": "wrong.env", **SERVED}, ["wrong.env BLNK_SERVER_SSL: must be true or false"]),
        ({"limits": {"queues": 0}, **SERVED}, ["exporter.yml targets.a limits.queues: must be at least 1"]),
        ({"postgres": {"password_file": "none"}, **SERVED}, ["exporter.yml targets.a postgres.password_file: none does not exist"]),
    ],
)  # fmt: skip
def test_a_faulty_target_is_its_own(fleet: Callable[..., Loaded], tmp_path: Path, content: Any, faults: list[str]) -> None:  # fmt: skip
    """The others are watched; check-config tells of all."""
    (tmp_path / "bad.env").write_text("A=1\nthis is s3cret\n")
    dns = "".join(
        f"BLNK_{name}_DNS={BLNK[key]['dns']}\n" for name, key in (("DATA_SOURCE", "data_source"), ("REDIS", "redis"))
    )
    (tmp_path / "ours.env").write_text(f"{dns}BLNK_EXPORTER_POSTGRES_USER=x\n")
    (tmp_path / "wrong.env").write_text(f"{dns}BLNK_SERVER_SSL=x\n")
    loaded = fleet({"targets": {"a": content, "b": {"blnk": {"config": "a.json"}, **SERVED}}})
    assert loaded.targets["b"].read().settings.servers
    with pytest.raises(ConfigError) as caught:
        loaded.targets["a"].read()
    assert [str(fault) for fault in caught.value.faults] == faults
    with pytest.raises(ConfigError) as caught:
        loaded.checked()
    assert [str(fault) for fault in caught.value.faults] == [f"target a: {fault}" for fault in faults]


def test_a_fault_of_what_holds_for_all_is_told_once(fleet: Callable[..., Loaded]) -> None:
    """And stops the start: it is no target's own."""
    with pytest.raises(ConfigError) as caught:
        fleet({"limits": {"queues": 0}, "targets": {"a": {"blnk": {"config": "a.json"}}, "b": {}}})
    assert [str(fault) for fault in caught.value.faults] == ["exporter.yml limits.queues: must be at least 1"]


@pytest.mark.parametrize(
    ("content", "environ", "where"),
    [
        ({"servers": ["http://a:5001"]}, {}, "exporter.yml servers"),
        ({"postgres": {"dsn": "postgres://s3cret@h/d"}}, {}, "exporter.yml postgres.dsn"),
        ({}, {"BLNK_EXPORTER_BLNK_CONFIG": "a.json"}, "BLNK_EXPORTER_BLNK_CONFIG"),
    ],
)
def test_where_a_blnk_is_holds_for_no_two(fleet: Callable[..., Loaded], content: Any, environ: Any, where: str) -> None:
    """All targets would be one and the same, under different names."""
    with pytest.raises(ConfigError) as caught:
        fleet(content | {"targets": {"a": {"blnk": {"config": "a.json"}, **SERVED}}}, environ)
    (told,) = map(str, caught.value.faults)
    assert told == f"{where}: says where one Blnk is, beside exporter.yml targets, each of which has its own"


def test_equal_is_who_says_the_same(fleet: Callable[..., Loaded]) -> None:
    """So that a change of one target does not touch the others."""
    content = {
        "targets": {"a": {"blnk": {"config": "a.json"}, **SERVED}, "b": {"blnk": {"config": "a.json"}, **SERVED}}
    }
    first, same = fleet(content).targets, fleet(content).targets
    changed = fleet({"targets": content["targets"] | {"b": {"blnk": {"config": "b.json"}}}}).targets
    assert first == same
    assert (first["a"] == changed["a"], first["b"] == changed["b"]) == (True, False)
    assert fleet(content, {"BLNK_EXPORTER_REDIS_USERNAME": "x"}).targets["a"] != first["a"]


def test_a_target_shows_no_secret(fleet: Callable[..., Loaded]) -> None:
    """Neither printed, nor in the table."""
    loaded = fleet({"targets": {"a": {"postgres": {"dsn": "postgres://u:s3cret@h/d", "password": "s3cret"}, **SERVED}}})
    assert "s3cret" not in repr(loaded)
    assert "s3cret" not in str(loaded.targets["a"].read().values)


@given(st.dictionaries(st.sampled_from(["a", "b", "", "-"]) | WORDS, VALUES, max_size=3))
def test_any_targets_are_survived(content: dict[str, object]) -> None:
    """A configuration or a ConfigError; and so for each of them."""
    result = outcome({"exporter.yml": json.dumps({"targets": content}).encode()})
    if isinstance(result, Loaded):
        for target in result.targets.values():
            try:
                target.read()
            except ConfigError as error:
                assert error.faults  # noqa: PT017 - either will do
