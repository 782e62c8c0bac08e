"""What a person says of a site, checked before it goes into rules: Prometheus refuses a file for one wrong word in it."""

import re
from pathlib import Path
from urllib.parse import urlsplit

_MATCHER = r'[a-zA-Z_]\w*\s*(?:=~|!~|!=|=)\s*"(?:[^"\\\n]|\\.)*"'
_MATCHERS = re.compile(rf"\s*{_MATCHER}\s*(?:,\s*{_MATCHER}\s*)*")
# What Python knows and Prometheus' RE2 does not: a look around, a group that is named or referred to.
_NOT_RE2 = re.compile(r"\(\?(?:[=!<#(>]|P[<=>])|\\[1-9ZG]|[*+?}]\+")


def regex(text: str) -> str:
    """A regular expression on a label, as PromQL has it between its quotes; raises ValueError."""
    if not text:
        raise ValueError("is empty, and would match nothing that has the label")
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    if found := _NOT_RE2.search(text):
        raise ValueError(f"{text!r} holds {found[0]!r}, which Prometheus does not know")
    if "@{" in text or not text.isprintable():
        raise ValueError(f"{text!r} holds what no label does")
    return text.replace("\\", r"\\").replace('"', r"\"")


def matchers(text: str) -> str:
    """None, or what stands between the braces of a selector; raises ValueError."""
    if text and not _MATCHERS.fullmatch(text):
        raise ValueError(f'{text!r} is not of the form instance=~"blnk-.*", with a comma between two of them')
    return text


def url(text: str) -> str:
    """An address for a browser, without a slash at its end; raises ValueError."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or True)
    except ValueError:
        whole = False
    if not whole or re.search(r"[\s\"'{}<>\\`?#]", text) or not text.isprintable():
        raise ValueError(f"{text!r} is not of the form https://host, https://host:port or https://host/path")
    return text.rstrip("/")


def directory(text: str) -> Path:
    """Raises ValueError for none: a variable that is not set would name the one that we are in."""
    if not text.strip():
        raise ValueError("is empty; . is the directory that you are in")
    if Path(text).is_file():
        raise ValueError(f"{text} is a file; it must be a directory")
    return Path(text)
