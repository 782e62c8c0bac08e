"""INFO as real servers write it, and as it must never reach us."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_exporter.formats.redis_info import Info, parse

FIXTURES = Path(__file__).parent / "fixtures"


def captured(name: str) -> bytes:
    """A real INFO with the line ends of the wire; origin in fixtures/README.md."""
    return (FIXTURES / f"info_{name}.txt").read_bytes().replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("name", "version", "mode"), [("valkey_9_1_2", "9.1.2", "standalone"), ("redis_7_0_15", "7.0.15", "standalone")]
)
def test_a_real_text(name: str, version: str, mode: str) -> None:
    """Both families, and the field that Valkey renamed."""
    info = parse(captured(name))
    assert not info.cut
    assert info.text("valkey_version", "redis_version") == version
    assert info.text("server_mode", "redis_mode") == mode
    assert info.number("maxmemory") == 64 << 20
    assert info.records("db") == {"db0": info.records("db")["db0"]}
    assert {key: info.records("db")["db0"][key] for key in ("keys", "expires")} == {"keys": "2", "expires": "1"}
    assert info.records("errorstat_")["errorstat_WRONGTYPE"] == {"count": "1"}
    assert info.records("slave")["slave0"]["state"] == "online"


@pytest.mark.parametrize("name", ["valkey_9_1_2", "redis_7_0_15"])
def test_a_text_cut_anywhere_never_lies(name: str) -> None:
    """A number that lost its last digits is a number still: the line that was cut is dropped."""
    raw = captured(name)
    whole = parse(raw)
    for end in range(len(raw)):
        part = parse(raw[:end])
        assert part.fields.items() <= whole.fields.items()
        assert part.cut or raw[:end].endswith(b"\r\n") or end == 0


def test_an_empty_text_has_nothing() -> None:
    """No fields, and no failure."""
    assert parse(b"") == Info({})


@given(st.binary())
def test_arbitrary_bytes_are_no_failure(raw: bytes) -> None:
    """What is not a field is left out."""
    parse(raw)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), st.from_regex(r"[^\r\n]{0,20}", fullmatch=True)))
def test_what_is_written_is_read(fields: dict[str, str]) -> None:
    """The format's inverse."""
    raw = "# Section\r\n" + "".join(f"{name}:{value}\r\n" for name, value in fields.items())
    assert parse(raw.encode()).fields == fields


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1.0), ("99.5%", 99.5), ("-1", -1.0), ("", None), ("12M", None), ("ok", None)]
)
def test_numbers(text: str, number: float | None) -> None:
    """A word where a number was is not known, and not zero."""
    assert Info({"field": text}).number("field") == number
    assert Info({}).number("field") is None


def test_the_first_name_that_is_there_counts() -> None:
    """Forks rename fields and some keep the old one beside it."""
    assert Info({"old": "1", "new": "2"}).text("new", "old") == "2"
    assert Info({"old": "1"}).text("new", "old") == "1"


def test_a_value_may_hold_colons() -> None:
    """Addresses of IPv6 do."""
    assert parse(b"master_host:::1\r\n").fields == {"master_host": "::1"}
