"""What asynq writes about tasks and servers, as bytes; source: asynq v0.25.1 ``internal/proto/asynq.proto``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import uuid4

from .protobuf import message, number, text, timestamp

_THIRTY_MINUTES = 1800


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task. ``retry`` is how often it may be tried again, ``retried`` how often it was."""

    type: str
    queue: str
    payload: bytes
    id: str = field(default_factory=lambda: str(uuid4()))
    retry: int = 25
    retried: int = 0
    error: str = ""
    timeout_seconds: int = _THIRTY_MINUTES
    last_failed_at: float = 0.0

    def failed(self, error: str, at: float) -> "Task":
        """Make the task as it is after one more failure."""
        return replace(self, retried=self.retried + 1, error=error, last_failed_at=at)

    def encode(self) -> bytes:
        """Write a TaskMessage."""
        return (
            text(1, self.type)
            + text(2, self.payload)
            + text(3, self.id)
            + text(4, self.queue)
            + number(5, self.retry)
            + number(6, self.retried)
            + text(7, self.error)
            + number(8, self.timeout_seconds)
            + number(11, int(self.last_failed_at))
        )


@dataclass(frozen=True, kw_only=True)
class Server:
    """One asynq server; a worker process of Blnk runs two. ``queues`` maps names to weights."""

    host: str
    pid: int
    concurrency: int
    queues: Mapping[str, int]
    started_at: float
    id: str = field(default_factory=lambda: str(uuid4()))
    status: str = "active"

    @property
    def key(self) -> str:
        """The part of its keys that names it."""
        return f"{{{self.host}:{self.pid}:{self.id}}}"

    def encode(self, active: int) -> bytes:
        """Write a ServerInfo; ``active`` is the number of tasks it works on."""
        queues = (message(5, text(1, name) + number(2, weight)) for name, weight in self.queues.items())
        return (
            text(1, self.host)
            + number(2, self.pid)
            + text(3, self.id)
            + number(4, self.concurrency)
            + b"".join(queues)
            + text(7, self.status)
            + timestamp(8, self.started_at)
            + number(9, active)
        )

    def encode_worker(self, task: Task, started_at: float) -> bytes:
        """Write a WorkerInfo: one task that it works on."""
        return (
            text(1, self.host)
            + number(2, self.pid)
            + text(3, self.id)
            + text(4, task.id)
            + text(5, task.type)
            + text(6, task.payload)
            + text(7, task.queue)
            + timestamp(8, started_at)
            + timestamp(9, started_at + task.timeout_seconds)
        )
