"""From flags, variables and files to what the rest of the program needs; every fault at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError, Fault
from . import blnk, origin, own, protection, target, watched
from .blnk_fields import OLDEST
from .blnk_json import short
from .files import Files
from .origin import EffectiveValue, Entry
from .protection import Protection
from .resolution import Resolution
from .settings import Settings
from .target import Target

# In a fleet, the host is not that of the target unless somebody says so.
_ELSEWHERE: own.Layer = {"collectors.host": Entry(False, origin.Origin("default of targets", "default of targets"))}


@dataclass(frozen=True)
class Loaded:
    """The settings, the table of what they are and why, what a person should know, and the files they came from.

    ``thresholds`` is the file of this deployment's limits, which is not read here. ``files`` are all that were read or
    looked for, so that a change of any of them is a reason to load again. With ``targets`` there is nothing to watch
    in ``settings``: each target has settings of its own.
    """

    settings: Settings
    thresholds: Path | None
    values: tuple[EffectiveValue, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    protection: Protection
    targets: Mapping[str, Target] = field(default_factory=dict)

    def target(self, name: str) -> "Loaded":
        """What one of the targets has; raises ConfigError."""
        if name in self.targets:
            loaded: Loaded = self.targets[name].read()
            return loaded
        known = f"there are {', '.join(self.targets)}" if self.targets else "the configuration has no targets"
        raise ConfigError([Fault(f"--target {short(name)}", f"is none; {known}")])

    def checked(self) -> "Loaded":
        """The same with the notes on every target; raises ConfigError with the faults of all of them."""
        faults: list[Fault] = []
        notes: dict[str, list[str]] = {}
        for name, one in self.targets.items():
            try:
                for note in one.read().notes:
                    notes.setdefault(note, []).append(name)
            except ConfigError as error:
                faults += [Fault(f"target {name}: {fault.where}", fault.what) for fault in error.faults]
        if faults:
            raise ConfigError(faults)
        # One that holds for hundreds is one line.
        told = (
            f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {note}" for note, names in notes.items()
        )
        return replace(self, notes=(*self.notes, *(f"target {text}" for text in told)))


def load(
    *, flags: Mapping[str, Any], environ: Mapping[str, str], directory: Path, config_file: Path | None = None
) -> Loaded:
    """Read everything; raises ConfigError with all faults of all layers.

    ``flags`` maps dotted paths (``web.listen_address``) to text or values; None means that the flag was not given.
    Relative paths, wherever they stand, start at ``directory``. What targets name is read when they are loaded.
    """
    files = Files(directory)
    layers = own.collect(
        flags=flags, environ=environ, config_file=str(config_file) if config_file else None, files=files
    )
    fleet = target.read(layers, lambda one: _load_target(one, directory), layers.faults)
    ours = own.read(layers.given, files, layers.faults)
    if layers.targets is not None:
        blnks = blnk.Reading(OLDEST)
        resolution = Resolution(ours, blnks, files)
        settings = Settings(own=ours.own, blnk=None, servers=(), workers=(), postgres=(), redis=None, queues=())
        for name, one in fleet.items():
            labels = ", ".join(f"{key}={value}" for key, value in one.labels.items())
            resolution.values.append(EffectiveValue(f"target {name}", labels or "no labels", one.place))
    else:
        blnks = blnk.read(ours.own.blnk, ours.origin("blnk.config"), environ, files)
        resolution = Resolution(ours, blnks, files)
        settings = watched.resolve(resolution)
    protected = protection.read(resolution)
    return _loaded(resolution, settings, protected, fleet)


def _load_target(one: Target, directory: Path) -> Loaded:
    """One target, whose settings lie over those that hold for all."""
    files = Files(directory)
    ours = own.read(_ELSEWHERE | one.given, files)
    environ = one.environ(files, ours.faults)
    file = ours.own.blnk if "blnk.config" in ours.given else ours.own.blnk.model_copy(update={"config": None})
    blnks = blnk.read(file, ours.origin("blnk.config"), environ, files, source=one.environment_file or "")
    resolution = Resolution(ours, blnks, files)
    for path in ("servers", "workers"):
        if getattr(ours.own.collectors, path.replace("servers", "server")) and path not in one.given:
            resolution.faults.append(
                Fault(
                    f"{one.place} {path}",
                    f"is missing; it says where Blnk's {path} are reached, or [] where none are to be watched",
                )
            )
    return _loaded(resolution, watched.resolve(resolution), Protection(), {})


def _loaded(resolution: Resolution, settings: Settings, protected: Protection, fleet: Mapping[str, Target]) -> Loaded:
    ours, blnks, files = resolution.own, resolution.blnk, resolution.files
    limits = files.path(ours.own.thresholds) if ours.own.thresholds else None
    if resolution.is_faulty:
        raise ConfigError(ours.faults + blnks.faults + resolution.faults, files=files.seen)
    notes = [*blnks.notes, *ours.notes]
    if blnks.blnk and "blnk.version" not in ours.given:
        notes.insert(0, f"The defaults of Blnk {blnks.blnk.version} are assumed; for another release set blnk.version.")
    return Loaded(
        settings=settings,
        thresholds=limits,
        values=(*ours.values, *blnks.values, *resolution.values),
        notes=tuple(dict.fromkeys(notes + resolution.notes)),
        files=tuple(files.seen),
        protection=protected,
        targets=fleet,
    )
