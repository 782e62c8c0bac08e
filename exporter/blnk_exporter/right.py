"""The rights that a collector needs, as data: what the printed grants are made of, and what its tests run under."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT on some columns of one table of schema blnk; ``facts`` are what a reading lacks without it."""

    table: str
    columns: tuple[str, ...]
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """Membership of a predefined role of PostgreSQL's."""

    role: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """One command of Redis', in the words of an ACL rule: ``zcard``, ``client|setname``."""

    name: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """A pattern of keys that the commands read, in the words of an ACL rule."""

    pattern: str


Right = Select | Member | Command | Keys
