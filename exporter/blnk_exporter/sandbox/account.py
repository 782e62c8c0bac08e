"""The unprivileged account that servers run under when we are root, and a place where it may live.

PostgreSQL refuses to run as root, and a server with a trusting configuration should not either.
"""

import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .failure import SandboxError

_NOBODY = "nobody"
_OTHERS_MAY_PASS = 0o001
# sun_path has 108 bytes; a server adds its directory, "/.s.PGSQL.12345.lock" and a zero byte.
_PARENT_LENGTH_MAX = 66


@dataclass(frozen=True, slots=True)
class Account:
    """A user to drop to."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """Name the account for servers; None when we are an ordinary user and need no other."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_NOBODY)
    except KeyError:
        raise SandboxError(f"PostgreSQL does not run as root, and there is no user {_NOBODY!r} to run it as") from None
    return Account(entry.pw_uid, entry.pw_gid)


def home(directory: Path, account: Account | None, prefix: str) -> Path:
    """Make a private directory for one server below ``directory``.

    Below the system's temporary directory instead where the account cannot get there (pytest's directories are
    closed to others), or where the path is too long for a Unix socket.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if (account and not passable(directory)) or len(str(directory.resolve())) > _PARENT_LENGTH_MAX:
        directory = Path(tempfile.gettempdir())
        directory = directory if passable(directory) else Path("/tmp")
    made = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=directory.resolve()))
    give(made, account)
    return made


def shared_directory(prefix: str) -> Path:
    """Make a temporary directory that the account may pass through and nobody may list."""
    base = Path(tempfile.gettempdir())
    made = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=base if passable(base) else "/tmp")).resolve()
    made.chmod(0o711)
    return made


def passable(directory: Path) -> bool:
    """Whether every user may pass through a directory and all that lie above it."""
    path = directory.resolve()
    return all(part.stat().st_mode & _OTHERS_MAY_PASS for part in (path, *path.parents))


def give(path: Path, account: Account | None) -> None:
    """Let the account own a file or directory."""
    if account:
        os.chown(path, account.uid, account.gid)


def write_private(path: Path, text: str, account: Account | None) -> None:
    """Write a file that only the account can read."""
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")
    give(path, account)


def hand_copy(source: Path, target: Path, account: Account | None) -> Path:
    """Copy a file so that only the account can read it, as servers want their keys."""
    target.touch(mode=0o600)
    target.write_bytes(source.read_bytes())
    give(target, account)
    return target


def readable_copy(source: Path, target: Path) -> Path:
    """Copy a program, or a tree of them, so that every user can read and run it."""
    if source.is_dir():
        needless = shutil.ignore_patterns("include", "*.a", "pkgconfig")
        shutil.copytree(source, target, ignore=needless, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)
    for path in (target, *target.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | 0o444 | (0o111 if path.is_dir() or mode & 0o100 else 0))
    return target
