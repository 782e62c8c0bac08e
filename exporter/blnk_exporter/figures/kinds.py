"""Which key figures there are, and how each is made of samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..quantity import Unit, duration, say
from ..thresholds import Threshold
from .figure import State
from .seen import Seen

Limits = Mapping[str, Threshold]


@dataclass(frozen=True, slots=True)
class Measure:
    """What a figure comes to; ``state`` and ``text`` only where limit and value do not tell them."""

    value: float | None
    note: str = ""
    state: State | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A key figure before it has a value. ``measure`` gives None when the deployment has no such thing."""

    name: str
    title: str
    unit: Unit
    metrics: tuple[str, ...]
    measure: Callable[["Kind", Seen, Limits, float], Measure | None]
    limited: bool = True
    judged: str = ""

    @property
    def collector(self) -> str:
        """The one that all of its metrics are of."""
        return self.metrics[0].split("_")[1]


def _up(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """How many do not answer; all of them is for now, one among others for this week."""
    found = [(labels.get("address", ""), value) for labels, value in seen.of(kind.metrics[0])]
    if not found:
        return Measure(None)
    down = [address for address, value in found if not value]
    reasons = {
        address: (seen.chosen(kind.metrics[1], "reason", address=address) or "").replace("_", " ")
        for address in (down if len(kind.metrics) > 1 else ())
    }
    note = "; ".join(f"{address}: {reason}" if reason else address for address, reason in reasons.items())
    state: State = "ok" if not down else "critical" if len(down) == len(found) else "warning"
    words = "up" if not down else "down"
    text = words if len(found) == 1 else f"{len(found) - len(down)} of {len(found)} up"
    return Measure(len(down), note, state, text)


def _worst(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """The largest value of the last metric, and the label it has; 0 where others show that there is none."""
    found = [(value, next(iter(labels.values()), "")) for labels, value in seen.of(kind.metrics[-1])]
    if found:
        value, where = max(found)
        return Measure(value, where if value else "")
    return Measure(None)


def _oldest_pending(kind: Kind, seen: Seen, limits: Limits, at: float) -> Measure | None:
    """No age is known of an empty queue: then nothing waits. Of a full one, it may be that asynq did not note it."""
    pending = seen.by(kind.metrics[0], "queue")
    waiting = {queue for queue, tasks in pending.items() if tasks}
    if pending and not waiting:
        return Measure(0, text="none waits")
    known = _worst(kind, seen, limits, at)
    if known and known.value is None and waiting:
        return Measure(None, "tasks wait, but asynq did not note since when")
    return known


def _named(kind: Kind, seen: Seen, *, bad: Callable[[float], bool]) -> Measure | None:
    found = [(labels["queue"], value) for labels, value in seen.of(kind.metrics[0])]
    if not found:
        return Measure(None)
    names = [queue for queue, value in found if bad(value)]
    return Measure(len(names), _few(names), text="" if names else "none")


def _few(names: list[str]) -> str:
    """Some of them; all are in the table of queues."""
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _unserved(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    return _named(kind, seen, bad=lambda consumers: consumers == 0)


def _paused(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    return _named(kind, seen, bad=lambda paused: paused == 1)


def _lost(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    stale, heads = (seen.by(metric, "queue") for metric in kind.metrics)
    lost = {queue: stale.get(queue, 0) + heads.get(queue, 0) for queue in {**stale, **heads}}
    total = sum(lost.values())
    # Heads alone prove a loss, not that there is none.
    return Measure(total if total or stale else None, _few([queue for queue, tasks in lost.items() if tasks]))


def _archived(kind: Kind, seen: Seen, limits: Limits, at: float) -> Measure | None:
    archived, last = (seen.by(metric, "queue") for metric in kind.metrics)
    if not archived:
        return Measure(None)
    total, limit = sum(archived.values()), limits["queues.last_archived"]
    if not last:
        return Measure(total, state="unknown" if total else "ok", note="since when is not known" if total else "")
    queue, since = max(last.items(), key=lambda item: item[1])
    age = max(0.0, at - since)
    return Measure(total, f"last {duration(age)} ago in {queue}", limit.level(age))


def _unresolved(kind: Kind, seen: Seen, limits: Limits, at: float) -> Measure | None:
    """None is only said once older rows were looked through for some."""
    complete, counts, _ = (seen.of(metric) for metric in kind.metrics)
    total = sum(value for _, value in counts)
    if counts and not total:
        whole = all(value for _, value in complete)
        return Measure(0, text="none") if whole else Measure(None, "older transactions are still being looked through")
    oldest = _worst(kind, seen, limits, at)
    return oldest and replace(oldest, note=f"of {say(total, 'transactions')}" if counts else oldest.note)


def _without_task(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    value = seen.only(kind.metrics[0])
    return Measure(value, text="none" if value == 0 else "")


def _unbalanced(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Balances that are not credits less debits, and currencies that do not sum up to 0 where that means anything."""
    balances, currencies = (seen.only(metric) for metric in kind.metrics)
    if balances is None:
        return Measure(None)
    words = [say(balances, "balances")] if balances else []
    words += [f"{currencies:,.0f} of the currencies"] if currencies else []
    return Measure(balances + (currencies or 0), text=", ".join(words) or "none")


def _redis_memory(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    used, most, limited = (seen.only(metric) for metric in kind.metrics[:3])
    policy = seen.chosen(kind.metrics[3], "policy") or "eviction policy not known"
    if limited == 0:
        of = f"; {say(used, 'bytes')} in use" if used is not None else ""
        return Measure(None, f"no maxmemory is set, so that nothing limits it{of}")
    if used is None or not most:
        return Measure(None)
    return Measure(used / most, f"{say(used, 'bytes')} of {say(most, 'bytes')}, {policy}")


def _connections(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    used, most = (seen.by(metric, "address") for metric in kind.metrics)
    shares = [(used[address] / most[address], address) for address in used if most.get(address)]
    if not shares:
        return Measure(None)
    share, address = max(shares)
    return Measure(share, f"{used[address]:,.0f} of {most[address]:,.0f} on {address}")


def _lag(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """In time where it is known, standby by standby; in bytes where only those are, which no limit judges."""
    late, behind, replica = (seen.of(metric) for metric in kind.metrics)
    known = {(labels["address"], labels["standby"]) for labels, _ in late}
    times = [(value, labels.get("standby", labels["address"])) for labels, value in (*late, *replica)]
    sizes = [
        (value, labels["standby"]) for labels, value in behind if (labels["address"], labels["standby"]) not in known
    ]
    note = "; ".join(f"{name} lacks {say(size, 'bytes')}, its time is not known" for size, name in sizes if size)
    if not times:
        return Measure(None, note) if sizes else None
    value, where = max(times)
    return Measure(value, "; ".join(filter(None, (where, note))))


def _disk(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """As df counts: what ordinary users may not write is no free space, and not in use either."""
    size, free, available = (seen.by(metric, "path") for metric in kind.metrics)
    shares = []
    for path in size:
        if path in free and path in available and size[path]:
            used = size[path] - free[path]
            shares.append((used / (used + available[path]) if used + available[path] else 1.0, path))
    if not shares:
        return Measure(None)
    share, path = max(shares)
    return Measure(share, f"{path}, {say(available[path], 'bytes')} left")


def _memory(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    total, available = (seen.only(metric) for metric in kind.metrics)
    if not total or available is None:
        return Measure(None)
    return Measure(1 - available / total, f"{say(available, 'bytes')} of {say(total, 'bytes')} left")


def _names(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"blnk_{prefix}_{name}" for name in names)


KINDS = (
    Kind("server.up", "API servers", "instances", _names("server", "up", "down"), _up, limited=False),
    Kind("workers.up", "Workers", "instances", _names("workers", "up", "down"), _up, limited=False),
    Kind("redis.up", "Redis", "instances", _names("redis", "up"), _up, limited=False),
    Kind("postgres.up", "PostgreSQL", "instances", _names("postgres", "up"), _up, limited=False),
    Kind("server.response", "Slowest health answer", "seconds", _names("server", "response_seconds"), _worst),
    Kind(
        "workers.unserved_queues", "Queues nobody consumes", "queues", _names("workers", "queue_consumers"), _unserved
    ),
    Kind("queues.depth", "Deepest queue", "tasks", _names("queues", "pending_tasks"), _worst),
    Kind(
        "queues.oldest_pending",
        "Oldest waiting task",
        "seconds",
        _names("queues", "pending_tasks", "oldest_pending_age_seconds"),
        _oldest_pending,
    ),
    Kind("queues.lost", "Lost tasks", "tasks", _names("queues", "stale_lease_tasks", "head_task_lost"), _lost),
    Kind(
        "queues.last_archived",
        "Tasks given up",
        "tasks",
        _names("queues", "archived_tasks", "last_archived_timestamp_seconds"),
        _archived,
        judged="time since the last",
    ),
    Kind("queues.paused", "Paused queues", "queues", _names("queues", "paused"), _paused),
    Kind(
        "ledger.unresolved_age",
        "Oldest open transaction",
        "seconds",
        _names("ledger", "history_complete", "unresolved_transactions", "unresolved_oldest_age_seconds"),
        _unresolved,
    ),
    Kind(
        "ledger.without_task",
        "Transactions without a task",
        "transactions",
        _names("ledger", "transactions_without_task"),
        _without_task,
    ),
    Kind(
        "books.unbalanced",
        "Books out of balance",
        "balances",
        _names("books", "mismatched_balances", "unbalanced_currencies"),
        _unbalanced,
    ),
    Kind(
        "redis.memory",
        "Redis memory",
        "ratio",
        _names("redis", "memory_used_bytes", "memory_max_bytes", "memory_limited", "eviction_policy"),
        _redis_memory,
    ),
    Kind(
        "postgres.connections",
        "PostgreSQL connections",
        "ratio",
        _names("postgres", "backends", "connections_max"),
        _connections,
    ),
    Kind(
        "postgres.replication_lag",
        "Replication lag",
        "seconds",
        _names("postgres", "standby_replay_lag_seconds", "standby_replay_lag_bytes", "replica_lag_seconds"),
        _lag,
    ),
    Kind(
        "host.disk",
        "Fullest file system",
        "ratio",
        _names("host", "filesystem_size_bytes", "filesystem_free_bytes", "filesystem_available_bytes"),
        _disk,
    ),
    Kind(
        "host.memory", "Host memory", "ratio", _names("host", "memory_total_bytes", "memory_available_bytes"), _memory
    ),
)
