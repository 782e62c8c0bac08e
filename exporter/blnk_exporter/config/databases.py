"""Which PostgreSQL and which Redis are watched: our own connection string, else Blnk's, with our login over it."""

import getpass
import ipaddress
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import TypeVar

from pydantic import SecretStr

from ..formats import placeholder
from ..formats.dsn import DsnError, PostgresDsn, RedisDsn, masked, parse_postgres, parse_redis
from ..formats.redis_dsn import ACL_NOTE
from .origin import Origin
from .resolution import Resolution

Dsn = TypeVar("Dsn", PostgresDsn, RedisDsn)

NO_USER = "has no user, and the user id of the exporter has no name: set postgres.user"
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile")
# PgBouncer's.
_POOLER_PORT = 6432
_BLNKS = {"postgres.dsn": "data_source.dns", "redis.dsn": "redis.dns"}


@dataclass(frozen=True)
class _Source:
    """A connection string as it was written. Never printed."""

    text: str
    place: Origin
    is_blnks: bool


def postgres(resolution: Resolution) -> tuple[PostgresDsn, ...]:
    """Return the primary and then the replicas; a user or password of our own holds for all of them."""
    own = resolution.own.own.postgres
    found: dict[str, PostgresDsn] = {}
    for source in _postgres_sources(resolution):
        # Each knows its own default: Blnk's driver encrypts without being asked, libpq where it can.
        parse = partial(parse_postgres, default_sslmode="require" if source.is_blnks else "prefer")
        dsn = _parse(resolution, source, parse)
        if dsn and dsn.address in found:
            resolution.fault(source.place, f"names {dsn.address}, which is watched already")
        elif dsn and not (own.user or dsn.user or default_user()):
            resolution.fault(source.place, NO_USER)
        elif dsn:
            found[dsn.address] = replace(dsn, user=own.user or dsn.user, password=own.password or dsn.password)
            resolution.target("postgres", masked(found[dsn.address]), source.place)
            _explain(resolution, source, dsn)
    _explain_idle(resolution, "postgres.password", own.password, found)
    return tuple(found.values())


def default_user() -> str | None:
    """Return the role that libpq takes where none is named: PGUSER, or the name of the process's user; None without one."""
    try:
        return os.environ.get("PGUSER") or getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        return None


def redis(resolution: Resolution) -> RedisDsn | None:
    """Return the one Redis; ``redis.ca_file`` and ``redis.tls_verify`` matter only where TLS is on."""
    own = resolution.own.own.redis
    source = _source(resolution, "redis.dsn", own.dsn)
    _explain_idle(resolution, "redis.password", own.password, source)
    ca_file = _ca_file(resolution, own.ca_file)
    if not source:
        return None
    blnk = resolution.blnk.blnk
    skip = bool(source.is_blnks and blnk and blnk.redis_skip_tls_verify)
    dsn = _parse(resolution, source, partial(parse_redis, skip_tls_verify=skip))
    if not dsn:
        return None
    dsn = replace(dsn, username=own.username or dsn.username, password=own.password or dsn.password)
    if dsn.tls:
        dsn = replace(dsn, ca_file=ca_file, tls_verify=dsn.tls_verify if own.tls_verify is None else own.tls_verify)
    elif own.ca_file is not None or own.tls_verify is not None:
        resolution.note(source.place, ["TLS is not on, so redis.ca_file and redis.tls_verify have no effect."])
    resolution.target("redis", masked(dsn), source.place)
    return dsn


def blnk_role(resolution: Resolution) -> str | None:
    """Return the role that Blnk's own connection string names: its sessions carry no other mark."""
    blnk = resolution.blnk.blnk
    if not blnk or not blnk.data_source_dns:
        return None
    try:
        return parse_postgres(blnk.data_source_dns.get_secret_value(), default_sslmode="require").user
    except DsnError:
        # Told as a fault where this string is the one to connect with; elsewhere Blnk's sessions go unnamed.
        return None


def _postgres_sources(resolution: Resolution) -> list[_Source]:
    own = resolution.own.own.postgres
    primary = _source(resolution, "postgres.dsn", own.dsn)
    place = resolution.own.origin("postgres.replicas")
    replicas = [
        _Source(secret.get_secret_value(), replace(place, where=f"{place.where} entry {number}"), is_blnks=False)
        for number, secret in enumerate(own.replicas, 1)
    ]
    return [primary, *replicas] if primary else replicas


