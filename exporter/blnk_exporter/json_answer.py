"""Read JSON that another system sent: bounded in depth and in memory."""

import json
import re
from typing import Any, NoReturn

from .errors import Malformed

# An element takes up to 72 bytes of memory for 3 bytes of text: a list of empty objects.
_ELEMENTS = 1_000_000
# More digits than a float can hold: to make a sample of such a number would fail.
_HUGE = re.compile(r"(?<!\d)\d{309}")


def read_object(text: str) -> dict[str, Any]:
    """Return the object that the text holds.

    Raises Malformed for anything else: no JSON, another type, nesting deeper than Python reads, too many elements.
    """
    if _HUGE.search(text):
        raise Malformed("the answer has a number of more than 308 digits")
    if text.count(",") + text.count("[") + text.count("{") > _ELEMENTS:
        raise Malformed(f"the answer has more than {_ELEMENTS:,} elements")
    try:
        answer = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Malformed("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise Malformed("the answer is not a JSON object")
    return answer


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
