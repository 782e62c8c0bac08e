"""The numbers that mean "too much", out of thresholds.yml, where each stands once."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from .config import exporter_yml
from .errors import ConfigError, Fault
from .quantity import UNITS, Unit, say

Level = Literal["ok", "warning", "critical"]
_KEYS = frozenset({"unit", "warning", "critical", "below", "why", "source"})


@dataclass(frozen=True, slots=True)
class Threshold:
    """One or two limits; ``below`` when less is worse. ``source`` is an item of the production checklist."""

    name: str
    unit: Unit
    why: str
    source: str
    warning: float | None = None
    critical: float | None = None
    below: bool = False

    def level(self, value: float) -> Level:
        """How bad a value is; one that only reaches a limit is not over it."""
        if _over(value, self.critical, below=self.below):
            return "critical"
        return "warning" if _over(value, self.warning, below=self.below) else "ok"

    @property
    def first(self) -> float:
        """The limit that is met first."""
        return next(limit for limit in (self.warning, self.critical) if limit is not None)

    @property
    def words(self) -> str:
        """``warning over 80 %, critical over 90 %``; ``critical if any``."""
        limits: dict[str, float | None] = {"warning": self.warning, "critical": self.critical}
        return ", ".join(f"{level} {self._side(limit)}" for level, limit in limits.items() if limit is not None)

    def met(self, value: float) -> str:
        """The words of the limit that a value is over; empty when it is over none."""
        level = self.level(value)
        limit = {"ok": None, "warning": self.warning, "critical": self.critical}[level]
        return "" if limit is None else f"{level} {self._side(limit)}"

    def _side(self, limit: float) -> str:
        if not limit and not self.below:
            return "if any"
        return f"{'under' if self.below else 'over'} {say(limit, self.unit)}"


@cache
def load() -> Mapping[str, Threshold]:
    """Those that the package brings along, by name; raises ConfigError."""
    return parse(resources.files(__package__).joinpath("thresholds.yml").read_bytes())


def parse(content: bytes) -> Mapping[str, Threshold]:
    """Raises ConfigError with every fault of the file."""
    try:
        entries = exporter_yml.parse(content)
    except ValueError as error:
        raise ConfigError([Fault("thresholds.yml", str(error))]) from None
    if faults := [Fault(f"thresholds.yml: {name}", what) for name, entry in entries.items() for what in _faults(entry)]:
        raise ConfigError(faults)
    return {name: Threshold(name, **entry) for name, entry in entries.items()}


def _faults(entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield "is no table of unit, warning, critical, why and source"
        return
    yield from (f"knows no {key!r}" for key in sorted(entry.keys() - _KEYS))
    if entry.get("unit") not in UNITS:
        yield f"unit is one of {', '.join(UNITS)}"
    if not isinstance(entry.get("below", False), bool):
        yield "below is true or false"
    for key in ("why", "source"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            yield f"says no {key}"
    limits = [entry[key] for key in ("warning", "critical") if key in entry]
    if not all(
        isinstance(limit, (int, float)) and type(limit) is not bool and math.isfinite(limit) for limit in limits
    ):
        yield "a limit is a number"
    elif not limits:
        yield "has no limit"
    elif len(limits) == 2 and not _over(limits[1], limits[0], below=entry.get("below") is True):
        yield "critical lies beyond warning"


def _over(value: float, limit: float | None, *, below: bool) -> bool:
    return limit is not None and (value < limit if below else value > limit)
