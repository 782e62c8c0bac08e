"""The last half hour of a figure: small however often somebody scrapes."""

from dataclasses import dataclass

from blnk_exporter.figures import STALE_SECONDS, State
from blnk_exporter.history import SLOT_SECONDS, SLOTS, SPAN_SECONDS, History

START = 1_800_000_000.0  # a slot begins here


@dataclass
class Seen:
    """What the history takes of a figure."""

    value: float | None
    state: State = "ok"
    name: str = "queues.depth"
    collector: str = "queues"


def noted(*values: tuple[float, float | None, State]) -> History:
    history = History()
    for at, value, state in values:
        history.note(START + at, [Seen(value, state)])
    return history


def values(history: History, now: float) -> list[tuple[float, float | None]]:
    return [(point.at - START, point.value) for point in history.points("queues.depth", START + now)]


def test_the_last_of_a_slot_counts() -> None:
    """Two Prometheus servers do not make the line twice as short."""
    history = noted((0, 1, "ok"), (7, 2, "ok"), (14.5, 3, "ok"), (15, 4, "ok"), (30, None, "unknown"))
    assert values(history, 30) == [(14.5, 3), (15, 4), (30, None)]


def test_it_is_bounded() -> None:
    """A scraper that never stops costs no memory, and one every second no more than one every 15."""
    history = History()
    for second in range(0, 4 * SPAN_SECONDS, 5):
        history.note(START + second, [Seen(float(second))])
    kept = values(history, 4 * SPAN_SECONDS)
    assert len(kept) == SLOTS
    assert len(history._points["queues.depth"]) == SLOTS
    assert kept[-1] == (4 * SPAN_SECONDS - 5, 4 * SPAN_SECONDS - 5)


def test_what_is_older_than_the_span_is_not_shown() -> None:
    """After a long silence the line does not pretend that it was yesterday's."""
    history = noted((0, 1, "ok"), (SLOT_SECONDS, 2, "ok"))
    assert values(history, SPAN_SECONDS + 1) == [(SLOT_SECONDS, 2)]
    assert values(history, SPAN_SECONDS + SLOT_SECONDS + 1) == []


def test_a_clock_that_is_set_back_forgets_the_future() -> None:
    """Points from a time that has not come yet would stand right of now."""
    history = noted((0, 1, "ok"), (60, 2, "ok"), (120, 3, "ok"), (50, 4, "ok"))
    assert values(history, 50) == [(0, 1), (50, 4)]


def test_since_when_it_is_bad() -> None:
    """Warning that turned critical is one trouble: from the first reading that had it to the last one."""
    history = noted((0, 1, "ok"), (15, 9, "warning"), (30, 99, "critical"), (45, 9, "warning"))
    assert history.since("queues.depth", START + 50) == (START + 15, START + 45)
    assert history.since("queues.lost", START + 50) is None


def test_one_reading_has_no_duration() -> None:
    """However old it is: nothing was read since."""
    assert noted((0, 9, "warning")).since("queues.depth", START + 82) == (START, START)


def test_unknown_ends_a_trouble() -> None:
    """What was in between was not read."""
    history = noted((0, 9, "critical"), (15, None, "unknown"), (30, 9, "critical"))
    assert history.since("queues.depth", START + 30) == (START + 30, START + 30)


def test_a_time_without_readings_ends_a_trouble() -> None:
    """While nothing was scraped it may have been well."""
    history = noted((0, 9, "critical"), (STALE_SECONDS, 9, "critical"), (2 * STALE_SECONDS + 1, 9, "critical"))
    assert history.since("queues.depth", START + 300) == (START + 2 * STALE_SECONDS + 1,) * 2


def test_a_reading_that_is_served_again_is_one_reading() -> None:
    """The books are read every quarter of an hour and noted at each scrape."""
    history, figure = History(), Seen(9, "critical")
    for at in range(0, 600, 15):
        history.note(START + at, [figure], {figure.collector: START - 5})
    assert history.since(figure.name, START + 600) == (START - 5, START - 5)
    history.note(START + 600, [figure], {figure.collector: START + 599})
    assert history.since(figure.name, START + 600) == (START - 5, START + 599)
