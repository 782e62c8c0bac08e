"""Which alerts the colours of a panel stand for."""

from collections.abc import Mapping
from functools import cache

from . import rules
from .board import Panel
from .fill import limits_in
from .rules import Alert


def of(panel: Panel) -> tuple[str, ...]:
    """Those that it shows, those that it names, and those that compare with a limit of its."""
    limits = filter(None, (panel.limit, *(query.limit for query in panel.queries)))
    compared = (alert for limit in limits for alert in comparing().get(limit, ()))
    return tuple(dict.fromkeys((*panel.alerts, *panel.runbooks, *(alert.alert for alert in compared))))


def mild(limit: str) -> bool:
    """Whether nobody is to do anything when it is met: it is context."""
    return all(alert.severity.keys() <= {"info"} for alert in comparing().get(limit, ()))


@cache
def comparing() -> Mapping[str, tuple[Alert, ...]]:
    """The alerts whose expressions take a number of a limit, by its name."""
    found: dict[str, tuple[Alert, ...]] = {}
    for template in rules.templates():
        for alert in template.alerts:
            for limit in sorted(limits_in(alert.expr)):
                found[limit] = (*found.get(limit, ()), alert)
    return found
