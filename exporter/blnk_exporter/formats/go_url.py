"""A URL as Go's ``net/url`` takes it apart: what go-redis and lib/pq see of a connection string.

Source: Go 1.25 ``net/url``. Raises ValueError without the text it was given, since that may hold a password.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
# Not ASCII, or one of those that need no escape in a host, or an escape that a host may have.
_HOST = re.compile(r"(?:[^\x00-\x7f]|[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"]|%25|%[89a-fA-F][0-9a-fA-F])*")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_PORT = re.compile(r"(?::[0-9]*)?")


@dataclass(frozen=True)
class Url:
    """The parts that a connection string can have; ``user`` is None without an ``@``, ``password`` without its colon."""

    scheme: str
    host: str = ""
    path: str = ""
    query: dict[str, list[str]] = field(default_factory=dict)
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_url(text: str) -> Url:
    """``url.Parse``: the last ``@`` of the authority ends the user's part; a host that is no host is refused."""
    if _CONTROL.search(text):
        raise ValueError("holds a control character")
    text, _, fragment = text.partition("#")
    unescape(fragment)
    scheme, rest = _scheme(text)
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if not scheme and ":" in rest.partition("/")[0]:
            raise ValueError("has a colon before its first slash")
        return Url(scheme, path="" if scheme else unescape(rest), query=parse_query(query))
    user, password, host = None, None, ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        user, password, host = _authority(authority)
    return Url(scheme, host, unescape(rest), parse_query(query), user, password)


def parse_query(text: str) -> dict[str, list[str]]:
    """``url.Values``: ``+`` is a space; a pair that cannot be decoded, or holds a semicolon, is left out."""
    values: dict[str, list[str]] = {}
    for pair in text.split("&"):
        key, _, value = pair.partition("=")
        if not pair or ";" in pair or _BAD_ESCAPE.search(pair):
            continue
        values.setdefault(unescape(key.replace("+", " ")), []).append(unescape(value.replace("+", " ")))
    return values


def unescape(text: str) -> str:
    """Percent-decode; raises UnicodeError for bytes that are not UTF-8, which Go would let pass."""
    if _BAD_ESCAPE.search(text):
        raise ValueError("holds a % that no two hexadecimal digits follow")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        pass  # raised below, without the text that the original holds
    raise UnicodeError("holds percent-encoded bytes that are not UTF-8")


def _scheme(text: str) -> tuple[str, str]:
    if text.startswith(":"):
        raise ValueError("begins with a colon")
    match = _SCHEME.match(text)
    return (match[0][:-1].lower(), text[match.end() :]) if match else ("", text)


def _authority(text: str) -> tuple[str | None, str | None, str]:
    """User, password and host of ``user:password@host``."""
    userinfo, at, host = text.rpartition("@")
    host = _host(host)
    if not at:
        return None, None, host
    if not _USERINFO.fullmatch(userinfo):
        raise ValueError("has a character before the @ that must be percent-encoded")
    user, colon, password = userinfo.partition(":")
    return unescape(user), unescape(password) if colon else None, host


def _host(text: str) -> str:
    name, port = _ipv6(text) if "[" in text else _name(text)
    if not _PORT.fullmatch(port):
        raise ValueError("has a port that is not a number")
    return unescape(name) + port


def _name(text: str) -> tuple[str, str]:
    name, colon, port = text.rpartition(":")
    if not _HOST.fullmatch(name if colon else text):
        raise ValueError("has a character in its host that no host may have")
    return (name, colon + port) if colon else (text, "")


def _ipv6(text: str) -> tuple[str, str]:
    """Split an address in its brackets from its port; what names an interface after ``%25`` is not looked at."""
    name, bracket, port = text.rpartition("]")
    try:
        ipaddress.IPv6Address(name.removeprefix("[").partition("%25")[0])
    except ValueError:
        bracket = ""
    if not bracket or not name.startswith("["):
        raise ValueError("has brackets that hold no IPv6 address")
    return name + bracket, port
