"""What each option of a PostgreSQL connection string means to the exporter: honored, without effect, or refused.

No option that decides whether or where a password is sent may be accepted and ignored.

Source: PostgreSQL 18 documentation 34.1.2, libpq ``fe-connect.c``, lib/pq v1.10.9 ``conn.go``.
"""

import difflib
import re
from collections.abc import Mapping

from .dsn_error import DsnError

SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS = frozenset(
    {
        *(
            "sslrootcert",
            "sslcert",
            "sslkey",
            "sslcrl",
            "sslcrldir",
            "sslpassword",
            "sslsni",
            "sslnegotiation",
            "sslcertmode",
        ),
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "passfile"),
    }
)
"""The client reads these, under libpq's names."""

# Read in postgres_dsn.py.
_HONORED = TLS | {"host", "hostaddr", "port", "user", "password", "dbname", "sslmode", "connect_timeout"}
_HONORED |= {"target_session_attrs", "require_auth"}
# The exporter sets these itself, or does not use them.
_SESSION = {"application_name", "fallback_application_name", "client_encoding", "datestyle", "timezone", "search_path"}
_SESSION |= {"extra_float_digits", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}
_SESSION |= {"binary_parameters", "disable_prepared_binary_result"}
# The deadline of a scrape is shorter, Kerberos is not supported, and the rest concerns all sessions alike.
_TRANSPORT = {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
_TRANSPORT |= {"gsslib", "krbsrvname", "krbspn", "gssdelegation", "sslcompression", "max_protocol_version"}
_NO_EFFECT = _SESSION | _TRANSPORT | {"options"}

# Values that have no effect; every other value is refused with the sentence.
_REFUSED: Mapping[str, tuple[frozenset[str], str]] = {
    "service": (frozenset(), "names a service file, which is not read: write its host, user and database out"),
    "servicefile": (frozenset(), "names a service file, which is not read: write its host, user and database out"),
    "sslinline": (frozenset({"false"}), "holds its certificates inline: name files instead"),
    "channel_binding": (
        frozenset({"disable", "prefer"}),
        "asks for channel binding, which the exporter does not support: use sslmode=verify-full, and remove channel_binding",
    ),
    "gssencmode": (
        frozenset({"disable", "prefer"}),
        "asks for encryption by GSSAPI, which the exporter does not support: use TLS",
    ),
    "requirepeer": (frozenset(), "has requirepeer, which the exporter does not check: remove it"),
    "load_balance_hosts": (
        frozenset({"disable"}),
        "has load_balance_hosts, with which each login could reach another server: name the servers in postgres.replicas",
    ),
    "replication": (
        frozenset({"false", "off", "no", "0"}),
        "asks for a replication connection, which runs no ordinary statements: remove replication",
    ),
    "min_protocol_version": (
        frozenset({"3.0"}),
        "asks for a newer protocol than 3.0, which the exporter does not support: remove min_protocol_version",
    ),
    "sslkeylogfile": (
        frozenset(),
        "has sslkeylogfile, which would write the keys of its sessions to a file: remove it",
    ),
}
_UNSUPPORTED_LOGINS = (
    "scram_client_key",
    "scram_server_key",
    "oauth_issuer",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_scope",
)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "sslmode": SSLMODES,
    "sslnegotiation": ("postgres", "direct"),
    "sslsni": ("0", "1"),
    "sslcertmode": ("disable", "allow"),
    "ssl_min_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_METHODS = frozenset({"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"})
_KNOWN = _HONORED | _NO_EFFECT | _REFUSED.keys() | set(_UNSUPPORTED_LOGINS)


def check(values: Mapping[str, str]) -> None:
    """Raise DsnError for an option that cannot be honored and must not be ignored."""
    for option, (harmless, sentence) in _REFUSED.items():
        if (value := values.get(option)) and value not in harmless:
            raise DsnError(sentence)
    if any(values.get(option) for option in _UNSUPPORTED_LOGINS):
        raise DsnError("has a login by SCRAM keys or OAuth, which the exporter does not support: use a password")
    for option, choices in _CHOICES.items():
        if (value := values.get(option)) and value not in choices:
            raise DsnError(f"has an unknown {option}: it must be one of {', '.join(choices)}")


def sslmode(values: Mapping[str, str], default: str) -> str:
    """Read the mode; the system's authorities vouch for every host, so libpq allows them with verify-full only."""
    system = values.get("sslrootcert") == "system"
    mode = values.get("sslmode") or ("verify-full" if system else default)
    if system and mode != "verify-full":
        raise DsnError("has sslrootcert=system, which needs sslmode=verify-full")
    if values.get("sslnegotiation") == "direct" and mode in {"disable", "allow", "prefer"}:
        raise DsnError(f"has sslnegotiation=direct, which needs sslmode=require or stronger, not {mode}")
    if values.get("sslsni") == "0" and mode == "verify-full":
        raise DsnError("has sslsni=0, with which the exporter cannot verify the server's name: remove it")
    return mode


def login_methods(values: Mapping[str, str]) -> tuple[frozenset[str] | None, bool]:
    """Read ``require_auth``: the allowed methods (None: all), and whether ``password`` is named among them."""
    names = [name.strip() for name in (values.get("require_auth") or "").split(",") if name.strip()]
    if not names:
        return None, False
    excluded = [name[1:] for name in names if name.startswith("!")]
    if unknown := {name.removeprefix("!") for name in names} - _METHODS:
        # Not repeated: it may be a piece of a password that was not quoted.
        known = ", ".join(sorted(_METHODS))
        raise DsnError(f"has {len(unknown)} unknown methods in require_auth: each must be one of {known}")
    if excluded and len(excluded) != len(names):
        raise DsnError("has methods with and without ! in require_auth: all must have it, or none")
    if excluded:
        return _METHODS - set(excluded), False
    return frozenset(names), "password" in names


def target(values: Mapping[str, str]) -> str:
    """Read ``target_session_attrs``: any, primary, standby or prefer-standby.

    The exporter's sessions are read-only on every server, so read-write means a primary, and read-only a standby.
    """
    wanted = values.get("target_session_attrs") or "any"
    return {"read-write": "primary", "read-only": "standby"}.get(wanted, wanted)


def connect_timeout_seconds(values: Mapping[str, str]) -> float | None:
    """Read ``connect_timeout``, the limit for one host; None where there is none."""
    text = (values.get("connect_timeout") or "0").strip()
    if not re.fullmatch(r"-?[0-9]{1,8}", text):
        raise DsnError("has a connect_timeout that is not a whole number of seconds")
    return float(text) if int(text) > 0 else None


def notes(values: Mapping[str, str]) -> list[str]:
    """Return sentences about options without effect that a person may count on."""
    found = []
    if values.get("options"):
        found.append("options is ignored: the exporter chooses the settings of its sessions.")
    for key in values.keys() - _KNOWN:
        # The unknown name is not repeated: it may be a piece of a password that was not quoted.
        near = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=0.75)
        hint = f": is {near[0]} meant?" if near else "."
        found.append(f"A parameter that PostgreSQL's drivers do not know is ignored{hint}")
    return sorted(found)