def _source(resolution: Resolution, path: str, secret: SecretStr | None) -> _Source | None:
    """Find a connection string and its place; Blnk itself does not start without either of its two."""
    if secret and secret.get_secret_value().strip():
        return _Source(secret.get_secret_value().strip(), resolution.own.origin(path), is_blnks=False)
    if not resolution.blnk.blnk:
        return None
    blnk_path = _BLNKS[path]
    entry = resolution.blnk.given.get(blnk_path)
    if entry and entry.value.strip():
        return _Source(entry.value.strip(), entry.origin, is_blnks=True)
    # One fault is enough where the file, the section or the key cannot be read in the first place.
    broken = resolution.blnk.broken & {"", blnk_path, blnk_path.partition(".")[0]}
    if not broken and path not in resolution.own.broken:
        name = f"BLNK_{blnk_path.replace('.', '_').upper()}"
        what = f"is missing, and Blnk does not start without it: set it in blnk.json, {name} or {name}_FILE"
        hint = _misspelt(resolution, blnk_path)
        resolution.fault(Origin("", f"Blnk {blnk_path}"), f"{what}, or give {path} in exporter.yml{hint}")
    return None


def _misspelt(resolution: Resolution, path: str) -> str:
    """Name what was probably meant to be the key: dsn is written for dns."""
    unknown = resolution.blnk.unknown
    for name in (path, path.replace(".", "_")):
        for near in get_close_matches(name, unknown, n=1, cutoff=0.8):
            return f"; Blnk ignores {unknown[near]}: was it meant to be {path.rpartition('.')[2]}?"
    return ""


def _parse(resolution: Resolution, source: _Source, parse: Callable[[str], Dsn]) -> Dsn | None:
    try:
        dsn = parse(source.text)
    except DsnError as error:
        resolution.fault(source.place, placeholder.sentence(source.text) or str(error))
        return None
    if placeholder.is_whole(source.text):
        # To a lenient reader it is the name of a host.
        resolution.fault(source.place, placeholder.sentence(source.text))
        return None
    # Our own ACL user is no concern of Blnk's queues.
    resolution.note(source.place, [note for note in dsn.notes if source.is_blnks or note != ACL_NOTE])
    return dsn


def _explain(resolution: Resolution, source: _Source, dsn: PostgresDsn) -> None:
    if source.is_blnks and dsn.sslmode in {"allow", "prefer"}:
        resolution.note(source.place, [f"Blnk's driver knows no sslmode {dsn.sslmode} and refuses to connect."])
    if dsn.sslmode in {"allow", "prefer", "require"} and not all(map(_is_local, dsn.addresses or dsn.hosts)):
        if dsn.sslmode != "require":
            what = "neither insists on TLS nor verifies the server: verify-full does both"
            resolution.note(source.place, [f"sslmode={dsn.sslmode} {what}."])
        elif "sslrootcert" not in dsn.tls:
            what = "encrypts, but does not verify the server: verify-full with sslrootcert does"
            resolution.note(source.place, [f"sslmode=require {what}."])
    if _POOLER_PORT in dsn.ports:
        what = f"Port {_POOLER_PORT} is usually a connection pooler's, which is supported: see docs/pooler.md."
        resolution.note(source.place, [what])
    for option in _FILES:
        name = dsn.tls.get(option, "system")
        if name != "system" and not resolution.files.exists(name):
            resolution.note(source.place, [f"The file of {option} does not exist on this machine."])


def _is_local(host: str) -> bool:
    """Tell whether a host is this machine by its name."""
    try:
        return host.startswith("/") or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _explain_idle(resolution: Resolution, path: str, password: SecretStr | None, target: object) -> None:
    if password and not target:
        resolution.note(resolution.own.origin(path), ["Nothing is configured to log in to with it."])


def _ca_file(resolution: Resolution, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        content = resolution.files.read(name)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode())
        except (ssl.SSLError, UnicodeDecodeError):
            raise ValueError("holds no certificate in PEM form") from None
    except ValueError as error:
        resolution.fault(resolution.own.origin("redis.ca_file"), f"the file {name} {error}")
    return str(resolution.files.path(name))
