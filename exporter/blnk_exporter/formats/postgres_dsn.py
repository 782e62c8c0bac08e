"""PostgreSQL's connection strings: URLs and ``key=value`` lists, as lib/pq (Blnk's driver) and libpq read them.

Source: PostgreSQL documentation 34.1.1 and libpq ``fe-connect.c``, lib/pq v1.10.9 ``url.go`` and ``conn.go``. What only one
of the two can read is accepted; where both read a string and differ, lib/pq's reading holds, since the string is Blnk's.
"""

import ipaddress
import re
from dataclasses import dataclass, field

from pydantic import SecretStr

from . import postgres_options as options
from .dsn_error import DsnError, check_text
from .go_url import parse_query, parse_url, unescape

# A value in quotes, or up to the next space; a backslash takes the next character as it is.
_PAIR = re.compile(r"\s*+([^\s=]++)\s*+=\s*+(?:'((?:[^'\\]|\\.)*+)'|(?!')((?:[^\s\\]|\\.|\\$)*+))", re.DOTALL)


@dataclass(frozen=True)
class PostgresDsn:
    """One PostgreSQL to connect to: the first of its hosts that is what ``target`` asks for.

    Attributes:
        hosts: names; one that starts with ``/`` is a directory of Unix sockets. Verified, shown, and a label.
        ports: one for each host.
        user: the role to log in as; configuration fills it in.
        password: its password.
        database: the database; None means the one of the user's name.
        sslmode: one of libpq's modes; ``disable`` if all hosts are sockets.
        tls: files and options named like libpq's, and ``passfile``; not printed because sslpassword is a secret.
        notes: sentences about what the string does not say plainly.
        addresses: libpq's ``hostaddr``, where each host is found; empty means by its name.
        target: ``any``, ``primary``, ``standby`` or ``prefer-standby``.
        connect_timeout_seconds: limit for one host.
        login_methods: what ``require_auth`` allows; None allows every method.
        sends_cleartext: whether ``require_auth`` names ``password``.
        is_sslmode_given: False where ``sslmode`` is the driver's default.
    """

    hosts: tuple[str, ...] = ("localhost",)
    ports: tuple[int, ...] = (5432,)
    user: str | None = None
    password: SecretStr | None = None
    database: str | None = None
    sslmode: str = "prefer"
    tls: dict[str, str] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    target: str = "any"
    connect_timeout_seconds: float | None = None
    login_methods: frozenset[str] | None = None
    sends_cleartext: bool = False
    is_sslmode_given: bool = True

    @property
    def address(self) -> str:
        """``host:port``, of all hosts: which of them is the server may change, its name in a label must not."""
        return ",".join(_host_port(host, port) for host, port in zip(self.hosts, self.ports, strict=True))


