"""The exporter's own settings: exporter.yml, then BLNK_EXPORTER_* over it, then flags over both."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from ..errors import Fault
from ..formats import placeholder
from . import exporter_yml, origin
from .blnk import SERVICE_LINK
from .blnk_json import short
from .files import Files
from .origin import PREFIX, EffectiveValue, Entry, Origin
from .settings import Own
from .words import describe

CONFIG_FILE = f"{PREFIX}CONFIG_FILE"
Layer = dict[str, Entry]


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Each path that can be set, and whether it is a secret."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _leaves(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "SecretStr" in str(info.annotation)


LEAVES = dict(_leaves(Own))
SECTIONS = frozenset(path.partition(".")[0] for path in LEAVES if "." in path)
# Every secret can be named by a file too; the dot-path of the file is the secret's with ``_file`` behind it.
KEYS = {path: path for path in LEAVES} | {f"{path}_file": path for path, secret in LEAVES.items() if secret}
VARIABLES = {f"{PREFIX}{key.upper().replace('.', '_')}": key for key in KEYS}


@dataclass
class Reading:
    """The settings, with what is faulty left at its default, and where each of them came from."""

    own: Own = field(default_factory=Own)
    given: Layer = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def origin(self, path: str) -> Origin:
        """Tell where the value of a path came from."""
        entry = self.given.get(path)
        return entry.origin if entry else origin.default()

    @property
    def notes(self) -> Iterator[str]:
        """A sentence for each value with a placeholder that nothing replaced."""
        for entry in self.given.values():
            values = entry.value if isinstance(entry.value, list | tuple) else (entry.value,)
            if unreplaced := next(filter(None, (placeholder.sentence(str(value)) for value in values)), ""):
                yield f"{entry.origin.where}: {unreplaced}."

    @property
    def values(self) -> list[EffectiveValue]:
        """One row for each setting."""
        return [EffectiveValue(path, _shown(self.own, path), self.origin(path).text) for path in LEAVES]


@dataclass
class Layers:
    """What file, variables and flags say, one over the other; ``targets`` is what the file has under that key, at ``place``."""

    given: Layer = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    targets: Any = None
    place: str = ""


def collect(*, flags: Mapping[str, Any], environ: Mapping[str, str], config_file: str | None, files: Files) -> Layers:
    """Read the three layers; a fault of one does not hide those of the others."""
    found = Layers()
    name, content = _content(config_file, environ, files, found.faults)
    # With nothing under it, it is still no single Blnk.
    found.targets = (content.pop("targets") or {}) if "targets" in content else None
    found.place = f"{name} targets"
    found.given = (
        layer(
            ((key, value, origin.file(name, key)) for key, value in flatten(content, name, found.faults, ["targets"])),
            found.faults,
        )
        | layer(_environment_keys(environ, found.faults), found.faults)
        | layer(_flag_keys(flags, found.faults), found.faults)
    )
    return found


def read(given: Layer, files: Files, faults: Iterable[Fault] = ()) -> Reading:
    """Check what was given, and read the files that stand for secrets; ``faults`` were found before."""
    reading = Reading(given=dict(given), faults=list(faults))
    for path, entry in list(reading.given.items()):
        if not _is_text(path, entry, reading):
            continue
        if isinstance(entry.value, _SecretFile):
            _resolve(path, entry, files=files, reading=reading)
    _validate(reading)
    _check_timeouts(reading)
    return reading


@dataclass(frozen=True)
class _SecretFile:
    """Stands for a secret until every layer has been put over the other: only the file that counts is read."""

    name: str


_Keys = Iterator[tuple[str, Any, Origin]]


def layer(keys: Iterable[tuple[str, Any, Origin]], faults: list[Fault]) -> Layer:
    """Put one layer's keys at their paths; a secret and its file in one layer contradict each other."""
    made: Layer = {}
    for key, value, place in keys:
        path = KEYS[key]
        if path in made:
            faults.append(Fault(place.where, f"is given together with {made[path].origin.where}; give one of them"))
        elif key == path:
            made[path] = Entry(value, place)
        elif isinstance(value, str) and value.strip():
            made[path] = Entry(_SecretFile(value), origin.secret_file(value, place))
        else:
            faults.append(Fault(place.where, "must be the path of a file"))
    return made


def _content(
    config_file: str | None, environ: Mapping[str, str], files: Files, faults: list[Fault]
) -> tuple[str, dict[str, Any]]:
    """The name of exporter.yml and what it holds."""
    named = config_file or environ.get(CONFIG_FILE)
    name = named or "exporter.yml"
    try:
        origin.check_text(name)
    except ValueError as error:
        faults.append(Fault("--config.file" if config_file else CONFIG_FILE, str(error)))
        return name, {}
    if not named and not files.exists(name):
        return name, {}
    try:
        return name, exporter_yml.parse(files.read(name))
    except ValueError as error:
        faults.append(Fault(name, str(error)))
        return name, {}


