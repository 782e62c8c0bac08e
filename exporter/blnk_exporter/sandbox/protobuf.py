"""Writes the few kinds of protobuf fields that asynq's messages have; see https://protobuf.dev/programming-guides/encoding/.

As in proto3, a field that holds its zero value is left out.
"""

_VARINT, _BYTES = 0, 2


def varint(value: int) -> bytes:
    """Write a number in groups of seven bits, lowest first."""
    out = bytearray()
    value &= (1 << 64) - 1  # a negative number is its two's complement
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """Write an int32, int64 or bool."""
    return varint(field << 3 | _VARINT) + varint(value) if value else b""


def text(field: int, value: str | bytes) -> bytes:
    """Write a string or bytes."""
    return message(field, value.encode() if isinstance(value, str) else value) if value else b""


def message(field: int, value: bytes) -> bytes:
    """Write a message that is already encoded, empty or not."""
    return varint(field << 3 | _BYTES) + varint(len(value)) + value


def timestamp(field: int, unix_seconds: float) -> bytes:
    """Write a google.protobuf.Timestamp."""
    seconds, fraction = divmod(unix_seconds, 1)
    return message(field, number(1, int(seconds)) + number(2, int(fraction * 1_000_000_000)))
