"""A lock with two doors: who comes through the back one waits until nobody stands at the front."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """One at a time, in the order in which they came, those in the background after all others.

    A turn that has begun is not interrupted.
    """

    def __init__(self) -> None:
        self._taken = False
        self._front: deque[asyncio.Future[None]] = deque()
        self._back: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def take(self, *, background: bool = False) -> AsyncIterator[None]:
        """Hold the turn for as long as the context lasts."""
        if self._taken or background:
            await self._wait(self._back if background else self._front)
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        loop = asyncio.get_running_loop()
        called: asyncio.Future[None] = loop.create_future()
        queue.append(called)
        loop.call_soon(self._call_back)
        try:
            await called
        except asyncio.CancelledError:
            if called in queue:
                queue.remove(called)
            elif not called.cancelled():  # called in the very moment of leaving
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self._taken = _call(self._front)
        if not self._taken and self._back:
            # One turn of the loop later: who has just finished may have more to ask, and goes first.
            asyncio.get_running_loop().call_soon(self._call_back)

    def _call_back(self) -> None:
        if not self._taken:
            self._taken = _call(self._back)


def _call(queue: deque[asyncio.Future[None]]) -> bool:
    """Let in the first who has not left; False when there is none."""
    while queue:
        called = queue.popleft()
        if not called.done():
            called.set_result(None)
            return True
    return False
