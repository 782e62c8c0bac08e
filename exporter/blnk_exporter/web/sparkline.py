"""The line of a key figure's last half hour."""

from collections.abc import Iterator, Sequence

from ..figures import STALE_SECONDS, Figure
from ..history import SPAN_SECONDS, Point
from ..quantity import duration, say
from .html import Html, tag

_WIDTH, _HEIGHT, _EDGE = 240.0, 40.0, 2.0


def draw(figure: Figure, points: Sequence[Point], now: float) -> Html | None:
    """Zero at the bottom, the limit as a broken line; gaps stay gaps. None before there are two points to join."""
    values = [point.value for point in points if point.value is not None]
    if len(values) < 2:
        return None
    limit = figure.limit.first if figure.limit and not figure.judged else None
    top = max(*values, (limit or 0) * 1.15) or 1.0

    def height(value: float) -> float:
        return _HEIGHT - _EDGE - value / top * (_HEIGHT - 2 * _EDGE)

    def width(at: float) -> float:
        return _WIDTH * (1 - (now - at) / SPAN_SECONDS)

    lines = [
        tag("polyline", points=" ".join(f"{width(at):.1f},{height(value):.1f}" for at, value in run), class_="values")
        for run in _runs(points)
    ]
    if limit:
        y = f"{height(limit):.1f}"
        lines.append(tag("line", x1="0", x2=f"{_WIDTH:.0f}", y1=y, y2=y, class_="limit"))
    return tag(
        "svg",
        *lines,
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        preserveAspectRatio="none",
        role="img",
        aria_label=_words(figure, values, points[-1].at - points[0].at),
    )


def _words(figure: Figure, values: Sequence[float], span_seconds: float) -> str:
    last, least, most = (say(value, figure.unit) for value in (values[-1], min(values), max(values)))
    return f"last {last}, lowest {least}, highest {most} over {duration(span_seconds)}"


def _runs(points: Sequence[Point]) -> Iterator[list[tuple[float, float]]]:
    """What may be joined: neither over something unknown nor over a time in which nobody looked."""
    run: list[tuple[float, float]] = []
    for point in points:
        if run and (point.value is None or point.at - run[-1][0] > STALE_SECONDS):
            yield run
            run = []
        if point.value is not None:
            run.append((point.at, point.value))
    if run:
        yield run
