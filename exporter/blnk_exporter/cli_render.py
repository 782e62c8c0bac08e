"""The command `render`: what is written for Prometheus, for people and for Grafana; wiring only."""

import sys
from pathlib import Path
from typing import Any

import click

from . import thresholds
from .errors import ExporterError
from .render import alerts, fill, tree
from .render.fill import Site

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(short_help="Write what Prometheus and people read.", context_settings=HELP)
def render() -> None:
    """Write alert rules and runbooks, with the limits of your deployment."""


@render.command("alerts", short_help="Alert rules and runbooks.", context_settings=HELP)
@click.option(
    "--thresholds",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Limits that differ: names with warning and critical, as in thresholds.yml.",
)
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="One limit: queues.depth.warning=5000.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("alerts"), show_default=True, metavar="DIR")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the directory holds something else.")
@click.option(
    "--host-metrics",
    type=click.Choice(fill.HOST_METRICS),
    default=fill.HOST_METRICS[0],
    show_default=True,
    help="Whose series tell of disk, memory and CPU.",
)
@click.option("--exporter-job", default=Site.exporter_job, show_default=True, metavar="REGEX", help="Our label job.")
@click.option("--host-matchers", default="", metavar="PROMQL", help='Which hosts are Blnk\'s: instance=~"blnk-.*".')
@click.option("--blnk-job", default=Site.blnk_job, show_default=True, metavar="REGEX", help="Blnk's own label job.")
@click.option(
    "--side-queues", default=Site.side_queues, show_default=True, metavar="REGEX", help="Queues nobody waits for."
)
@click.option(
    "--noisy-queues", default=Site.noisy_queues, show_default=True, metavar="REGEX", help="Queues that fail by design."
)
@click.option("--exporter-url", default=Site.exporter_url, show_default=True, help="Where people reach the runbooks.")
@click.option("--grafana-url", default=Site.grafana_url, show_default=True, help="Where people reach the dashboards.")
def render_alerts(*, file: Path | None, assignments: tuple[str, ...], output: Path, check: bool, **site: Any) -> None:
    """Write rules, runbooks and their index into a directory; what is there and ours is replaced, or removed."""
    try:
        limits = thresholds.of(file)
        for assignment in assignments:
            limits = thresholds.assigned(limits, assignment)
        files = alerts.render(Site(limits=limits, **site))
        if check:
            found = [*tree.differences(files, output, alerts.OWNED)]
            click.echo("".join(f"{line}\n" for line in found), err=True, nl=False)
            sys.exit(1 if found else 0)
        tree.write(files, output, alerts.OWNED)
    except ExporterError as error:
        raise click.ClickException(str(error)) from None
