"""Heartbeats of the stand-in's workers, written by a thread with its own event loop and connection.

asynq writes one every five seconds, with a TTL of ten. An event loop that runs sixteen workloads on a slow machine
misses that, and the exporter then truthfully reports workers that are gone.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError

from .asynq import HEARTBEAT_SECONDS, Asynq
from .worker import Consumer

# How soon a failed heartbeat is tried again, and the end of the context is noticed.
_LOOK_SECONDS = 0.1
_TROUBLE = (OSError, EOFError, RuntimeError, RedisError)

Consumers = Callable[[], Sequence[Consumer]]


@contextlib.asynccontextmanager
async def beating(redis: Redis, consumers: Consumers) -> AsyncIterator[None]:
    """Write the heartbeats of all current consumers; the first attempt is over when the context begins."""
    loop, tried, stop = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    server = redis.connection_pool.connection_kwargs

    def beat() -> None:
        asyncio.run(_beat(server, consumers, stop, lambda: loop.call_soon_threadsafe(tried.set)))

    thread = threading.Thread(target=beat, name="heartbeats", daemon=True)
    thread.start()
    try:
        await tried.wait()
        yield
    finally:
        stop.set()
        # A join would block the loop, and a cancelled wait must not leave the thread writing.
        while thread.is_alive():  # noqa: ASYNC110 - a thread does not tell
            await asyncio.sleep(_LOOK_SECONDS / 10)


async def _beat(
    server: Mapping[str, Any], consumers: Consumers, stop: threading.Event, tried: Callable[[], object]
) -> None:
    due = 0.0
    while not stop.is_set():
        if time.monotonic() >= due:
            # On a new connection each: what a frozen or killed server did to the last one is over. A task, since a client
            # may keep a cancellation to itself; one that waits longer is too late.
            once = asyncio.create_task(_beat_once(server, consumers))
            await asyncio.wait([once], timeout=HEARTBEAT_SECONDS)
            once.cancel()
            if once.done() and not once.cancelled():
                failure = once.exception()
                if failure and not isinstance(failure, _TROUBLE):
                    raise failure
                due = due if failure else time.monotonic() + HEARTBEAT_SECONDS
            tried()
        await asyncio.sleep(_LOOK_SECONDS)


async def _beat_once(server: Mapping[str, Any], consumers: Consumers) -> None:
    async with Redis.from_pool(ConnectionPool(**server)) as redis:
        for consumer in consumers():
            await Asynq(redis).beat(consumer.server, consumer.working, time.time())
