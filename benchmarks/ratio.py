"""Ratios of what was measured in the same rounds, and how far chance could have moved them."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_RESAMPLES = 2000


@dataclass(frozen=True)
class Ratio:
    """A ratio of medians and the middle 95 % of what resampled rounds give (bootstrap)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f}-{self.high:.2f})"


def of_medians(these: Sequence[float], those: Sequence[float]) -> Ratio:
    """How much more these are than those; both come from the same rounds, in order."""
    pairs = [*zip(these, those, strict=True)]
    # The same resamples each time: the spread is the measurements', not the method's.
    chance = random.Random(0)
    found = sorted(_ratio(chance.choices(pairs, k=len(pairs))) for _ in range(_RESAMPLES))
    return Ratio(_ratio(pairs), found[_RESAMPLES // 40], found[-_RESAMPLES // 40])


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return statistics.median(this for this, _ in pairs) / statistics.median(that for _, that in pairs)
