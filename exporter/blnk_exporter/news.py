"""Changes of state: which source failed or works again, which facts went missing. Told once, in the log and on the page."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from .collector import Outcome
from .errors import Reason

# Recoveries never push a failure out: what failed is what one comes to read.
FAILURES_KEPT = 30
RECOVERIES_KEPT = 10
# Servers may be long-winded; the log has all of it.
_DETAIL_LENGTH = 500

What = Literal["failed", "facts missing", "works again", "complete again"]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a collector's state, at a Unix time in seconds; ``source`` is empty where it means all of them."""

    at: float
    collector: str
    what: What
    source: str = ""
    detail: str = ""

    @property
    def bad(self) -> bool:
        """Whether it was for the worse."""
        return self.what in {"failed", "facts missing"}


@dataclass(frozen=True)
class _State:
    """What was last said of a collector: reasons by source that failed, and details by fact that is missing."""

    failures: Mapping[str, Reason] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


class News:
    """Compares each outcome with what was last said of its collector; outlives a change of configuration."""

    def __init__(self) -> None:
        self._said: dict[str, _State] = {}
        self._bad: deque[Change] = deque(maxlen=FAILURES_KEPT)
        self._good: deque[Change] = deque(maxlen=RECOVERIES_KEPT)
        self._log = structlog.get_logger()

    @property
    def changes(self) -> list[Change]:
        """What is remembered of them, the newest first."""
        return sorted((*self._bad, *self._good), key=lambda change: change.at, reverse=True)

    def tell(self, outcome: Outcome) -> None:
        """Log what has changed and remember it; nothing when nothing has."""
        name, first = outcome.collector.name, outcome.collector.name not in self._said
        before = self._said.get(name, _State())
        failures = {result.address: result.failure for result in outcome.results if result.failure}
        now = _State(
            {address: failure.reason for address, failure in failures.items()},
            {gap.fact: gap.detail or gap.reason for gap in reversed(outcome.gaps)},
        )
        self._said[name] = now
        for address, failure in failures.items():
            if before.failures.get(address) != failure.reason:
                self._log.warning(
                    "collector failed", collector=name, source=address, reason=failure.reason, detail=str(failure)
                )
                self._keep(outcome, "failed", source=address, detail=str(failure))
        for event in _recoveries(before, now, first=first):
            self._log.info(**event, collector=name)
            if before.failures:
                self._keep(outcome, "works again", source=event.get("source", ""))
        if now.missing.keys() != before.missing.keys() and not failures:
            self._tell_missing(outcome, now.missing)

    def _tell_missing(self, outcome: Outcome, missing: Mapping[str, str]) -> None:
        name = outcome.collector.name
        if missing:
            details = "; ".join(f"{fact}: {detail}" for fact, detail in missing.items())
            self._log.warning("facts missing", collector=name, facts=details)
            self._keep(outcome, "facts missing", detail=details)
        else:
            self._log.info("no fact missing any more", collector=name)
            self._keep(outcome, "complete again")

    def _keep(self, outcome: Outcome, what: What, *, source: str = "", detail: str = "") -> None:
        if len(detail) > _DETAIL_LENGTH:
            detail = detail[:_DETAIL_LENGTH] + "…"
        change = Change(outcome.finished_at, outcome.collector.name, what, source, detail)
        (self._bad if change.bad else self._good).append(change)


def _recoveries(before: _State, now: _State, *, first: bool) -> Iterator[dict[str, Any]]:
    """Log events: the whole collector where nothing fails any more or it is new, single sources otherwise."""
    if not now.failures:
        if first or before.failures:
            yield {"event": "collector works"}
    else:
        for address in before.failures.keys() - now.failures.keys():
            yield {"event": "source works again", "source": address}
