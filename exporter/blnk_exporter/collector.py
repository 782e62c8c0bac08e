"""What a collector is, what it is bound to, and what one run of it ends in."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .errors import ReadingError, Reason
from .metric import Metric, Sample
from .right import Right

BUDGET_SECONDS: ContextVar[float] = ContextVar("BUDGET_SECONDS", default=1.0)
"""How long the scrape may take that the present reading was begun for; a limit within a reading is a share of it."""


class Source(Protocol):
    """Anything a collector reads."""

    @property
    def address(self) -> str:
        """Names this source among its like, without a secret: ``host:port`` or a path. A label value."""
        ...


class Store(Source, Protocol):
    """Redis, as a room sees it."""

    async def execute(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The replies of one round trip, a ReadingError in place of one that was refused; raises ReadingError."""
        ...

    @property
    def connections(self) -> int:
        """How many connections have been made; what was learned of the server holds for the last one."""
        ...

    def reconnect(self) -> None:
        """Let the next round trip begin with a new connection."""
        ...


@dataclass(frozen=True, slots=True)
class Gap:
    """A fact that a source which did answer would not give: a missing right, a forbidden command."""

    fact: str
    reason: Reason
    detail: str = ""

    @staticmethod
    def once_each(gaps: Iterable["Gap"]) -> tuple["Gap", ...]:
        """The first gap of each fact and reason: one missing right shows on every queue or table."""
        kept: dict[tuple[str, str], Gap] = {}
        for gap in gaps:
            kept.setdefault((gap.fact, gap.reason), gap)
        return tuple(kept.values())


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The facts that one source gave. A field that is None is not known; a gap may say why.

    ``read_at`` (Unix time) is told by a source that keeps its readings itself; others read when they are asked.
    """

    gaps: tuple[Gap, ...] = ()
    read_at: float | None = None


R = TypeVar("R", bound=Reading)
R_co = TypeVar("R_co", bound=Reading, covariant=True)


@dataclass(frozen=True, slots=True)
class Result(Generic[R_co]):
    """What became of one source: a reading, or the failure that stood in its way; exactly one of them."""

    source: Source
    reading: R_co | None = None
    failure: ReadingError | None = None

    @property
    def address(self) -> str:
        """The source's name."""
        return self.source.address

    @property
    def answered(self) -> bool | None:
        """Whether the source replied, if only to refuse; None where that is not known."""
        return True if self.failure is None else self.failure.answered


@dataclass(frozen=True, kw_only=True)
class Collector(Generic[R]):
    """One room: reads one kind of source and knows how its facts are called.

    ``read`` is given one source and raises only ReadingError when it fails as foreseen. ``samples`` is pure and
    sees every source's result, failed ones included, so that ``up`` is always told. ``facts`` is the closed set
    of names that the reading's gaps use; ``rights`` are the ones it cannot be whole without. A slow one is read on
    an interval of its own.
    """

    name: str
    help: str
    metrics: tuple[Metric, ...]
    read: Callable[[Any], Awaitable[R]]
    samples: Callable[[Sequence[Result[R]]], Iterator[Sample]]
    facts: tuple[str, ...] = ()
    rights: tuple[Right, ...] = ()
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """A collector bound to the sources it reads in this deployment; at least one.

    A success younger than the interval is served again instead of reading anew.
    """

    collector: Collector[Any]
    sources: tuple[Source, ...]
    min_interval_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a collector ended in. ``finished_at`` is Unix time in seconds.

    ``cut_short`` means that it ended for want of time that other requests would give: an answer to the request that
    had no more, and not evidence of the source's state.
    """

    collector: Collector[Any]
    results: tuple[Result[Any], ...]
    samples: tuple[Sample, ...]
    duration_seconds: float
    finished_at: float
    cut_short: bool = False

    @property
    def failure(self) -> ReadingError | None:
        """The first source's failure, None when every source was read."""
        return next((result.failure for result in self.results if result.failure), None)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps of all sources, each once."""
        return Gap.once_each(gap for result in self.results if result.reading for gap in result.reading.gaps)
