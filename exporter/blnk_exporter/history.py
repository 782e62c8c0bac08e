"""The last half hour of each key figure, in memory, for the lines on the page."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .figures import STALE_SECONDS
from .figures.figure import Figure, State

SLOT_SECONDS = 15
SLOTS = 120
SPAN_SECONDS = SLOTS * SLOT_SECONDS


@dataclass(frozen=True, slots=True)
class Point:
    """What a figure was at a time (Unix, seconds); None when it could not be known.

    ``read_at`` is when its source was read: earlier than ``at`` where a reading is served again.
    """

    at: float
    value: float | None
    state: State
    read_at: float


@dataclass
class History:
    """One point per figure and slot of time, so that it stays small however often, and however many, scrape."""

    _points: dict[str, deque[Point]] = field(default_factory=dict)

    def note(self, at: float, figures: Iterable[Figure], read_at: Mapping[str, float] = MappingProxyType({})) -> None:
        """Keep the figures of one scrape, and when each collector was read; the last of a slot counts."""
        for figure in figures:
            points = self._points.setdefault(figure.name, deque(maxlen=SLOTS))
            # Also what a clock that was since set back has put into the future.
            while points and points[-1].at // SLOT_SECONDS >= at // SLOT_SECONDS:
                points.pop()
            points.append(Point(at, figure.value, figure.state, read_at.get(figure.collector, at)))

    def points(self, name: str, now: float) -> tuple[Point, ...]:
        """Oldest first, none from before the span."""
        return tuple(point for point in self._points.get(name, ()) if 0 <= now - point.at <= SPAN_SECONDS)

    def since(self, name: str, now: float) -> tuple[float, float] | None:
        """The first and the last reading in which the figure was as good or bad as in the last; None without any.

        Warning and critical are both bad here. Where nothing was read for long, what was before it proves nothing.
        """
        points = self.points(name, now)
        if not points:
            return None
        first = last = points[-1]
        for point in reversed(points):
            if _kind(point.state) != _kind(last.state) or first.at - point.at > STALE_SECONDS:
                break
            first = point
        return first.read_at, last.read_at


def _kind(state: State) -> str:
    return "bad" if state in {"warning", "critical"} else state
