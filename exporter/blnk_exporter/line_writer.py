"""Standard output and error that never raise and never block: a full disk or a reader that stalls costs lines, not metrics."""

import atexit
import io
import os
import queue
import select
import sys
import threading
from contextlib import suppress

_QUEUED_BYTES_MAX = 1 << 20
# How long the end of the process waits for lines that are still queued.
_DRAIN_SECONDS = 1.0


class LineWriter(io.TextIOBase):
    """A text stream whose lines a thread writes to a file descriptor.

    ``dropped`` counts the lines that the descriptor refused, and those that came while 1 MiB was waiting for it.
    The descriptor stays as it is: O_NONBLOCK would count for every process that shares it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._queued_bytes = 0
        self._begun = ""
        self._torn = False
        self._thread: threading.Thread | None = None
        self.dropped = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What text is encoded with."""
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What becomes of characters that cannot be encoded."""
        return "backslashreplace"

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Queue the whole lines in the text, and keep the rest until its line is whole."""
        try:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._put(line)
        except MemoryError:
            self.dropped += 1
            self._begun = ""
        return len(text)

    def drain(self, seconds: float = _DRAIN_SECONDS) -> None:
        """Wait until what is queued has been written, or for this long."""
        if self._begun:
            self.write("\n")
        if self._thread and self._queued_bytes:
            done = threading.Event()
            self._queue.put(done)
            done.wait(seconds)

    def _put(self, line: str) -> None:
        encoded = f"{line}\n".encode(self.encoding, self.errors)
        if self._queued_bytes + len(encoded) > _QUEUED_BYTES_MAX or not self._has_thread():
            self.dropped += 1
            return
        self._queued_bytes += len(encoded)
        self._queue.put(encoded)

    def _has_thread(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"lines-{self._descriptor}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # As many threads as there may be: the next line tries again.
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self._write_all(item)
            except (OSError, MemoryError):
                self.dropped += 1
            self._queued_bytes -= len(item)

    def _write_all(self, line: bytes) -> None:
        # A line that was cut off by a full disk must not become the beginning of the next one.
        left = memoryview(b"\n" + line if self._torn else line)
        while left:
            try:
                written = os.write(self._descriptor, left)
            except BlockingIOError:
                # Another process has made the descriptor non-blocking, or it is a socket with a time limit.
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
                continue
            self._torn = left[written - 1] != ord("\n") if written else self._torn
            left = left[written:]


def install() -> tuple[LineWriter, LineWriter]:
    """Put such streams in place of ``sys.stdout`` and ``sys.stderr``, drained when the process ends; return them."""
    descriptors = []
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        if stream:
            with suppress(OSError, ValueError):
                stream.flush()
        # None where the process was started with it closed: the number may be that of a socket by now.
        descriptors.append(number if stream else os.open(os.devnull, os.O_WRONLY))
    out, err = map(LineWriter, descriptors)
    sys.stdout, sys.stderr = streams = out, err
    for stream in streams:
        atexit.register(stream.drain)
    return streams