def _host_port(host: str, port: int) -> str:
    """Return ``host:port``; a directory of sockets may have colons in its name and is not IPv6."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("/") else f"{host}:{port}"


def parse_postgres(text: str, *, default_sslmode: str) -> PostgresDsn:
    """Read a connection string; the caller knows whether libpq's default (``prefer``) or lib/pq's (``require``) holds."""
    check_text(text)
    is_url = text.startswith(("postgres://", "postgresql://"))
    values = _url(text) if is_url else _key_values(text)
    if "\0" in "".join(values.values()):
        raise DsnError("holds a NUL character")
    options.check(values)
    hosts, addresses, ports = _servers(values)
    sockets_only = all(host.startswith("/") for host in addresses or hosts)
    sslmode = options.sslmode(values, default_sslmode)
    login_methods, sends_cleartext = options.login_methods(values)
    return PostgresDsn(
        hosts=hosts,
        ports=ports,
        user=values.get("user") or None,
        password=SecretStr(values["password"]) if values.get("password") else None,
        database=values.get("dbname") or None,
        sslmode="disable" if sockets_only else sslmode,
        tls={key: values[key] for key in sorted(options.TLS & values.keys()) if values[key]},
        notes=tuple(options.notes(values)),
        addresses=addresses,
        target=options.target(values),
        connect_timeout_seconds=options.connect_timeout_seconds(values),
        login_methods=login_methods,
        sends_cleartext=sends_cleartext,
        is_sslmode_given=bool(values.get("sslmode")) or sslmode != default_sslmode,
    )


def _url(text: str) -> dict[str, str]:
    """Read the parameters of a URL, the authority's first and the query's over them."""
    rest = text.partition("://")[2]
    try:
        # After a # Go sees no more; a password that holds one is libpq's to read.
        server, path, query, user, password = _as_libpq(rest) if "@" in rest.partition("#")[2] else _as_go(text, rest)
    except ValueError as error:
        raise DsnError(str(error)) from None
    if "@" in rest.partition("/")[2].partition("?")[0]:
        raise DsnError("has an @ after its first slash: a slash in the password must be written %2F")
    values = _authority(server)
    values |= {key: value for key, value in (("user", user), ("password", password), ("dbname", path)) if value}
    return values | {key: found[0] for key, found in query.items() if found[0]}


_Parts = tuple[str, str, dict[str, list[str]], str | None, str | None]


def _as_go(text: str, rest: str) -> _Parts:
    """Split into servers, path, query, user and password as lib/pq does with ``net/url``; as libpq where Go refuses.

    The servers stay percent-encoded: only a split part may be decoded, since a directory of sockets may have colons.
    """
    try:
        url = parse_url(text)
    except ValueError:
        return _as_libpq(rest)
    return url.host.replace("%", "%25"), url.path[1:], url.query, url.user, url.password


def _as_libpq(rest: str) -> _Parts:
    """Split as libpq does: whatever stands before an @ is the user's, in raw characters but for the slash."""
    head, slash, tail = rest.partition("/")
    userinfo, at, server = head.rpartition("@")
    user, colon, password = userinfo.partition(":")
    server, mark, query = server.partition("?")
    if mark:
        path, query = "", query + slash + tail
    else:
        path, _, query = tail.partition("?")
    return (
        server,
        unescape(path),
        parse_query(query),
        unescape(user) if at else None,
        unescape(password) if colon else None,
    )


def _authority(text: str) -> dict[str, str]:
    """Make the ``host`` and ``port`` lists of ``h1:5432,[::1],/run``; empty elements stay, they mean the default."""
    hosts, ports = [], []
    for server in text.split(",") if text else ():
        match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?", server)
        if not match:
            raise DsnError("has a host or port that cannot be read: @ : / ? # in a password must be percent-encoded")
        hosts.append(_unescape(match[1].strip("[]")))
        ports.append(match[2] or "")
    return {"host": ",".join(hosts), "port": ",".join(ports)} if hosts else {}


def _unescape(text: str) -> str:
    try:
        return unescape(text)
    except ValueError as error:
        raise DsnError(str(error)) from None


def _key_values(text: str) -> dict[str, str]:
    """Read ``host=h password='it''s'``: quotes group, a backslash takes the next character as it is."""
    values: dict[str, str] = {}
    position = 0
    while text[position:].strip():
        match = _PAIR.match(text, position)
        if not match:
            raise DsnError(
                "is neither a postgres:// URL nor key=value: a word has no = after it, or a quote is not closed"
            )
        value = match[2] if match[2] is not None else match[3]
        values[match[1]] = re.sub(r"\\(.?)", r"\1", value, flags=re.DOTALL)
        position = match.end()
    return values


def _servers(values: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    """Pair hosts with their addresses and ports; one port serves all hosts, an empty one is 5432."""
    addresses = _list(values.get("hostaddr"))
    hosts = _list(values.get("host")) or addresses or ["localhost"]
    if addresses and len(addresses) != len(hosts):
        raise DsnError(f"has {len(addresses)} in hostaddr for {len(hosts)} hosts")
    if any(address and not _is_address(address) for address in addresses):
        raise DsnError("has a hostaddr that is not an IP address")
    found = tuple(address or host or "localhost" for address, host in zip(addresses, hosts, strict=bool(addresses)))
    hosts = [host or (found[number] if found else "localhost") for number, host in enumerate(hosts)]
    texts = _list(values.get("port")) or [""]
    if len(texts) == 1:
        texts *= len(hosts)
    if len(texts) != len(hosts):
        raise DsnError(f"has {len(texts)} ports for {len(hosts)} hosts")
    ports = []
    for text in texts:
        if text and not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536):
            raise DsnError("has a port that is not a number from 1 to 65535")
        ports.append(int(text or "5432"))
    return tuple(hosts), () if found == tuple(hosts) else found, tuple(ports)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _list(text: str | None) -> list[str]:
    return [element.strip() for element in text.split(",")] if text else []
