"""``blnk-exporter`` with a window: at SIGUSR1 it prints how many tasks its event loop has. Run as a script."""

import asyncio
import signal
from typing import Any

import click

from blnk_exporter.__main__ import main
from blnk_exporter.cli import serve

_serve = serve.serve_until_stopped


async def _watched(*arguments: Any, **options: Any) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: click.echo(len(asyncio.all_tasks())))
    await _serve(*arguments, **options)


if __name__ == "__main__":
    serve.serve_until_stopped = _watched
    main()
