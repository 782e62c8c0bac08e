"""Waiting for events: one bound, far beyond what a loaded machine needs, and no time that a test must keep."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

# How long a test waits before it fails. What takes a second on a quiet machine took 20 under a quarter of a core.
PATIENCE_SECONDS = 120.0
# A test that asks a server rarely is one that does not slow it down.
_LONGEST_PAUSE_SECONDS = 0.25
_SILENT_TURNS = 50


async def until(true: Callable[[], Any], what: str = "", *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Let the loop turn until something holds, and return what it gave."""

    async def holds() -> Any:
        return true()

    return await eventually(holds, what or str(true), seconds=seconds)


async def eventually(true: Callable[[], Awaitable[Any]], what: str = "", *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Do the same with something to await."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + seconds, 0.005
    while not (found := await true()):
        assert loop.time() < deadline, f"not within {seconds:g} s: {what or true}"
        await asyncio.sleep(pause)
        pause = min(1.2 * pause, _LONGEST_PAUSE_SECONDS)
    return found


async def speech(reader: asyncio.StreamReader) -> bytes:
    """Read what a peer in this event loop says until it falls silent; empty at the end.

    A peer is silent when it lets the loop turn many times without a word. That is the same on a slow machine.
    """
    said = await reader.read(1 << 20)
    while said:
        more = asyncio.ensure_future(reader.read(1 << 20))
        for _ in range(_SILENT_TURNS):
            await asyncio.sleep(0)
            if more.done():
                break
        else:
            more.cancel()
            await asyncio.wait([more])
        if more.cancelled() or not more.result():
            break
        said += more.result()
    return said
