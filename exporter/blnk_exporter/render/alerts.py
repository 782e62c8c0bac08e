"""Everything in ``alerts/``: rules, runbooks and their index."""

from collections.abc import Iterator, Mapping

from . import rules, runbooks
from .fill import Site
from .rules import Template
from .tree import MARK

OWNED = ("README.md", "*.rules.yml", "runbooks/*.md")
_HEAD = f"""# Alerts

{MARK}alerts`: Prometheus loads `*.rules.yml`, people read `runbooks/`.

- **critical** wakes someone: money or data is at stake, or customers wait, and there is something to do now.
- **warning** is a ticket for the next working day.
- **info** is context for whoever looks.

## Into use

```sh
blnk-exporter render alerts --output /etc/prometheus/blnk \\
    --exporter-url https://blnk-exporter.example.com --grafana-url https://grafana.example.com
```

```yaml
# prometheus.yml
rule_files: [/etc/prometheus/blnk/*.rules.yml]
scrape_configs:
  - job_name: blnk-exporter
    scrape_interval: 15s   # that of Grafana's data source must be the same, or boards show no rates
    static_configs: [{{targets: ["blnk-exporter:10501"]}}]
```

`--exporter-url` is where the browsers of people on call reach the exporter, which serves the runbooks at `/runbooks/`: keep a
copy of `runbooks/` for the night in which it is down itself. `--grafana-url` is where they reach `dashboards/`. Where
another job name, other hosts' metrics or other queues are in use, say so: `blnk-exporter render alerts --help`.

Other limits: `--set queues.depth.warning=5000`, or a file with `--thresholds`. A runbook names its limits at its end, and
tells why. An alert that is not wanted is left out by a route of Alertmanager to nowhere.
"""


def render(site: Site) -> Mapping[str, str]:
    """Path and text of every file."""
    files = {f"{template.name}.rules.yml": rules.render(template, site) for template in rules.templates()}
    files |= {f"runbooks/{name}.md": runbooks.render(alert, site) for name, alert in runbooks.alerts().items()}
    return {"README.md": "\n".join(_index(site)), **files}


def untold(site: Site) -> tuple[str, ...]:
    """The names of alerts that the site's source of host metrics cannot tell of."""
    return tuple(
        alert.alert
        for template in rules.templates()
        for alert in template.alerts
        if alert not in rules.told(template, site)
    )


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
