"""Heartbeats of the stand-in's workers, written by a thread with its own event loop and connection.

asynq writes one every five seconds, with a TTL of ten. An event loop that runs sixteen workloads on a slow machine
misses that, and the exporter then truthfully reports workers that are gone.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError

from .asynq import HEARTBEAT_SECONDS, Asynq
from .worker import Consumer

# How soon a failed heartbeat is tried again, and the end of the context is noticed.
_LOOK_SECONDS = 0.1

Consumers = Callable[[], Sequence[Consumer]]


@contextlib.asynccontextmanager
async def beating(redis: Redis, consumers: Consumers) -> AsyncIterator[None]:
    """Write the heartbeats of all current consumers; the first attempt is over when the context begins."""
    loop, tried, stop = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    pool = ConnectionPool(**redis.connection_pool.connection_kwargs)

    def beat() -> None:
        asyncio.run(_beat(pool, consumers, stop, lambda: loop.call_soon_threadsafe(tried.set)))

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


async def _beat(pool: ConnectionPool, consumers: Consumers, stop: threading.Event, tried: Callable[[], object]) -> None:
    async with Redis(connection_pool=pool) as redis:
        asynq, due = Asynq(redis), 0.0
        while not stop.is_set():
            if time.monotonic() >= due:
                try:
                    # One that waits longer is too late, as when the server was frozen or killed under it.
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        for consumer in consumers():
                            await asynq.beat(consumer.server, consumer.working, time.time())
                    due = time.monotonic() + HEARTBEAT_SECONDS
                except (OSError, RedisError, RuntimeError, EOFError):
                    await pool.disconnect()
                tried()
            await asyncio.sleep(_LOOK_SECONDS)
    await pool.disconnect()
