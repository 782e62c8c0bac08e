"""``python -m blnk_exporter``."""

from .cli import main

main()
