"""The web configuration: TLS, users, headers and rates, in the format that Prometheus' own servers and exporters read.

To its keys we add ``bearer_token_file`` and ``protect_health``. What OpenSSL or Python has no way to do is refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ssl import CERT_REQUIRED
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from ..errors import Fault
from ..formats import go, password
from . import exporter_yml
from .blnk_json import short
from .model import Model
from .resolution import Resolution
from .tls import Context, Tls, context, plain_name
from .web_file import WebFile
from .words import describe

_HEADERS = Literal[
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
]
_ELSEWHERE = {
    "cert": "is not read from here; name a file with cert_file",
    "key": "is not read from here; name a file with key_file",
    "client_ca": "is not read from here; name a file with client_ca_file",
    "curve_preferences": "cannot be chosen; those of OpenSSL are in force",
}


@dataclass(frozen=True)
class Protection:
    """What stands between the network and the pages; without a web configuration nothing does.

    ``users`` are names with bcrypt hashes. Of users and ``bearer_token`` either opens. ``allowed_names`` are subject
    alternative names, one of which a client's certificate must have. A rate of 0 seconds is no limit.
    """

    tls: Context | None = None
    allowed_names: frozenset[str] = frozenset()
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    bearer_token: SecretStr | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    protect_health: bool = False
    request_interval_seconds: float = 0.0
    request_burst: int = 1

    @property
    def asks_for_credentials(self) -> bool:
        """Whether a client must tell who it is, besides what TLS asks."""
        return bool(self.users or self.bearer_token)

    @property
    def missing(self) -> tuple[str, ...]:
        """What an endpoint that the network can reach should have, and this one has not."""
        known = self.asks_for_credentials or (self.tls is not None and self.tls.verify_mode == CERT_REQUIRED)
        return (*([] if self.tls else ["TLS"]), *([] if known else ["credentials"]))


def _header(text: str) -> str:
    if not re.fullmatch(r"[\x20-\x7e]*", text):
        raise ValueError("must be printable ASCII")
    return text


def _duration(text: str) -> str:
    if go.parse_duration(text) < 0:
        raise ValueError("must not be negative")
    return text


class _Http(Model):
    http2: bool | None = None
    headers: dict[_HEADERS, Annotated[str, AfterValidator(_header)]] = Field(default_factory=dict)


class _Rate(Model):
    interval: Annotated[str, AfterValidator(_duration)] = "0s"
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class _File(Model):
    tls_server_config: Tls | None = None
    http_server_config: _Http = _Http()
    basic_auth_users: dict[str, SecretStr] = Field(default_factory=dict)
    rate_limit: _Rate = _Rate()
    bearer_token_file: str = ""
    protect_health: bool = False


_SECTIONS = frozenset({"tls_server_config", "http_server_config", "headers", "basic_auth_users", "rate_limit"})


def read(resolution: Resolution) -> Protection:
    """Read the file that ``web.config_file`` names, and those that it names; faults and notes go into the resolution."""
    name = resolution.own.own.web.config_file
    if name is None:
        return Protection()
    file = WebFile(name, resolution)
    try:
        content = exporter_yml.parse(resolution.files.read(name))
        if empty := [*_empty(content)]:
            for key in empty:
                file.fault(key, "is empty; say what it is, or leave it out")
            return Protection()
        given = _File.model_validate(_said(content))
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            _tell(problem, file)
        return Protection()
    except ValueError as error:
        resolution.faults.append(Fault(name, str(error)))
        return Protection()
    if given.http_server_config.http2:
        resolution.notes.append(f"{name}: http2 is not spoken; all clients get HTTP/1.1.")
    token = _token(given, file) if "bearer_token_file" in given.model_fields_set else None
    protection = Protection(
        tls=_tls(given.tls_server_config, file),
        allowed_names=frozenset(
            map(plain_name, given.tls_server_config.client_allowed_sans if given.tls_server_config else ())
        ),
        users=_users(given, file),
        bearer_token=SecretStr(token) if token else None,
        headers={key: text for key, text in given.http_server_config.headers.items() if text},
        protect_health=given.protect_health,
        request_interval_seconds=go.parse_duration(given.rate_limit.interval) / 1e9,
        request_burst=given.rate_limit.burst,
    )
    file.show("users", ", ".join(protection.users) or "none")
    file.show("bearer token", "***" if protection.bearer_token else "none")
    file.show("health pages", "protected" if protection.protect_health else "open")
    if protection.asks_for_credentials and given.tls_server_config is None:
        resolution.notes.append(f"{name}: without tls_server_config credentials cross the network in the clear.")
    return protection


def _said(content: Mapping[str, Any]) -> dict[str, Any]:
    """Without empty sections, of which all may be commented out."""
    return {
        key: _said(value) if isinstance(value, dict) else value for key, value in content.items() if value is not None
    }


def _empty(content: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Keys without a value: a user without a hash, or no file for the token, would leave a door open that looks shut."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _empty(value, f"{at}{short(key)}.")
        elif value is None and key not in _SECTIONS:
            yield f"{at}{short(key)}"


def _tell(problem: ErrorDetails, file: WebFile) -> None:
    keys = [part for part in problem["loc"] if isinstance(part, str) and part != "[key]"]
    what = _ELSEWHERE.get(keys[-1]) if problem["type"] == "extra_forbidden" else None
    file.fault(short(".".join(keys)), what or describe(problem))


def _tls(given: Tls | None, file: WebFile) -> Context | None:
    if given is None:
        file.show("TLS", "none")
        return None
    file.show("TLS", f"{given.min_version} or newer, {given.client_auth_type}")
    return context(given, file)


def _token(given: _File, file: WebFile) -> str | None:
    token = file.secret("bearer_token_file", given.bearer_token_file)
    if token is not None and not re.fullmatch(r"[\x21-\x7e]+", token):
        file.fault("bearer_token_file", f"{file.beside(given.bearer_token_file)} holds more than one word of ASCII")
        return None
    return token


def _users(given: _File, file: WebFile) -> dict[str, str]:
    users = {}
    for name, hashed in given.basic_auth_users.items():
        if not name or ":" in name:
            file.fault("basic_auth_users", "holds a name that is empty or has a colon in it")
            continue
        try:
            password.cost(hashed.get_secret_value())
        except ValueError as error:
            file.fault(f"basic_auth_users.{short(name)}", str(error))
        else:
            users[name] = hashed.get_secret_value()
    return users
