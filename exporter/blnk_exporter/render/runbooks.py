"""What to do about an alert, for someone who has just been woken; out of ``runbooks/`` and the limits of a site."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources

from . import dashboards
from .fill import Site, fill, limits_in
from .rules import Alert, expression, templates
from .tree import MARK

SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation")
# What stands between fences or backticks is to be pasted; elsewhere the name of an alert leads to its page.
_CODE_OR_NAME = re.compile(r"```.*?```|`[^`\n]*`|\bBlnk[A-Z]\w+", re.DOTALL)


@cache
def alerts() -> dict[str, Alert]:
    """Every alert by its name, in the order of the rules."""
    return {alert.alert: alert for template in templates() for alert in template.alerts}


def render(alert: Alert, site: Site, *, suffix: str = ".md") -> str:
    """The whole page as Markdown: the four sections, then the rule. Links to other alerts end in ``suffix``.

    In files there is a link to the alert's panel, too; the exporter, which serves the others, does not know where Grafana is.
    """
    text = resources.files(__package__).joinpath("runbooks", f"{alert.alert}.md").read_text("utf-8")

    def linked(match: re.Match[str]) -> str:
        known = match[0] in alerts() and match[0] != alert.alert
        return f"[{match[0]}]({match[0]}{suffix})" if known else match[0]

    body = _CODE_OR_NAME.sub(linked, fill(text, site).strip())
    return "\n".join(
        (
            f"# {alert.alert}\n",
            f"{alert.summary}\n",
            body,
            "",
            *_rule(alert, site, panel=suffix == ".md"),
            f"{MARK}alerts`.\n",
        )
    )


def _rule(alert: Alert, site: Site, *, panel: bool) -> Iterator[str]:
    yield "## Rule\n"
    if panel and (place := dashboards.places().get(alert.alert)):
        yield f"Seen in Grafana on [its panel]({site.grafana_url}{place}).\n"
    for severity, duration in alert.severity.items():
        yield f"**{severity}**{f', after {duration},' if duration else ''} when\n"
        yield f"```promql\n{expression(alert.expr, site, severity)}\n```\n"
    for name in sorted(limits_in(alert.expr)):
        limit = site.limits[name]
        yield f"Limit `{name}`: {limit.words}. {limit.why}\n"
    if alert.checklist:
        yield f"Production checklist: {', '.join(alert.checklist)}.\n"
