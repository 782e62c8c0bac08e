"""What goes wrong in TLS, in words; what certificates are verified with."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ..errors import Malformed, NotAsked, ReadingError, Refused, Unreachable

Context = TypeVar("Context", bound=ssl.SSLContext)

# Python 3.13 turned both on in ssl.create_default_context. The first refuses certificates without an authority key
# identifier, which redis-cli, libpq and Go accept. With the second, any certificate of a trust store is an anchor, as in Go.
EXCLUDED, INCLUDED = [ssl.VERIFY_X509_STRICT], [ssl.VERIFY_X509_PARTIAL_CHAIN]

# Errors of the library whose reason is one of these mean that the other side speaks something else.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL_VERSION", "RECORD_LAYER_FAILURE"})


def failure(error: BaseException) -> ReadingError | None:
    """The failure of TLS behind a driver's error; None where TLS is not to blame."""
    cause: BaseException | None = error
    # A wrapper of a driver's own may call itself an SSLError too.
    while cause is not None and (not isinstance(cause, ssl.SSLError) or hasattr(cause, "os_error")):
        cause = getattr(cause, "os_error", None) or cause.__cause__ or cause.__context__
    match cause:
        case None:
            return None
        case ssl.SSLCertVerificationError():
            return Refused(f"the server's certificate is not trusted: {cause.verify_message}")
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return Unreachable("the connection was closed during TLS")
        case _ if getattr(cause, "reason", None) in _NOT_TLS:
            return Malformed("the answer is not TLS")
        case _ if getattr(cause, "reason", None) == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
            return Refused("the server demands a client's certificate")
        case _:
            reason = (getattr(cause, "reason", None) or "a certificate or key cannot be used").replace("_", " ").lower()
            return Refused(f"TLS fails: {reason}")


def check_files(*names: str | None) -> None:
    """Raises NotAsked for a file that cannot be read."""
    for name in names:
        if name and not os.access(name, os.R_OK):
            raise NotAsked(f"the certificate file {name} cannot be read")


@contextmanager
def _usable(option: str, name: str | None) -> Iterator[None]:
    """Raise NotAsked where OpenSSL cannot use a file of ours: the server has nothing to do with it."""
    try:
        yield
    except (OSError, ValueError) as error:
        passphrase = ", and sslpassword must be the key's" if "sslkey" in option else ""
        raise NotAsked(f"{option}: the file {name} cannot be loaded: it must be in PEM format{passphrase}") from error


def check_authority(name: str | None) -> None:
    """Raises NotAsked for a file of authorities that cannot be read or used."""
    check_files(name)
    if name:
        with _usable("redis.ca_file", name):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=name)


def verifying() -> ssl.SSLContext:
    """A context that trusts the system's authorities, the same on every version of Python."""
    return level(ssl.create_default_context())


def level(context: Context) -> Context:
    """Set the flags of verification that differ between versions of Python."""
    for flag in EXCLUDED:
        context.verify_flags &= ~flag
    for flag in INCLUDED:
        context.verify_flags |= flag
    return context


def postgres(sslmode: str, options: Mapping[str, str]) -> ssl.SSLContext:
    """The context for libpq's ``sslmode`` (not ``disable``) and its options; raises NotAsked for an option that cannot be used.

    As in libpq, ``~/.postgresql`` is looked at for files that are not named, and ``require`` with an authority's file
    verifies the certificate, not the name. ``sslrootcert=system`` comes with ``verify-full`` only.
    """
    options = _default_files() | _environment() | dict(options)
    check_files(*map(options.get, ("sslcert", "sslkey", "sslcrl", "sslcrldir")))
    authority, is_system = options.get("sslrootcert"), options.get("sslrootcert") == "system"
    if not authority and sslmode.startswith("verify"):
        raise NotAsked("sslrootcert is missing, and ~/.postgresql/root.crt does not exist: name the authority's file")
    context = verifying() if is_system else level(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.check_hostname = sslmode == "verify-full"
    if sslmode in {"allow", "prefer"} or not authority:
        context.verify_mode = ssl.CERT_NONE
    elif not is_system:
        check_files(authority)
        with _usable("sslrootcert", authority):
            context.load_verify_locations(cafile=authority)
    if context.verify_mode == ssl.CERT_REQUIRED:
        _revoke(context, options)
    if (certificate := options.get("sslcert")) and options.get("sslcertmode") != "disable":
        # Without a text, OpenSSL would ask for the passphrase on the terminal.
        with _usable("sslcert or sslkey", certificate):
            context.load_cert_chain(certificate, options.get("sslkey"), lambda: options.get("sslpassword", ""))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for option in ("minimum", "maximum"):
        if version := options.get(f"ssl_{option[:3]}_protocol_version"):
            setattr(context, f"{option}_version", _version(f"ssl_{option[:3]}_protocol_version", version))
    context.set_alpn_protocols(["postgresql"])
    return context


def _revoke(context: ssl.SSLContext, options: Mapping[str, str]) -> None:
    revoked, directory = options.get("sslcrl"), options.get("sslcrldir")
    if revoked or directory:
        with _usable("sslcrl or sslcrldir", revoked or directory):
            context.load_verify_locations(cafile=revoked or None, capath=directory or None)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _version(option: str, name: str) -> ssl.TLSVersion:
    try:
        return ssl.TLSVersion[name.replace(".", "_")]
    except KeyError:
        raise NotAsked(f"{option} must be TLSv1.2 or TLSv1.3") from None


def _default_files() -> dict[str, str]:
    try:
        home = Path.home() / ".postgresql"
    except (RuntimeError, KeyError):  # a user id without a name, and no HOME
        return {}
    names = {"sslrootcert": "root.crt", "sslcrl": "root.crl", "sslcert": "postgresql.crt", "sslkey": "postgresql.key"}
    return {option: str(home / name) for option, name in names.items() if os.access(home / name, os.F_OK)}


def _environment() -> dict[str, str]:
    names = {option: f"PG{option.upper()}" for option in ("sslrootcert", "sslcrl", "sslcert", "sslkey")}
    return {option: os.environ[name] for option, name in names.items() if os.environ.get(name)}
