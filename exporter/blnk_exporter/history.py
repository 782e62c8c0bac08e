"""The last half hour of each key figure, in memory, for the lines on the page."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from .figures.figure import Figure, State

SLOT_SECONDS = 15
SLOTS = 120
SPAN_SECONDS = SLOTS * SLOT_SECONDS


@dataclass(frozen=True, slots=True)
class Point:
    """What a figure was at a time (Unix, seconds); None when it could not be known."""

    at: float
    value: float | None
    state: State


@dataclass
class History:
    """One point per figure and slot of time, so that it stays small however often, and however many, scrape."""

    _points: dict[str, deque[Point]] = field(default_factory=dict)

    def note(self, at: float, figures: Iterable[Figure]) -> None:
        """Keep the figures of one scrape; the last of a slot counts."""
        for figure in figures:
            points = self._points.setdefault(figure.name, deque(maxlen=SLOTS))
            # Also what a clock that was since set back has put into the future.
            while points and points[-1].at // SLOT_SECONDS >= at // SLOT_SECONDS:
                points.pop()
            points.append(Point(at, figure.value, figure.state))

    def points(self, name: str, now: float) -> tuple[Point, ...]:
        """Oldest first, none from before the span."""
        return tuple(point for point in self._points.get(name, ()) if 0 <= now - point.at <= SPAN_SECONDS)

    def since(self, name: str, now: float) -> tuple[float, bool] | None:
        """Since when the figure has been as good or bad as it is, and whether that is all that is remembered.

        Warning and critical are both bad here. None when nothing is remembered.
        """
        points = self.points(name, now)
        if not points:
            return None
        last = points[-1]
        start = last
        for point in reversed(points):
            if _kind(point.state) != _kind(last.state):
                return start.at, False
            start = point
        return start.at, True


def _kind(state: State) -> str:
    return "bad" if state in {"warning", "critical"} else state
