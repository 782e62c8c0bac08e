"""How many tasks asynq has for transactions: which queues, what is asked of them, and the sum; no I/O.

A task does not tell which row it is for, but for its payload, which is nobody else's business: so they are counted.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ..formats import asynq

# Along the way that a task takes, and twice where it may come back to: one that moves in between is counted.
_STATES = ("scheduled", "retry", "pending", "active", "retry", "pending")
_DIGITS = b"0123456789"


def queues(expected: Sequence[str], registered: Iterable[bytes]) -> Sequence[bytes]:
    """The expected queues, and those registered ones that differ from one of them by their number alone.

    Blnk tells its release nowhere: where a wrong default is assumed there may be more shards than expected.
    """
    known = [name.encode() for name in expected]
    stems = {name.rstrip(_DIGITS) for name in known}
    return [*known, *(name for name in registered if name not in known and name.rstrip(_DIGITS) in stems)]


def commands(names: Iterable[bytes]) -> Sequence[tuple[Any, ...]]:
    """What to ask Redis, the same number of questions for each queue."""
    return [
        ("LLEN" if state in {"pending", "active"} else "ZCARD", asynq.key(name, state))
        for name in names
        for state in _STATES
    ]


def count(replies: Sequence[int]) -> int:
    """Tasks that are to be worked on, or are being so; archived ones are not."""
    found = 0
    for start in range(0, len(replies), len(_STATES)):
        scheduled, retry, pending, active, retry_again, pending_again = replies[start : start + len(_STATES)]
        found += scheduled + max(retry, retry_again) + max(pending, pending_again) + active
    return found
