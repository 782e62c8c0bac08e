"""Everything in ``alerts/``: rules, runbooks and their index."""

from collections.abc import Iterator, Mapping

from . import rules, runbooks
from .fill import Site
from .rules import Template

OWNED = ("README.md", "*.rules.yml", "runbooks/*.md")
_HEAD = """# Alerts

Rendered by `blnk-exporter render alerts`: Prometheus loads `*.rules.yml`, people read `runbooks/`.

- **critical** wakes someone: money or data is at stake, or customers wait, and there is something to do now.
- **warning** is a ticket for the next working day.
- **info** is context for whoever looks.

Other limits: `blnk-exporter render alerts --set queues.depth.warning=5000 --output DIR`, or a file of your own with
`--thresholds`; see `--help`.
"""


def render(site: Site) -> Mapping[str, str]:
    """Path and text of every file."""
    files = {f"{template.name}.rules.yml": rules.render(template, site) for template in rules.templates()}
    files |= {f"runbooks/{name}.md": runbooks.render(alert, site) for name, alert in runbooks.alerts().items()}
    return {"README.md": "\n".join(_index(site)), **files}


def _index(site: Site) -> Iterator[str]:
    yield _HEAD
    for template in rules.templates():
        if template.alerts:
            yield from _section(template, site)


def _section(template: Template, site: Site) -> Iterator[str]:
    yield f"## {template.name}\n\n| alert | severity | what it says |\n| --- | --- | --- |"
    for alert in rules.told(template, site):
        yield f"| [{alert.alert}](runbooks/{alert.alert}.md) | {', '.join(alert.severity)} | {alert.summary} |"
    yield ""
