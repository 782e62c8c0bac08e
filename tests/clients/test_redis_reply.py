"""What each command's reply must look like."""

from typing import Any

import pytest

from blnk_exporter.clients.redis_reply import checked
from blnk_exporter.errors import Malformed, Refused

SHAPES: dict[tuple[str, ...], tuple[list[Any], list[Any]]] = {
    ("TIME",): ([[b"1", b"2"]], [b"OK", None, 1, [], [b"1"], [b"1", b"x"], [1, 2]]),
    ("INFO",): ([b"", b"a:1"], [None, 1, []]),
    ("LLEN", "k"): ([0, 5], [None, b"5", [], b"OK"]),
    ("SLOWLOG", "LEN"): ([0], [[], b"OK"]),
    ("HGET", "k", "f"): ([None, b"1"], [1, []]),
    ("MGET", "a", "b"): ([[None, b"1"]], [[None], [1, 2], b"OK", None]),
    ("SRANDMEMBER", "k", "9"): ([[], [b"a"]], [b"OK", None, 1, [None], [1]]),
    ("ZRANGE", "k"): ([[], [b"a", b"1.5"]], [b"OK", None, [b"a"], [b"a", b"b"], [b"a", b"nan"], [b"a", 1]]),
    ("ECHO", "x"): ([b"x", 1, None, []], []),
}


@pytest.mark.parametrize("command", SHAPES, ids=" ".join)
def test_a_reply_of_another_shape_is_malformed(command: tuple[str, ...]) -> None:
    """A room would end in a TypeError, or worse, take it for a fact."""
    good, bad = SHAPES[command]
    assert [checked(command, reply) for reply in good] == good
    assert [type(checked(command, reply)) for reply in bad] == [Malformed] * len(bad)


def test_a_refusal_stays_one() -> None:
    """It has its reason already."""
    refusal = Refused("no")
    assert checked(("LLEN", "k"), refusal) is refusal
