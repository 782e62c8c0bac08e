"""PostgreSQL's connection strings: URLs and ``key=value`` lists, as lib/pq (Blnk's driver) and libpq read them.

Source: PostgreSQL documentation 34.1.1 and libpq ``fe-connect.c``, lib/pq v1.10.9 ``url.go`` and ``conn.go``. What only one
of the two can read is accepted; where both read a string and differ, lib/pq's reading holds, since the string is Blnk's.
"""

import difflib
import re
from dataclasses import dataclass, field

from pydantic import SecretStr

from .dsn_error import DsnError, check_text
from .go_url import parse_query, parse_url, unescape

_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TLS = frozenset(
    {
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslcrl",
        "sslcrldir",
        "sslpassword",
        "sslsni",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "passfile",
    }
)
# Read elsewhere in this file, or of no meaning to a monitor that opens its own sessions.
_KNOWN = _TLS | {
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslcompression",
    "sslinline",
    "connect_timeout",
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "options",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "target_session_attrs",
    "load_balance_hosts",
    "channel_binding",
    "require_auth",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "krbspn",
    "requirepeer",
    "replication",
    "datestyle",
    "timezone",
    "extra_float_digits",
    "search_path",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "binary_parameters",
    "disable_prepared_binary_result",
}
# A value in quotes, or up to the next space; a backslash takes the next character as it is.
_PAIR = re.compile(r"\s*+([^\s=]++)\s*+=\s*+(?:'((?:[^'\\]|\\.)*+)'|(?!')((?:[^\s\\]|\\.|\\$)*+))", re.DOTALL)


@dataclass(frozen=True)
class PostgresDsn:
    """One PostgreSQL to connect to.

    Hosts and ports pair up; a host that starts with ``/`` is a directory of Unix sockets. ``tls`` holds the files
    and options named like libpq's (sslrootcert, sslcert, sslkey, sslcrl, sslpassword, …), ``passfile`` too; it is
    not printed because sslpassword is a secret. ``notes`` are sentences about what the string does not say plainly.
    """

    hosts: tuple[str, ...] = ("localhost",)
    ports: tuple[int, ...] = (5432,)
    user: str | None = None
    password: SecretStr | None = None
    database: str | None = None
    sslmode: str = "prefer"
    tls: dict[str, str] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """``host:port`` of the first server."""
        host = self.hosts[0]
        return f"[{host}]:{self.ports[0]}" if ":" in host else f"{host}:{self.ports[0]}"


def parse_postgres(text: str, *, default_sslmode: str) -> PostgresDsn:
    """Read a connection string; the caller knows whether libpq's default (``prefer``) or lib/pq's (``require``) holds."""
    check_text(text)
    is_url = text.startswith(("postgres://", "postgresql://"))
    values = _url(text) if is_url else _key_values(text)
    if "\0" in "".join(values.values()):
        raise DsnError("holds a NUL character")
    if "service" in values:
        raise DsnError("names a service file, which is not read: write its host, user and database out")
    if values.get("sslinline", "false") == "true":
        raise DsnError("holds its certificates inline: name files instead")
    hosts, ports = _servers(values)
    sockets_only = all(host.startswith("/") for host in hosts)
    return PostgresDsn(
        hosts=hosts,
        ports=ports,
        user=values.get("user") or None,
        password=SecretStr(values["password"]) if values.get("password") else None,
        database=values.get("dbname") or None,
        sslmode="disable" if sockets_only else _sslmode(values, default_sslmode),
        tls={key: values[key] for key in sorted(_TLS & values.keys()) if values[key]},
        notes=tuple(_notes(values)),
    )


def _sslmode(values: dict[str, str], default: str) -> str:
    """Read the mode; the system's authorities vouch for anybody, so libpq takes them for nothing but verify-full."""
    system = values.get("sslrootcert") == "system"
    mode = values.get("sslmode") or ("verify-full" if system else default)
    if mode not in _SSLMODES:
        raise DsnError(f"has an sslmode that does not exist: it is one of {', '.join(_SSLMODES)}")
    if system and mode != "verify-full":
        raise DsnError("has sslrootcert=system, which needs sslmode=verify-full")
    return mode


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
    """Split into servers, path, query, user and password as lib/pq does with ``net/url``; as libpq where Go refuses."""
    try:
        url = parse_url(text)
    except ValueError:
        return _as_libpq(rest)
    return url.host, url.path[1:], url.query, url.user, url.password


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
        unescape(server),
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
        hosts.append(match[1].strip("[]"))
        ports.append(match[2] or "")
    return {"host": ",".join(hosts), "port": ",".join(ports)} if hosts else {}


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


def _servers(values: dict[str, str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Pair hosts with their ports; one port serves all hosts, an empty one is 5432."""
    hosts = tuple(
        host.strip() or "localhost" for host in (values.get("host") or values.get("hostaddr") or "").split(",")
    )
    texts = (values.get("port") or "").split(",")
    if len(texts) == 1:
        texts *= len(hosts)
    if len(texts) != len(hosts):
        raise DsnError(f"has {len(texts)} ports for {len(hosts)} hosts")
    ports = []
    for text in texts:
        plain = text.strip()
        if plain and not (plain.isascii() and plain.isdigit() and len(plain) < 6 and 0 < int(plain) < 65536):
            raise DsnError("has a port that is not a number from 1 to 65535")
        ports.append(int(plain or "5432"))
    return hosts, tuple(ports)


def _notes(values: dict[str, str]) -> list[str]:
    notes = []
    if values.get("host") and values.get("hostaddr"):
        notes.append("hostaddr is ignored because host is given too.")
    if values.get("sslcrldir"):
        notes.append("sslcrldir is not read: revoked certificates are known from the file of sslcrl alone.")
    for key in values.keys() - _KNOWN:
        # The unknown name is not repeated: it may be a piece of a password that was not quoted.
        near = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=0.75)
        hint = f": is {near[0]} meant?" if near else "."
        notes.append(f"A parameter that PostgreSQL's drivers do not know is ignored{hint}")
    return sorted(notes)
