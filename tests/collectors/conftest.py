"""What the tests of all rooms share: a room's samples by name, and a source without a server behind it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from blnk_exporter.collector import Collector, Result
from blnk_exporter.errors import ReadingError
from blnk_exporter.metric import Sample

Page = dict[str, dict[tuple[str, ...], float]]


@dataclass(frozen=True)
class Somewhere:
    """A source that only has a name."""

    address: str = "a:1"


@dataclass
class Scripted:
    """A Redis whose replies a test gives, a list for each round trip."""

    replies: list[list[Any]]
    address: str = "a:1"
    connections: int = 1

    async def execute(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The next round trip's replies."""
        return self.replies.pop(0)

    def reconnect(self) -> None:
        """Count one more connection."""
        self.connections += 1


def page(samples: Iterable[Sample]) -> Page:
    """Values by metric and labels; fails on a series that stands twice."""
    found: Page = {}
    for sample in samples:
        series = found.setdefault(sample.metric.name, {})
        assert sample.labels not in series, sample
        series[sample.labels] = sample.value
    return found


async def read_page(collector: Collector[Any], *sources: Any) -> Page:
    """What the page shows after one reading of each source."""
    results = []
    for source in sources:
        try:
            results.append(Result(source, await collector.read(source)))
        except ReadingError as error:
            results.append(Result(source, failure=error))
    return page(collector.samples(results))


def unseen(collector: Collector[Any], *pages: Page) -> set[str]:
    """The declared metrics that none of the pages shows; fails on a shown one that is not declared."""
    declared = {metric.name for metric in collector.metrics}
    shown = set().union(*pages)
    assert shown <= declared
    return declared - shown
