"""The command ``serve``."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import click

from .. import line_writer, log, watchdog
from ..errors import CannotListen
from ..notify import Notify
from ..serve import serve as serve_until_stopped
from ..service import Service
from . import HELP
from .options import load_or_exit, loader, settings_flags


@click.command(context_settings=HELP)
@settings_flags
def serve(**options: Any) -> None:
    """Serve metrics until stopped.

    SIGHUP reads the configuration again, as does any change of one of its files; SIGTERM and SIGINT stop.
    """
    load = loader(options, dict(os.environ))
    settings = load_or_exit(load).settings
    _, errors = line_writer.install()
    log.set_up(settings.own.log.level, settings.own.log.format)
    service = Service(load)
    service.log_lines_dropped = lambda: errors.dropped
    asyncio.run(_serve(service, Notify(os.environ), last_words=errors.drain))


async def _serve(service: Service, notify: Notify, *, last_words: Callable[[], None]) -> None:
    await service.start()
    try:
        with watchdog.watching(notify, last_words):
            await serve_until_stopped(service, notify=notify)
    except CannotListen as error:
        raise click.ClickException(str(error)) from None
