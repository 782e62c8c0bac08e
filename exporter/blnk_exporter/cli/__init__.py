"""The command line; wiring only. A command's module is imported when the command is used, so that none pays for another."""

from importlib import import_module
from typing import Any

import click

from .. import __version__

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
# Each command: the attribute of a module of this package, and its line in the list of commands.
COMMANDS = {
    "check-config": ("check.check_config", "Print what is configured and where it comes from."),
    "demo": ("demo.demo", "Try it out without a Blnk."),
    "grants": ("documents.print_grants", "Print the rights that the exporter needs."),
    "metrics": ("documents.metrics", "List every metric."),
    "ping": ("ping.ping", "Ask whether an exporter is alive here."),
    "render": ("render.render", "Write what Prometheus, Grafana and people read."),
    "scrape": ("check.scrape", "Read everything once and print it."),
    "serve": ("serve.serve", "Serve metrics until stopped."),
    "settings": ("documents.settings", "List every key of the configuration."),
}
_EXAMPLES = """
\b
Beside a Blnk:         cd /etc/blnk && blnk-exporter serve
Elsewhere:             blnk-exporter serve --blnk-config /etc/blnk/blnk.json
What does it use?      blnk-exporter check-config
What does it see?      blnk-exporter scrape
Which grants?          blnk-exporter grants postgres
No Blnk yet?           blnk-exporter demo

Every setting is a key of exporter.yml, a variable BLNK_EXPORTER_<KEY>, or a flag; the later wins. Secrets may come
from files: BLNK_EXPORTER_POSTGRES_PASSWORD_FILE, or password_file in exporter.yml; a changed file is read again automatically.
"""


class _Lazy(click.Group):
    """A group that knows the names of its commands and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(".")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Lazy, epilog=_EXAMPLES, context_settings=HELP)
@click.version_option(__version__, prog_name="blnk-exporter")
def cli() -> None:
    """Prometheus exporter for a Blnk ledger.

    Reads Blnk's servers and workers, its queues in Redis, its tables in PostgreSQL, both databases themselves and
    the host. Needs no further configuration where it finds Blnk's: blnk.json and the BLNK_* environment.
    """
