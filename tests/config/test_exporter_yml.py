"""The text of exporter.yml: plain YAML only, and no fault repeats it."""

import pytest

from blnk_exporter.config.exporter_yml import parse


def test_plain_yaml_is_read() -> None:
    """Dates and the rest of YAML's cleverness stay text."""
    content = b"\xef\xbb\xbfa: {b: [1, 2.5, true, ~, 2001-01-01, x]}\nc: '1'\n"
    assert parse(content) == {"a": {"b": [1, 2.5, True, None, "2001-01-01", "x"]}, "c": "1"}


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"---\n"])
def test_nothing_is_no_setting(content) -> None:
    """An empty file is a start."""
    assert parse(content) == {}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"a: 1\nb: {c: 1, c: 2}", "line 2, column 11: holds a key twice"),
        (b"[a]: 1", "line 1, column 1: holds a key that is no text"),
        (b"a: &x 1\nb: *x", "line 2, column 4: holds an alias"),
        (b"- 1", "must hold keys and their values"),
        (b"canary", "must hold keys and their values"),
        (b"a: b: canary", "line 1, column 5: is no YAML, mapping values are not allowed here"),
        (b"a: !canary 1", "line 1, column 4: is no YAML; a value that begins with"),
        (b"a: %canary", "line 1, column 4: is no YAML; a value that begins with"),
        (b"a: [1", "line 1, column 6: is no YAML"),
        (b"a: !!int canary", "holds a value that cannot be read"),
        (b"a: !!timestamp canary", "holds a value that cannot be read"),
        (b"a: \xff", "is not UTF-8 text"),
        (b"a: \x01", "holds a control character"),
        (b"a: " + b"[" * 5000, "is nested too deeply"),
        (b"a: 1\n---\nb: 2", "line 2, column 1: is no YAML"),
    ],
)
def test_what_is_not_plain_is_refused(content, what) -> None:
    """With the place, without the content: it may be a password that wanted quotes."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse(content)
    assert str(caught.value).startswith(what)
    assert "canary" not in str(caught.value)
