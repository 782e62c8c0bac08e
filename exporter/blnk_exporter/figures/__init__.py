"""What a person on call asks first, out of the last outcomes; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ..collector import Outcome
from ..quantity import duration, say
from ..thresholds import Threshold
from .figure import STATES, Figure, State
from .flow import Flow
from .instances import REFUSES, Instance, instances
from .kind import Kind, Measure
from .kinds import KINDS
from .queues import QueueRow, queue_rows
from .seen import Seen, failures, few, obstacles

__all__ = [
    "STALE_SECONDS",
    "STATES",
    "Figure",
    "Flow",
    "Instance",
    "QueueRow",
    "State",
    "failures",
    "few",
    "instances",
    "obstacles",
    "queue_rows",
    "take",
]

# An outcome older than this is no longer the state of the deployment: eight scrapes at the usual interval.
STALE_SECONDS = 120.0
_ANSWERING = frozenset({"redis.up", "postgres.up"})
_METRICS = frozenset(metric for kind in KINDS if not kind.counted for metric in kind.metrics)


def take(  # noqa: PLR0913  # what a page is made of
    outcomes: Mapping[str, Outcome],
    enabled: Mapping[str, bool],
    limits: Mapping[str, Threshold],
    *,
    at: float,
    intervals: Mapping[str, float] | None = None,
    flow: Flow | None = None,
) -> Iterator[Figure]:
    """The key figures at a time (Unix, seconds); those of collectors that this exporter does not have are left out.

    ``intervals`` are the seconds that readings are kept for by collectors that do so; None: as long as they are given.
    What can no longer be relied on, is unknown. ``flow`` is what is remembered of the ledger's counters.
    """
    seen = Seen(outcomes.values(), _METRICS, flow)
    for kind in KINDS:
        if kind.collector in enabled:
            outcome = outcomes.get(kind.collector)
            measure = _measure(kind, seen, limits, outcome, at) if outcome else None
            if not enabled[kind.collector]:
                yield _figure(kind, limits, Measure(None, f"the collector {kind.collector} is off", "off"))
            elif outcome is None:
                yield _figure(kind, limits, Measure(None, "not read yet"))
            elif measure is not None:
                figure, age = _figure(kind, limits, measure), at - outcome.finished_at
                kept = None if intervals is None or figure.value is None else intervals.get(kind.collector, 0.0)
                yield figure if kept is None or age <= STALE_SECONDS else _aged(figure, age, kept)


def _measure(kind: Kind, seen: Seen, limits: Mapping[str, Threshold], outcome: Outcome, at: float) -> Measure | None:
    measure = kind.measure(kind, seen, limits, at)
    if measure is None and failures(outcome):
        # Whether the deployment has such a thing, only who answers can tell.
        measure = Measure(None)
    refusing = [result for result in outcome.results if result.failure and result.answered]
    if kind.name in _ANSWERING and refusing and measure and measure.state == "ok":
        # What answers only to refuse the exporter is up, but whether it works is not known.
        text = (
            REFUSES if len(outcome.results) == 1 else f"{len(refusing)} of {len(outcome.results)} refuse the exporter"
        )
        return replace(measure, state="unknown", text=text, note="; ".join(failures(outcome)))
    if measure is None or (measure.value is not None and measure.state in {None, "ok"}) or measure.note:
        return measure
    # Unknown, or down without a word: the collector has the reason.
    return replace(measure, note="; ".join(obstacles(outcome)) or ("" if measure.value else "the source does not tell"))


def _figure(kind: Kind, limits: Mapping[str, Threshold], measure: Measure) -> Figure:
    limit = limits[kind.name] if kind.limited else None
    value, state = measure.value, measure.state
    if state is None:
        state = "unknown" if value is None else limit.level(value) if limit else "ok"
    text = measure.text or (state if value is None else say(value, kind.unit))
    return Figure(
        name=kind.name,
        title=kind.title,
        collector=kind.collector,
        metrics=kind.metrics,
        unit=kind.unit,
        limit=limit,
        value=value,
        state=state,
        text=text,
        note=measure.note,
        judged=kind.judged,
        why=limit.why if limit else kind.why,
        alert=measure.alert or next(iter(kind.alerts), ""),
    )


def _aged(figure: Figure, age: float, kept: float) -> Figure:
    """With the age of its reading, and unknown where that should have been replaced long ago."""
    stale = age > STALE_SECONDS + kept
    words = f"read {duration(age)} ago{', too long to rely on' if stale else ''}"
    note = "; ".join(filter(None, (words, figure.note)))
    return replace(figure, state="unknown" if stale else figure.state, note=note)
