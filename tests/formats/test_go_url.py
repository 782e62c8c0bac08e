"""A URL as Go takes it apart: expectations taken from Go 1.26 itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_exporter.formats.go_url import Url, parse_query, parse_url


def test_all_parts_are_found() -> None:
    """The whole of a usual connection string."""
    url = parse_url("redis://user:p%40ss@[::1]:6379/2?a=1&a=2+3#end")
    assert url == Url("redis", "[::1]:6379", "/2", {"a": ["1", "2 3"]}, "user", "p@ss")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("redis://a@b@h", Url("redis", "h", user="a@b")),
        ("redis://:@h", Url("redis", "h", user="", password="")),
        ("unix:///run/x", Url("unix", path="/run/x")),
        ("REDIS://h", Url("redis", "h")),
        ("h:6379", Url("h")),
        ("h", Url("", path="h")),
        ("//h/x", Url("", "h", "/x")),
        ("///x", Url("", path="///x")),
        ("redis://h1,h2:3", Url("redis", "h1,h2:3")),
        ("redis://caf%C3%A9", Url("redis", "café")),
        ("redis://[fe80::1%25eth0]", Url("redis", "[fe80::1%eth0]")),
        ("redis://", Url("redis")),
    ],
)
def test_odd_forms_are_read(text: str, url: Url) -> None:
    """Each of them is somebody's configuration, or a slip that decides what Blnk tries next."""
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "a\tb",
        ":x",
        "[::1]:6379",
        "h:1/x"[1:],
        "redis://:p/w@h",
        "redis://p w@h",
        "redis://u:%zz@h",
        "redis://h:port",
        "redis://a b",
        "redis://%2Frun",
        "redis://[h]",
        "redis://[::1",
        "redis://x[::1]",
        "redis://h#%zz",
        "redis://h/%zz",
        "redis://%FF:x@h",
    ],
)
def test_what_go_refuses_is_refused(text: str) -> None:
    """Blnk then tries something else with the string."""
    with pytest.raises(ValueError, match=r"has|holds|begins"):
        parse_url(text)


def test_a_pair_that_cannot_be_decoded_is_left_out() -> None:
    """``url.Query`` drops errors."""
    assert parse_query("a=1&b=%zz&c;d=1&&e") == {"a": ["1"], "e": [""]}


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but ValueError comes out, and it does not repeat the text."""
    said = ""
    try:
        parse_url(f"redis://u:canary@{text}")
        parse_url(text)
    except ValueError as error:
        said = str(error)
    assert "canary" not in said


def test_the_password_is_not_printed() -> None:
    """A URL may end in a traceback."""
    assert "canary" not in repr(parse_url("redis://u:canary@h"))
