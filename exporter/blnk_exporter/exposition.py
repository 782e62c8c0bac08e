"""Samples to text, in the format that the scraper asks for; the only module that knows prometheus_client.

Our own series are written here: through the library's families a page of a thousand takes four times as long. The
library tells of this very process, and is the oracle of the tests.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate, islice
from typing import cast

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest as text_latest
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

# Most values of a page are those of the page before.
_number: Callable[[float], str] = lru_cache(maxsize=1 << 12)(floatToGoString)
_ESCAPINGS = ("allow-utf-8", "underscores", "dots", "values")
# Of label values, and in OpenMetrics of help.
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_ESCAPES_OF_HELP = str.maketrans({"\\": "\\\\", "\n": "\\n"})

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
    classic, spell = how.media_type == "text/plain", _dotted if how.escaping == "dots" else str
    parts: list[str] = []
    for metric, series in _families(samples, series_limit):
        name, names = spell(metric.name), tuple(map(spell, metric.labels))
        parts.append(_head(metric, name, classic=classic))
        parts += _histogram(metric, spell, names, series) if metric.buckets else _lines(name, names, series)
    escaping = how.escaping or "underscores"
    own = text_latest(_OWN, escaping) if classic else openmetrics_latest(_OWN, escaping)  # type: ignore[no-untyped-call]
    return "".join(parts).encode() + cast("bytes", own)


def _families(samples: Iterable[Sample], limit: int) -> Iterator[tuple[Metric, Iterable[Sample]]]:
    # By name: strings keep their hash, a declaration makes it anew for each sample.
    grouped: defaultdict[str, dict[tuple[str, ...], Sample]] = defaultdict(dict)
    dropped: Counter[str] = Counter()
    for sample in samples:
        metric, labels, _, _ = sample
        if grouped[metric.name].setdefault(labels, sample) is not sample:
            dropped[metric.name] += 1
    for name, series in grouped.items():
        if len(series) > limit:
            dropped[name] += len(series) - limit
        yield next(iter(series.values())).metric, islice(series.values(), limit)
    yield SERIES_LIMIT, SERIES_LIMIT(limit)
    if dropped:
        told = [sample for name, count in dropped.items() for sample in SERIES_DROPPED(count, metric=name)]
        yield SERIES_DROPPED, told


def _dotted(name: str) -> str:
    # Names of ours are of the classic alphabet: this is the one escaping that changes them.
    return name.replace("_", "__")


@cache
def _head(metric: Metric, name: str, *, classic: bool) -> str:
    """HELP and TYPE. OpenMetrics calls a counter without its suffix, and escapes quotes here as well."""
    family = name if classic else name.removesuffix("__total").removesuffix("_total")
    help_ = metric.help.translate(_ESCAPES_OF_HELP if classic else _ESCAPES)
    return f"# HELP {family} {help_}\n# TYPE {family} {metric.kind}\n"


# Kept apart from the metric that has them: all metrics of one queue share one text.
@lru_cache(maxsize=1 << 16)
def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """``{name="value",…}``, sorted by name; nothing where there is no label."""
    pairs = sorted(zip(names, values, strict=True))
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs) + "}" if pairs else ""


def _lines(name: str, names: tuple[str, ...], series: Iterable[Sample]) -> Iterable[str]:
    return [f"{name}{_labels(names, labels)} {_number(value)}\n" for _, labels, value, _ in series]


def _histogram(
    metric: Metric, spell: Callable[[str], str], names: tuple[str, ...], series: Iterable[Sample]
) -> Iterator[str]:
    bucket, count, total = (spell(f"{metric.name}_{part}") for part in ("bucket", "count", "sum"))
    bounds = [*map(_number, metric.buckets), "+Inf"]
    for sample in series:
        if sample.distribution:
            for bound, below in zip(bounds, accumulate(sample.distribution.counts), strict=True):
                yield f"{bucket}{_labels((*names, 'le'), (*sample.labels, bound))} {_number(below)}\n"
            labels = _labels(names, sample.labels)
            yield f"{count}{labels} {_number(sample.value)}\n"
            yield f"{total}{labels} {_number(sample.distribution.sum)}\n"
