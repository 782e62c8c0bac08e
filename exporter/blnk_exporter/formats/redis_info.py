"""The INFO text of Redis and Valkey.

Source: redis.io/commands/info, Redis 7.0 to 7.4, Valkey 8 and 9 (which renamed ``redis_mode``).
"""

import math
from dataclasses import dataclass

# Some ten thousand lines; a Redis with sixteen databases has a hundred and fifty.
_BYTES_MAX = 262_144


@dataclass(frozen=True)
class Info:
    """The fields of an INFO text, and its sections in their order; ``cut`` tells that it ended inside a line."""

    fields: dict[str, str]
    sections: tuple[str, ...] = ()
    cut: bool = False

    def whole(self, section: str) -> bool:
        """Whether the section is there to its end: another one follows it."""
        return section in self.sections[:-1]

    def text(self, *names: str) -> str | None:
        """The first of the names that is there: forks rename fields."""
        return next((self.fields[name] for name in names if name in self.fields), None)

    def number(self, *names: str) -> float | None:
        """The field as a finite number; None where it is missing or something else."""
        return finite(self.text(*names))

    def records(self, prefix: str) -> dict[str, dict[str, str]]:
        """Fields whose value is a list of pairs, by name: ``db0:keys=1,expires=0`` and its like."""
        return {
            name: dict(pair.partition("=")[::2] for pair in value.split(","))
            for name, value in self.fields.items()
            if name.startswith(prefix) and "=" in value
        }

    def databases(self) -> dict[str, dict[str, str]]:
        """The records of databases, by ``dbN``."""
        return {name: record for name, record in self.records("db").items() if name[2:].isdecimal()}


def finite(text: str | None) -> float | None:
    """The number that a text says; None without a text, and for any other text."""
    try:
        number = float((text or "").removesuffix("%"))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def parse(raw: bytes) -> Info:
    """Never fails: what is not a ``name:value`` line is not a field. A last line without its end is dropped.

    Of a longer text only the beginning is read.
    """
    *lines, rest = raw[:_BYTES_MAX].decode("utf-8", "replace").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line and not line.startswith("#"))
    sections = tuple(line.strip("# ").lower() for line in lines if line.startswith("#"))
    return Info({name: value for name, _, value in pairs}, sections, cut=bool(rest))
