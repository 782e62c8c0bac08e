"""The rights that the enabled collectors declare, as a script for psql and as a line for Redis' ACL."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .. import collectors
from ..collector import Collector
from ..config.settings import Settings
from ..ledger_facts.rows import REASON_BODY, REASON_FUNCTION
from ..right import Command, Extension, Keys, Member, Right, Select
from . import grants_sql as sql

NAME = "blnk_exporter"
_DATABASE = "blnk"

_Rights = Sequence[tuple[str, Right]]
"""Each with the name of the collector that declares it."""

_ACL = """\
# What the Blnk exporter may do in Redis (7 and later) or Valkey: these commands, to read these keys; nothing else.
#
{collectors}
#
# In place of PASSWORD_SHA256 goes the SHA-256 of the password, 64 hexadecimal digits; this asks for it and prints them:
#
#     bash -c 'read -rsp "Password: " password; printf %s "$password" | sha256sum'
#
# A redis.conf takes this file as it is: include /etc/redis/exporter.acl. A file that aclfile names takes no comments:
# there the last line goes alone, then ACL LOAD. On a running server ACL SETUSER takes what follows the word "user".
#
# What each word is for. Redis knows no right to one field: with HGET a task's payload can be read too.
#
{reasons}
{line}
"""


def postgres(settings: Settings, *, function: bool = False) -> str:
    """A script that gives a role what the enabled collectors need, and takes from it what they do not.

    ``function``: grant a function that returns what is needed of a column, where there is one, and not the column.
    """
    role, database = _role(settings), _database(settings)
    words = {
        "collectors": _told_for(settings, "postgres", "-- "),
        "role": _identifier(role),
        "role_text": _literal(role),
        "database": _identifier(database),
        "database_text": _literal(database),
        "milliseconds": int(settings.own.limits.statement_timeout_seconds * 1000),
    }
    rights = _rights(_enabled(settings))
    return "".join(part.format(**words | own) for part, own in _parts(rights, function=function))


def redis(settings: Settings) -> str:
    """One line of an ACL, and before it in comments what each of its words is for."""
    rights = _rights(_enabled(settings))
    words = {f"%R~{pattern}": told for pattern, told in _needs(rights, Keys, "pattern").items()}
    words |= {f"+{name}": told for name, told in _needs(rights, Command, "name").items()}
    # What the client itself sends on a new connection; AUTH needs no right, and in database 0 there is no SELECT.
    words["+client|setname"] = "the connection's name in CLIENT LIST"
    if settings.redis and settings.redis.database:
        words["+select"] = f"database {settings.redis.database}"
    width = max(map(len, words))
    return _ACL.format(
        collectors=_told_for(settings, "redis", "# "),
        reasons="".join(f"# {word:<{width}}  {why}\n" for word, why in words.items()),
        line=" ".join(("user", _user(settings), "reset", "on", "#PASSWORD_SHA256", "resetchannels", *words)),
    )


RENDERED: Mapping[str, Callable[[Settings], str]] = {"postgres": postgres, "redis": redis}


def _parts(rights: _Rights, *, function: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """The script's parts, each with its own words."""
    replaceable = [named for named in rights if isinstance(named[1], Select) and named[1].function]
    functions = _needs(replaceable, Select, "function")
    rights = [named for named in rights if not (function and named in replaceable)]
    # A collector that is switched off needs neither.
    yield sql.HEAD, {"meta_data": (sql.NO_META_DATA if function else sql.META_DATA) if functions else ""}
    members = _needs(rights, Member, "role")
    for member, why in members.items():
        yield sql.MEMBER, {"member": member, "why": _wrapped(why, "-- ")}
    for member in _needs(_rights(room for room, _ in collectors.ROOMS), Member, "role"):
        if member not in members:
            yield sql.NO_MEMBER, {"member": member}
    yield sql.LEDGER, {}
    if tables := _needs(rights, Select, "table"):
        yield sql.COLUMNS, {"rows": ",\n".join(_row(table, why, rights) for table, why in tables.items())}
    for name, why in _needs(rights, Extension, "name").items():
        yield sql.EXTENSION, {"extension": _literal(name), "why": _wrapped(why, "-- ")}
    if function and functions:
        for name, why in functions.items():
            yield sql.FUNCTION, {"function": name, "why": why, "body": REASON_BODY}
    else:
        yield sql.NO_FUNCTION, {"function": REASON_FUNCTION}
    yield sql.TAIL, {"members": ", ".join(map(_literal, members))}


def _row(table: str, why: str, rights: _Rights) -> str:
    columns = [
        column for _, right in rights if isinstance(right, Select) and right.table == table for column in right.columns
    ]
    listed = ", ".join(map(_literal, dict.fromkeys(columns)))
    values = _wrapped(f"({_literal(table)}, ARRAY[{listed}])", " " * 12, further=" " * 16)
    return f"{_wrapped(why, ' ' * 12 + '-- ')}\n{values}"


def _needs(rights: _Rights, kind: type[Any], name: str) -> dict[str, str]:
    """What each right of a kind is needed for, in words: the facts by collector."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for room, right in rights:
        if isinstance(right, kind):
            facts = found.setdefault(getattr(right, name), {}).setdefault(room, {})
            facts |= dict.fromkeys(right.facts or ("everything",))
    return {key: "; ".join(f"{room}: {', '.join(facts)}" for room, facts in by.items()) for key, by in found.items()}


def _told_for(settings: Settings, store: str, margin: str) -> str:
    rooms = ", ".join(room.name for room in _enabled(settings))
    return _wrapped(f"Printed by `blnk-exporter grants {store}` for the collectors: {rooms}.", margin)


def _wrapped(text: str, margin: str, *, further: str = "") -> str:
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(text, 120, initial_indent=margin, subsequent_indent=further or margin, **options)


def _rights(rooms: Iterable[Collector[Any]]) -> _Rights:
    return [(room.name, right) for room in rooms for right in room.rights]


def _enabled(settings: Settings) -> Sequence[Collector[Any]]:
    """Switched on, whether there is something to read for them or not."""
    return [room for room, _ in collectors.ROOMS if getattr(settings.own.collectors, room.name)]


def _role(settings: Settings) -> str:
    """The role that our own settings name; never Blnk's, from which the script would take what Blnk lives by."""
    own = settings.own.postgres
    named = own.user or (settings.postgres[0].user if own.dsn and settings.postgres else None)
    return named if named and named != settings.blnk_role else NAME


def _database(settings: Settings) -> str:
    dsn = settings.postgres[0] if settings.postgres else None
    return (dsn.database or dsn.user if dsn else None) or _DATABASE


def _user(settings: Settings) -> str:
    """As _role; ``default`` is everybody's."""
    own = settings.own.redis
    named = own.username or (settings.redis.username if own.dsn and settings.redis else None)
    return named if named and named != "default" else NAME


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
