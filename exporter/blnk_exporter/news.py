"""One log line per change of state: which source failed or works again, which facts went missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from .collector import Outcome
from .errors import Reason


@dataclass(frozen=True)
class _State:
    """What was last said of a collector: reasons by source that failed, and details by fact that is missing."""

    failures: Mapping[str, Reason] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


class News:
    """Compares each outcome with what was last said of its collector; outlives a change of configuration."""

    def __init__(self) -> None:
        self._said: dict[str, _State] = {}
        self._log = structlog.get_logger()

    def tell(self, outcome: Outcome) -> None:
        """Log what has changed; nothing when nothing has."""
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
        if not failures and (first or before.failures):
            self._log.info("collector works", collector=name)
        for address in before.failures.keys() - failures.keys() if failures else ():
            self._log.info("source works again", collector=name, source=address)
        if now.missing.keys() != before.missing.keys() and not failures:
            self._tell_missing(name, now.missing)

    def _tell_missing(self, name: str, missing: Mapping[str, str]) -> None:
        if missing:
            details = "; ".join(f"{fact}: {detail}" for fact, detail in missing.items())
            self._log.warning("facts missing", collector=name, facts=details)
        else:
            self._log.info("no fact missing any more", collector=name)
