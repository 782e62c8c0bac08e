"""What a kind of key figure is, before it has a value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..quantity import Unit
from ..thresholds import Threshold
from .figure import State
from .seen import Seen

Limits = Mapping[str, Threshold]


@dataclass(frozen=True, slots=True)
class Measure:
    """What a figure comes to; ``state`` and ``text`` only where limit and value do not tell them.

    ``alert`` only where it is not the first of the kind's.
    """

    value: float | None
    note: str = ""
    state: State | None = None
    text: str = ""
    alert: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A key figure before it has a value. ``measure`` gives None when the deployment has no such thing.

    ``counted`` is what is made of the ledger's counters over time and not of single samples. ``alerts`` are those that fire for it, whose runbooks say what to do. ``why`` it matters, where no limit says so.
    """

    name: str
    title: str
    unit: Unit
    metrics: tuple[str, ...]
    measure: Callable[["Kind", Seen, Limits, float], Measure | None]
    alerts: tuple[str, ...] = ()
    limited: bool = True
    counted: bool = False
    judged: str = ""
    why: str = ""

    @property
    def collector(self) -> str:
        """The one that all of its metrics are of."""
        return self.metrics[0].split("_")[1]
