"""A number with its unit, in words for people, and back."""

import math
import re
from typing import Literal, get_args

Unit = Literal[
    "tasks",
    "queues",
    "transactions",
    "balances",
    "entries",
    "chains",
    "triggers",
    "rows",
    "statements",
    "instances",
    "requests",
    "seconds",
    "ratio",
    "rate",
    "bytes",
]
UNITS: tuple[Unit, ...] = get_args(Unit)
# Largest first; a duration is told in the first that it fills twice, so that 90 s stay 90 s.
_SPANS = ((86400, "d"), (3600, "h"), (60, "min"))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def say(value: float, unit: Unit) -> str:
    """``1,234 tasks``, ``87.5 %``, ``3 min``, ``12.5 MiB``; a space before the unit that does not break."""
    if unit == "seconds":
        return duration(value)
    if unit == "ratio":
        return f"{value * 100:.1f}".removesuffix(".0") + "\u00a0%"
    if unit == "rate":
        return _rate(value)
    if unit == "bytes":
        return _size(value)
    one = "entry" if unit == "entries" else unit.removesuffix("s")
    return f"{value:,.0f}\u00a0{one if value == 1 else unit}"


def duration(seconds: float) -> str:
    """A time that has passed or may pass; one unit is enough to judge it."""
    for length, name in _SPANS:
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f}\u00a0{name}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f}\u00a0ms"
    return f"{seconds:.{0 if seconds >= 10 else 1}f}".removesuffix(".0") + "\u00a0s"


def _rate(per_second: float) -> str:
    """``3.4/s``; what is too slow for two digits is not 0."""
    if 0 < per_second < 0.01:
        return "under 0.01/s"
    digits = 0 if per_second >= 100 else 1 if per_second >= 1 or not per_second else 2
    return f"{per_second:,.{digits}f}".removesuffix(".0") + "/s"


def _size(value: float) -> str:
    power = 0
    while value >= 1024 and power < len(_SIZES) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.{1 if power and value < 100 else 0}f}\u00a0{_SIZES[power]}"


_AS_WRITTEN = re.compile(r"([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*([A-Za-z%]*)", re.IGNORECASE)
_MULTIPLES = {
    "seconds": {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400},
    "ratio": {"%": 0.01},
    "bytes": {name.lower(): 1024**power for power, name in enumerate(_SIZES)},
}


def parse(text: str, unit: Unit) -> float:
    """The number that somebody wrote, with or without a unit: ``5000``, ``80%``, ``90s``, ``10GiB``.

    Raises ValueError in words that go behind the name of what was written.
    """
    match = _AS_WRITTEN.fullmatch(text.strip())
    multiples = _MULTIPLES.get(unit, {unit: 1})
    try:
        number = float(match[1]) if match else math.nan
    except ValueError:
        number = math.nan
    if match is None or not math.isfinite(number):
        raise ValueError(f"{text!r} is no number of {unit}" if unit != "ratio" else f"{text!r} is no ratio")
    if match[2] and match[2].lower() not in multiples:
        raise ValueError(f"{text!r} is not in {unit}; without a unit, or with {', '.join(multiples)}")
    # Written as a decimal, 0.8 is meant: not 80 hundredths, which would be 0.8000000000000000444.
    return float(f"{number * multiples.get(match[2].lower(), 1):.12g}")
