"""What each command's reply looks like, so that no room meets another shape: some servers answer ``+OK`` to everything."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import Malformed


def _integer(reply: Any) -> bool:
    return isinstance(reply, int)


def _text(reply: Any) -> bool:
    return isinstance(reply, bytes)


def _text_or_nothing(reply: Any) -> bool:
    return reply is None or isinstance(reply, bytes)


def _texts(reply: Any) -> bool:
    return isinstance(reply, list) and all(map(_text, reply))


def _texts_or_nothing(reply: Any) -> bool:
    return isinstance(reply, list) and all(map(_text_or_nothing, reply))


def _clock(reply: Any) -> bool:
    return _texts(reply) and len(reply) == 2 and all(part.isdigit() and len(part) <= 12 for part in reply)


def _scored(reply: Any) -> bool:
    """Members and their scores in turn."""
    if not _texts(reply) or len(reply) % 2:
        return False
    try:
        return all(float(score) == float(score) for score in reply[1::2])
    except ValueError:
        return False


_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    "TIME": _clock,
    "INFO": _text,
    "GETRANGE": _text,
    "HGET": _text_or_nothing,
    "LINDEX": _text_or_nothing,
    "MGET": _texts_or_nothing,
    "SRANDMEMBER": _texts,
    "ZRANGE": _scored,
    "ZREVRANGEBYSCORE": _scored,
    **dict.fromkeys(("EXISTS", "LLEN", "PTTL", "SCARD", "SLOWLOG", "ZCARD", "ZCOUNT"), _integer),
}


def checked(command: Sequence[Any], reply: Any) -> Any:
    """The reply, or Malformed in its place where the command cannot have that reply."""
    name = command[0]
    shape = _SHAPES.get(name)
    if shape is None or isinstance(reply, Exception):
        return reply
    if shape(reply) and (name != "MGET" or len(reply) == len(command) - 1):
        return reply
    return Malformed(f"a reply to {name} that Redis does not give")
