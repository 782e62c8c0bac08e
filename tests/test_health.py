"""What answers to /health mean, Blnk's own and everybody else's."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from blnk_exporter.collector import Result
from blnk_exporter.errors import Malformed, ReadingError, Refused, TimedOut, Unreachable
from blnk_exporter.health import DOWN_REASONS, STATUS_CLASSES, Health, HealthMetrics, WrongAnswer, parse, probe

METRICS = HealthMetrics("test", "test")


@dataclass
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes | None
    elapsed_seconds: float = 0.25


@dataclass
class Source:
    """An instance."""

    address: str = "a:1"

    async def get(self, path: str) -> Reply:
        """Healthy, where one asks for health."""
        return Reply(200, b'{"status":"UP"}') if path == "/health" else Reply(404, b"")


# Bodies as real Blnk 0.13.2 and 0.15.2 gave them, server and worker (captured 2026-11-22).
@pytest.mark.parametrize(
    ("status", "body", "down"),
    [
        (200, b'{"status":"UP"}', None),
        (200, b'{"status": "UP", "service": "worker"}', None),
        (503, b'{"reason":"database ping failed","status":"DOWN"}', "database_ping_failed"),
        (503, b'{"reason":"database unreachable","status":"DOWN"}', "database_unreachable"),
        (503, b'{"reason":"config unavailable","status":"DOWN"}', "config_unavailable"),
        (503, b'{"reason":"a reason of a later Blnk","status":"DOWN"}', "other"),
        (503, b'{"status":"DOWN"}', "other"),
        (503, b'{"status":"DOWN","reason":["list"]}', "other"),
        (200, b'{"status":"DOWN"}', "other"),
    ],
)
def test_blnks_own_answers(status: int, body: bytes, down: str | None) -> None:
    """Up, or down for a reason out of a closed set."""
    assert parse(Reply(status, body)) == Health(status=status, elapsed_seconds=0.25, down_reason=down)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (301, b"", "redirect"),
        (307, b"<html>", "redirect"),
        (429, b'{"error":"slow down"}', "rate_limited"),
        (404, b"404 page not found", "http_status"),
        (401, b"{}", "http_status"),
        (500, b'{"status":"UP"}', "http_status"),
        (502, b"<html>Bad Gateway</html>", "http_status"),
        (503, b"<html>Service Unavailable</html>", "http_status"),
        (204, b"", "http_status"),
        (200, None, "too_large"),
        (200, b"<html><body>hello</body></html>", "not_json"),
        (200, b"", "not_json"),
        (200, b'{"status":"U', "not_json"),
        (200, b"\xff\xfe\x00", "not_json"),
        (200, b"[" * 60_000, "not_json"),
        (200, b"1" * 60_000, "not_json"),
        (200, b'"server running..."', "wrong_json"),
        (200, b"[]", "wrong_json"),
        (200, b"null", "wrong_json"),
        (200, b'{"status":"ok"}', "wrong_json"),
        (200, b'{"status":true}', "wrong_json"),
        (503, b'{"status":"UP"}', "wrong_json"),
    ],
)
def test_other_answers_are_malformed_with_a_reason_of_their_own(status: int, body: bytes | None, reason: str) -> None:
    """A login page that answers 200 is not a healthy ledger."""
    with pytest.raises(WrongAnswer) as caught:
        parse(Reply(status, body))
    assert (caught.value.down_reason, caught.value.status, caught.value.elapsed_seconds) == (reason, status, 0.25)
    assert isinstance(caught.value, Malformed)
    assert reason in DOWN_REASONS


async def test_only_health_is_asked_for() -> None:
    """Blnk has GET routes with side effects, /backup among them."""
    assert await probe(Source()) == Health(status=200, elapsed_seconds=0.25)


def told(results: Sequence[Result[Health]]) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by metric."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for sample in METRICS.samples(results):
        found.setdefault(sample.metric.name.removeprefix("blnk_test_"), {})[sample.labels] = sample.value
    return found


def test_an_instance_that_is_up() -> None:
    """Up, no reason to be down, its status and its time."""
    page = told([Result(Source(), Health(status=200, elapsed_seconds=0.5))])
    assert page == {
        "up": {("a:1",): 1},
        "down": {("a:1", reason): 0 for reason in DOWN_REASONS},
        "response_status": {("a:1", name): float(name == "2xx") for name in STATUS_CLASSES},
        "response_seconds": {("a:1",): 0.5},
    }


@pytest.mark.parametrize(
    ("result", "why", "status"),
    [
        (Result(Source(), Health(status=503, elapsed_seconds=0.5, down_reason="database_ping_failed")), "database_ping_failed", "5xx"),
        (Result(Source(), failure=WrongAnswer("redirect", Reply(302, b""), "a redirect")), "redirect", "3xx"),
        (Result(Source(), failure=WrongAnswer("rate_limited", Reply(429, b""), "slow down")), "rate_limited", "4xx"),
        (Result(Source(), failure=WrongAnswer("http_status", Reply(403, b""), "forbidden")), "http_status", "4xx"),
        (Result(Source(), failure=Unreachable("gone")), "unreachable", None),
        (Result(Source(), failure=TimedOut("late")), "timeout", None),
        (Result(Source(), failure=Refused("certificate")), "refused", None),
        (Result(Source(), failure=Malformed("not HTTP")), "malformed", None),
        (Result(Source(), failure=ReadingError("a defect")), "error", None),
    ],
)  # fmt: skip
def test_an_instance_that_is_not(result: Result[Health], why: str, status: str | None) -> None:
    """One reason and no more; what was not measured is not told."""
    page = told([result])
    # A reply that refuses us says nothing of how Blnk is.
    assert page.get("up") == (None if why in {"rate_limited", "http_status", "refused", "error"} else {("a:1",): 0})
    assert [labels for labels, value in page["down"].items() if value] == [("a:1", why)]
    assert [labels[1] for labels, value in page.get("response_status", {}).items() if value] == (
        [status] if status else []
    )
    assert ("response_seconds" in page) == (status is not None)


def test_every_instance_is_told_of() -> None:
    """Two of three being up is what a page must show."""
    results = [Result(Source(f"{n}:1"), Health(status=200, elapsed_seconds=0)) for n in "ab"]
    page = told([*results, Result(Source("c:1"), failure=Unreachable("gone"))])
    assert page["up"] == {("a:1",): 1, ("b:1",): 1, ("c:1",): 0}
