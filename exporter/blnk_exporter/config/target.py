"""One of several deployments of Blnk: what ``targets`` says of it, over what holds for all of them."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from ..errors import Fault
from . import origin, own
from .blnk_json import short
from .files import Files

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
# Prometheus would rename ours beside one of the same name, and no rule would find them; or the rules have it.
TAKEN_LABELS = frozenset(
    {
        # The scrape's, and the rules'.
        *("job", "instance", "le", "quantile"),
        *("alertname", "component", "service", "severity"),
        # The metrics'.
        *("action", "address", "class", "collector", "currency", "database", "error"),
        *("fact", "holder", "level", "method", "metric", "minutes", "mode", "path", "policy"),
        *("privilege", "python", "queue", "reason", "release", "role", "setting", "slot"),
        *("software", "standby", "state", "status", "table", "trigger", "version"),
    }
)
_OURS = frozenset({"labels", "environment_file"})
# Where a Blnk is: what held for all would make all of them one and the same.
_PLACES = ("blnk.config", "servers", "workers", "postgres.dsn", "postgres.replicas", "redis.dsn")
# Of the exporter and not of what it watches.
_OF_THE_EXPORTER = re.compile(r"web\..*|log\..*|limits\.connections")


@dataclass(frozen=True)
class Target:
    """A deployment by name. Two are equal if they say the same; ``labels`` are for Prometheus.

    Printed without its settings, which may be secrets.
    """

    name: str
    labels: Mapping[str, str]
    place: str
    environment_file: str | None
    given: own.Layer = field(repr=False)
    load: Callable[["Target"], Any] = field(repr=False, compare=False)

    def read(self) -> Any:
        """Its own ``Loaded``; raises ConfigError with all faults."""
        return self.load(self)

    def environ(self, files: Files, faults: list[Fault]) -> dict[str, str]:
        """Blnk's variables, as its containers are given them; those of this process belong to no target."""
        if self.environment_file is None:
            return {}
        name = self.environment_file
        found: dict[str, str] = {}
        try:
            text = files.read(name).decode()
        except ValueError as error:
            # A UnicodeDecodeError would quote.
            what = "is not UTF-8 text" if isinstance(error, UnicodeError) else str(error)
            faults.append(Fault(f"{self.place} environment_file", f"{name} {what}"))
            return {}
        for line in parse_stream(StringIO(text)):
            if line.error:
                faults.append(Fault(name, f"line {line.original.line}: must be NAME=value"))
            elif line.key is not None and line.key.startswith(origin.PREFIX):
                faults.append(Fault(f"{name} {short(line.key)}", f"is the exporter's own; say it in {self.place}"))
            elif line.key is not None:
                found[line.key] = _filled(line, found)
        return found


def _filled(line: Binding, before: Mapping[str, str]) -> str:
    """The value of a line with variables of earlier lines in it, as Compose reads it; others cannot be known here."""
    value = line.value or ""
    if line.original.string.partition("=")[2].lstrip().startswith("'"):
        return value
    atoms = [*parse_variables(value)]
    known = all(atom.default is not None or atom.name in before for atom in atoms if isinstance(atom, Variable))
    return "".join(atom.resolve(before) for atom in atoms) if known else value


def read(base: own.Layers, load: Callable[[Target], Any], faults: list[Fault]) -> dict[str, Target]:
    """The targets of exporter.yml by name, in its order; empty without such a key, or after a fault."""
    if base.targets is None:
        return {}
    if not isinstance(base.targets, dict) or not base.targets:
        faults.append(Fault(base.place, "must hold names, and under each the settings of that deployment"))
        return {}
    for path in _PLACES:
        if path in base.given:
            what = f"says where one Blnk is, beside {base.place}, each of which has its own"
            faults.append(Fault(base.given[path].origin.where, what))
    made = {}
    for name, content in base.targets.items():
        if not _NAME.fullmatch(name):
            faults.append(Fault(base.place, f"holds the name {short(name)!r}; it may hold letters, digits and . _ -"))
        elif not isinstance(content or {}, dict):
            faults.append(Fault(f"{base.place}.{name}", "must hold keys and their values"))
        else:
            made[name] = _target(name, content or {}, base, load, faults)
    return made


def _target(
    name: str, content: Mapping[str, Any], base: own.Layers, load: Callable[[Target], Any], faults: list[Fault]
) -> Target:
    place = f"{base.place}.{name}"
    settings = {key: value for key, value in content.items() if key not in _OURS}
    layer = own.layer(_keys(settings, place, faults), faults)
    file = content.get("environment_file")
    if file is not None and not (isinstance(file, str) and file.strip()):
        faults.append(Fault(f"{place} environment_file", "must be the path of a file"))
        file = None
    return Target(name, dict(_labels(content.get("labels"), place, faults)), place, file, base.given | layer, load)


def _keys(content: Mapping[str, Any], place: str, faults: list[Fault]) -> Iterator[tuple[str, Any, origin.Origin]]:
    for key, value in own.flatten(content, place, faults, _OURS):
        if _OF_THE_EXPORTER.fullmatch(key):
            faults.append(Fault(f"{place} {key}", "belongs to the exporter, not to one of its targets"))
        else:
            yield key, value, origin.file(place, key)


def _labels(labels: Any, place: str, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    if not isinstance(labels or {}, dict):
        faults.append(Fault(f"{place} labels", "must hold keys and their values"))
        return
    for key, value in (labels or {}).items():
        if not _LABEL.fullmatch(key):
            faults.append(Fault(f"{place} labels", f"holds {short(key)!r}, which is no name of a label"))
        elif key in TAKEN_LABELS:
            faults.append(Fault(f"{place} labels", f"holds {key!r}, which our own series or alerts have"))
        elif not isinstance(value, str):
            what = "must be text" if isinstance(value, (list, dict)) else "must be text; put it in quotes"
            faults.append(Fault(f"{place} labels.{key}", what))
        elif not value:
            faults.append(Fault(f"{place} labels.{key}", "is empty, which to Prometheus is no label"))
        else:
            yield key, value
