"""Asynq's queues in Redis: what waits, for how long, and what was lost.

Source:   asynq:queues (SET), asynq:{<queue>}:* (facts of asynq v0.25.1 in formats/asynq.py)
Needs:    a Redis user with the commands and keys that `blnk-exporter grants redis` prints for it
By hand:  redis-cli LLEN 'asynq:{new:transaction_1}:pending'
Cost:     3 round trips for any number of queues, shared with the other collectors; every command O(1) or O(log n)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..collector import Collector, Gap, Reading, Result, Store
from ..errors import ReadingError
from ..formats import asynq
from ..formats.asynq_queue import FACTS, Queue, head_commands, parse, parse_head, queue_commands
from ..metric import Metric, Sample
from ..right import Command, Keys


def _per_queue(name: str, help_: str, source: str) -> Metric:
    return Metric(f"blnk_queues_{name}", help_, ("queue",), source)


EXPECTED = _per_queue("expected", "Whether the deployment's configuration implies the queue.", "blnk.json")
REGISTERED = _per_queue(
    "registered",
    "Whether the queue stands in asynq's registry; 0 after 1 means that Redis has lost the registry.",
    "asynq:queues",
)
PENDING = _per_queue("pending_tasks", "Tasks that wait to be taken.", "LLEN pending")
ACTIVE = _per_queue("active_tasks", "Tasks that a worker has taken; lost ones stay here too.", "LLEN active")
SCHEDULED = _per_queue("scheduled_tasks", "Tasks held for a later time.", "ZCARD scheduled")
RETRY = _per_queue("retry_tasks", "Failed tasks that wait for their next attempt.", "ZCARD retry")
ARCHIVED = _per_queue(
    "archived_tasks", "Tasks that asynq gave up; it keeps at most 10,000 for 90 days.", "ZCARD archived"
)
PENDING_AGE = _per_queue(
    "oldest_pending_age_seconds",
    "How long the oldest pending task has waited; absent when none waits or asynq did not note since when.",
    "LINDEX pending -1, HGET t:<id> pending_since",
)
OVERDUE_SCHEDULED = _per_queue(
    "scheduled_overdue_tasks", "Scheduled tasks due for over 60 seconds that nobody has forwarded.", "ZCOUNT scheduled"
)
OVERDUE_SCHEDULED_AGE = _per_queue(
    "scheduled_overdue_age_seconds",
    "How long the first scheduled task is due; absent when none is for over 60 seconds.",
    "ZRANGE scheduled 0 0",
)
OVERDUE_RETRY = _per_queue(
    "retry_overdue_tasks", "Retries due for over 60 seconds that nobody has forwarded.", "ZCOUNT retry"
)
OVERDUE_RETRY_AGE = _per_queue(
    "retry_overdue_age_seconds",
    "How long the first retry is due; absent when none is for over 60 seconds.",
    "ZRANGE retry 0 0",
)
PAUSED = _per_queue("paused", "Whether the queue is paused.", "MGET paused")
PAUSED_SINCE = _per_queue(
    "paused_timestamp_seconds", "When the queue was paused; absent when it is not.", "MGET paused"
)
PROCESSED = _per_queue(
    "processed_total", "Tasks worked on since asynq first ran, failed attempts included.", "MGET processed"
)
FAILED = _per_queue("failed_total", "Attempts that failed since asynq first ran.", "MGET failed")
LAST_DEATH = _per_queue(
    "last_archived_timestamp_seconds",
    "When a task was last given up; absent when none is kept.",
    "ZRANGE archived -1 -1",
)
HEAD_LOST = _per_queue(
    "head_task_lost",
    "1 when the next task to be taken has lost its content. 0 is no proof: see blnk_redis_evicted_keys_total.",
    "EXISTS t:<id>",
)
STALE_LEASES = _per_queue(
    "stale_lease_tasks",
    "Active tasks whose lease ended over 180 seconds ago: lost, nobody recovers them.",
    "ZCOUNT lease",
)
REGISTRY = Metric(
    "blnk_queues_registry_size",
    "Queues in asynq's registry; a fall means that Redis has lost it.",
    (),
    "SCARD asynq:queues",
)
UNLISTED = Metric(
    "blnk_queues_unlisted",
    "Queues in asynq's registry that are left out of this page; absent when the registry itself is beyond the limit.",
    (),
    "SCARD asynq:queues",
)
LIMIT = Metric("blnk_queues_limit", "Largest number of queues that are read.", (), "limits.queues")

# What a queue knows, as it is or as an age.
_VALUES = {
    EXPECTED: "expected",
    REGISTERED: "registered",
    PENDING: "pending",
    ACTIVE: "active",
    SCHEDULED: "scheduled",
    RETRY: "retry",
    ARCHIVED: "archived",
    OVERDUE_SCHEDULED: "scheduled_overdue",
    OVERDUE_RETRY: "retry_overdue",
    PAUSED: "paused",
    PAUSED_SINCE: "paused_at",
    PROCESSED: "processed",
    FAILED: "failed",
    LAST_DEATH: "last_death_at",
    HEAD_LOST: "head_lost",
    STALE_LEASES: "stale_leases",
}
_AGES = {PENDING_AGE: "pending_since", OVERDUE_SCHEDULED_AGE: "scheduled_due_at", OVERDUE_RETRY_AGE: "retry_due_at"}


@dataclass(frozen=True)
class QueueSource:
    """Redis, the queues that the configuration implies, and how many queues may be read."""

    store: Store
    expected: tuple[str, ...]
    limit: int

    @property
    def address(self) -> str:
        """``host:port`` of Redis."""
        return self.store.address


@dataclass(frozen=True, kw_only=True)
class QueuesReading(Reading):
    """All queues at one moment of Redis' clock, which may not be known."""

    now: float | None
    queues: tuple[Queue, ...]
    registry_size: int | None
    unlisted: int | None
    limit: int


