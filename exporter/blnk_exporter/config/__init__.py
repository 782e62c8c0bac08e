"""The settings: Blnk's own configuration and ours, read once, with every fault at once.

Row 1 of the house: nothing here opens a socket; files are read by ``load`` alone.

::

    blnk.json < BLNK_*                           as Blnk reads them          blnk.py
    exporter.yml < BLNK_EXPORTER_* < flags       as we do                    own.py
                    ├─► servers, workers, DSNs, queues                       targets.py
                    └─► TLS, users, tokens of our own pages                  protection.py
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from . import blnk, own, protection, targets
from .files import Files
from .origin import EffectiveValue
from .protection import Protection
from .resolution import Resolution
from .settings import Settings

__all__ = ["EffectiveValue", "Loaded", "Protection", "load"]


@dataclass(frozen=True)
class Loaded:
    """The settings, the table of what they are and why, what a person should know, and the files they came from.

    ``thresholds`` is the file of this deployment's limits, which is not read here. ``files`` are all that were read or looked for, so that a change of any of them is a reason to load again.
    """

    settings: Settings
    thresholds: Path | None
    values: tuple[EffectiveValue, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    protection: Protection


def load(
    *, flags: Mapping[str, Any], environ: Mapping[str, str], directory: Path, config_file: Path | None = None
) -> Loaded:
    """Read everything; raises ConfigError with all faults of all layers.

    ``flags`` maps dotted paths (``web.listen_address``) to text or values; None means that the flag was not given.
    Relative paths, wherever they stand, start at ``directory``.
    """
    files = Files(directory)
    name = str(config_file) if config_file else None
    ours = own.read(flags=flags, environ=environ, config_file=name, files=files)
    blnks = blnk.read(ours.own.blnk, ours.origin("blnk.config"), environ, files)
    resolution = Resolution(ours, blnks, files)
    settings = targets.resolve(resolution)
    protected = protection.read(resolution)
    limits = files.path(ours.own.thresholds) if ours.own.thresholds else None
    if resolution.is_faulty:
        raise ConfigError(ours.faults + blnks.faults + resolution.faults, files=files.seen)
    notes = list(blnks.notes)
    if blnks.blnk and "blnk.version" not in ours.given:
        notes.insert(0, f"The defaults of Blnk {blnks.blnk.version} are assumed; for another release set blnk.version.")
    return Loaded(
        settings=settings,
        thresholds=limits,
        values=(*ours.values, *blnks.values, *resolution.values),
        notes=tuple(dict.fromkeys(notes + resolution.notes)),
        files=tuple(files.seen),
        protection=protected,
    )
