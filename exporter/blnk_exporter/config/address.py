"""What an address, a path or a list in the settings must look like; each raises ValueError in a person's words."""

import re
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_HOST = re.compile(r"\[[0-9A-Fa-f:.]+(?:%[\w.~-]+)?\]|[\w.-]+")
# No segment of dots alone, which a browser resolves before it asks.
_ROUTE = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_ROUTE_WORDS = "may hold letters, digits and . _ ~ - between its slashes, nothing else"
_TAKEN = frozenset({"/-/healthy", "/-/ready", "/probe", "/sd", "/runbooks"})


def listen(text: str) -> tuple[str, int]:
    """Split ``host:port``, ``[::]:port`` or ``:port`` (every interface, host is empty); port 0 takes a free one."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not (host == "" or _HOST.fullmatch(host)):
        raise ValueError("must be host:port, [::1]:port or :port")
    if not is_port(port, lowest=0):
        raise ValueError(f"port {port[:20]} is over 65535")
    return host.strip("[]"), int(port)


def is_port(text: str, *, lowest: int = 1) -> bool:
    """Tell whether a text is a TCP port in plain digits."""
    return text.isascii() and text.isdigit() and len(text) < 6 and lowest <= int(text) < 65536


def http_url(text: str) -> str:
    """Check the address of a server or worker and take the slash off its end."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        port_is_wrong = parts.port == 0
        credentials = parts.username is not None or "@" in parts.netloc
    except ValueError:
        raise ValueError("has a host or port that cannot be read") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("must begin with http:// or https://")
    if credentials:
        raise ValueError("must not hold a user name or password")
    host = parts.netloc.removesuffix(f":{parts.port}") if parts.port is not None else parts.netloc.removesuffix(":")
    if port_is_wrong or not _HOST.fullmatch(host):
        raise ValueError("must name a host, and a port from 1 to 65535 if any")
    if "?" in text or "#" in text:
        raise ValueError("must not hold a query or fragment")
    if not text.isprintable() or re.search(r"\s", text):
        raise ValueError("must not hold spaces or control characters")
    return text.rstrip("/")


def route(text: str) -> str:
    """Check the path under which the metrics are served."""
    if not text.startswith("/"):
        raise ValueError("must begin with /")
    if text == "/" or text in _TAKEN:
        raise ValueError("is taken by a page of the exporter's own")
    if not _ROUTE.fullmatch(text):
        raise ValueError(_ROUTE_WORDS)
    return text


def path_prefix(text: str) -> str:
    """Check a path that all pages are below and write it as ``/a/b``, or empty for none."""
    path = text.strip().strip("/")
    if path and not _ROUTE.fullmatch(f"/{path}"):
        raise ValueError(_ROUTE_WORDS)
    return f"/{path}" if path else ""


def below(external_url: str | None, route_prefix: str | None) -> str:
    """The path that all pages are below, without a slash at its end: as Prometheus has it, the external address's own."""
    if route_prefix is not None:
        return path_prefix(route_prefix)
    return path_prefix(urlsplit(external(external_url)).path) if external_url else ""


def external(text: str) -> str:
    """Check the address that a browser has for the exporter and take the slash off its end."""
    url = http_url(text)
    try:
        path_prefix(urlsplit(url).path)
    except ValueError:
        raise ValueError(f"has a path that {_ROUTE_WORDS}") from None
    return url


def absolute(text: str) -> str:
    """Check a path on the host."""
    if not text.startswith("/") or not text.isprintable():
        raise ValueError("must be an absolute path")
    return text.rstrip("/") or "/"


def release(text: str) -> str:
    """Check a release of Blnk, ``0.15.2`` or ``v0.15.2``; what follows a dash is a pre-release and is dropped."""
    match = re.fullmatch(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:-[\w.]*)?", text.strip(), re.ASCII)
    if not match:
        raise ValueError("must be a release of Blnk such as 0.15.2")
    return f"{int(match[1])}.{int(match[2])}.{int(match[3] or 0)}"


def split_list(value: object) -> object:
    """Split a text at its commas, for a list that comes from the environment or a flag; anything else stays."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def split_dsns(value: object) -> object:
    """Split a text into connection strings: one a line, or URLs at commas that another URL follows."""
    if isinstance(value, str):
        parts = re.split(r"[\r\n]+|,(?=\s*postgres(?:ql)?://)", value)
        return tuple(part.strip() for part in parts if part.strip())
    return value


def unique(values: tuple[T, ...]) -> tuple[T, ...]:
    """Refuse a list that holds the same twice: it would be measured twice, under one name."""
    if len(set(values)) != len(values):
        raise ValueError("holds the same entry twice")
    return values


def unique_address(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse URLs that differ in their scheme alone: both would be measured under one address."""
    if len({url.partition("://")[2] for url in urls}) != len(urls):
        raise ValueError("holds one address with http:// and with https://")
    return urls
