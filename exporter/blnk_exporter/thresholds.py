"""The numbers that mean "too much", out of thresholds.yml, where each stands once."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from .config import exporter_yml
from .errors import ConfigError, Fault
from .quantity import UNITS, Unit, say
from .quantity import parse as parse_quantity

Level = Literal["ok", "warning", "critical"]
SIDE_QUEUES = "new:(webhook|index|inflight-expiry)"
"""Queues that no transaction waits for; a regular expression on the whole name, as Prometheus has it."""
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


def text(limits: Mapping[str, Threshold]) -> str:
    """Limits with their reasons, as a file that may be changed and given back."""
    lines = []
    for limit in limits.values():
        numbers = "".join(f", {level}: {getattr(limit, level):.15g}" for level in _levels(limit))
        lines.append(
            f"# {limit.why}{' Less is worse.' if limit.below else ''}\n{limit.name}: {{unit: {limit.unit}{numbers}}}\n"
        )
    return "\n".join(lines)


def parse(content: bytes) -> Mapping[str, Threshold]:
    """Raises ConfigError with every fault of the file."""
    try:
        entries = exporter_yml.parse(content)
    except ValueError as error:
        raise ConfigError([Fault("thresholds.yml", str(error))]) from None
    if faults := [Fault(f"thresholds.yml: {name}", what) for name, entry in entries.items() for what in _faults(entry)]:
        raise ConfigError(faults)
    return {name: Threshold(name, **entry) for name, entry in entries.items()}


def changed(limits: Mapping[str, Threshold], changes: Mapping[str, Any], where: str) -> Mapping[str, Threshold]:
    """The limits with other numbers: per name a table of ``warning`` and ``critical``, each a number or ``80%``, ``5m``.

    Raises ConfigError with every fault; ``where`` names the file or the flag that holds the changes.
    """
    faults, found = [], dict(limits)
    for name, entry in changes.items():
        if name not in limits:
            faults.append(Fault(f"{where}: {name}", f"is no limit; {_hint(name, limits)}"))
            continue
        try:
            found[name] = _changed(limits[name], entry)
        except ValueError as error:
            faults.append(Fault(f"{where}: {name}", str(error)))
    if faults:
        raise ConfigError(faults)
    return found


def _hint(name: str, limits: Mapping[str, Threshold]) -> str:
    inside = [limit for limit in limits if limit.startswith(f"{name}.")]
    if inside:
        return f"write the whole name as one key, such as {inside[0]}"
    near = difflib.get_close_matches(name, limits, n=1)
    return f"did you mean {near[0]}?" if near else "each runbook names its own at its end"


def of(file: Path | None) -> Mapping[str, Threshold]:
    """Those of the package, with the numbers of a file, if there is one, in place of theirs; raises ConfigError."""
    if file is None:
        return load()
    try:
        return changed(load(), exporter_yml.parse(file.read_bytes()), str(file))
    except ValueError as error:
        raise ConfigError([Fault(str(file), str(error))]) from None
    except OSError as error:
        raise ConfigError([Fault(str(file), f"cannot be read: {error.strerror}")]) from None


def assigned(limits: Mapping[str, Threshold], assignments: Iterable[str]) -> Mapping[str, Threshold]:
    """The limits with other numbers, as ``queues.depth.warning=5000`` has each; raises ConfigError."""
    given: dict[str, dict[str, str]] = {}
    for assignment in assignments:
        key, sign, value = assignment.partition("=")
        name, dot, level = key.strip().rpartition(".")
        if not sign or not dot:
            raise ConfigError([Fault(f"--set {assignment}", "is not of the form queues.depth.warning=5000")])
        if known := limits.get(key.strip()):
            levels = " or ".join(f"{key.strip()}.{level}" for level in _levels(known))
            raise ConfigError([Fault(f"--set {assignment}", f"does not say which of its limits: {levels}")])
        if level in given.setdefault(name, {}):
            raise ConfigError([Fault(f"--set {assignment}", "was set already")])
        given[name][level] = value.strip()
    return changed(limits, given, "--set")


def _changed(limit: Threshold, entry: Any) -> Threshold:
    """Raises ValueError in words that go behind the limit's name."""
    if not isinstance(entry, dict) or not entry:
        raise ValueError("is no table of warning and critical")
    if entry.get("unit", limit.unit) != limit.unit:
        raise ValueError(f"is counted in {limit.unit}, not in {entry['unit']}")
    numbers = {level: _number(limit, level, written) for level, written in entry.items() if level != "unit"}
    warning, critical = (numbers.get(level, getattr(limit, level)) for level in ("warning", "critical"))
    if warning is not None and critical is not None and not _over(critical, warning, below=limit.below):
        side = "below" if limit.below else "above"
        raise ValueError(f"critical {say(critical, limit.unit)} must lie {side} warning {say(warning, limit.unit)}")
    return replace(limit, warning=warning, critical=critical)


def _levels(limit: Threshold) -> list[str]:
    return [level for level in ("warning", "critical") if getattr(limit, level) is not None]


def _number(limit: Threshold, level: str, written: Any) -> float:
    if level not in _levels(limit):
        raise ValueError(f"has {' and '.join(_levels(limit))}, but no {level}; nothing else can be changed")
    if isinstance(written, bool) or not isinstance(written, (int, float, str)):
        raise ValueError(f"{level} is no number")  # noqa: TRY004 - a fault of the file, gathered with the others
    try:
        number = parse_quantity(str(written), limit.unit)
    except ValueError as error:
        raise ValueError(f"{level} {error}") from None
    if number < 0:
        raise ValueError(f"{level} {written} is less than nothing")
    if limit.unit not in {"ratio", "seconds", "bytes"} and number != int(number):
        raise ValueError(f"{level} {written} is no whole number of {limit.unit}")
    if limit.unit == "ratio" and number > 1:
        raise ValueError(f"{level} {written} is more than all: a ratio is 0 to 1, or a percentage such as 80%")
    return number


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
