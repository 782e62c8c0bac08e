"""History lines: what they show, and that they join nothing that was not seen."""

import re

import pytest

from blnk_exporter import thresholds
from blnk_exporter.figures import Figure
from blnk_exporter.history import Point
from blnk_exporter.web.sparkline import draw

NOW = 10_000.0


def figure(limit: str | None = "queues.depth", judged: str = "") -> Figure:
    made = thresholds.load()[limit] if limit else None
    return Figure("x", "X", "queues", (), "tasks", made, 1.0, "ok", "1 task", judged=judged)


def points(*values: tuple[float, float | None]) -> list[Point]:
    return [Point(NOW - ago, value, "ok", NOW - ago) for ago, value in values]


def lines(drawn: str | None) -> list[list[tuple[float, ...]]]:
    found = re.findall(r'points="([^"]+)"', drawn or "")
    return [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in found]


def test_a_line_rises_with_its_values() -> None:
    """Time runs to the right and ends now, more is higher, and nothing leaves the frame."""
    (line,) = lines(draw(figure(), points((110, 0), (60, 100), (0, 2000)), NOW))
    assert [x for x, _ in line[-1:]] == [240.0]
    assert line[-1][1] < line[-2][1]
    assert all(0 <= x <= 240 and 0 <= y <= 40 for x, y in line)


def test_gaps_stay_gaps() -> None:
    """Neither over an unknown value nor over a time without scrapes is a line drawn."""
    drawn = draw(figure(), points((600, 1), (585, 2), (570, None), (555, 3), (540, 4), (30, 5), (15, 6)), NOW)
    assert [len(line) for line in lines(drawn)] == [2, 2, 2]


def test_words_for_who_does_not_see_it() -> None:
    """The text alternative tells what the eye would take from the line."""
    drawn = draw(figure(), points((600, 10), (300, 2000), (0, 1)), NOW)
    assert 'role="img"' in drawn
    assert 'aria-label="last 1 task, lowest 1 task, highest 2,000 tasks over 10 min"' in drawn.replace("\u00a0", " ")


def test_the_span_is_that_of_the_readings() -> None:
    """A line that ended two minutes ago has its own length in words."""
    picture = draw(figure(), points((180, 1), (120, 2)), NOW)
    assert picture
    assert "over 60\u00a0s" in picture


@pytest.mark.parametrize("values", [(), ((0, 5),), ((30, None), (15, None), (0, 5))])
def test_no_line_through_one_point(values: tuple[tuple[float, float | None], ...]) -> None:
    """Nothing to join is nothing to draw, and no error."""
    assert draw(figure(), points(*values), NOW) is None


def test_the_limit_is_a_line_of_its_own() -> None:
    """Only where it is a limit on the value itself, and there is something between it and zero."""
    values = points((30, 1), (0, 2))
    assert 'class="limit"' in draw(figure(), values, NOW)
    assert 'class="limit"' not in draw(figure(None), values, NOW)
    assert 'class="limit"' not in draw(figure("queues.last_archived", "time since the last"), values, NOW)
    assert 'class="limit"' not in draw(figure("queues.lost"), points((30, 0), (0, 0)), NOW)
