"""asynq's keys in Redis, and the heartbeats of its servers.

Source: asynq ``internal/base/base.go`` and ``internal/proto/asynq.proto``, v0.25.1 (the version inside Blnk 0.13 to 0.15).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import Malformed, ReadingError

QUEUES = "asynq:queues"
SERVERS = "asynq:servers"
# Patterns of keys, as an ACL has them: all that belongs to a queue, its tasks among it; the heartbeats.
QUEUE_KEYS = "asynq:{*}:*"
SERVER_KEYS = f"{SERVERS}:*"
NAME_BYTES_MAX = 256
"""Longer names than this are nobody's queue."""

T = TypeVar("T")


def key(queue: bytes, what: str) -> bytes:
    """``asynq:{queue}:what``; the braces make one queue's keys share a cluster slot."""
    return b"asynq:{" + queue + b"}:" + what.encode()


def task_key(queue: bytes, task_id: bytes) -> bytes:
    """The hash that holds one task."""
    return key(queue, "t:") + task_id


@dataclass(frozen=True, slots=True)
class Server:
    """One running asynq server: which queues it serves by which weight, with how many slots, how many of them busy.

    Attributes:
        process: host and process id; one worker of Blnk runs two or three servers.
        concurrency: how many tasks it takes at a time.
        active: how many it has taken.
        status: ``active`` while it takes tasks.
        started_at: Unix time by the clock of its host.
        queues: weights by name.
        clock_skew_seconds: how far the clock of its host is ahead of Redis' clock.

    """

    process: tuple[str, int]
    concurrency: int
    active: int
    status: str
    started_at: float
    queues: dict[str, int] = field(default_factory=dict)
    clock_skew_seconds: float | None = None


def parse_server(message: bytes) -> Server:
    """A heartbeat; raises Malformed for bytes that are not one."""
    texts: dict[int, str] = {}
    numbers: dict[int, int] = {}
    queues: dict[str, int] = {}
    started_at = 0.0
    for number, value in _fields(message):
        match number, value:
            case ((1 | 3 | 7), bytes()):
                texts[number] = text(value)
            case ((2 | 4 | 9), int()):
                numbers[number] = _int32(value)
            case 5, bytes():
                entry = dict(_fields(value))
                queues[text(_typed(entry.get(1, b""), bytes))] = _int32(_typed(entry.get(2, 0), int))
            case 8, bytes():
                stamp = dict(_fields(value))
                started_at = _typed(stamp.get(1, 0), int) + _typed(stamp.get(2, 0), int) / 1e9
            case _:
                pass  # a field that a later asynq added
    if 4 not in numbers or 7 not in texts:
        raise Malformed("a heartbeat without concurrency or status")
    process = (texts.get(1, ""), numbers.get(2, 0))
    return Server(process, numbers[4], numbers.get(9, 0), texts[7], started_at, queues)


def reply(value: Any) -> Any:
    """A reply of Redis, or the error that stands in its place raised."""
    if isinstance(value, ReadingError):
        raise value
    return value


def clock(value: Any) -> float:
    """The reply to TIME as Unix time; ages are told by Redis' clock, the one that all of Blnk's processes share."""
    seconds, microseconds = reply(value)
    return int(seconds) + int(microseconds) / 1e6


def text(raw: bytes) -> str:
    """Bytes of foreign origin as text that can always be written down again."""
    return raw.decode("utf-8", "backslashreplace")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and raw values in protobuf's wire format; fields that we do not know are skipped unread."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        size: int
        match tag & 7:
            case 0:
                value, position = _varint(message, position)
                yield tag >> 3, value
                continue
            case 1:
                size = 8
            case 5:
                size = 4
            case 2:
                size, position = _varint(message, position)
            case _:
                raise Malformed("not a protobuf message")
        if position + size > len(message):
            raise Malformed("a protobuf message that ends too early")
        yield tag >> 3, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise Malformed("a protobuf message that ends too early")


def _int32(value: int) -> int:
    """Negative numbers travel as 64-bit two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _typed(value: int | bytes, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise Malformed("a protobuf field of another type than asynq writes")
    return value
