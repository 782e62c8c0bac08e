"""What ``check-config`` prints: every effective value with its origin, then notes; or every fault."""

from ..errors import ConfigError
from . import Loaded
from .origin import printable

_VALUE_WIDTH = 60


def render_check(outcome: Loaded | ConfigError) -> str:
    """Write the outcome of a load for a person at a terminal; secrets are masked already."""
    if isinstance(outcome, ConfigError):
        count = len(outcome.faults)
        faults = "".join(f"  {printable(str(fault))}\n" for fault in outcome.faults)
        return f"{count} fault{'s' if count != 1 else ''} in the configuration:\n{faults}"
    rows = [(value.path, printable(value.text_masked), printable(value.origin)) for value in outcome.values]
    path_width = max(len(path) for path, _, _ in rows)
    # One long value does not push every origin off the screen.
    value_width = max((len(text) for _, text, _ in rows if len(text) <= _VALUE_WIDTH), default=0)
    table = "".join(f"{path:<{path_width}}  {text:<{value_width}}  {origin}\n" for path, text, origin in rows)
    notes = "".join(f"note: {printable(note)}\n" for note in outcome.notes)
    return f"{table}\n{notes}{chr(10) if notes else ''}The configuration is valid.\n"
