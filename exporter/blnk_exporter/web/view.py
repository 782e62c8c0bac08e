"""All that the page shows, gathered at one moment."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from ..collector import Outcome
from ..collectors import SLOW
from ..figures import STALE_SECONDS, Figure, Instance, QueueRow, instances, queue_rows, take
from ..history import History
from ..news import Change
from ..quantity import duration
from ..service import Service


@dataclass(frozen=True, kw_only=True)
class View:
    """What is known at ``at`` (Unix time in seconds); ``scraped_at`` is None before the first scrape."""

    at: float
    scraped_at: float | None
    figures: tuple[Figure, ...]
    instances: tuple[Instance, ...]
    queues: tuple[QueueRow, ...]
    enabled: Mapping[str, bool]
    outcomes: Mapping[str, Outcome]
    history: History
    changes: tuple[Change, ...]
    faults: str
    metrics_path: str
    """Relative to this page."""
    target: str | None = None

    def metrics_of(self, collector: str) -> str:
        """Where the metrics of one collector are."""
        return f"{self.metrics_path}{'&' if self.target else '?'}collect[]={collector}"

    def runbook_of(self, alert: str) -> str:
        """Where the runbook of an alert is, with the limits of this target."""
        return f"runbooks/{alert}{f'?target={quote(self.target)}' if self.target else ''}"

    def here(self, query: str = "") -> str:
        """This page, with more of a query."""
        parts = [f"target={quote(self.target)}"] if self.target else []
        return f"?{'&'.join([*parts, query])}".rstrip("?&") or "./"

    @property
    def stale(self) -> bool:
        """Whether nobody has scraped for so long that nothing here can be relied on."""
        return self.scraped_at is None or self.at - self.scraped_at > STALE_SECONDS

    def ago(self, then: float) -> str:
        """``4 s ago``."""
        return f"{duration(round(max(0.0, self.at - then)))} ago"


def gather(service: Service, *, clock: float | None = None, target: str | None = None) -> View:
    """Out of memory alone: nothing is read for it."""
    at = time.time() if clock is None else clock
    scraper, memory, limits = service.scraper, service.memory, service.limits
    outcomes = dict(scraper.outcomes)
    own = service.settings.own
    intervals = dict.fromkeys(SLOW, own.limits.slow_interval_seconds) | {"books": own.books.interval_seconds}
    return View(
        at=at,
        scraped_at=memory.scraped_at,
        figures=tuple(take(outcomes, scraper.enabled, limits, at=at, intervals=intervals, flow=memory.flow)),
        instances=tuple(instances(outcomes)),
        queues=tuple(queue_rows(outcomes, limits, at=at)),
        enabled=scraper.enabled,
        outcomes=outcomes,
        history=memory.history,
        changes=tuple(memory.news.changes),
        faults=service.reload_faults,
        metrics_path=f"probe?target={quote(target)}" if target else own.web.telemetry_path.removeprefix("/"),
        target=target,
    )
