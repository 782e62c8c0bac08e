"""The settings: Blnk's own configuration and ours, read once, with every fault at once.

Row 1 of the house: nothing here opens a socket; files are read by ``load`` alone, and by a target's own.

::

    blnk.json < BLNK_*                           as Blnk reads them          blnk.py
    exporter.yml < BLNK_EXPORTER_* < flags       as we do                    own.py
                    ├─► servers, workers, DSNs, queues                       watched.py
                    ├─► the same for each of several Blnks                   target.py
                    └─► TLS, users, tokens of our own pages                  protection.py
"""

from .loading import Loaded, load
from .origin import EffectiveValue
from .protection import Protection
from .reading import Reading
from .target import Target

__all__ = ["EffectiveValue", "Loaded", "Protection", "Reading", "Target", "load"]
