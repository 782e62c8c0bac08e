"""What a key figure is."""

from dataclasses import dataclass
from typing import Literal

from ..quantity import Unit
from ..thresholds import Threshold

State = Literal["ok", "warning", "critical", "unknown", "off"]
# Worst first.
STATES: tuple[State, ...] = ("critical", "warning", "unknown", "ok", "off")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a person on call asks for.

    ``value`` is None when it is not known, and ``note`` then says why; otherwise ``note`` says where the worst is.
    ``text`` is the value in words, ``alert`` the one that fires when it is over its limit. ``judged`` names what the limit looks at where that is not the value itself. ``metrics`` are the names that it is made of, all of them the ``collector``'s.
    """

    name: str
    title: str
    collector: str
    metrics: tuple[str, ...]
    unit: Unit
    limit: Threshold | None
    value: float | None
    state: State
    text: str
    note: str = ""
    judged: str = ""
    why: str = ""
    alert: str = ""

    @property
    def limit_words(self) -> str:
        """What is compared with what; without a number, what is looked for."""
        if not self.limit:
            return self.judged
        return f"{self.judged}: {self.limit.words}" if self.judged else self.limit.words
