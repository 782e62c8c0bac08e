"""A server process that dies with its parent, can be frozen, and always ends when told to."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from .account import Account
from .failure import SandboxError, ServerError

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_SECONDS = 0.005
_ADDRESS_IN_USE = "address already in use"
_PORT_ATTEMPTS = 5
# With its parent gone, nobody would wake a frozen process again: SIGKILL reaches it all the same.
_KILL_AFTER_US = 'read -r _; kill -KILL "$@"'
# Again for a while: children of a server that died with us may take a moment to notice, and write meanwhile.
_REMOVE_AFTER_US = 'read -r _; n=0; until rm -rf -- "$1" || [ $((n += 1)) -ge 50 ]; do sleep 0.2; done'
_KILL_SECONDS = 10.0
# States of /proc/PID/stat. A zombie holds no files any more, and it may be that nobody buries it.
_ENDED = frozenset("ZXx")
# D, too: a parent in vfork cannot stop before its child, which may have been stopped first, goes on.
_STILL = _ENDED | frozenset("TtD")

T = TypeVar("T")
Escalation = Sequence[tuple[signal.Signals, float]]


class Guard:
    """A small process that acts as soon as this one is gone, however it went; ``dismiss`` it when all is well.

    It waits for the end of a pipe that only this process holds open, so even SIGKILL sets it off.
    """

    def __init__(self, script: str, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us, not for the guard
        )

    def dismiss(self) -> None:
        """End the guard without letting it act."""
        # Killed before the pipe closes: the other way round it would act.
        self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


def removes_after_us(directory: Path) -> Guard:
    """Set a guard that removes a directory should this process die without doing so itself."""
    return Guard(_REMOVE_AFTER_US, [str(directory)])


class ServerProcess:
    """One child in a session of its own, so that a Ctrl-C in the terminal does not reach it.

    It is tied to the *thread* that created it (the kernel's rule for PR_SET_PDEATHSIG): create it in the thread
    of the event loop, never in a worker thread.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        directory: Path,
        log_path: Path,
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log_path = log_path
        self._frozen: Guard | None = None
        self._name = Path(command[0]).name
        uid, gid = (account.uid, account.gid) if account else (-1, -1)
        # Not followed: the directory belongs to an account that is less trusted than we may be.
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), str(uid), str(gid), *command],
                cwd=directory,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)

    @property
    def pid(self) -> int:
        """Process id of the server itself: the launcher became it."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended; a frozen one has not."""
        return self._process.poll() is None

    def log_tail(self, lines: int = 15) -> str:
        """Read the last lines of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text("utf-8", "replace").splitlines()[-lines:])
        return ""

    def failed(self, what: str) -> ServerError:
        """Make an error that says what happened and shows the log's tail."""
        return ServerError(f"{self._name}: {what}; last lines of its log:\n{self.log_tail()}")

    async def ended(self, timeout_seconds: float) -> int | None:
        """Wait for its exit status, negative for a signal; None when it has not ended in time."""
        deadline = time.monotonic() + timeout_seconds
        # Polled: SIGCHLD belongs to the event loop's owner, and a pidfd is forbidden in some containers.
        while (status := self._process.poll()) is None and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        return status

    async def ready(self, probe: Callable[[], bool], timeout_seconds: float) -> None:
        """Return once ``probe`` says so; raises ServerError when it ends first or takes too long."""
        deadline = time.monotonic() + timeout_seconds
        while not probe():
            if not self.running:
                raise self.failed(f"ended with status {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self.failed(f"not ready after {timeout_seconds:g} s")
            await asyncio.sleep(_POLL_SECONDS)

    def pause(self) -> None:
        """Freeze it and all its children: it keeps its sockets and answers nothing."""
        if self._frozen or not self.running:
            return
        children = _freeze(self.pid)
        self._frozen = Guard(_KILL_AFTER_US, [str(self.pid), *map(str, children)])

    def resume(self) -> None:
        """Let it go on where ``pause`` froze it."""
        if not self._frozen:
            return
        self._frozen.dismiss()
        self._frozen = None
        _send(signal.SIGCONT, [*descendants(self.pid), self.pid])

    def reload(self) -> None:
        """Tell it to read its configuration again."""
        self._process.send_signal(signal.SIGHUP)

    async def stop(self, escalation: Escalation) -> None:
        """Ask with each signal in turn, waiting its seconds, then kill. Returns when all is gone, never hangs."""
        self.resume()
        try:
            for sign, seconds in escalation:
                if not self.running:
                    break
                self._process.send_signal(sign)
                await self.ended(seconds)
        finally:  # cancelled while waiting: no more patience
            self.kill()

    def kill(self) -> None:
        """End it and its children at once, frozen or not. None of them writes a file after this returns."""
        if self.running:
            # Frozen first: a child that is started while we look for children would be missed.
            children = _freeze(self.pid)
            self._process.kill()
            _send(signal.SIGKILL, children)
            _wait(children, _ENDED)
        self._process.wait(timeout=_KILL_SECONDS)
        if self._frozen:
            self._frozen.dismiss()
            self._frozen = None


def descendants(pid: int) -> list[int]:
    """List the processes that a process has started, and those have, and so on."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state ppid …", and a name may hold anything.
            parent = int(stat.read_text("ascii", "replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for ancestor in found:
        found += children.get(ancestor, [])
    return found[1:]


def _freeze(pid: int) -> list[int]:
    """Stop a process and all its descendants, so that none can start another; returns the descendants."""
    stopped: set[int] = set()
    while fresh := {pid, *descendants(pid)} - stopped:
        _send(signal.SIGSTOP, fresh)
        _wait(fresh, _STILL)
        stopped |= fresh
    return sorted(stopped - {pid})


def _wait(pids: Iterable[int], states: frozenset[str]) -> None:
    deadline = time.monotonic() + _KILL_SECONDS
    for pid in pids:
        while _state(pid) not in states and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS / 10)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _send(sign: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)


async def run(process: ServerProcess, timeout_seconds: float) -> None:
    """Wait for a program that ends by itself; raises ServerError unless it ends well and in time."""
    try:
        status = await process.ended(timeout_seconds)
    finally:
        process.kill()
    if status is None:
        raise process.failed(f"still busy after {timeout_seconds:g} s")
    if status:
        raise process.failed(f"ended with status {status}")


def free_port() -> int:
    """Find a TCP port of loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def on_free_port(start: Callable[[int], Awaitable[T]]) -> T:
    """Call ``start`` with a free port, and again with another when somebody else was quicker to take it."""
    taken: ServerError | None = None
    for _ in range(_PORT_ATTEMPTS):
        try:
            return await start(free_port())
        except ServerError as error:
            if _ADDRESS_IN_USE not in str(error).lower():
                raise
            taken = error
    raise taken or SandboxError("no free port")
