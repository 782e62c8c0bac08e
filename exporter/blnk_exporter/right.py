"""The rights that a collector needs, as data: what the printed grants are made of, and what its tests run under.

``facts`` of a right are what a reading lacks without it, as its gaps call them; without any, there is no reading.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT on some columns of one table of schema blnk; one that a release does not have is not granted there.

    ``function`` may be granted instead of the columns, where there is one: it returns only what is needed of them.
    """

    table: str
    columns: tuple[str, ...]
    facts: tuple[str, ...]
    function: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """Membership of a predefined role of PostgreSQL's."""

    role: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Extension:
    """USAGE on the schema that an extension lives in, where there is the extension."""

    name: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """One command of Redis', in the words of an ACL rule: ``zcard``, ``client|setname``."""

    name: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """A pattern of keys that the commands read, in the words of an ACL rule: ``asynq:{*}:t:*``."""

    pattern: str
    facts: tuple[str, ...] = ()


Right = Select | Member | Extension | Command | Keys
