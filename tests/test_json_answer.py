"""JSON of other systems: bounded, and malformed where it is not what was asked for."""

import pytest

from blnk_exporter.errors import Malformed
from blnk_exporter.json_answer import read_object


def test_an_object_is_read() -> None:
    assert read_object('{"a": [1, "[,{", null]}') == {"a": [1, "[,{", None]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        "[" * 200_000,
        '{"a":' * 200_000,
        '{"a": NaN}',
        '{"a": -Infinity}',
        f'{{"a": {"9" * 400}}}',
        f'{{"a": {"9" * 5_000}}}',
        '{"a": [' + "[]," * 1_000_000 + "1]}",
    ],
    ids=range(12),
)
def test_anything_else_is_malformed(text: str) -> None:
    """Deep nesting was a RecursionError, which was reported as a defect of the exporter."""
    with pytest.raises(Malformed):
        read_object(text)
