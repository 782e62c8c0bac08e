"""One row per queue, worst first."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..collector import Outcome
from ..thresholds import SIDE_QUEUES, Threshold
from .figure import STATES, State
from .seen import Seen

_COUNTS = ("pending_tasks", "active_tasks", "retry_tasks", "scheduled_tasks", "archived_tasks")
_REST = (
    "oldest_pending_age_seconds",
    "paused",
    "stale_lease_tasks",
    "head_task_lost",
    "last_archived_timestamp_seconds",
)
_CONSUMERS = "blnk_workers_queue_consumers"
_UNLISTED = "blnk_queues_unlisted"
_METRICS = frozenset([*(f"blnk_queues_{name}" for name in (*_COUNTS, *_REST)), _CONSUMERS, _UNLISTED])


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue's state with the words for it; a number that is None is not known."""

    name: str
    state: State
    words: tuple[str, ...]
    pending: float | None
    oldest_seconds: float | None
    active: float | None
    retry: float | None
    scheduled: float | None
    archived: float | None
    consumers: float | None


def queue_rows(outcomes: Mapping[str, Outcome], limits: Mapping[str, Threshold], *, at: float) -> list[QueueRow]:
    """All queues that were read, the worst first, then the deepest, the one that fails most and the one that waits longest."""
    seen = Seen(outcomes.values(), _METRICS)
    facts = {name: seen.by(f"blnk_queues_{name}", "queue") for name in (*_COUNTS, *_REST)}
    consumers = seen.by(_CONSUMERS, "queue")
    # Where all queues that were ever used are listed, one that only its consumers know has nothing to tell.
    told = {name: count for name, count in consumers.items() if not count or seen.only(_UNLISTED) != 0}
    names = dict.fromkeys(name for found in (*facts.values(), told) for name in found)
    rows = [
        _row(name, {fact: found.get(name) for fact, found in facts.items()}, consumers.get(name), limits, at)
        for name in names
    ]
    return sorted(rows, key=_order)


def _order(row: QueueRow) -> tuple[object, ...]:
    # Queue 2 before queue 10.
    name = tuple((int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", row.name))
    return STATES.index(row.state), -(row.pending or 0), -(row.retry or 0), -(row.oldest_seconds or 0), name


def _row(
    name: str, facts: Mapping[str, float | None], consumers: float | None, limits: Mapping[str, Threshold], at: float
) -> QueueRow:
    found = dict(_troubles(name, facts, consumers, limits, at))
    return QueueRow(
        name=name,
        state=min(found.values(), key=STATES.index, default="ok"),
        words=tuple(found),
        pending=facts["pending_tasks"],
        oldest_seconds=facts["oldest_pending_age_seconds"],
        active=facts["active_tasks"],
        retry=facts["retry_tasks"],
        scheduled=facts["scheduled_tasks"],
        archived=facts["archived_tasks"],
        consumers=consumers,
    )


def given_up(queue: str) -> str:
    """The name of the limit of when a task of the queue was last given up: a transaction's, or one on the side."""
    return "queues.side_last_archived" if re.fullmatch(SIDE_QUEUES, queue) else "queues.last_archived"


def _troubles(
    queue: str, facts: Mapping[str, float | None], consumers: float | None, limits: Mapping[str, Threshold], at: float
) -> Iterator[tuple[str, State]]:
    if facts["pending_tasks"] is None:
        yield "depth not known", "unknown"
    if consumers == 0:
        yield "nobody consumes it", "critical"
    lost = (facts["stale_lease_tasks"] or 0) + (facts["head_task_lost"] or 0)
    died = facts["last_archived_timestamp_seconds"]
    for words, name, value in (
        ("tasks lost", "queues.lost", lost),
        ("waits too long", "queues.oldest_pending", facts["oldest_pending_age_seconds"]),
        ("too deep", "queues.depth", facts["pending_tasks"]),
        ("paused", "queues.paused", facts["paused"]),
        ("tasks given up", given_up(queue), None if died is None else at - died),
    ):
        level = "ok" if value is None else limits[name].level(value)
        if level != "ok":
            yield words, level
