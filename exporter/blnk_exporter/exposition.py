"""Samples to text, in the format that the scraper asks for; the only module that knows prometheus_client."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest as text_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_latest
from prometheus_client.utils import floatToGoString

from .metric import Metric, Sample

SERIES_LIMIT = Metric("blnk_exporter_series_limit", "Largest number of series that one metric may have on this page.")
SERIES_DROPPED = Metric(
    "blnk_exporter_series_dropped",
    "Series left out of this page: beyond the limit, or the same labels twice.",
    ("metric",),
)
METRICS = (SERIES_LIMIT, SERIES_DROPPED)

_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_ESCAPINGS = ("allow-utf-8", "underscores", "dots", "values")

# Metrics of this very process (process_*, python_info); built once, collected per page.
_OWN = CollectorRegistry()
ProcessCollector(registry=_OWN)
PlatformCollector(registry=_OWN)


@dataclass(frozen=True, slots=True)
class Format:
    """One exposition format: media type, version, and how names outside the classic alphabet are escaped."""

    media_type: str
    version: str
    escaping: str | None = None

    @property
    def content_type(self) -> str:
        """The Content-Type header."""
        escaping = f"; escaping={self.escaping}" if self.escaping else ""
        return f"{self.media_type}; version={self.version}; charset=utf-8{escaping}"


TEXT = Format("text/plain", "0.0.4")


def negotiate(accept: str) -> Format:
    """The supported format that the Accept header weighs highest; text 0.0.4 when it names none.

    Among equals the first one named wins, as in Prometheus' own client for Go. OpenMetrics 2.0 is a draft and is
    not answered.
    """
    offers = [(quality, -place, offer) for place, (quality, offer) in enumerate(_offers(accept)) if quality > 0]
    return max(offers, key=lambda offer: offer[:2])[2] if offers else TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the Accept-Encoding header allows gzip."""
    weights = {coding.lower(): quality for quality, coding, _ in _weighed(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weighed(header: str) -> Iterator[tuple[float, str, dict[str, str]]]:
    """Quality, value and parameters of each item of a header that negotiates; items with no sense are left out."""
    for item in header.split(","):
        value, *parameters = (part.strip() for part in item.split(";"))
        named = {
            key.strip().lower(): text.strip().strip('"') for key, _, text in (p.partition("=") for p in parameters)
        }
        try:
            yield float(named.get("q", "1")), value, named
        except ValueError:
            continue


def _offers(accept: str) -> Iterator[tuple[float, Format]]:
    for quality, media_type, named in _weighed(accept):
        escaping = named.get("escaping", "underscores")
        escaping = escaping if escaping in _ESCAPINGS else "underscores"
        match media_type.lower(), named.get("version"):
            case "application/openmetrics-text", None | "1.0.0":
                yield quality, Format("application/openmetrics-text", "1.0.0", escaping)
            case "text/plain", "1.0.0":
                yield quality, Format("text/plain", "1.0.0", escaping)
            case ("text/plain", None | "0.0.4") | ("text/*" | "*/*", _):
                yield quality, TEXT
            case _:
                pass  # not ours to give


def render(samples: Iterable[Sample], how: Format = TEXT, *, series_limit: int = 100_000) -> bytes:
    """The whole page; families in the order of their first sample, each series once, none beyond the limit."""
    page = _Page(tuple(_families(samples, series_limit)))
    escaping = how.escaping or "underscores"
    if how.media_type == "text/plain":
        return text_latest(cast("Any", page), escaping=escaping)
    return cast("bytes", openmetrics_latest(page, escaping=escaping))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Page:
    """Looks like a registry to the library's renderers."""

    families: tuple[_Family, ...]

    def collect(self) -> Iterator[Any]:
        yield from self.families
        yield from _OWN.collect()


def _families(samples: Iterable[Sample], limit: int) -> Iterator[_Family]:
    grouped: dict[Metric, dict[tuple[str, ...], Sample]] = {}
    dropped: Counter[str] = Counter()
    for sample in samples:
        series = grouped.setdefault(sample.metric, {})
        if sample.labels in series or len(series) >= limit:
            dropped[sample.metric.name] += 1
        else:
            series[sample.labels] = sample
    for metric, series in grouped.items():
        yield _family(metric, series.values())
    yield _family(SERIES_LIMIT, SERIES_LIMIT(limit))
    if dropped:
        found = (sample for name, count in dropped.items() for sample in SERIES_DROPPED(count, metric=name))
        yield _family(SERIES_DROPPED, found)


def _family(metric: Metric, series: Iterable[Sample]) -> _Family:
    if metric.buckets:
        return _histogram(metric, series)
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for sample in series:
        family.add_metric(sample.labels, sample.value)
    return family


def _histogram(metric: Metric, series: Iterable[Sample]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(floatToGoString, metric.buckets), "+Inf"]
    for sample in series:
        if sample.distribution:
            buckets = [*zip(bounds, accumulate(sample.distribution.counts), strict=True)]
            family.add_metric(sample.labels, buckets, sample.distribution.sum)
    return family
