"""The command ``ping``, with options. Without any it never comes here: see __main__."""

import os

import click

from .. import ping as health_check
from ..config import listening
from . import HELP


@click.command(context_settings=HELP)
@click.option("--web.listen-address", "address", metavar="HOST:PORT", help="Where the exporter listens.")
@click.option("--config.file", "config_file", metavar="PATH", help="The exporter's own.  [default: ./exporter.yml]")
@click.option("--web.external-url", "external_url", metavar="URL", help="As given to serve.")
@click.option("--web.route-prefix", "route_prefix", metavar="PATH", help="As given to serve.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.001, 3600),
    default=health_check.TIMEOUT_SECONDS,
    show_default=True,
    help="Seconds to wait for the answer.",
)
def ping(*, address: str | None, config_file: str | None, timeout: float, **web: str | None) -> None:
    """Exit 0 if an exporter is alive on this machine: the health check of a container."""
    flags = {"web.listen_address": address, "config_file": config_file}
    flags |= {f"web.{key}": value for key, value in web.items()}
    try:
        where = listening.find(os.environ, flags)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if failure := health_check.ask(where, timeout_seconds=timeout):
        raise click.ClickException(f"{where.address}: {failure}")
