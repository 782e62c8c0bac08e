"""What the process tells its service manager: the datagrams of sd_notify(3)."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notify:
    """Sends to the socket that systemd names in NOTIFY_SOCKET, and nowhere where it names none.

    ``watchdog_seconds`` is how often the manager wants a sign of life at the latest (WatchdogSec=); None where it
    wants none.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # An abstract socket is written with @ in place of its zero byte.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        if self._address.startswith(("\0", "/")):
            with suppress(OSError):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
        self.watchdog_seconds = _watchdog_seconds(environ) if self._socket else None

    def ready(self) -> None:
        """Report that the pages can be had."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that the configuration is being read; ``ready`` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report that the process is about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Report that the event loop turns."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Report no more."""
        if self._socket:
            self._socket.close()
        self._socket = None

    def _send(self, message: str) -> None:
        # A manager that does not read is its own problem: the next message says what counts then.
        with suppress(OSError):
            if self._socket:
                self._socket.sendto(message.encode(), self._address)


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(environ.get("WATCHDOG_USEC", "")) / 1e6 or None
    except ValueError:
        return None
