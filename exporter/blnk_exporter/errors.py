"""Every failure a reading may end in.

::

    ExporterError
    ├── ConfigError            the operator's input, with every fault at once
    ├── UnknownCollector       a request names a collector that does not exist
    ├── UnknownTarget          a request names a deployment that is not configured
    ├── CannotListen           our own address is taken, or not ours
    ├── CannotWrite            a folder for what we render
    └── ReadingError           one source, one scrape
        ├── Unreachable        nobody answers there
        ├── Refused            somebody answers, and says no: password, right, policy
        │   ├── NotReady       the server answers that it serves no client yet, or no longer
        │   └── NotAsked       the fault is on our side, before anything was sent: a file, a setting
        ├── TimedOut           no answer in time
        │   ├── TooDear        the server gave up after the time that a statement may take
        │   └── Locked         another session holds what we asked for
        └── Malformed          an answer that is not what its protocol promises

Anything else that escapes a collector is a defect of ours and has the reason ``error``.
"""

import os
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

Reason = Literal["unreachable", "refused", "timeout", "malformed", "error"]
REASONS: tuple[Reason, ...] = ("unreachable", "refused", "timeout", "malformed", "error")


class ExporterError(Exception):
    """Base of all failures that are foreseen."""


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong with the configuration: where it stands and what is wrong, never a secret."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class ConfigError(ExporterError):
    """The configuration cannot be used; carries every fault, not only the first, and the files it would be read from."""

    def __init__(self, faults: Iterable[Fault], *, files: Iterable[Path] = ()) -> None:
        self.faults = tuple(sorted(set(faults)))
        self.files = tuple(files)
        super().__init__("\n".join(map(str, self.faults)))


class UnknownCollector(ExporterError):
    """A request names a collector that does not exist; the message lists those that do."""


class UnknownTarget(ExporterError):
    """A request names a deployment that is none of ``targets``; the message lists those that are."""


class CannotListen(ExporterError):
    """The address that we are to listen on cannot be had; the message says which and why."""


class CannotWrite(ExporterError):
    """A rendered file cannot be put where it should be; nothing has changed."""


class ReadingError(ExporterError):
    """A source could not be read. The message never holds a secret; the reason is a bounded label value.

    ``answered`` says whether the source itself replied, if only to refuse: what replies is not down. None where the
    failure does not show it.
    """

    reason: ClassVar[Reason] = "error"
    answered: bool | None = None

    def __init__(self, detail: str) -> None:
        # Servers speak in several lines; a log and a page have one for each failure.
        super().__init__(" ".join(detail.split()))


class Unreachable(ReadingError):
    """No connection: refused by the host, no route, no such name, closed half-way."""

    reason = "unreachable"
    answered = False

    @classmethod
    def because(cls, error: BaseException) -> "Unreachable":
        """In the system's words where it has some: drivers wrap them in their own, some of them at length."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno is not None:
                # Two libraries count their errors on their own.
                known = cause.errno > 0 and not isinstance(cause, (socket.gaierror, ssl.SSLError))
                return cls(os.strerror(cause.errno) if known else cause.strerror or str(cause))
            cause = getattr(cause, "os_error", None) or cause.__cause__ or cause.__context__
        return cls(str(error) or type(error).__name__)


class Refused(ReadingError):
    """The source answers but will not tell: wrong password, missing right, forbidden command."""

    reason = "refused"
    answered: bool | None = True


class NotReady(Refused):
    """The source answers that it is starting, stopping or recovering: it serves no client."""

    answered = False


class NotAsked(Refused):
    """The fault is on our side: a file that cannot be read, a setting that cannot be used."""

    answered = None


class TimedOut(ReadingError):
    """No answer in time."""

    reason = "timeout"
    answered = False


class TooDear(TimedOut):
    """The server itself gave up after the time that one statement may take."""

    answered = True


class Locked(TimedOut):
    """Another session holds a lock on what we asked for; the rest can still be had."""

    answered = True


class Malformed(ReadingError):
    """The answer breaks its format; ``answered`` where it is the source's own all the same, as an error it reports."""

    reason = "malformed"

    def __init__(self, detail: str, *, answered: bool = False) -> None:
        super().__init__(detail)
        self.answered = answered
