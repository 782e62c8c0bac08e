"""The samples of the last scrape by metric, and the words of what stood in their way."""

from collections.abc import Iterable, Mapping, Sequence

from ..collector import Outcome
from .flow import Flow


class Seen:
    """What the outcomes hold of the metrics that are asked for; the others, thousands maybe, are passed over."""

    def __init__(self, outcomes: Iterable[Outcome], metrics: frozenset[str], flow: Flow | None = None) -> None:
        self.flow = flow or Flow()
        """The ledger's counters of the last quarter of an hour."""
        self._samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for outcome in outcomes:
            for sample in outcome.samples:
                if sample.metric.name in metrics:
                    labels = dict(zip(sample.metric.labels, sample.labels, strict=True))
                    self._samples.setdefault(sample.metric.name, []).append((labels, sample.value))

    def of(self, metric: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series; empty when nothing is known."""
        return self._samples.get(metric, [])

    def by(self, metric: str, label: str) -> Mapping[str, float]:
        """The largest value for each value of one label."""
        found: dict[str, float] = {}
        for labels, value in self.of(metric):
            found[labels[label]] = max(value, found.get(labels[label], value))
        return found

    def only(self, metric: str) -> float | None:
        """The value of a metric without labels, None when it is not known."""
        return next((value for _, value in self.of(metric)), None)

    def chosen(self, metric: str, label: str, **wanted: str) -> str | None:
        """The one that is 1 among series that are a state each, as with ``reason`` or ``policy``."""
        return next(
            (labels[label] for labels, value in self.of(metric) if value == 1 and wanted.items() <= labels.items()),
            None,
        )


def failures(outcome: Outcome) -> list[str]:
    """What could not be read at all, in words, each with its source."""
    return [f"{result.address}: {result.failure}" for result in outcome.results if result.failure]


def obstacles(outcome: Outcome) -> list[str]:
    """Failures and gaps in words, each with its source or its fact."""
    return [*failures(outcome), *(f"no {gap.fact}: {gap.detail or gap.reason}" for gap in outcome.gaps)]


def few(names: Sequence[str]) -> str:
    """Some of them, and how many more there are."""
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
