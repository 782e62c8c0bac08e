"""Redis' connection string exactly as Blnk reads it, and what of it will not do what its author meant.

Source: Blnk ``internal/redis-db/redisdb.go`` (0.13.2 to 0.15.2) and go-redis v9.7.3 ``options.go``. The order of the
attempts is Blnk's: a plain ``host:port``, then a URL, then whatever stands before and after one ``@``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pydantic import SecretStr

from .dsn_error import DsnError, check_text
from .go import atoi, parse_duration, split_host_port
from .go_url import Url, parse_url

ACL_NOTE = (
    "The user name in the Redis DSN is an ACL user that Blnk's locks and cache log in as; its queues log in without it."
)
USER_ALONE_NOTE = (
    "What stands before the @ of the Redis DSN is a user name without a password, so nobody logs in:"
    " a password needs a colon before it."
)
NOT_A_URL_NOTE = (
    "The Redis DSN is no URL that Blnk can read, so all before its @ is taken for the password and the database is 0;"
    " / # ? % and spaces in a password must be percent-encoded."
)
TLS_OFF_NOTE = "TLS is off although the Redis DSN begins with rediss://."

_NOT_IN_HOST = re.compile(r"[\s/@?#\[\]]")
_AZURE = "redis.cache.windows.net"


@dataclass(frozen=True)
class RedisDsn:
    """One Redis to connect to; ``path`` is a Unix socket and stands instead of host and port.

    ``notes`` are sentences about what the string does not say plainly.
    """

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    database: int = 0
    tls: bool = False
    tls_verify: bool = True
    ca_file: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """``host:port``, or the socket's path."""
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_redis(text: str, *, skip_tls_verify: bool = False) -> RedisDsn:
    """Read a connection string as Blnk would; raises DsnError where Blnk would be left without an address to dial."""
    check_text(text)
    if text.count(":") == 1 and "@" not in text and "//" not in text:
        return _dialled(text)
    try:
        dsn = _from_url(parse_url(_with_colon(text)))
    except DsnError:
        raise
    except UnicodeError as error:
        raise DsnError(str(error)) from None
    except ValueError:
        dsn = _from_anything(_with_colon(text))
    return replace(dsn, tls_verify=not skip_tls_verify) if dsn.tls else dsn


def _with_colon(text: str) -> str:
    """``redis://password@host`` is rewritten so that its only word is the password; ``rediss://`` is not."""
    words = text.removeprefix("redis://").split("@")
    if text.startswith("redis://") and len(words) == 2 and ":" not in words[0]:
        return f"redis://:{words[0]}@{words[1]}"
    return text


def _from_url(url: Url) -> RedisDsn:
    """Read a redis, rediss or unix URL; raises ValueError where go-redis refuses it and Blnk tries something else."""
    if url.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("is no URL of Redis")
    database = _database(url)
    _check_options(url.query)
    user, password = url.user or None, url.password or None
    notes = (ACL_NOTE if password else USER_ALONE_NOTE,) if user else ()
    if url.scheme == "unix":
        dsn = RedisDsn(path=url.path)
    else:
        dsn = replace(_dialled(_host_and_port(url.host)), tls=url.scheme == "rediss")
    return replace(
        dsn,
        username=user if password else None,
        password=SecretStr(password) if password else None,
        database=max(database, 0),
        notes=notes,
    )


def _host_and_port(text: str) -> str:
    try:
        host, port = split_host_port(text)
    except ValueError:
        host, port = text, ""
    host, port = host or "localhost", port or "6379"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _from_anything(text: str) -> RedisDsn:
    """Blnk's last attempt, on a string that is no URL."""
    words = text.split("@")
    password, address = (words[0].removeprefix("redis://"), words[1]) if len(words) == 2 else ("", text)
    notes = [NOT_A_URL_NOTE] if password else []
    tls = _AZURE in address
    if text.startswith("rediss://") and not tls:
        notes.append(TLS_OFF_NOTE)
    secret = SecretStr(password) if password else None
    return replace(_dialled(address), password=secret, tls=tls, notes=tuple(notes))


def _dialled(address: str) -> RedisDsn:
    """Split an address as it is dialled; go-redis takes a leading slash for a socket's path."""
    if address.startswith("/"):
        return RedisDsn(path=address)
    if "," in address:
        raise DsnError(
            "lists several servers, but Blnk does not split at commas: name one, Cluster and Sentinel do not work"
        )
    try:
        host, port = split_host_port(address)
        number = atoi(port)
    except ValueError:
        host, number = "", -1
    if not 0 < number < 65536 or _NOT_IN_HOST.search(host):
        raise DsnError(
            "leaves Blnk without an address of the form host:port; if it is a URL, percent-encode its password"
            " and look for an option that go-redis does not know"
        )
    return RedisDsn(host=host or "localhost", port=number)


def _database(url: Url) -> int:
    """Read the number in the path, or in ``?db=``, which wins; the last of several counts."""
    number = 0
    if url.scheme == "unix":
        if not url.path.strip():
            raise ValueError("has no path")
    else:
        parts = [part for part in url.path.split("/") if part]
        if len(parts) > 1:
            raise ValueError("has more than a number in its path")
        number = atoi(parts[0]) if parts else 0
    given = url.query.get("db", [""])[-1]
    return atoi(given) if given else number


def _seconds(text: str) -> None:
    try:
        atoi(text)
    except ValueError:
        parse_duration(text)


def _flag(text: str) -> None:
    if text not in {"true", "1", "false", "0"}:
        raise ValueError("must be true or false")


def _anything(text: str) -> None:
    """Accept every text."""


_OPTIONS: Mapping[str, Callable[[str], object]] = {
    "db": _anything,
    "client_name": _anything,
    "pool_fifo": _flag,
    **dict.fromkeys(
        ("protocol", "max_retries", "pool_size", "min_idle_conns", "max_idle_conns", "max_active_conns"), atoi
    ),
    **dict.fromkeys(
        ("min_retry_backoff", "max_retry_backoff", "dial_timeout", "read_timeout", "write_timeout", "pool_timeout"),
        _seconds,
    ),
}
# The first of a pair is read; the second only where the first is absent, and otherwise it is unknown.
_RENAMED = (("conn_max_idle_time", "idle_timeout"), ("conn_max_lifetime", "max_conn_age"))


def _check_options(query: Mapping[str, list[str]]) -> None:
    """Raise for an option that go-redis does not know or cannot read: the whole string is then no URL to it."""
    known = dict(_OPTIONS)
    for name, old_name in _RENAMED:
        known[name if name in query else old_name] = _seconds
    for name, texts in query.items():
        if name not in known:
            raise ValueError("has an option that go-redis does not know")
        if texts[-1]:
            known[name](texts[-1])
