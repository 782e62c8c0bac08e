"""The web configuration under way: the files that it names, and what is wrong with it."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import Fault
from .origin import EffectiveValue
from .resolution import Resolution


@dataclass(frozen=True)
class WebFile:
    """One web configuration by name; faults, notes and rows for the table of values go into the resolution."""

    name: str
    resolution: Resolution

    def fault(self, key: str, what: str) -> None:
        """Record what is wrong at a key."""
        self.resolution.faults.append(Fault(f"{self.name} {key}", what))

    def show(self, what: str, text: str) -> None:
        """Record what is in force; a secret is masked already."""
        self.resolution.values.append(EffectiveValue(f"web {what}", text, self.name))

    def beside(self, name: str) -> str:
        """Where a path leads that stands in the file: it starts at the file's own directory."""
        return str(Path(self.name).parent / name)

    def content(self, key: str, name: str) -> bytes | None:
        """What the file holds that a key names; None after a fault."""
        try:
            return self.resolution.files.read(self.beside(name))
        except ValueError as error:
            self.fault(key, f"{self.beside(name)} {error}")
            return None

    def secret(self, key: str, name: str) -> str | None:
        """The secret in the file that a key names; None after a fault."""
        try:
            return self.resolution.files.secret(self.beside(name))
        except ValueError as error:
            self.fault(key, f"{self.beside(name)} {error}")
            return None
