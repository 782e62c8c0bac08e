"""One run of a collector that all requests wanting it share, and how long it may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .collector import Outcome

# A Prometheus that scrapes every two minutes counts as recent throughout.
_RECENT_SECONDS = 120.0


class Flight:
    """A run with the latest deadline of the requests that wait for it, as long as one of them could have begun it.

    Without that limit, requests that overlap would extend the run of a source that hangs for ever, and no other run
    would find that it answers again. A deadline that has passed cannot be moved: ``expired`` says that some source had
    not answered by then. ``stopping`` says that the deadline is the end of the process and not a request's.
    """

    task: asyncio.Task[Outcome]

    def __init__(self, started_at: float, deadline: float, budget_seconds: float, *, stopping: bool = False) -> None:
        self.started_at = started_at
        self.deadline = deadline
        self.budget_seconds = budget_seconds
        self.stopping = stopping
        self.expired = False
        self._timers: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def time_limit(self) -> AsyncIterator[None]:
        """Raise TimeoutError in the body when the deadline passes, however often that is moved until then."""
        async with asyncio.timeout_at(self.deadline) as timer:
            self._timers.add(timer)
            try:
                yield
            finally:
                self._timers.discard(timer)
                self.expired = self.expired or timer.expired()

    def extend(self, deadline: float, budget_seconds: float) -> None:
        """Give the run the time of one more request."""
        if not self.expires_before(deadline):
            return
        self.expired = self.expired or any(timer.expired() for timer in self._timers)
        if not self.expired:
            self.budget_seconds = max(self.budget_seconds, budget_seconds)
            self._move(max(self.deadline, min(deadline, self.started_at + self.budget_seconds)))

    def expires_before(self, deadline: float) -> bool:
        """Whether a request with this deadline would get an outcome that a shorter budget has cut short."""
        return self.deadline < deadline and not self.task.done()

    def stop(self, at: float) -> None:
        """End at this time at the latest."""
        if at < self.deadline:
            self.stopping = True
            self._move(at)

    def _move(self, deadline: float) -> None:
        self.deadline = deadline
        for timer in self._timers:
            if not timer.expired():
                timer.reschedule(deadline)


@dataclass
class Patience:
    """The longest budget among recent requests.

    What a request with less time could not read does not prove a failure, as long as others give it more.
    """

    _longest: float = 0.0
    _longest_before: float = 0.0
    _period: int = 0

    def note(self, budget_seconds: float, now: float) -> None:
        """Count a request; ``now`` is the loop's clock."""
        self._turn(now)
        self._longest = max(self._longest, budget_seconds)

    def longest_seconds(self, now: float) -> float:
        """The longest budget of the last two to four minutes; 0 where there was no request."""
        self._turn(now)
        return max(self._longest, self._longest_before)

    def _turn(self, now: float) -> None:
        period = int(now // _RECENT_SECONDS)
        if period != self._period:
            self._longest_before = self._longest if period == self._period + 1 else 0.0
            self._longest, self._period = 0.0, period
