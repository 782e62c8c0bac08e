"""The ``tls_server_config`` of a web configuration, as an SSL context."""

import ipaddress
import ssl
from typing import Literal

from .blnk_json import short
from .model import Model
from .web_file import WebFile

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
# The names that Go has for the suites of TLS 1.2, and OpenSSL's.
_SUITES = {
    f"TLS_ECDHE_{key}_WITH_{theirs}": f"ECDHE-{key}-{ours}"
    for key in ("ECDSA", "RSA")
    for theirs, ours in (
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    )
}
# Those of TLS 1.3 are all good and in force whatever is said, with Go as with OpenSSL.
_ALWAYS = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


class Tls(Model):
    """What the file says of TLS; the defaults are the format's."""

    cert_file: str
    key_file: str
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_ca_file: str | None = None
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True


def plain_name(name: str) -> str:
    """A subject alternative name as it is compared: an address, of which IPv6 has many spellings, in one of them."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


class Context(ssl.SSLContext):
    """One that knows whom it lets in, so that a connection from before can be told from one of another trust."""

    trust: tuple[str, bytes | None, tuple[str, ...]] | None = None
    """None where clients need no certificate."""


def context(given: Tls, file: WebFile) -> Context | None:
    """What connections are accepted with; None after a fault. All files that it names are read now."""
    tls = Context(ssl.PROTOCOL_TLS_SERVER)
    tls.set_alpn_protocols(["http/1.1"])
    # Each of them, so that all faults are told at once.
    good = [_choose(given, tls, file), _prove(given, tls, file), _ask(given, tls, file)]
    return tls if all(good) else None


def _choose(given: Tls, tls: ssl.SSLContext, file: WebFile) -> bool:
    """Versions and suites."""
    if given.min_version > given.max_version:
        file.fault("tls_server_config.max_version", "is older than min_version")
        return False
    tls.minimum_version, tls.maximum_version = _VERSIONS[given.min_version], _VERSIONS[given.max_version]
    if given.prefer_server_cipher_suites:
        tls.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        tls.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = [name for name in given.cipher_suites if name not in _ALWAYS]
    if unknown := [name for name in suites if name not in _SUITES]:
        file.fault(
            "tls_server_config.cipher_suites", f"holds {short(unknown[0])}, which is none of {', '.join(_SUITES)}"
        )
        return False
    if suites:
        tls.set_ciphers(":".join(_SUITES[name] for name in suites))
    return True


def _prove(given: Tls, tls: ssl.SSLContext, file: WebFile) -> bool:
    """Our own certificate and its key."""
    holds_one = _certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "cert_file", given.cert_file, file)
    if file.content("tls_server_config.key_file", given.key_file) is None or not holds_one:
        return False
    certificate, key = file.beside(given.cert_file), file.beside(given.key_file)
    paths = file.resolution.files.path(certificate), file.resolution.files.path(key)
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        tls.load_cert_chain(*paths, password="")
    except OSError as error:
        mismatch = isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH"
        what = f"does not belong to {certificate}" if mismatch else "holds no PEM key that needs no password"
        file.fault("tls_server_config.key_file", f"{key} {what}")
        return False
    return True


def _ask(given: Tls, tls: Context, file: WebFile) -> bool:
    """The client's certificate."""
    key, asks = "tls_server_config.client_ca_file", given.client_auth_type
    tls.verify_mode = _CLIENTS[asks]
    if asks != "RequireAndVerifyClientCert" and given.client_allowed_sans:
        file.fault("tls_server_config.client_allowed_sans", "needs client_auth_type: RequireAndVerifyClientCert")
        return False
    if given.client_ca_file is None:
        if asks != "NoClientCert":
            file.fault(key, f"is missing, and {asks} needs it")
        return asks == "NoClientCert"
    if asks == "NoClientCert":
        file.fault(key, "is of no use without client_auth_type: RequireAndVerifyClientCert")
        return False
    if asks == "RequireAndVerifyClientCert":
        content = file.content("tls_server_config.client_ca_file", given.client_ca_file)
        tls.trust = asks, content, given.client_allowed_sans
    return _certificates(tls, "client_ca_file", given.client_ca_file, file)


def _certificates(tls: ssl.SSLContext, key: str, name: str, file: WebFile) -> bool:
    """Take a file's certificates as authorities."""
    content = file.content(f"tls_server_config.{key}", name)
    if content is None:
        return False
    try:
        tls.load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        file.fault(f"tls_server_config.{key}", f"{file.beside(name)} holds no PEM certificate")
        return False
    return True
