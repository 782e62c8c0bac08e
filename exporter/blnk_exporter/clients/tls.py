"""What goes wrong in TLS, in words; the system's own authorities as a trust of ours."""

import os
import ssl
from collections.abc import Mapping

from ..errors import Malformed, NotAsked, ReadingError, Refused, Unreachable

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


def system_trust(options: Mapping[str, str]) -> ssl.SSLContext:
    """Trust as with ``sslrootcert=system``, which always verifies the host's name too; the other options as libpq names them."""
    context = ssl.create_default_context()
    if certificate := options.get("sslcert"):
        # Without a text, OpenSSL would ask for the passphrase on the terminal.
        context.load_cert_chain(certificate, options.get("sslkey"), lambda: options.get("sslpassword", ""))
    if revoked := options.get("sslcrl"):
        context.load_verify_locations(cafile=revoked)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    context.set_alpn_protocols(["postgresql"])
    for option in ("minimum", "maximum"):
        if version := options.get(f"ssl_{option[:3]}_protocol_version"):
            try:
                known = ssl.TLSVersion[version.replace(".", "_")]
            except KeyError:
                raise NotAsked(f"ssl_{option[:3]}_protocol_version is no version of TLS") from None
            setattr(context, f"{option}_version", known)
    return context
