"""Connection strings of PostgreSQL and Redis into parts, and the form of the parts that may be shown.

Source: PostgreSQL documentation 34.1.1 (connection strings), lib/pq (Blnk's driver), Blnk ``internal/redis-db/redisdb.go``
and go-redis ``ParseURL``; each in its own module.
"""

from urllib.parse import quote

from .dsn_error import DsnError
from .postgres_dsn import PostgresDsn, parse_postgres
from .redis_dsn import RedisDsn, parse_redis

__all__ = ["DsnError", "PostgresDsn", "RedisDsn", "masked", "parse_postgres", "parse_redis"]

_SHOWN = frozenset({"sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"})


def masked(dsn: PostgresDsn | RedisDsn) -> str:
    """One URL for people: who logs in where and how, ``***`` for the password, nothing of the other options."""
    if isinstance(dsn, RedisDsn):
        return _redis(dsn)
    servers = ",".join(
        f"{_host(host)}:{port}" if not host.startswith("/") else f"{quote(host, safe='')}:{port}"
        for host, port in zip(dsn.hosts, dsn.ports, strict=True)
    )
    options = {"sslmode": dsn.sslmode} | {key: value for key, value in dsn.tls.items() if key in _SHOWN}
    query = "&".join(f"{key}={quote(value)}" for key, value in options.items())
    return f"postgres://{_login(dsn)}{servers}/{quote(dsn.database or '', safe='')}?{query}"


def _redis(dsn: RedisDsn) -> str:
    if dsn.path:
        return f"unix://{_login(dsn)}{quote(dsn.path)}?db={dsn.database}"
    return f"{'rediss' if dsn.tls else 'redis'}://{_login(dsn)}{_host(dsn.host)}:{dsn.port}/{dsn.database}"


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _login(dsn: PostgresDsn | RedisDsn) -> str:
    user = dsn.username if isinstance(dsn, RedisDsn) else dsn.user
    if dsn.password is None:
        return f"{quote(user, safe='')}@" if user else ""
    return f"{quote(user or '', safe='')}:***@"
