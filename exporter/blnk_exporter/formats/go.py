"""How Go reads a boolean, a number, a duration and a URL's parts: Blnk is written in Go, so its quirks are ours to know.

Source: Go 1.25 ``strconv``, ``time.ParseDuration``, ``net.SplitHostPort``. Every function raises ValueError without the
text it was given, since that may be a secret.
"""

import re
from fractions import Fraction

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# An underscore may stand between digits, and between the base's prefix and a digit.
_INTEGERS = (
    (re.compile(r"0[xX]((?:_?[0-9a-fA-F])+)"), 16),
    (re.compile(r"0[bB]((?:_?[01])+)"), 2),
    (re.compile(r"0[oO]((?:_?[0-7])+)"), 8),
    (re.compile(r"0((?:_?[0-7])+)"), 8),
    (re.compile(r"(0|[1-9](?:_?[0-9])*)"), 10),
)
_DIGITS = "[0-9](?:_?[0-9])*"
_FLOAT = re.compile(
    rf"[+-]?(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:e[+-]?{_DIGITS})?|[+-]?inf(?:inity)?|nan", re.IGNORECASE
)
_ATOI = re.compile(r"[+-]?[0-9]+")
_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def parse_bool(text: str) -> bool:
    """``strconv.ParseBool``: thirteen spellings, and ``yes``, ``on`` and the empty text are none of them."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("must be true or false")


def parse_int(text: str) -> int:
    """``strconv.ParseInt(text, 0, 64)``: the base from the prefix, so that ``010`` is eight."""
    sign, digits = (text[0], text[1:]) if text[:1] in {"+", "-"} else ("+", text)
    for pattern, base in _INTEGERS:
        if match := pattern.fullmatch(digits):
            return _int64(sign + match[1].replace("_", ""), base)
    raise ValueError("must be a whole number")


def atoi(text: str) -> int:
    """``strconv.Atoi``: decimal only."""
    if not _ATOI.fullmatch(text):
        raise ValueError("must be a whole number")
    return _int64(text, 10)


def parse_float(text: str) -> float:
    """``strconv.ParseFloat(text, 64)`` without the hexadecimal form; too large a number is refused, not infinite."""
    if not _FLOAT.fullmatch(text):
        raise ValueError("must be a number")
    number = float(text)
    if number in {float("inf"), float("-inf")} and "n" not in text.lower():
        raise ValueError("is out of range")
    return number


def parse_duration(text: str) -> int:
    """``time.ParseDuration`` in nanoseconds: ``30m``, ``1h15m``; a number without a unit is refused, except ``0``."""
    sign, rest = (-1 if text[0] == "-" else 1, text[1:]) if text[:1] in {"+", "-"} else (1, text)
    if rest == "0":
        return 0
    total = position = 0
    for match in _DURATION.finditer(rest):
        if match.start() != position:
            break
        # A long fraction is cut, as Go cuts it; nothing is rounded.
        total += int(_digits(match[1]) * _NANOSECONDS[match[2]])
        position = match.end()
    if not rest or position != len(rest):
        raise ValueError("must be a duration with its unit, such as 30s or 5m")
    if total > INT64_MAX + (sign < 0):
        raise ValueError("is out of range")
    return sign * total


def wrap_int64(number: int) -> int:
    """Cut a product to what is left of it when it overflows Go's int64."""
    return (number - INT64_MIN) % 2**64 + INT64_MIN


def split_host_port(address: str) -> tuple[str, str]:
    """``net.SplitHostPort``: ``[::1]:5432`` and ``host:5432``; a missing port or a bare IPv6 address is refused."""
    host, colon, port = address.rpartition(":")
    if host.startswith("["):
        if not host.endswith("]"):
            raise ValueError("has no closing bracket before its port")
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("has too many colons")
    if not colon or "[" in host + port or "]" in host + port:
        raise ValueError("has no port")
    return host, port


def _digits(text: str) -> Fraction:
    """Read the number before a unit, no further than an int64 and a few decimals go, so that no text is too long."""
    whole, _, decimals = text.partition(".")
    if len(whole.lstrip("0")) > 19:
        raise ValueError("is out of range")
    return int(whole or "0") + Fraction(int(decimals[:18] or "0"), 10 ** len(decimals[:18]))


def _int64(text: str, base: int) -> int:
    if len(text) > 80:  # Python refuses to read very long numbers; leading zeros do not go that far
        raise ValueError("is out of range")
    number = int(text, base)
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError("is out of range")
    return number
