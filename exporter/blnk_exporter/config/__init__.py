"""The settings: Blnk's own configuration and ours, read once, with every fault at once.

Row 1 of the house: nothing here opens a socket; files are read by ``load`` alone, and by a target's own.

::

    blnk.json < BLNK_*                           as Blnk reads them          blnk.py
    exporter.yml < BLNK_EXPORTER_* < flags       as we do                    own.py
                    ├─► servers, workers, DSNs, queues                       watched.py
                    ├─► the same for each of several Blnks                   target.py
                    └─► TLS, users, tokens of our own pages                  protection.py

A module is imported when a name of it is used: the health check asks ``listening`` every half minute, and must not pay
for the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loading import Loaded, load
    from .origin import EffectiveValue
    from .protection import Protection
    from .reading import Reading
    from .target import Target

__all__ = ["EffectiveValue", "Loaded", "Protection", "Reading", "Target", "load"]
_HOMES = {
    "EffectiveValue": "origin",
    "Loaded": "loading",
    "Protection": "protection",
    "Reading": "reading",
    "Target": "target",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
