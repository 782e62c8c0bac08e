"""Where an exporter with this environment and these flags listens, read without anything else: for the health check.

``load`` imports and checks the whole configuration, which takes more than ten times as much CPU. Nothing here may import
pydantic. A faulty file counts as missing: the exporter may still run on the configuration that it read before.
"""

import os
import stat
from collections.abc import Mapping
from typing import Any, NamedTuple

from . import address as addresses

_DEFAULT = "127.0.0.1:10501"
_BYTES_MAX = 1_048_576
_PREFIX = "BLNK_EXPORTER_"
# With one of these the pages are served with TLS.
_TLS = b"tls_server_config"
_PREFIXES = {"external_url": addresses.external, "route_prefix": addresses.path_prefix}


class Listening(NamedTuple):
    """An address as configured, its parts, whether it is likely served with TLS, and the path before every page."""

    address: str
    host: str
    port: int
    tls: bool
    prefix: str


def find(environ: Mapping[str, str], flags: Mapping[str, str | None]) -> Listening:
    """Look where ``load`` would; raises ValueError for a flag or variable that cannot be used.

    ``flags`` holds ``config_file`` and keys of exporter.yml such as ``web.listen_address``.
    """
    file = _web(flags.get("config_file") or environ.get(f"{_PREFIX}CONFIG_FILE") or "exporter.yml")

    def given(key: str) -> str:
        variable = environ.get(f"{_PREFIX}WEB_{key.upper()}", "").strip()
        return (flags.get(f"web.{key}") or variable).strip()

    if text := given("listen_address"):
        try:
            host, port = addresses.listen(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is not an address; it {error}") from None
    else:
        text, host, port = _of_file(file.get("listen_address"))
    web_config = given("config_file") or file.get("config_file")
    tls = isinstance(web_config, str) and _TLS in _read(web_config)
    prefix: dict[str, str] = {}
    for key, check in _PREFIXES.items():
        if path := given(key) or str(file.get(key) or ""):
            try:
                prefix[key] = check(path)
            except ValueError as error:
                if given(key):
                    raise ValueError(f"{path!r} is not a web.{key}; it {error}") from None
    below = addresses.below(prefix.get("external_url"), prefix.get("route_prefix"))
    return Listening(text, host, port, tls, below)


def _of_file(value: Any) -> tuple[str, str, int]:
    """The address of exporter.yml, or the default if it has none that can be used."""
    text = str(value).strip()
    try:
        return text, *addresses.listen(text)
    except ValueError:
        return _DEFAULT, *addresses.listen(_DEFAULT)


def _web(name: str) -> dict[str, Any]:
    """The section ``web`` of exporter.yml; empty where it has none, or cannot be read."""
    content = _read(name)
    if b"web" not in content:
        return {}
    import yaml  # noqa: PLC0415 - a tenth of the work, and most files have no such section

    try:
        # In C where that is built: with hundreds of targets Python's own takes a second.
        parsed = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - it is a safe one
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return {}
    section = parsed.get("web") if isinstance(parsed, dict) else None
    return section if isinstance(section, dict) else {}


def _read(name: str) -> bytes:
    """The content of a regular file; empty where there is none."""
    try:
        # A pipe or a terminal would keep us waiting.
        if stat.S_ISREG(os.stat(name).st_mode):  # noqa: PTH116 - pathlib takes 10 ms to import
            with open(name, "rb") as file:  # noqa: PTH123 - see above
                return file.read(_BYTES_MAX)
    except (OSError, ValueError):
        pass
    return b""
