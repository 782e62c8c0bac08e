"""One row per process or database that Blnk needs, with its word on how it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..collector import Outcome
from .figure import State
from .seen import Seen

_KINDS = {"server": "API server", "workers": "Worker", "redis": "Redis", "postgres": "PostgreSQL"}
REFUSES = "refuses the exporter"
_METRICS = frozenset(f"blnk_{name}_{what}" for name in _KINDS for what in ("up", "down", "response_seconds"))


@dataclass(frozen=True, slots=True)
class Instance:
    """One process or database.

    Attributes:
        kind: what it is.
        address: where it listens.
        state: critical where it is down, unknown where it answers only to refuse the exporter.
        response_seconds: None where it did not answer, or where the time is not measured.
        note: why it is not up.
        word: the state in words.

    """

    kind: str
    address: str
    state: State
    response_seconds: float | None
    note: str
    word: str = "up"


def instances(outcomes: Mapping[str, Outcome]) -> Iterator[Instance]:
    """In the order of a request's way; those of collectors that did not run are left out."""
    seen = Seen(outcomes.values(), _METRICS)
    for name, kind in _KINDS.items():
        if name in outcomes:
            yield from _of(name, kind, outcomes[name], seen)


def _of(name: str, kind: str, outcome: Outcome, seen: Seen) -> Iterator[Instance]:
    failures = {result.address: str(result.failure) for result in outcome.results if result.failure}
    seconds = seen.by(f"blnk_{name}_response_seconds", "address")
    ups = {labels.get("address") or outcome.results[0].address: up for labels, up in seen.of(f"blnk_{name}_up")}
    for address in ups | _unknown(name, outcome, seen):
        reason = (seen.chosen(f"blnk_{name}_down", "reason", address=address) or "").replace("_", " ")
        state, word = _state(ups.get(address), refuses=address in failures)
        yield Instance(kind, address, state, seconds.get(address), failures.get(address, reason), word)


def _unknown(name: str, outcome: Outcome, seen: Seen) -> dict[str, None]:
    """Those that may be up or not; a worker's collector reads Redis as well, which is not a worker."""
    if name not in {"redis", "postgres"}:
        return dict.fromkeys(seen.by(f"blnk_{name}_down", "address"))
    return dict.fromkeys(result.address for result in outcome.results if result.failure)


def _state(up: float | None, *, refuses: bool) -> tuple[State, str]:
    if up is None:
        return "unknown", "unknown"
    if not up:
        return "critical", "down"
    return ("unknown", REFUSES) if refuses else ("ok", "up")
