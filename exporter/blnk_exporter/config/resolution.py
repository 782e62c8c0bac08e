"""What the working out of the targets reads from and writes to: both configurations, and what is found on the way."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import Fault
from . import blnk, own
from .files import Files
from .origin import EffectiveValue, Origin


@dataclass
class Resolution:
    """Both readings, and what is wrong or worth a word; nothing here raises."""

    own: own.Reading
    blnk: blnk.Reading
    files: Files
    values: list[EffectiveValue] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fault(self, place: Origin, what: str) -> None:
        """Record what is wrong at a place."""
        self.faults.append(Fault(place.where, what))

    def note(self, place: Origin, sentences: Iterable[str]) -> None:
        """Record what a person should know of a place."""
        self.notes += [f"{place.where}: {sentence}" for sentence in sentences]

    def target(self, name: str, text_masked: str, place: Origin) -> None:
        """Record a target that will be watched."""
        self.values.append(EffectiveValue(f"target {name}", text_masked, place.text))

    @property
    def is_faulty(self) -> bool:
        """Tell whether any layer has a fault."""
        return bool(self.faults or self.own.faults or self.blnk.faults)
