"""How the figures of the ledger itself are made of samples: transactions, books, and what guards them."""

from dataclasses import replace

from ..quantity import duration, say
from .flow import WINDOW_SECONDS
from .kind import Kind, Limits, Measure
from .measures import worst
from .seen import Seen, few

_RATE_SECONDS = 300.0
_FIRST = Measure(None, "a rate needs two readings, some seconds apart")


def throughput(_: Kind, seen: Seen, __: Limits, ___: float) -> Measure | None:
    """Transactions per second that had an outcome: applied, held or rejected."""
    if seen.flow.now is None:
        return Measure(None)
    if (span := seen.flow.span(_RATE_SECONDS)) is None:
        return _FIRST
    first, last = span
    seconds = last.at - first.at
    return Measure((last.outcomes - first.outcomes) / seconds, f"with an outcome, over the last {duration(seconds)}")


def rejected(_: Kind, seen: Seen, limits: Limits, __: float) -> Measure | None:
    """The share of outcomes that were rejected for a technical reason; of a few, no share is judged."""
    if seen.flow.now is None or seen.flow.now.rejections is None:
        return Measure(None)
    span = seen.flow.span(WINDOW_SECONDS)
    if span is None or span[0].rejections is None or span[1].rejections is None:
        return _FIRST
    first, last = span
    outcomes, over = last.outcomes - first.outcomes, duration(last.at - first.at)
    if not outcomes:
        return Measure(0, f"no transaction had an outcome over the last {over}", "ok", "none")
    technical, business = (now - before for before, now in zip(span[0].rejections, span[1].rejections, strict=True))
    note = f"{technical:,.0f} of {say(outcomes, 'transactions')} over the last {over}"
    if business:
        note += f"; {business:,.0f} more for lack of funds or an overdraft limit"
    few = limits["ledger.rejections_least"].level(technical) == "ok"
    return Measure(technical / outcomes, note, "ok" if few else None)


def unresolved(kind: Kind, seen: Seen, limits: Limits, at: float) -> Measure | None:
    """None is only said once older rows were looked through for some."""
    complete, counts, _ = (seen.of(metric) for metric in kind.metrics)
    total = sum(value for _, value in counts)
    if counts and not total:
        whole = all(value for _, value in complete)
        return Measure(0, text="none") if whole else Measure(None, "older transactions are still being looked through")
    oldest = worst(kind, seen, limits, at)
    return oldest and replace(oldest, note=f"of {say(total, 'transactions')}" if counts else oldest.note)


def without_task(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """How many are lost at least."""
    value = seen.only(kind.metrics[0])
    return Measure(value, text="none" if value == 0 else "")


def unbalanced(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Balances that are not credits less debits, and currencies that do not sum up to 0 where that means anything."""
    balances, currencies = (seen.only(metric) for metric in kind.metrics)
    if balances is None:
        return Measure(None)
    words = [say(balances, "balances")] if balances else []
    words += [f"{currencies:,.0f} of the currencies"] if currencies else []
    alert = kind.alerts[0] if balances else kind.alerts[-1]
    return Measure(balances + (currencies or 0), text=", ".join(words) or "none", alert=alert)


def deleted(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """What the journal says of rows that are gone; it is followed from when the exporter began."""
    rows = [value for labels, value in seen.of(kind.metrics[0]) if labels["action"] == "DELETE"]
    note = "counted since the exporter began to follow the ledger"
    return Measure(sum(rows), note, text="" if any(rows) else "none") if rows else None


def chain_head(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Whether the record of the last seal fits the rows that were sealed."""
    whole = seen.only(kind.metrics[0])
    if whole is None:
        return None
    broken = Measure(1, "its head and its rows do not agree", text="broken")
    return Measure(0, text="whole") if whole else broken


def triggers(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Those that are not there, and those that are switched off."""
    found = seen.by(kind.metrics[0], "trigger")
    names = [name for name, active in found.items() if not active]
    return Measure(len(names), few(names), text="" if names else "none") if found else None


def lineage(kind: Kind, seen: Seen, _: Limits, __: float) -> Measure | None:
    """Entries that Blnk has given up, and beside them those that it has begun and left."""
    states = seen.by(kind.metrics[0], "state")
    if "failed" not in states:
        return None
    abandoned = states.get("abandoned")
    note = f"and {say(abandoned, 'entries')} begun and left" if abandoned else ""
    return Measure(states["failed"], note, text="" if states["failed"] else "none")
