"""The commands ``metrics``, ``settings`` and ``grants``."""

import os
from typing import Any

import click

from ..render import catalogue, configuration, grants
from . import HELP
from .options import TARGET, load_or_exit, loader, settings_flags

_GRANTS = """
\b
blnk-exporter grants postgres | psql -X -v ON_ERROR_STOP=1 -d blnk
blnk-exporter grants redis > exporter.acl
"""


@click.command(context_settings=HELP)
def metrics() -> None:
    """Print every metric with type, labels, meaning, source and cost, as Markdown."""
    click.echo(catalogue.markdown())


@click.command(context_settings=HELP)
def settings() -> None:
    """Print every key of exporter.yml with type, unit, default and meaning, as Markdown."""
    click.echo(configuration.markdown())


@click.command("grants", epilog=_GRANTS, context_settings=HELP)
@click.argument("store", type=click.Choice([*grants.RENDERED]), metavar="postgres|redis")
@click.option(
    "--rejection-reasons",
    type=click.Choice(["column", "function"]),
    default="column",
    show_default=True,
    help="How the role may read why a transaction was rejected: the column meta_data, or a function that returns only that.",
)
@TARGET
@settings_flags
def print_grants(*, store: str, rejection_reasons: str, **options: Any) -> None:
    """Print the grants that the exporter's role needs, and nothing else.

    For postgres a script that makes the role and may be run again and again, for redis one line of an ACL. Both are
    for the collectors that are switched on and for the login that postgres.user or redis.username names. They hold no
    password and say how to set one.
    """
    function = rejection_reasons == "function"
    if function and store != "postgres":
        raise click.UsageError("--rejection-reasons: must not be given for redis; it is about PostgreSQL")
    # A placeholder to watch: grants are also printed where no Blnk is configured.
    load = loader({"servers": "http://127.0.0.1:5001"} | options, dict(os.environ))
    found = load_or_exit(load).settings
    click.echo(grants.postgres(found, function=True) if function else grants.RENDERED[store](found), nl=False)
