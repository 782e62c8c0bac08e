"""Changes of state: one line in the log and one entry on the page for each, and failures outlive successes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from blnk_exporter.collector import Collector, Gap, Outcome, Reading, Result
from blnk_exporter.errors import ReadingError, Refused, Unreachable
from blnk_exporter.news import FAILURES_KEPT, RECOVERIES_KEPT, News

WORDS = "no route"


@dataclass(frozen=True)
class Place:
    """A source that is only its name."""

    address: str


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """The log, while the test runs."""
    with capture_logs() as lines:
        yield lines


def outcome(at: float, *gaps: Gap, **sources: ReadingError | None) -> Outcome:
    """A run of ``queues`` on sources that failed, or on which these facts were missing."""
    collector = Collector(name="queues", help="T.", metrics=(), read=lambda _: None, samples=lambda _: iter(()))
    results = tuple(
        Result(Place(name), None if failure else Reading(gaps=gaps), failure) for name, failure in sources.items()
    )
    return Outcome(collector, results, (), 0.1, at)


def events(news: News) -> list[tuple[float, str, str, str]]:
    return [(change.at, change.what, change.source, change.detail) for change in news.changes]


def test_a_failure_and_its_end(told: list[dict[str, Any]]) -> None:
    """Each is told once, in the log and on the page, and the page has the newest first."""
    news = News()
    for at, failure in ((1, None), (2, Unreachable(WORDS)), (3, Unreachable(WORDS)), (4, None), (5, None)):
        news.tell(outcome(at, a=failure))
    assert events(news) == [(4, "works again", "", ""), (2, "failed", "a", WORDS)]
    assert [line["event"] for line in told] == ["collector works", "collector failed", "collector works"]


def test_a_start_is_no_change(told: list[dict[str, Any]]) -> None:
    """That all is well at first belongs into the log and not among the recoveries."""
    news = News()
    news.tell(outcome(1, a=None))
    assert events(news) == []
    assert [line["event"] for line in told] == ["collector works"]


def test_another_reason_is_another_failure(told: list[dict[str, Any]]) -> None:
    """From "gone" to "refuses us" the cause has changed."""
    news = News()
    news.tell(outcome(1, a=Unreachable(WORDS)))
    news.tell(outcome(2, a=Refused("password")))
    assert events(news) == [(2, "failed", "a", "password"), (1, "failed", "a", WORDS)]
    assert [line["reason"] for line in told] == ["unreachable", "refused"]


def test_one_source_of_two_comes_back(told: list[dict[str, Any]]) -> None:
    """The collector still fails; the page names the one that does not."""
    news = News()
    news.tell(outcome(1, a=Unreachable(WORDS), b=Unreachable(WORDS)))
    news.tell(outcome(2, a=None, b=Unreachable(WORDS)))
    assert events(news)[0] == (2, "works again", "a", "")
    assert told[-1]["event"] == "source works again"


def test_missing_facts_come_and_go(told: list[dict[str, Any]]) -> None:
    """A right that was taken away is a change for the worse."""
    news = News()
    news.tell(outcome(1, a=None))
    news.tell(outcome(2, Gap("depth", "refused", "NOPERM"), a=None))
    news.tell(outcome(3, Gap("depth", "refused", "NOPERM"), a=None))
    news.tell(outcome(4, a=None))
    assert events(news) == [(4, "complete again", "", ""), (2, "facts missing", "", "depth: NOPERM")]
    assert [line["event"] for line in told[1:]] == ["facts missing", "no fact missing any more"]


def test_failures_outlive_recoveries() -> None:
    """Whoever comes in the morning wants the one failure of the night, not the hundred recoveries after it."""
    news = News()
    with capture_logs():
        for at in range(0, 2000, 2):
            news.tell(outcome(at, a=Unreachable(str(at))))
            news.tell(outcome(at + 1, a=None))
    bad = [change for change in news.changes if change.bad]
    assert (len(bad), len(news.changes)) == (FAILURES_KEPT, FAILURES_KEPT + RECOVERIES_KEPT)
    assert [change.at for change in bad] == [*range(1998, 1998 - 2 * FAILURES_KEPT, -2)]
    with capture_logs():
        for at in range(3000, 3200, 2):
            news.tell(outcome(at, Gap("depth", "refused"), a=None) if at % 4 else outcome(at, a=None))
    assert [change for change in news.changes if change.bad and change.what == "failed"] == [], "newer failures came"
    assert len(news.changes) == FAILURES_KEPT + RECOVERIES_KEPT


def test_long_words_are_cut(told: list[dict[str, Any]]) -> None:
    """What a target sends does not fill our memory; the log has it whole."""
    news = News()
    news.tell(outcome(1, a=Unreachable("x" * 100_000)))
    assert len(news.changes[0].detail) == 501
    assert len(told[0]["detail"]) == 100_000
