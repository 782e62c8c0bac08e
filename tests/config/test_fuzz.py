"""Any text in any file or variable: a configuration or a ConfigError, never another exception."""

import json
import string
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blnk_exporter.config import Loaded, load
from blnk_exporter.config.blnk_fields import FIELDS
from blnk_exporter.config.own import KEYS, VARIABLES
from blnk_exporter.config.report import render_check
from blnk_exporter.errors import ConfigError

ANY = st.characters(exclude_categories=())  # lone surrogates too: how Python carries a variable that is not UTF-8
WORDS = st.text(ANY, max_size=30) | st.sampled_from(
    ["", "1", "true", "30m", "h:1", "host=h", "http://h", "/", "redis://h", "x_file"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from([field.path for field in FIELDS] + [f"{field.path}x" for field in FIELDS[:5]])


def outcome(files: dict[str, bytes], **layers) -> Loaded | ConfigError:
    with TemporaryDirectory() as directory:
        for name, content in files.items():
            (Path(directory) / name).write_bytes(content)
        try:
            result: Loaded | ConfigError = load(**({"flags": {}, "environ": {}} | layers), directory=Path(directory))
        except ConfigError as error:
            result = error
    assert render_check(result)
    return result


def nested(paths: dict[str, object]) -> dict[str, object]:
    """Dotted paths as nested objects; a section that is a value already stays one."""
    content: dict = {}
    for path, value in paths.items():
        *sections, last = path.split(".")
        branch = content
        for section in sections:
            branch = branch.setdefault(section, {})
            if not isinstance(branch, dict):
                branch = {}
        branch[last] = value
    return content


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_survived(content) -> None:
    """In either file."""
    outcome({"blnk.json": content, "exporter.yml": content})


@given(st.text("{}[]:,&*!|>'\"%@`#-? \n\tab10~.<=", max_size=40))
def test_text_that_looks_like_yaml_is_survived(text) -> None:
    """PyYAML raises more than its own errors."""
    outcome({"exporter.yml": text.encode()})


@pytest.mark.parametrize(
    "tag",
    [
        "int",
        "float",
        "bool",
        "timestamp",
        "binary",
        "set",
        "omap",
        "pairs",
        "null",
        "seq",
        "map",
        "str",
        "merge",
        "value",
        "python/name:os.system",
    ],
)
@given(text=st.sampled_from(["x", "", "[1]", "{a: 1}", "2001-99-99", "1:99:99", "0b_", "0x", "-"]))
def test_every_tag_on_every_kind_of_value_is_survived(tag, text) -> None:
    """An explicit tag makes PyYAML raise whatever Python raises."""
    outcome({"exporter.yml": f"servers: !!{tag} {text}".encode()})


@settings(max_examples=300)
@given(st.dictionaries(PATHS, VALUES, max_size=5))
def test_any_values_in_blnk_json_are_survived(paths) -> None:
    """Of any kind at any key."""
    outcome({"blnk.json": json.dumps(nested(paths)).encode()})


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(KEYS)), VALUES, max_size=5))
def test_any_values_in_exporter_yml_are_survived(paths) -> None:
    """Of any kind at any key; JSON is YAML too."""
    outcome({"exporter.yml": json.dumps(nested(paths)).encode()})


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from([field.env for field in FIELDS if field.env] + sorted(VARIABLES)), WORDS, max_size=5
    ),
    st.dictionaries(st.sampled_from(sorted(KEYS)), VALUES, max_size=3),
)
def test_any_variables_and_flags_are_survived(environ, flags) -> None:
    """And any text in them."""
    outcome({}, environ=environ, flags=flags)


@given(st.dictionaries(st.text(string.ascii_uppercase + "_", max_size=12).map("BLNK_".__add__), WORDS, max_size=3))
def test_any_names_of_variables_are_survived(environ) -> None:
    """Ours, Blnk's, and nobody's."""
    outcome({}, environ=environ)
