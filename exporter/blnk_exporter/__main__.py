"""The console script, and ``python -m blnk_exporter``."""

import sys


def main() -> None:
    """Run the command line; a container's health check, which runs every half minute, imports no more than it needs."""
    if sys.argv[1:] == ["ping"]:
        from .ping import main as check  # noqa: PLC0415 - see above

        sys.exit(check())
    from .cli import cli  # noqa: PLC0415 - see above

    cli(prog_name="blnk-exporter")


if __name__ == "__main__":
    main()