def flatten(
    content: Mapping[str, Any], name: str, faults: list[Fault], others: Iterable[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Yield dotted keys; an empty value says nothing, so that a commented-out section is no fault.

    ``others`` are keys that may stand there, too, and were taken out.
    """
    for section, value in content.items():
        if section not in SECTIONS:
            pairs = {section: value}
        elif value is None or isinstance(value, dict):
            pairs = {f"{section}.{key}": inner for key, inner in (value or {}).items()}
        else:
            faults.append(Fault(f"{name} {section}", "must hold keys and their values"))
            continue
        for key, inner in pairs.items():
            if key not in KEYS:
                faults.append(Fault(f"{name} {short(key)}", f"is not a known key{_nearest(key, (*KEYS, *others))}"))
            elif inner is not None:
                yield key, inner


def _environment_keys(environ: Mapping[str, str], faults: list[Fault]) -> _Keys:
    """Yield what is set and not empty: compose files and charts set variables to nothing to leave them out."""
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_FILE:
            continue
        if name in VARIABLES:
            if environ[name].strip():
                yield VARIABLES[name], environ[name], origin.environment(name)
        elif not SERVICE_LINK.fullmatch(name):
            faults.append(Fault(short(name), f"is not a known variable{_nearest(name, VARIABLES)}"))


def _flag_keys(flags: Mapping[str, Any], faults: list[Fault]) -> _Keys:
    for key, value in flags.items():
        if key not in KEYS:
            faults.append(Fault(origin.flag(key, value).where, f"is not a known flag{_nearest(key, KEYS)}"))
        elif value is not None:
            yield key, value, origin.flag(key, value)


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; the nearest is {near[0]}" if near else ""


def _is_text(path: str, entry: Entry, reading: Reading) -> bool:
    """Refuse a value with a text in it that cannot be sent or shown."""
    value = entry.value.name if isinstance(entry.value, _SecretFile) else entry.value
    try:
        for text in value if isinstance(value, list | tuple) else [value]:
            origin.check_text(str(text))
    except ValueError as error:
        # The value may be part of the place where a file is named.
        reading.faults.append(Fault(entry.origin.where, str(error)))
        reading.broken.add(path)
        del reading.given[path]
        return False
    return True


def _resolve(path: str, entry: Entry, *, files: Files, reading: Reading) -> None:
    try:
        reading.given[path] = Entry(files.secret(entry.value.name), entry.origin)
    except ValueError as error:
        reading.faults.append(Fault(entry.origin.where, f"{entry.value.name} {error}"))
        reading.broken.add(path)
        del reading.given[path]


def _validate(reading: Reading) -> None:
    """Build the settings; without the faulty ones if need be, so that the rest can be looked at too."""
    try:
        reading.own = Own.model_validate(_nested(reading.given))
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
    else:
        return
    for problem in problems:
        path = ".".join(part for part in problem["loc"] if isinstance(part, str))
        unreplaced = placeholder.sentence(str(reading.given[path].value)) if path in reading.given else ""
        reading.faults.append(Fault(reading.origin(path).where, unreplaced or describe(problem)))
        reading.broken.add(path)
    reading.given = {path: entry for path, entry in reading.given.items() if path not in reading.broken}
    reading.own = Own.model_validate(_nested(reading.given))


def _check_timeouts(reading: Reading) -> None:
    """A statement must not outlive the scrape that asked for it; where nobody said how long it may take, it follows."""
    limits = reading.own.limits
    scrape, statement = limits.scrape_timeout_seconds, limits.statement_timeout_seconds
    if statement <= scrape:
        return
    path = "limits.statement_timeout_seconds"
    if path in reading.given:
        what = f"is {statement:g}, longer than limits.scrape_timeout_seconds, which is {scrape:g}"
        reading.faults.append(Fault(reading.origin(path).where, what))
        return
    shorter = limits.model_copy(update={"statement_timeout_seconds": max(0.01, scrape)})
    reading.own = reading.own.model_copy(update={"limits": shorter})


def _nested(layer: Layer) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, entry in layer.items():
        section, dot, key = path.partition(".")
        if dot:
            nested.setdefault(section, {})[key] = entry.value
        else:
            nested[section] = entry.value
    return nested


def _shown(own: Own, path: str) -> str:
    value: Any = own
    for part in path.split("."):
        value = getattr(value, part)
    if isinstance(value, tuple):
        return ", ".join(map(_text, value)) or "none"
    return _text(value)


def _text(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, SecretStr):
        return "***"
    return str(value).lower() if isinstance(value, bool) else str(value)
