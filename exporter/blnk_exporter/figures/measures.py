"""How the figures of processes, queues, databases and the host are made of samples."""

from collections.abc import Callable

from ..quantity import duration, say
from .figure import STATES, State
from .kind import Kind, Limits, Measure
from .queues import given_up
from .seen import Seen, few


def up(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
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
    return Measure(len(down), note, state, text, kind.alerts[-1 if state == "warning" else 0])


def worst(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """The largest value of the last metric, and the label it has; 0 where others show that there is none."""
    found = [(value, next(iter(labels.values()), "")) for labels, value in seen.of(kind.metrics[-1])]
    if found:
        value, where = max(found)
        return Measure(value, where if value else "")
    return Measure(None)


def oldest_pending(kind: Kind, seen: Seen, limits: Limits, at: float) -> Measure | None:
    """No age is known of an empty queue: then nothing waits. Of a full one, it may be that asynq did not note it."""
    pending = seen.by(kind.metrics[0], "queue")
    waiting = {queue for queue, tasks in pending.items() if tasks}
    if pending and not waiting:
        return Measure(0, text="none waits")
    known = worst(kind, seen, limits, at)
    if known and known.value is None and waiting:
        return Measure(None, "tasks wait, but asynq did not note since when")
    return known


def _named(kind: Kind, seen: Seen, *, bad: Callable[[float], bool]) -> Measure | None:
    found = [(labels["queue"], value) for labels, value in seen.of(kind.metrics[0])]
    if not found:
        return Measure(None)
    names = [queue for queue, value in found if bad(value)]
    return Measure(len(names), few(names), text="" if names else "none")


def unserved(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Expected or used queues without a consumer."""
    return _named(kind, seen, bad=lambda consumers: consumers == 0)


def paused(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Queues from which nothing is taken."""
    return _named(kind, seen, bad=lambda stands: stands == 1)


def lost(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Tasks without content or without a worker."""
    stale, heads = (seen.by(metric, "queue") for metric in kind.metrics)
    tasks = {queue: stale.get(queue, 0) + heads.get(queue, 0) for queue in {**stale, **heads}}
    total = sum(tasks.values())
    # Heads alone prove a loss, not that there is none.
    return Measure(total if total or stale else None, few([queue for queue, count in tasks.items() if count]))


def archived(kind: Kind, seen: Seen, limits: Limits, at: float) -> Measure | None:
    """How many, and when the last was; an old one is known already."""
    counts, last = (seen.by(metric, "queue") for metric in kind.metrics)
    if not counts:
        return Measure(None)
    total = sum(counts.values())
    if not last:
        return Measure(total, state="unknown" if total else "ok", note="since when is not known" if total else "")
    found = [(limits[given_up(queue)].level(at - since), -since, queue) for queue, since in last.items()]
    level, since, queue = min(found, key=lambda one: (STATES.index(one[0]), one[1]))
    alert = kind.alerts[given_up(queue) == "queues.side_last_archived"]
    return Measure(total, f"last {duration(max(0.0, at + since))} ago in {queue}", level, alert=alert)


def redis_memory(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Against its own limit; where none is set, nothing is known of how full it is."""
    used, most, limited = (seen.only(metric) for metric in kind.metrics)
    if limited == 0:
        of = f"; {say(used, 'bytes')} in use" if used is not None else ""
        return Measure(None, f"no maxmemory is set, so that nothing limits it{of}")
    if used is None or not most:
        return Measure(None)
    return Measure(used / most, f"{say(used, 'bytes')} of {say(most, 'bytes')}")


def policy(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Which keys a full Redis deletes: those of tasks have no time to live, so that the volatile policies spare them."""
    chosen = seen.chosen(kind.metrics[0], "policy")
    if chosen is None:
        return Measure(None)
    unsafe = chosen.startswith("allkeys-")
    return Measure(float(unsafe), state="warning" if unsafe else "ok", text=chosen)


def connections(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Of the server that is nearest to its limit; the last few are for superusers, not for Blnk."""
    used, limits, reserved = (seen.by(metric, "address") for metric in kind.metrics)
    most = {address: limit - reserved.get(address, 0) for address, limit in limits.items()}
    shares = [(used[address] / most[address], address) for address in used if most.get(address)]
    if not shares:
        return Measure(None)
    share, address = max(shares)
    return Measure(share, f"{used[address]:,.0f} of {most[address]:,.0f} on {address}")


def lag(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
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


def disk(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
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


def memory(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """How much of it programs could not have any more."""
    total, available = (seen.only(metric) for metric in kind.metrics)
    if not total or available is None:
        return Measure(None)
    return Measure(1 - available / total, f"{say(available, 'bytes')} of {say(total, 'bytes')} left")
