"""The command ``render``: what is written for Prometheus, for people and for Grafana."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from .. import thresholds
from ..config.address import release
from ..errors import ExporterError
from ..render import alerts, fill, grafana, site, targets, tree
from ..render.fill import Site
from . import HELP


@click.group(chain=True, context_settings=HELP)
def render() -> None:
    """Write alert rules, runbooks and dashboards, with the limits of your deployment.

    Several commands may follow one another, each with its options.
    """


def _checked(check: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str], Any]:
    def callback(context: click.Context, option: click.Parameter, value: str) -> Any:
        try:
            return check(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return callback


def _each(check: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], Any]:
    def callback(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
        return tuple(_checked(check)(context, option, value) for value in values)

    return callback


_CHECK = click.option("--check", is_flag=True, help="Write nothing; exit 1 if the directory holds something else.")
# What rules and boards are both about: options with their default in Site, how they are checked, and what they say.
_OF_THE_SITE = (
    ("exporter_job", "REGEX", site.regex, "Our label job."),
    ("blnk_job", "REGEX", site.regex, "Blnk's own label job."),
    ("side_queues", "REGEX", site.regex, "Queues nobody waits for."),
    ("noisy_queues", "REGEX", site.regex, "Queues that fail by design."),
    ("exporter_url", "URL", site.url, "Where people reach the runbooks."),
)


def _of_the_site(name: str, metavar: str, check: Callable[[str], Any], text: str) -> Callable[..., Any]:
    return click.option(
        f"--{name.replace('_', '-')}",
        default=getattr(Site, name),
        show_default=True,
        metavar=metavar,
        callback=_checked(check),
        help=text,
    )


def _limits(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say which limits are drawn or compared with, of what, and where the texts go."""
    options = (
        click.option(
            "--thresholds",
            "file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Limits that differ: names with warning and critical, as `render limits` prints them.",
        ),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="NAME=VALUE",
            help="One limit: queues.depth.warning=5000.",
        ),
        _CHECK,
        *(_of_the_site(*told) for told in _OF_THE_SITE),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _output(directory: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--output",
        default=directory,
        show_default=True,
        metavar="DIR",
        callback=_checked(site.directory),
        help="Where files of ours are replaced; others stay.",
    )


@render.command("alerts", short_help="Alert rules and runbooks.", context_settings=HELP)
@_limits
@_output("alerts")
@click.option(
    "--host-metrics",
    type=click.Choice(fill.HOST_METRICS),
    default=fill.HOST_METRICS[0],
    show_default=True,
    help="Whose series tell of disk, memory and CPU.",
)
@click.option(
    "--host-matchers",
    default="",
    metavar="PROMQL",
    callback=_checked(site.matchers),
    help='Which hosts are Blnk\'s: instance=~"blnk-.*".',
)
@_of_the_site("grafana_url", "URL", site.url, "Where people reach the dashboards.")
def render_alerts(**options: Any) -> None:
    """Write rules, runbooks and their index into a directory."""
    if options["host_matchers"] and options["host_metrics"] == fill.HOST_METRICS[0]:
        raise click.UsageError("--host-matchers choose among the hosts of --host-metrics node_exporter or kubelet")
    _render(alerts, **options)
    if options["host_metrics"] != fill.HOST_METRICS[0] and not options["host_matchers"]:
        _note("without --host-matchers every host that Prometheus knows is taken for Blnk's")
    if left := alerts.untold(Site(host_metrics=options["host_metrics"])):
        _note(f"{options['host_metrics']} has no metrics for {', '.join(left)}")


@render.command("limits", short_help="All limits, as --thresholds takes them.", context_settings=HELP)
def render_limits() -> None:
    """Print every limit with its unit and its reason: what --thresholds may change, and may be given in part."""
    click.echo(thresholds.text(thresholds.load()), nl=False)


@render.command("dashboards", short_help="Dashboards for Grafana.", context_settings=HELP)
@_limits
@_output("dashboards")
def render_dashboards(**options: Any) -> None:
    """Write dashboards into a directory, as Grafana imports and provisions them."""
    _render(grafana, **options)


@render.command("targets", short_help="Blnk's own metrics, for Prometheus.", context_settings=HELP)
@click.option(
    "--blnk-version",
    "version",
    required=True,
    metavar="X.Y.Z",
    callback=_checked(release),
    help="The release of Blnk that runs; before 0.14.0 there is nothing to scrape.",
)
@click.option(
    "--target",
    "addresses",
    multiple=True,
    metavar="HOST:PORT",
    callback=_each(targets.address),
    help="A server or worker of Blnk.",
)
@_CHECK
@_output("alerts")
def render_targets(*, version: str, addresses: tuple[str, ...], check: bool, output: Path) -> None:
    """Write blnk-targets.yml into a directory, for file_sd_configs of Prometheus' job blnk."""
    _put(targets.render(version, addresses), output, targets.OWNED, check=check)
    if not targets.has_metrics(version):
        _note(f"Blnk {version} has no metrics: {targets.FILE} names no target")


def _render(
    what: ModuleType,
    *,
    file: Path | None,
    assignments: tuple[str, ...],
    output: Path,
    check: bool,
    **texts: Any,
) -> None:
    """Write what a module of ``render`` renders, or compare it with what is there."""
    try:
        limits = thresholds.assigned(thresholds.of(file), assignments)
        files: Mapping[str, str] = what.render(Site(limits=limits, **texts))
    except ExporterError as error:
        raise click.ClickException(str(error)) from None
    _put(files, output, what.OWNED, check=check)
    for name in ("exporter_url", "grafana_url"):
        if not check and texts.get(name) == getattr(Site, name):
            flag = f"--{name.replace('_', '-')}"
            _note(f"links lead to {texts[name]}; give {flag} the address that browsers reach")


def _put(files: Mapping[str, str], output: Path, owned: tuple[str, ...], *, check: bool) -> None:
    """Write files into a directory; with ``check`` write none, and exit 1 if it holds something else."""
    if check:
        found = [*tree.differences(files, output, owned)]
        if found:
            found.append("Rendered with other options? --check compares with what those given here would render.")
            click.echo("".join(f"{line}\n" for line in found), err=True, nl=False)
            sys.exit(1)
        return
    try:
        left = tree.write(files, output, owned)
    except ExporterError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"wrote {len(files)} file{'s' if len(files) != 1 else ''} into {output}")
    for path in left:
        _note(f"{path} was rendered once, or is a copy: remove it if nothing needs it")


def _note(text: str) -> None:
    click.echo(f"note: {text}", err=True)