def samples(results: Sequence[Result[QueuesReading]]) -> Iterator[Sample]:
    """One set of series per queue; none at all when Redis was not read."""
    for reading in (result.reading for result in results if result.reading):
        yield from LIMIT(reading.limit)
        yield from REGISTRY(reading.registry_size)
        yield from UNLISTED(reading.unlisted)
        for queue in reading.queues:
            labels = (queue.name,)
            for metric, name in _VALUES.items():
                yield from metric.at(labels, getattr(queue, name))
            for metric, name in _AGES.items():
                since = getattr(queue, name)
                # Blnk's clock may run ahead of Redis': then the task has only just come.
                known = since is not None and reading.now is not None
                yield from metric.at(labels, max(0.0, reading.now - since) if known else None)


def choose(source: QueueSource, size: Any, members: Any) -> tuple[list[bytes], frozenset[bytes] | None, int | None]:
    """Which queues to read, which are registered (None: not known), how many are left out (None: not known).

    Expected queues come first; those that only Redis knows follow while the limit allows.
    """
    expected = [name.encode() for name in source.expected][: source.limit]
    if isinstance(size, ReadingError) or isinstance(members, ReadingError):
        return expected, None, None
    if size > source.limit:
        # The registry came as a random part of itself, which would be another one at each scrape.
        return expected, None, None
    registered = frozenset(members)
    others = sorted(name for name in registered.difference(expected) if len(name) <= asynq.NAME_BYTES_MAX)
    others = others[: source.limit - len(expected)]
    return [*expected, *others], registered, size - len(registered.intersection(expected)) - len(others)


async def read(source: QueueSource) -> QueuesReading:
    """Which queues there are; their figures; since when the head of each has waited."""
    clock, size, members = await source.store.execute(
        ("TIME",), ("SCARD", asynq.QUEUES), ("SRANDMEMBER", asynq.QUEUES, source.limit + 1)
    )
    now = None if isinstance(clock, ReadingError) else asynq.clock(clock)
    names, registered, unlisted = choose(source, size, members)
    asked = [command for name in names for command in queue_commands(name, now)]
    replies = await source.store.execute(*asked) if asked else []
    if replies and all(isinstance(reply, ReadingError) for reply in replies):
        raise replies[0]
    found, heads, gaps = parse(names, source.expected, registered, replies, now)
    asked = [command for name, task_id in heads.items() for command in head_commands(name, task_id)]
    replies = await source.store.execute(*asked) if asked else []
    queues, more_gaps = parse_head(found, heads, replies)
    if isinstance(clock, ReadingError):
        gaps = [Gap("clock", clock.reason, str(clock)), *gaps]
    if registered is None:
        refusal = next((reply for reply in (size, members) if isinstance(reply, ReadingError)), None)
        gaps = [Gap("registered", refusal.reason if refusal else "refused", str(refusal or "too many queues")), *gaps]
    return QueuesReading(
        now=now,
        queues=queues,
        registry_size=None if isinstance(size, ReadingError) else size,
        unlisted=unlisted,
        limit=source.limit,
        gaps=Gap.once_each((*gaps, *more_gaps)),
    )


# Redis has no right to one field: who may look up since when a task waits may read what the task says as well.
RIGHTS = (
    Command("time", ("clock",)),
    Command("scard", ("registered",)),
    Command("srandmember", ("registered",)),
    Command("llen", ("pending", "active")),
    Command("zcard", ("scheduled", "retry", "archived")),
    Command("mget", ("counters",)),
    Command("zrange", ("scheduled_due_at", "retry_due_at", "last_death_at")),
    Command("zcount", ("scheduled_overdue", "retry_overdue", "stale_leases")),
    Command("lindex", ("head",)),
    Command("exists", ("head",)),
    Command("hget", ("head",)),
    Keys(asynq.QUEUES, ("registered",)),
    Keys(asynq.QUEUE_KEYS),
)

COLLECTOR = Collector(
    name="queues",
    help="Depth, age, progress and losses of asynq's queues.",
    metrics=(*_VALUES, *_AGES, REGISTRY, UNLISTED, LIMIT),
    read=read,
    samples=samples,
    facts=("clock", "registered", *FACTS),
    rights=RIGHTS,
)
