"""What Blnk's own ``/health`` answers mean; server and workers answer alike.

Source: Blnk ``cmd/server.go`` (healthCheckHandler) and ``cmd/workers.go``, 0.13.2 to 0.15.2.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from .collector import Reading, Result
from .errors import Malformed
from .metric import Metric, Sample

# Something in front of Blnk, or Blnk's own rate limit, refuses us: it says nothing of how Blnk is.
_REFUSALS = frozenset({401, 403, 407, 429})
STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
# Blnk's own words for DOWN, then ours for answers that are not Blnk's, then what stands in the way of an answer.
_BLNK_REASONS = {
    "config unavailable": "config_unavailable",
    "database unreachable": "database_unreachable",
    "database ping failed": "database_ping_failed",
}
DOWN_REASONS = (
    *_BLNK_REASONS.values(),
    "other",
    "redirect",
    "rate_limited",
    "http_status",
    "too_large",
    "not_json",
    "wrong_json",
    "unreachable",
    "refused",
    "timeout",
    "malformed",
    "error",
)


class Reply(Protocol):
    """An HTTP answer; ``body`` is None when it was longer than we read."""

    status: int
    body: bytes | None
    elapsed_seconds: float


class HealthSource(Protocol):
    """One instance of Blnk."""

    @property
    def address(self) -> str:
        """``host:port``."""
        ...

    async def get(self, path: str) -> Reply:
        """One GET request; raises ReadingError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Health(Reading):
    """What an instance says of itself; ``down_reason`` is None when it is up."""

    status: int
    elapsed_seconds: float
    down_reason: str | None = None


class WrongAnswer(Malformed):
    """An answer over HTTP that Blnk's health check does not give; keeps what was measured of it."""

    def __init__(self, down_reason: str, reply: Reply, detail: str) -> None:
        super().__init__(detail, answered=reply.status in _REFUSALS)
        self.down_reason = down_reason
        self.status = reply.status
        self.elapsed_seconds = reply.elapsed_seconds


async def probe(source: HealthSource) -> Health:
    """Ask one instance; raises WrongAnswer, or what the source raises."""
    return parse(await source.get("/health"))


def parse(reply: Reply) -> Health:
    """Raises WrongAnswer for everything that is neither UP nor DOWN in Blnk's own form."""
    status = reply.status
    if 300 <= status < 400:
        raise WrongAnswer("redirect", reply, f"/health answers {status}, a redirect; is this Blnk's own address?")
    if status == 429:
        raise WrongAnswer("rate_limited", reply, "Blnk's rate limit refuses our request")
    if status not in {200, 503}:
        raise WrongAnswer("http_status", reply, f"/health answers {status}")
    if reply.body is None:
        raise WrongAnswer("too_large", reply, "/health answers more than Blnk ever would")
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        reason = "not_json" if status == 200 else "http_status"
        raise WrongAnswer(reason, reply, f"/health answers {status} and no JSON") from None
    said = answer.get("status") if isinstance(answer, dict) else None
    match status, said:
        case 200, "UP":
            return Health(status=status, elapsed_seconds=reply.elapsed_seconds)
        case _, "DOWN":
            reason = _BLNK_REASONS.get(str(answer.get("reason")), "other")
            return Health(status=status, elapsed_seconds=reply.elapsed_seconds, down_reason=reason)
        case _:
            raise WrongAnswer("wrong_json", reply, f"/health answers {status} and JSON that is not Blnk's")


class HealthMetrics:
    """The metrics of one kind of instance, ``server`` or ``workers``."""

    def __init__(self, namespace: str, what: str) -> None:
        source = "GET /health"
        self.up = Metric(
            f"blnk_{namespace}_up",
            f"Whether the {what} answers that it is UP; absent where a reply refuses the exporter.",
            ("address",),
            source,
        )
        self.down = Metric(
            f"blnk_{namespace}_down",
            f"1 for the reason why the {what} is not UP; 0 for every other reason.",
            ("address", "reason"),
            source,
        )
        self.status = Metric(
            f"blnk_{namespace}_response_status",
            f"1 for the class of the HTTP status that the {what} answered with; absent when it did not answer.",
            ("address", "class"),
            source,
        )
        self.seconds = Metric(
            f"blnk_{namespace}_response_seconds",
            f"Time until the {what} had answered; absent when it did not answer.",
            ("address",),
            source,
        )
        self.all = (self.up, self.down, self.status, self.seconds)

    def samples(self, results: Sequence[Result[Health]]) -> Iterator[Sample]:
        """All of it for every instance that is configured."""
        for result in results:
            address, found = result.address, result.reading or result.failure
            why = getattr(found, "down_reason", None) or (result.failure.reason if result.failure else None)
            refused = result.failure and result.failure.answered is not False
            yield from self.up(None if refused else why is None, address=address)
            for reason in DOWN_REASONS:
                yield from self.down(why == reason, address=address, reason=reason)
            if status := getattr(found, "status", None):
                for name in STATUS_CLASSES:
                    yield from self.status(name[0] == str(status)[0], **{"address": address, "class": name})
            yield from self.seconds(getattr(found, "elapsed_seconds", None), address=address)
