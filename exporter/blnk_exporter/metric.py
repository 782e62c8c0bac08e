"""A metric is a line of data: its declaration (Metric) and its values (Sample)."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = re.compile(r"blnk_[a-z][a-z0-9]*(_[a-z0-9]+)+")
_LABEL = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# The scraper's own labels; a target that sends them is renamed to exported_… by Prometheus.
_RESERVED_LABELS = frozenset({"job", "instance", "le", "quantile", "type", "endpoint", "namespace", "pod", "service"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric; ``labels`` in the order that the metric declares them."""

    metric: "Metric"
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Metric:
    """The declaration of a metric: what docs, exposition and tests know of it.

    A name that ends in ``_total`` is a counter, every other one a gauge. ``source`` says where the number comes
    from, in the words of the program that it is read from. Raises ValueError for a declaration that breaks
    Prometheus' conventions, so that a wrong one cannot be imported.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name}: not a metric name of this exporter")
        if not (self.help[:1].isupper() or self.help.startswith("1 ")) or not self.help.endswith("."):
            raise ValueError(f"{self.name}: help is a sentence")
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label in _RESERVED_LABELS:
                raise ValueError(f"{self.name}: {label!r} cannot be a label")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"{self.name}: a label twice")

    @property
    def kind(self) -> str:
        """``counter`` or ``gauge``."""
        return "counter" if self.name.endswith("_total") else "gauge"

    def __call__(self, value: float | None, **labels: str) -> Iterator[Sample]:
        """One sample, or none when the value is not known: None, NaN and infinities are not facts."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {tuple(labels)}")
        values = tuple(labels[label] for label in self.labels)
        if value is not None and math.isfinite(value):
            yield Sample(self, values, float(value))
