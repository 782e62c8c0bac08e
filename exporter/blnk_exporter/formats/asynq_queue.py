"""One asynq queue: which commands ask for it, and what the replies say.

Source: asynq ``internal/rdb/rdb.go`` and ``inspect.go``, v0.25.1.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..collector import Gap
from ..errors import Malformed, ReadingError
from . import asynq

# asynq's forwarder moves due tasks every 5 seconds: later than this, nobody forwards.
OVERDUE_SECONDS = 60
# A lease lives 30 seconds and is renewed while its task is worked on, and asynq recovers what it can within a minute.
STALE_LEASE_SECONDS = 180
# Redis counts in 64 bits.
_DIGITS_MAX = 20

Command = tuple[Any, ...]


@dataclass(frozen=True)
class Queue:
    """One queue; None is not known. ``…_at`` and ``…_since`` are Unix time in seconds."""

    name: str
    expected: bool
    registered: bool | None
    pending: int | None = None
    active: int | None = None
    scheduled: int | None = None
    retry: int | None = None
    archived: int | None = None
    processed: int | None = None
    failed: int | None = None
    paused: bool | None = None
    paused_at: float | None = None
    scheduled_due_at: float | None = None
    retry_due_at: float | None = None
    scheduled_overdue: int | None = None
    retry_overdue: int | None = None
    stale_leases: int | None = None
    last_death_at: float | None = None
    pending_since: float | None = None
    head_lost: bool | None = None


def _count(reply: Any) -> dict[str, Any]:
    return {"": int(reply)}


def _counters(reply: Any) -> dict[str, Any]:
    processed, failed, paused_at = reply
    # asynq counts up from a key that does not exist: its absence is a true zero.
    return {
        "processed": _whole(processed or b"0"),
        "failed": _whole(failed or b"0"),
        "paused": paused_at is not None,
        "paused_at": None if paused_at is None else _finite(paused_at),
    }


def _score(reply: Any) -> dict[str, Any]:
    return {"": _finite(reply[1]) if reply else None}


def _whole(text: bytes) -> int:
    """A number as Redis counts; raises ValueError for others, which Python would take in any length."""
    if len(text) > _DIGITS_MAX:
        raise ValueError(text)
    return int(text)


def _finite(text: bytes) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _overdue(now: float) -> str:
    return f"{now - OVERDUE_SECONDS:.3f}"


# Each fact: its command for a queue at a moment, and what its reply says; "" stands for the fact's own name.
_ASKED: Mapping[str, tuple[Callable[[bytes, float], Command], Callable[[Any], dict[str, Any]]]] = {
    "pending": (lambda q, _: ("LLEN", asynq.key(q, "pending")), _count),
    "active": (lambda q, _: ("LLEN", asynq.key(q, "active")), _count),
    "scheduled": (lambda q, _: ("ZCARD", asynq.key(q, "scheduled")), _count),
    "retry": (lambda q, _: ("ZCARD", asynq.key(q, "retry")), _count),
    "archived": (lambda q, _: ("ZCARD", asynq.key(q, "archived")), _count),
    "counters": (lambda q, _: ("MGET", *(asynq.key(q, what) for what in ("processed", "failed", "paused"))), _counters),
    "scheduled_due_at": (lambda q, _: ("ZRANGE", asynq.key(q, "scheduled"), 0, 0, "WITHSCORES"), _score),
    "retry_due_at": (lambda q, _: ("ZRANGE", asynq.key(q, "retry"), 0, 0, "WITHSCORES"), _score),
    "last_death_at": (lambda q, _: ("ZRANGE", asynq.key(q, "archived"), -1, -1, "WITHSCORES"), _score),
    "scheduled_overdue": (lambda q, now: ("ZCOUNT", asynq.key(q, "scheduled"), "-inf", _overdue(now)), _count),
    "retry_overdue": (lambda q, now: ("ZCOUNT", asynq.key(q, "retry"), "-inf", _overdue(now)), _count),
    "stale_leases": (
        lambda q, now: ("ZCOUNT", asynq.key(q, "lease"), "-inf", f"{now - STALE_LEASE_SECONDS:.3f}"),
        _count,
    ),
    "head": (lambda q, _: ("LINDEX", asynq.key(q, "pending"), -1), lambda reply: {"": reply}),
}
FACTS = tuple(_ASKED)
# What is judged by the clock, and not known without one.
_TIMED = ("scheduled_due_at", "retry_due_at", "scheduled_overdue", "retry_overdue", "stale_leases")


def queue_commands(name: bytes, now: float | None) -> list[Command]:
    """Everything that can be asked at once; ``now`` is Redis' clock, None where it is not told."""
    return [build(name, now or 0.0) for build, _ in _ASKED.values()]


def parse(
    names: Sequence[bytes],
    expected: Sequence[str],
    registered: frozenset[bytes] | None,
    replies: Sequence[Any],
    now: float | None,
) -> tuple[list[Queue], dict[bytes, bytes], list[Gap]]:
    """The queues, the id of each one's next task, and what was refused; replies as ``queue_commands`` asked for them."""
    queues, heads, gaps = [], {}, []
    wanted = frozenset(expected)
    for place, name in enumerate(names):
        known: dict[str, Any] = {}
        for (fact, (_, say)), reply in zip(_ASKED.items(), replies[place * len(_ASKED) :], strict=False):
            try:
                known |= {field or fact: value for field, value in say(asynq.reply(reply)).items()}
            except ReadingError as error:
                gaps.append(Gap(fact, error.reason, str(error)))
            except (TypeError, ValueError, IndexError):
                gaps.append(Gap(fact, Malformed.reason, f"an unexpected reply for {fact}"))
        if head := known.pop("head", None):
            heads[name] = head
        elif known.get("pending") == 0:
            known["head_lost"] = False
        if now is None:
            known |= dict.fromkeys(_TIMED)
        for due in ("scheduled_due_at", "retry_due_at"):
            if now is not None and (known.get(due) or now) > now - OVERDUE_SECONDS:
                known[due] = None
        text = asynq.text(name)
        queues.append(Queue(text, text in wanted, None if registered is None else name in registered, **known))
    return queues, heads, gaps


def head_commands(name: bytes, task_id: bytes) -> list[Command]:
    """Does the next task still have its content, since when does it wait, and is it still the next one."""
    task = asynq.task_key(name, task_id)
    return [("EXISTS", task), ("HGET", task, "pending_since"), ("LINDEX", asynq.key(name, "pending"), -1)]


def parse_head(
    queues: Sequence[Queue], heads: Mapping[bytes, bytes], replies: Sequence[Any]
) -> tuple[tuple[Queue, ...], list[Gap]]:
    """The queues with what their heads told; replies as ``head_commands`` asked for them."""
    told: dict[str, dict[str, Any]] = {}
    gaps = []
    for place, (name, task_id) in enumerate(heads.items()):
        try:
            exists, since, next_id = map(asynq.reply, replies[place * 3 : place * 3 + 3])
            told[asynq.text(name)] = {
                # Only an id that still waits after its content was found missing is evidence: others were just taken.
                "head_lost": False if exists else (True if next_id == task_id else None),
                # Absent for tasks that a stopping worker put back: then the age is not known.
                "pending_since": None if since is None else _whole(since) / 1e9,
            }
        except ReadingError as error:
            gaps.append(Gap("head", error.reason, str(error)))
        except (TypeError, ValueError):
            gaps.append(Gap("head", Malformed.reason, "a task's pending_since is no number"))
    return tuple(replace(queue, **told.get(queue.name, {})) for queue in queues), gaps
