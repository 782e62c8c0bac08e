"""Ends the process when it can no longer answer, so that its supervisor starts it again.

Three ways to be deaf, and what sees each:

- The loop waits or spins in Python, and other threads run: a thread that asks the loop for a sign of life.
- The loop spins in C and holds the interpreter's lock, so that no thread runs: a timer of CPU time, whose signal is
  handled in C. CPU time does not pass while the process is stopped or the machine is suspended.
- Every allocation fails: the sign of life includes one of a megabyte.
"""

import asyncio
import ctypes
import faulthandler
import gc
import os
import signal
import socket
import stat
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from .notify import Notify

EXIT_STATUS = 70
"""Of a process whose loop stood still or that had no memory; 27 (SIGPROF) where even the watching thread did."""
STILL_SECONDS = 30
_TICK_SECONDS = 1.0
# asyncio receives into 256 KiB, and a thread's stack is as large: what cannot have a megabyte cannot answer.
_NEEDED_BYTES = 1 << 20
_FAILED_ALLOCATIONS_MAX = 3


@contextmanager
def watching(notify: Notify, last_words: Callable[[], None]) -> Iterator[None]:
    """Watch the running loop in the body; ``last_words`` waits, not for long, until the log is written."""
    watchdog = _Watchdog(asyncio.get_running_loop(), notify, last_words)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()


class _Watchdog:
    """Counts its own ticks rather than time: a process that was stopped for an hour has not missed 3,600 of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, notify: Notify, last_words: Callable[[], None]) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._notify = notify
        self._last_words = last_words
        self._alive = threading.Event()
        self._stopped = threading.Event()
        self._failed_allocations = 0
        self._told_at = -float("inf")
        self._dump: int | None = None
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._dump = _end_on_cpu_time()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        signal.setitimer(signal.ITIMER_PROF, 0)
        if self._dump is not None:
            faulthandler.unregister(signal.SIGPROF)
            os.close(self._dump)
            self._dump = None

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException:  # noqa: BLE001 - without memory, for one: nothing would notice the next time
            os._exit(EXIT_STATUS)

    def _watch(self) -> None:
        missed = 0
        self._ask()
        while not self._stopped.wait(_TICK_SECONDS):
            if not self._stopped.is_set():
                signal.setitimer(signal.ITIMER_PROF, STILL_SECONDS)
            if self._alive.is_set():
                missed = 0
                self._ask()
                continue
            missed += 1
            if missed * _TICK_SECONDS >= STILL_SECONDS:
                self._end("event loop stood still", seconds=STILL_SECONDS, where=self._where())

    def _ask(self) -> None:
        self._alive.clear()
        # A closed loop needs no watching.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        """Show, in the loop, that it turns and has memory."""
        try:
            bytearray(_NEEDED_BYTES)
        except MemoryError:
            gc.collect()
            self._failed_allocations += 1
            if self._failed_allocations >= _FAILED_ALLOCATIONS_MAX:
                self._end("out of memory", needed_bytes=_NEEDED_BYTES)
        else:
            self._failed_allocations = 0
        self._alive.set()
        wanted = self._notify.watchdog_seconds
        if wanted and time.monotonic() - self._told_at >= wanted / 4:
            self._told_at = time.monotonic()
            self._notify.alive()

    def _where(self) -> str:
        """The stack of the loop's thread, innermost function first, without a variable's value."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the documented way
        stack = traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)
        return " < ".join(f"{frame.name}:{frame.lineno}" for frame in stack)

    def _end(self, event: str, **details: object) -> None:
        try:
            structlog.get_logger().critical(event, **details)
            self._last_words()
        finally:
            os._exit(EXIT_STATUS)


def _end_on_cpu_time() -> int | None:
    """Let SIGPROF, which the timer sends, end the process in C; return a descriptor for the stacks, if there is one.

    Its default action would do, but not for the first process of a container, which the kernel spares.
    """
    library = ctypes.CDLL(None)
    library.signal.restype = ctypes.c_void_p
    library.signal(int(signal.SIGPROF), library._exit)  # noqa: SLF001 - the C library's
    descriptor = _without_blocking()
    if descriptor is not None:
        # Writes the stacks, then calls what was there before.
        faulthandler.register(signal.SIGPROF, file=descriptor, all_threads=True, chain=True)
    signal.setitimer(signal.ITIMER_PROF, STILL_SECONDS)
    return descriptor


def _without_blocking() -> int | None:
    """Standard error, as a descriptor that a signal handler can write to without waiting; None where there is none."""
    try:
        if stat.S_ISSOCK(os.fstat(2).st_mode):
            # systemd's journal. The millisecond counts for each of the many writes; the writer of lines tries again.
            with socket.socket(fileno=os.dup(2)) as shared:
                shared.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 1000))
                return os.dup(shared.fileno())
        # Opened again, a file or pipe has flags that no other process shares.
        return os.open("/proc/self/fd/2", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
