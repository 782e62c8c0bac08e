"""Every metric, as a document."""

import sys
from collections.abc import Iterator

from .. import collectors, exposition, scrape, service
from ..metric import Metric

OWN = (*service.METRICS, *scrape.METRICS, *exposition.METRICS)
_HEAD = """# Metrics

Rendered from the declarations by `blnk-exporter metrics`; edit those, not this.

A fact that is not known has no series: never 0, NaN or -1. `blnk_exporter_fact_missing` says what could not be had and
why. Counters end in `_total`; what ends in `_timestamp_seconds` is Unix time. Each section begins with what its collector
reads, with which right, and what that costs; a number costs nothing beyond that. Besides these the page has `process_*` and
`python_info` of the exporter's own process.
"""


def series() -> frozenset[str]:
    """The name of every series that this exporter may tell."""
    declared = (*OWN, *(metric for collector, _ in collectors.ROOMS for metric in collector.metrics))
    return frozenset(name for metric in declared for name in metric.series)


def markdown() -> str:
    """The document, a section per collector in the order in which they stand on the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    yield from _section("exporter", "The exporter's word on itself and on each collector.", "", OWN)
    for collector, _ in collectors.ROOMS:
        head = f"```text\n{room_docs(collector.name)}\n```\n"
        yield from _section(collector.name, collector.help, head, collector.metrics)


def room_docs(name: str) -> str:
    """The head of a collector's file: source, needs, by hand, cost."""
    _, _, rest = (sys.modules[f"{collectors.__name__}.{name}"].__doc__ or "").partition("\n\n")
    return rest.strip()


def _section(name: str, help_: str, head: str, metrics: tuple[Metric, ...]) -> Iterator[str]:
    yield f"## {name}\n\n{help_}\n"
    if head:
        yield head
    yield "| metric | type | unit | labels | meaning | source | since |\n| --- | --- | --- | --- | --- | --- | --- |"
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        source = f"`{metric.source}`" if metric.source else ""
        yield f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} | {source} | {metric.since} |"
    yield ""
