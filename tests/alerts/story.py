"""Stories for promtool: what series do in quiet times, in trouble and after it, told with the limits as they are."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from blnk_exporter import thresholds
from blnk_exporter.render.fill import Site, fill
from blnk_exporter.render.rules import Alert, Template, templates

STEP_SECONDS = 15
# Seconds between two samples where a story is up to so long: promtool looks at each of them.
_STEPS = ((STEP_SECONDS, 2 * 3600), (60, 12 * 3600), (120, 2 * 86_400), (300, 1e9))
LIMITS = thresholds.load()
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Rate:
    """A counter that grows by so much per second."""

    per_second: float


@dataclass(frozen=True)
class Ago:
    """A timestamp that stays so many seconds in the past."""

    seconds: float


@dataclass(frozen=True)
class Until:
    """A timestamp that stays so many seconds ahead."""

    seconds: float


Course = float | int | Rate | Ago | Until | None
"""What a series does for a while; None: it is not there."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One alert in quiet times and in trouble.

    ``quiet`` lies just under the limit, ``loud`` just over it; ``always`` is there in both. ``severity`` where the
    alert has several. ``seconds`` is how long trouble lasts where the rule's own windows do not tell, ``calm_seconds``
    how long quiet does, before and after, where those are longer than the story.
    """

    quiet: Mapping[str, Course]
    loud: Mapping[str, Course]
    always: Mapping[str, Course] = field(default_factory=dict)
    severity: str = ""
    seconds: int = 0
    calm_seconds: int = 0
    step_seconds: int = 0


def seconds(span: str) -> int:
    """``1h30m`` as PromQL has it; nothing is 0."""
    return sum(int(number) * _SPANS[unit] for number, unit in re.findall(r"(\d+)([smhd])", span))


def found(name: str) -> tuple[Template, Alert]:
    """The alert of that name and the file that it stands in."""
    return next((template, alert) for template in templates() for alert in template.alerts if alert.alert == name)


def told(name: str, case: Case) -> dict[str, Any]:
    """One test of promtool: silent while quiet, firing in trouble, and silent again afterwards."""
    template, alert = found(name)
    severity = case.severity or next(iter(alert.severity))
    window = case.calm_seconds or max([300, *(seconds(span) for span in _windows(template, alert))])
    step = case.step_seconds or next(step for step, longest in _STEPS if window <= longest)
    held = seconds(alert.severity[severity]) + 4 * step
    calm, trouble = window + held, case.seconds or window + held
    after = window + seconds(alert.keep_firing_for) + 8 * step
    phases = [(case.quiet, calm), (case.loud, trouble), (case.quiet, after)]
    names = dict.fromkeys((*case.quiet, *case.loud))
    series = [course(selector, [(phase.get(selector), length) for phase, length in phases], step) for selector in names]
    series += [course(selector, [(told_, calm + trouble + after)], step) for selector, told_ in case.always.items()]
    # With every label that its text names for certain: one that the expression drops is a hole in a sentence.
    named, asked = (
        set(re.findall(rf"{{{{\s*{word}\$labels\.(\w+)", alert.description)) for word in ("", "(?:if|with) ")
    )
    labels = "".join(f',{label}!=""' for label in sorted(named - asked))
    selector = f'alertname="{name}",severity="{severity}",alertstate="firing"'
    firing = f"count(ALERTS{{{selector}{labels}}}) or vector(0)"
    # The last moment of each phase.
    ends = (end - step for end in (calm, calm + trouble, calm + trouble + after))
    moments = zip(ends, (0, 1, 0), strict=True)
    return {
        "name": f"{name} {severity}",
        "interval": f"{step}s",
        "input_series": series,
        "promql_expr_test": [
            {"expr": f"({firing}) > bool 0", "eval_time": f"{at}s", "exp_samples": [{"labels": "{}", "value": value}]}
            for at, value in moments
        ],
    }


def _windows(template: Template, alert: Alert) -> Iterator[str]:
    """Every range and offset that decides on the alert, those of the series that it is made of included."""
    texts = [alert.expr]
    for name, expr in template.records.items():
        if name in alert.expr:
            texts += [expr] if isinstance(expr, str) else expr.values()
    for text in texts:
        yield from re.findall(
            r"(?:\[|offset )(\d+[smhd])", fill(text, Site(), level="warning") if "@" not in text else text
        )


def course(selector: str, phases: list[tuple[Course, int]], step_seconds: int) -> dict[str, str]:
    """One series of promtool's, phase after phase, each so many seconds long; ours unless it names another job."""
    name, _, labels = selector.partition("{")
    common = 'instance="blnk-exporter:10501",job="blnk-exporter"'
    told_labels = ",".join(filter(None, (labels.removesuffix("}"), "" if "job=" in labels else common)))
    return {"series": f"{name}{{{told_labels}}}", "values": " ".join(_values(phases, step_seconds))}


def _values(phases: list[tuple[Course, int]], step: int) -> Iterator[str]:
    now, total = 0, 0.0
    for course, length in phases:
        count = length // step
        match course:
            case None:
                yield f"_x{count}"
            case Rate(per_second):
                growth = per_second * step
                yield f"{total:.6f}+{growth:.6f}x{count - 1}"
                total += growth * count
            case Ago() | Until():
                offset = -course.seconds if isinstance(course, Ago) else course.seconds
                yield f"{now + offset:.3f}+{step}x{count - 1}"
            case _:
                yield f"{float(course):.12g}x{count - 1}"
        now += count * step
