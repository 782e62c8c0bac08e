"""Numbers in words: what a tired person reads must not mislead."""

import pytest

from blnk_exporter.quantity import Unit, duration, say


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0, "tasks", "0 tasks"),
        (1, "tasks", "1 task"),
        (1234567, "tasks", "1,234,567 tasks"),
        (1, "entries", "1 entry"),
        (2, "entries", "2 entries"),
        (0.8, "ratio", "80 %"),
        (0.8042, "ratio", "80.4 %"),
        (1, "ratio", "100 %"),
        (0, "bytes", "0 B"),
        (1023, "bytes", "1023 B"),
        (1536, "bytes", "1.5 KiB"),
        (100 * 2**30, "bytes", "100 GiB"),
        (2.0**80, "bytes", "1073741824 PiB"),
        (7200, "seconds", "2 h"),
        (0, "rate", "0/s"),
        (0.001, "rate", "under 0.01/s"),
        (0.25, "rate", "0.25/s"),
        (3.42, "rate", "3.4/s"),
        (1234.5, "rate", "1,234/s"),
    ],
)
def test_a_number_is_told_with_its_unit(value: float, unit: Unit, words: str) -> None:
    """The unit belongs to the number: 80 of what, is the first question."""
    assert say(value, unit).replace("\u00a0", " ") == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.0123, "12 ms"),
        (0.99, "990 ms"),
        (1, "1 s"),
        (2.96, "3 s"),
        (3.04, "3 s"),
        (9.4, "9.4 s"),
        (59.6, "60 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (10800, "3 h"),
        (172800, "2 d"),
        (90 * 86400, "90 d"),
    ],
)
def test_a_duration_has_one_unit(seconds: float, words: str) -> None:
    """Two digits are enough to judge it, and a millisecond is never told as nothing."""
    assert duration(seconds).replace("\u00a0", " ") == words
