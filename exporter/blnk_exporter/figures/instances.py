"""One row per process or database that Blnk needs, with its word on how it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..collector import Outcome
from .figure import State
from .seen import Seen

_KINDS = {"server": "API server", "workers": "Worker", "redis": "Redis", "postgres": "PostgreSQL"}
_METRICS = frozenset(f"blnk_{name}_{what}" for name in _KINDS for what in ("up", "down", "response_seconds"))


@dataclass(frozen=True, slots=True)
class Instance:
    """``response_seconds`` is None where it did not answer, or nobody measures it; ``note`` says why it is not up."""

    kind: str
    address: str
    state: State
    response_seconds: float | None
    note: str


def instances(outcomes: Mapping[str, Outcome]) -> Iterator[Instance]:
    """In the order of a request's way; those of collectors that did not run are left out."""
    seen = Seen(outcomes.values(), _METRICS)
    for name, kind in _KINDS.items():
        if name in outcomes:
            yield from _of(name, kind, outcomes[name], seen)


def _of(name: str, kind: str, outcome: Outcome, seen: Seen) -> Iterator[Instance]:
    failures = {result.address: str(result.failure) for result in outcome.results if result.failure}
    seconds = seen.by(f"blnk_{name}_response_seconds", "address")
    for labels, up in seen.of(f"blnk_{name}_up"):
        address = labels.get("address") or outcome.results[0].address
        reason = (seen.chosen(f"blnk_{name}_down", "reason", address=address) or "").replace("_", " ")
        state: State = "ok" if up else "critical"
        yield Instance(kind, address, state, seconds.get(address), failures.get(address, reason))
