"""A number with its unit, in words for people."""

from typing import Literal, get_args

Unit = Literal["tasks", "queues", "transactions", "balances", "instances", "seconds", "ratio", "bytes"]
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
    if unit == "bytes":
        return _size(value)
    return f"{value:,.0f}\u00a0{unit.removesuffix('s') if value == 1 else unit}"


def duration(seconds: float) -> str:
    """A time that has passed or may pass; one unit is enough to judge it."""
    for length, name in _SPANS:
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f}\u00a0{name}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f}\u00a0ms"
    return f"{seconds:.{0 if seconds >= 10 else 1}f}".removesuffix(".0") + "\u00a0s"


def _size(value: float) -> str:
    power = 0
    while value >= 1024 and power < len(_SIZES) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.{1 if power and value < 100 else 0}f}\u00a0{_SIZES[power]}"
