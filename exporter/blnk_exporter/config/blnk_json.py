"""blnk.json as Go's ``encoding/json`` decodes it into Blnk's configuration.

Keys match without regard to case, null changes nothing, the last of two equal keys holds, an unknown key is passed over,
only the first value of the file is read, and a value of the wrong kind ends Blnk's start.
"""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import Fault
from ..formats import placeholder
from ..formats.go import INT64_MAX, INT64_MIN
from . import origin
from .blnk_fields import BY_PATH, Field, Version, shown
from .origin import Entry

_NOTES_MAX = 10
_BOM = b"\xef\xbb\xbf"
# Go folds ASCII and the two other letters that fold into it.
_FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)} | {0x17F: ord("s"), 0x212A: ord("k")}
_POINTERS = frozenset({"rate_limit.requests_per_second", "rate_limit.burst", "rate_limit.cleanup_interval_sec"})


class Number(str):
    """A number as it is written."""

    __slots__ = ()


class Object(list[tuple[str, Any]]):
    """The pairs of an object, in order."""


@dataclass
class Decoded:
    """What a file gives: values by path, and what is wrong or odd about it."""

    name: str
    values: dict[str, Entry] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    """Keys that Blnk ignores, and how a person finds them."""


def decode(content: bytes, name: str, version: Version) -> Decoded:
    """Read the file's content; never raises."""
    decoded = Decoded(name)
    try:
        value, rest = _first_value(content)
    except ValueError as error:
        decoded.faults.append(Fault(name, str(error)))
        return decoded
    if rest.strip():
        decoded.notes.append(f"{name}: Blnk reads only the first JSON value and ignores what follows it.")
    if value is not None and not isinstance(value, Object):
        decoded.faults.append(Fault(name, "must be a JSON object"))
    unknown = list(_assign(value, _TREE, "", decoded)) if isinstance(value, Object) else []
    decoded.notes += [_unknown(name, path) for path in unknown[:_NOTES_MAX]]
    decoded.unknown = {path.translate(_FOLD): f"{name} {short(path)}" for path in unknown}
    if len(unknown) > _NOTES_MAX:
        decoded.notes.append(f"{name}: Blnk ignores {len(unknown) - _NOTES_MAX} more keys that it does not know.")
    for path in [path for path in decoded.values if BY_PATH[path].since > version]:
        del decoded.values[path]
        # Its kind does not matter either to a release that does not know it.
        decoded.faults = [fault for fault in decoded.faults if fault.where != f"{name} {path}"]
        decoded.notes.append(f"{name} {path}: {too_new(BY_PATH[path], version)}")
    return decoded


def too_new(key: Field, version: Version) -> str:
    """Say that a release does not have a key yet."""
    return f"Blnk {shown(version)} ignores it, it came with {shown(key.since)}."


def short(text: str) -> str:
    """Make a key that somebody wrote fit for a line of its own."""
    plain = origin.printable(text)
    return plain if len(plain) <= 60 else f"{plain[:57]}..."


def _first_value(content: bytes) -> tuple[Any, str]:
    """Decode one value; the text after it comes back too."""
    if content.startswith(_BOM):
        raise ValueError("line 1, column 1: begins with a byte order mark, which Blnk cannot read; save it without one")
    text = content.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise ValueError("is empty")
    decoder = json.JSONDecoder(
        object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
    )
    try:
        value, end = decoder.raw_decode(text)
    except json.JSONDecodeError as error:
        skipped = content.decode("utf-8", "replace")
        line, column = _position(skipped, len(skipped) - len(text) + error.pos)
        problem = f"line {line}, column {column}: is no JSON, {error.msg[:1].lower()}{error.msg[1:]}"
    except RecursionError:
        problem = "is nested too deeply"
    else:
        return value, text[end:]
    raise ValueError(problem)


def _refuse_constant(_: str) -> None:
    raise ValueError("holds NaN or Infinity, which are no JSON")


def _position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _tree() -> dict[str, Any]:
    """Nest the known paths, folded; the leaves are the fields."""
    root: dict[str, Any] = {}
    for path, key in BY_PATH.items():
        *sections, last = path.translate(_FOLD).split(".")
        branch = root
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[last] = key
    return root


_TREE = _tree()


def _assign(pairs: Object, branch: dict[str, Any], prefix: str, decoded: Decoded) -> Iterator[str]:
    """Put the pairs' values in their places; yields the paths that nobody knows."""
    for name, value in pairs:
        known = branch.get(name.translate(_FOLD))
        if known is None:
            yield f"{prefix}{name}"
        elif isinstance(known, Field):
            _assign_leaf(known, value, decoded)
        elif isinstance(value, Object):
            yield from _assign(value, known, f"{prefix}{name.translate(_FOLD)}.", decoded)
        elif value is not None:
            decoded.faults.append(Fault(f"{decoded.name} {prefix}{name.translate(_FOLD)}", "must be a JSON object"))


def _assign_leaf(key: Field, value: Any, decoded: Decoded) -> None:
    place = origin.file(decoded.name, key.path)
    if value is None:
        if key.path in _POINTERS:
            decoded.values.pop(key.path, None)
        return
    try:
        converted = _convert(key, value)
    except ValueError as error:
        unreplaced = placeholder.sentence(value) if isinstance(value, str) else ""
        decoded.faults.append(Fault(place.where, unreplaced or str(error)))
        converted = key.zero
    decoded.values[key.path] = Entry(converted, place)


def _convert(key: Field, value: Any) -> Any:
    match key.kind:
        case "text" | "secret" if isinstance(value, str) and not isinstance(value, Number):
            text = origin.SURROGATE.sub("\ufffd", value)
            origin.check_text(text)
            return text
        case "text" | "secret":
            raise ValueError("must be a JSON string")
        case "bool" if isinstance(value, bool):
            return value
        case "bool":
            raise ValueError("must be true or false, without quotes")
        case "float":
            return _float(value)
        case "headers":
            return _headers(value)
        case "duration" if not isinstance(value, Number):
            raise ValueError('must be a number of nanoseconds, not text such as "30m"')
    return _integer(value)


def _integer(value: Any) -> int:
    if not isinstance(value, Number) or not re.fullmatch("-?[0-9]+", value):
        raise ValueError("must be a whole JSON number, without quotes")
    if len(value) > 20 or not INT64_MIN <= int(value) <= INT64_MAX:
        raise ValueError("is out of range")
    return int(value)


def _float(value: Any) -> float:
    if type(value) is not Number:
        raise ValueError("must be a JSON number, without quotes")
    number = float(value)
    if number in {float("inf"), float("-inf")}:
        raise ValueError("is out of range")
    return number


def _headers(value: Any) -> str:
    strings = isinstance(value, Object) and all(
        text is None or (isinstance(text, str) and not isinstance(text, Number)) for _, text in value
    )
    if not strings:
        raise ValueError("must be a JSON object of strings")
    return "set"


def _unknown(name: str, path: str) -> str:
    near = difflib.get_close_matches(path.translate(_FOLD), BY_PATH, n=1, cutoff=0.7)
    hint = f"; the nearest that it knows is {near[0]}" if near else ""
    return f"{name} {short(path)}: Blnk does not know this key and ignores it{hint}."
