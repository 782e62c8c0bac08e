"""A configuration with how its files looked before it was read from them, so that a change is seen."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .loading import Loaded

_Look = tuple[int, int, int]


@dataclass(frozen=True)
class Reading:
    """What the files hold, or what is wrong with it; ``looks`` has None for a file that is not there."""

    found: Loaded | ConfigError
    looks: tuple[tuple[Path, _Look | None], ...]

    @classmethod
    def of(cls, load: Callable[[], Loaded], files: Iterable[Path] = ()) -> "Reading":
        """Read the configuration; ``files`` are those that it was read from before.

        A file that is written meanwhile has changed by the next look.
        """
        watched = dict.fromkeys(files)
        while True:
            looks = tuple((path, _look(path)) for path in watched)
            found: Loaded | ConfigError
            try:
                found = load()
            except ConfigError as error:
                found = error
            if watched.keys() >= set(found.files):
                return cls(found, looks)
            # Which files they are, only reading them tells.
            watched |= dict.fromkeys(found.files)

    @property
    def has_changed(self) -> bool:
        """Whether a file was written, replaced or removed since."""
        return any(_look(path) != look for path, look in self.looks)

    @property
    def present(self) -> frozenset[Path]:
        """Those of the files that were there."""
        return frozenset(path for path, look in self.looks if look)


def _look(path: Path) -> _Look | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
