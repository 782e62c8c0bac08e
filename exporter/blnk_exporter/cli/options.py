"""What several commands share: the flags that set a key of exporter.yml, and how the configuration is read with them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .. import collectors, config, thresholds
from ..config import report
from ..errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
TARGET = click.option("--target", metavar="NAME", help="Which one, where the configuration has several targets.")


def settings_flags(command: F) -> F:
    """Add the flags that set a key of exporter.yml; the parameter's name is the key, with ``__`` for the dot."""
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
            "--web.external-url", "web__external_url", metavar="URL", help="Address behind a proxy.  [default: none]"
        ),
        click.option(
            "--web.route-prefix", "web__route_prefix", metavar="PATH", help="[default: path of --web.external-url]"
        ),
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


def loader(options: dict[str, Any], environ: dict[str, str]) -> Callable[[], config.Loaded]:
    """Return a function that reads the configuration again at each call, from the same flags and environment."""
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


def load_or_exit(load: Callable[[], config.Loaded]) -> config.Loaded:
    """Load the configuration; print every fault and exit if there is one."""
    try:
        loaded = load()
        thresholds.of(loaded.thresholds)
    except ConfigError as error:
        click.echo(report.render_check(error), err=True, nl=False)
        sys.exit(1)
    return loaded
