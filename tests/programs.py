"""Programs of other projects that tests run: where they are, and what a missing one means.

In CI (``CI=true``) a missing program fails the test that needs it; on a developer's machine it skips the test.
``deploy/tools.sh``, which ``make test`` runs first, installs or fetches them.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

VENV = Path(__file__).parents[1] / ".venv"
# What deploy/tools.sh fetches where it may not install; after the machine's own programs.
_FETCHED = (VENV / "debian" / "bin", VENV / "helm")
_SERVER_DIRECTORIES = (Path("/usr/lib/postgresql"), VENV / "debian/usr/lib/postgresql")


# Debian's name and everyone else's.
ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def missing(what: str) -> NoReturn:
    """Fail in CI and skip elsewhere."""
    reason = f"{what} is missing; sh deploy/tools.sh installs or fetches it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(*names: str) -> Path:
    """Return the path of a program, which may have several names."""
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    missing(names[0])


def debian_postgres() -> Path:
    """Return the ``bin`` directory of Debian's newest PostgreSQL: the one with TLS and pg_stat_statements."""
    found = [path.parent for place in _SERVER_DIRECTORIES for path in place.glob("[0-9]*/bin/initdb")]
    if not found:
        missing("PostgreSQL of Debian")
    return max(found, key=lambda path: int(path.parent.name))


def put_on_path() -> None:
    """Let ``pytest`` find what ``make test`` finds."""
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), *map(str, _FETCHED)))


def require(item: pytest.Item) -> None:
    """Apply the marker ``needs``: the names of programs that a test cannot do without."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            program(*((name,) if isinstance(name, str) else name))
