"""Elements: text stays text."""

from blnk_exporter.web.html import Html, join, tag

HOSTILE = "<i a='\"'>&amp;"
ESCAPED = "&lt;i a=&#x27;&quot;&#x27;&gt;&amp;amp;"


def test_text_is_escaped_wherever_it_stands() -> None:
    """As a child, in an attribute, beside an element."""
    assert tag("p", HOSTILE) == f"<p>{ESCAPED}</p>"
    assert tag("p", title=HOSTILE) == f'<p title="{ESCAPED}"></p>'
    assert join(HOSTILE, tag("b")) == f"{ESCAPED}<b></b>"


def test_an_element_is_not_escaped_twice() -> None:
    """What was built here is markup; what was pasted together by hand is text again."""
    inner = tag("b", "x")
    assert tag("p", inner) == "<p><b>x</b></p>"
    assert tag("p", f"{inner}") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"
    assert tag("p", inner + inner) == "<p>&lt;b&gt;x&lt;/b&gt;&lt;b&gt;x&lt;/b&gt;</p>"
    assert isinstance(join(inner, "y"), Html)


def test_names_of_attributes() -> None:
    """Python's words and dashes; what is None is left out; an element without an end has none."""
    assert tag("meta", http_equiv="refresh", content=None) == '<meta http-equiv="refresh">'
    assert tag("p", None, "", class_="a") == '<p class="a"></p>'
    assert tag("meta", name="viewport") == '<meta name="viewport">'
