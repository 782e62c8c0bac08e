"""Outcomes made by hand out of the collectors' own metrics: a name that no collector declares fails at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from blnk_exporter import collectors
from blnk_exporter.collector import Collector, Gap, Outcome, Reading, Result, Room
from blnk_exporter.errors import ReadingError
from blnk_exporter.metric import Sample

DECLARED = {metric.name: metric for collector, _ in collectors.ROOMS for metric in collector.metrics}
Series = Iterable[tuple[str, Mapping[str, str], float]]


@dataclass(frozen=True)
class Place:
    """A source that is only its name."""

    address: str = "h:1"


def named(name: str) -> Collector[Reading]:
    """The real collector of that name."""
    return next(collector for collector, _ in collectors.ROOMS if collector.name == name)


def samples(series: Series) -> Iterator[Sample]:
    """The samples of names without ``blnk_``, their labels and values."""
    for name, labels, value in series:
        yield from DECLARED[f"blnk_{name}"](value, **labels)


def queue(name: str = "q", **facts: float) -> list[tuple[str, Mapping[str, str], float]]:
    """The series of one queue."""
    return [(f"queues_{fact}", {"queue": name}, value) for fact, value in facts.items()]


def outcome(
    collector: str,
    series: Series = (),
    *,
    failures: Mapping[str, ReadingError] | None = None,
    gaps: tuple[Gap, ...] = (),
    at: float = 0.0,
) -> Outcome:
    """What a run of a collector ended in; without failures it has read one source."""
    results = [Result(Place(address), failure=failure) for address, failure in (failures or {}).items()]
    results = results or [Result(Place(), Reading(gaps=gaps))]
    return Outcome(named(collector), tuple(results), tuple(samples(series)), 0.01, at)


@dataclass
class Play:
    """Collectors that tell what a test has put down for them; one that has nothing put down fails."""

    series: dict[str, Series] = field(default_factory=dict)
    failures: dict[str, ReadingError] = field(default_factory=dict)
    gaps: dict[str, tuple[Gap, ...]] = field(default_factory=dict)

    def rooms(self, *names: str) -> tuple[Room, ...]:
        """The rooms of these collectors, with one source each."""
        return tuple(Room(self._cast(name), (Place(),)) for name in names)

    def _cast(self, name: str) -> Collector[Reading]:
        async def read(_: Place) -> Reading:
            if name in self.failures:
                raise self.failures[name]
            return Reading(gaps=self.gaps.get(name, ()))

        def tell(_: Sequence[Result[Reading]]) -> Iterator[Sample]:
            yield from samples(self.series[name])

        return replace(named(name), read=read, samples=tell)
