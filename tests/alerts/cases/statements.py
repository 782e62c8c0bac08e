"""What Blnk's statements cost PostgreSQL."""

from collections.abc import Mapping

from ..story import LIMITS, Case, Course, Rate

_MEAN, _LEAST = LIMITS["statements.mean"].warning or 0, LIMITS["statements.mean_least"].warning or 0
_QUARTER = 900


def _told(calls: float, mean: float, role: str = "blnk") -> Mapping[str, Course]:
    """So many calls in a quarter of an hour, which took so many seconds each."""
    labels = f'{{address="db:5432",role="{role}"}}'
    return {
        f"blnk_statements_calls_total{labels}": Rate(calls / _QUARTER),
        f"blnk_statements_seconds_total{labels}": Rate(calls * mean / _QUARTER),
    }


CASES = {
    "BlnkStatementsSlow": (
        Case(quiet=_told(9000, _MEAN * 0.99), loud=_told(9000, _MEAN * 1.01)),
        # Few, but long ones; and what others do is theirs.
        Case(
            quiet={**_told(_LEAST * 0.98, 10), **_told(9000, 10, "other")},
            loud=_told(_LEAST * 1.05, 10),
        ),
    ),
}
