"""Blocking questions to the system, each in a thread that may hang without keeping anybody else, or the exit, waiting."""

import _thread
import asyncio
import errno
import os
import socket
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

# Of the whole process: what hangs goes on hanging across a reload of the configuration.
_under_way: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Future[Any]] = {}


def is_asked(question: Hashable) -> bool:
    """Whether the question is still without an answer."""
    return (asyncio.get_running_loop(), question) in _under_way


def ask(question: Hashable, work: Callable[[], T]) -> asyncio.Future[T]:
    """The answer, shared by all who ask the same while it is awaited: there is one thread to a question.

    Wait for it with ``asyncio.wait`` or behind ``asyncio.shield``: it belongs to the others too.
    """
    place = asyncio.get_running_loop(), question
    found = _under_way.get(place)
    if found is None:
        found = _under_way[place] = _in_thread(work)
        found.add_done_callback(lambda answered: (_under_way.pop(place), answered.cancelled() or answered.exception()))
    return found


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    # Not the loop's own executor: it has few threads, and the end of the program waits for every one of them.
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(answer: Callable[[], None]) -> None:
        if not future.done():
            answer()

    def run() -> None:
        try:
            answer = partial(future.set_result, work())
        except Exception as error:  # noqa: BLE001 - it is the asker's, whatever it is
            answer = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the loop did not wait for us
            loop.call_soon_threadsafe(deliver, answer)

    # Not threading.Thread, whose start waits for the thread's first step, and the loop with it: a millisecond at times.
    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:
        # As many threads as the unit or the container may have; what asks knows what to make of an error of the system.
        future.set_exception(OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)))
    return future


class _LookUp:
    """Stands for a loop's ``getaddrinfo``, through which every driver looks up a host's name."""

    async def __call__(self, host: Any, port: Any, **how: Any) -> list[Any]:
        question = ("getaddrinfo", host, port, *sorted(how.items()))
        return await asyncio.shield(ask(question, partial(socket.getaddrinfo, host, port, **how)))


def look_up_apart(loop: asyncio.AbstractEventLoop) -> None:
    """From now on a resolver that hangs costs one thread per target, and neither other work nor the exit waits for it."""
    if not isinstance(loop.getaddrinfo, _LookUp):
        loop.getaddrinfo = _LookUp()  # type: ignore[method-assign]
