"""Passwords as bcrypt hashes, as ``htpasswd -B`` writes them: ``$2y$10$`` and 53 characters of salt and hash."""

import re

import bcrypt

COST_MAX = 14
"""One more doubles the time: 14 is a second, and whoever sends wrong passwords would keep us at it."""
_HASH = re.compile(r"(\$2[aby]\$(\d\d)\$)([./A-Za-z0-9]{22})[./A-Za-z0-9]{31}")


def cost(hashed: str) -> int:
    """The cost of a hash; raises ValueError, without the hash, if it is none that can be compared with."""
    match = _HASH.fullmatch(hashed)
    if not match:
        raise ValueError("must be a bcrypt hash, as htpasswd -nBC 10 writes it")
    try:
        # Not every salt of the right letters is one: tried at the lowest cost.
        bcrypt.hashpw(b"", f"$2b$04${match[3]}".encode())
    except ValueError:
        raise ValueError("must be a bcrypt hash, as htpasswd -nBC 10 writes it") from None
    if not 4 <= int(match[2]) <= COST_MAX:
        raise ValueError(f"has cost {int(match[2])}; it must be from 4 to {COST_MAX}")
    return int(match[2])


def nobodys(cost: int) -> str:
    """A hash that no password has, and that takes as long to compare with as one of that cost."""
    return f"$2b${cost:02}${'.' * 53}"


def matches(password: str, hashed: str) -> bool:
    """Whether a hash that has a ``cost`` is that of a password. Takes 50 ms at cost 10, and twice that for each more."""
    # bcrypt knows no more than 72 bytes; htpasswd leaves out what follows them.
    return bcrypt.checkpw(password.encode()[:72], hashed.encode())
