"""A metric is a line of data: its declaration (Metric) and its values (Sample)."""

import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

_NAME = re.compile(r"blnk_[a-z][a-z0-9]*(_[a-z0-9]+)+")
_LABEL = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# The scraper's own labels; a target that sends them is renamed to exported_… by Prometheus.
_RESERVED_LABELS = frozenset({"job", "instance", "le", "quantile", "type", "endpoint", "namespace", "pod", "service"})


class Sample(NamedTuple):
    """One value of one metric; ``labels`` in the order that the metric declares them. A thousand are made per scrape."""

    metric: "Metric"
    labels: tuple[str, ...]
    value: float
    distribution: "Distribution | None" = None

    def as_dict(self) -> dict[str, Any]:
        """The same for programs; a histogram's value is the number of its observations."""
        plain = {"metric": self.metric.name, "labels": dict(zip(self.metric.labels, self.labels, strict=True))}
        if self.distribution is None:
            return {**plain, "value": self.value}
        bounds = [*self.metric.buckets, None]
        counts = [[bound, count] for bound, count in zip(bounds, self.distribution.counts, strict=True)]
        return {**plain, "value": self.value, "sum": self.distribution.sum, "buckets": counts}


_sample = tuple.__new__


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram holds: observations per bucket, those beyond the last bound at the end, and their sum."""

    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, slots=True)
class Metric:
    """The declaration of a metric: what docs, exposition and tests know of it.

    A name that ends in ``_total`` is a counter, one with ``buckets`` (upper bounds, rising, without infinity) a
    histogram, every other one a gauge. ``source`` says where the number comes from, in the words of the program
    that it is read from; ``since`` is the exporter's release that first had it. Raises ValueError for a declaration
    that breaks Prometheus' conventions, so that a wrong one cannot be imported.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    source: str = ""
    buckets: tuple[float, ...] = ()
    since: str = "0.1.0"

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
        if list(self.buckets) != sorted({bound for bound in self.buckets if math.isfinite(bound)}):
            raise ValueError(f"{self.name}: buckets rise and are finite")

    @property
    def kind(self) -> str:
        """``counter``, ``histogram`` or ``gauge``."""
        if self.buckets:
            return "histogram"
        return "counter" if self.name.endswith("_total") else "gauge"

    @property
    def unit(self) -> str:
        """What the number counts in: the unit that Prometheus' conventions put at the end of the name, else nothing."""
        word = self.name.removesuffix("_total").rpartition("_")[2]
        return {"seconds": "s", "bytes": "bytes", "ratio": "ratio"}.get(word, "")

    @property
    def series(self) -> tuple[str, ...]:
        """The names that its samples have."""
        if self.buckets:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)

    def __call__(self, value: float | None, **labels: str) -> tuple[Sample, ...]:
        """One sample, or none when the value is not known: None, NaN and infinities are not facts."""
        return self.at(self._values(labels), value)

    def at(self, labels: tuple[str, ...], value: float | None) -> tuple[Sample, ...]:
        """The same for who has the values of the labels in order, one tuple for many metrics."""
        # JSON has no word for NaN or infinity: PostgreSQL tells them as texts.
        if value is None or not math.isfinite(number := float(value)):
            return ()
        # As Sample(…) does it, at half the price.
        return (_sample(Sample, (self, labels, number, None)),)

    def observed(self, distribution: Distribution | None, **labels: str) -> tuple[Sample, ...]:
        """One histogram, or none when it is not known; its value is the number of observations."""
        values = self._values(labels)
        if distribution is None:
            return ()
        if len(distribution.counts) != len(self.buckets) + 1:
            raise ValueError(f"{self.name} has {len(self.buckets)} buckets and one beyond them")
        return (Sample(self, values, float(sum(distribution.counts)), distribution),)

    def _values(self, labels: dict[str, str]) -> tuple[str, ...]:
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {tuple(labels)}")
        return tuple(map(labels.__getitem__, self.labels)) if labels else ()
