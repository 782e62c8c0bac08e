"""Check every message of a PostgreSQL server before the driver's parser sees it.

asyncpg 0.32 loops forever in one callback on a message whose type byte is 0, buffers any length that a header claims, and
answers every request for a password. A guard between the transport and the driver passes on complete, plausible
messages only.

Source: PostgreSQL documentation 55.2 and 55.7 (message flow and formats), libpq ``fe-connect.c`` (sizes during a login)
and ``fe-auth.c`` (order of authentication messages).
"""

import asyncio
import re
import struct
from dataclasses import dataclass

from ..errors import Malformed, ReadingError, Refused

LOGIN_BYTES = 131_072
"""Bound of all that a server may send during one login; an honest one sends less than 2,000 bytes."""

_HEADER = struct.Struct("!BI")
# A claimed length is compared with these before its bytes arrive. During a login as libpq.
_LOGIN_TYPES = {ord("R"): 2_000} | dict.fromkeys(b"KSNEZv", 30_000)
# Only a row holds data; text of a notice or an error spans several buffers at quadratic cost in the driver.
_SESSION_TYPES = dict.fromkeys(b"SNEATtZ123CIsn", 65_536) | {ord("D"): 1 << 32}
# Until the first statement: the session's settings are read back by a COPY of one line.
_CHECK_TYPES = _SESSION_TYPES | dict.fromkeys(b"Hdc", 65_536)
# What the driver's objects take in memory beyond the bytes of a message, and of each value of a row.
_MESSAGE_OVERHEAD, _VALUE_OVERHEAD = 100, 60
# The driver keeps the last value of each; PostgreSQL 18 reports 17.
_PARAMETERS = 100

_NOT_POSTGRESQL = "the answer is not PostgreSQL's"
_NOT_OURS = "the answer has other types than the exporter's statements"
_METHODS = {2: "kerberos", 3: "password", 5: "md5", 7: "gss", 9: "sspi", 10: "scram-sha-256"}
# The driver derives the key in the event loop: 0.4 s for this number. PostgreSQL's default is 4,096.
_SCRAM_ITERATIONS = 1_000_000


# All that the exporter's statements have: one column of type text, and parameters of that type. The driver decodes other
# types, of which an array of 800 KB takes 78 MiB and two seconds.
_TEXT = 25
_COLUMN = re.compile(rb"\x00\x01[^\x00]*\x00.{6}" + re.escape(struct.pack("!i", _TEXT)) + rb".{8}", re.DOTALL)
_DESCRIPTIONS = b"Tt"


def _check_types(kind: int, description: bytes) -> None:
    """Raise Malformed for columns (T) or parameters (t) that no statement of the exporter has."""
    if kind == 0x54:
        is_ours = _COLUMN.fullmatch(description) is not None
    else:
        count = len(description) // 4
        is_ours = description == struct.pack(f"!h{count}i", count, *[_TEXT] * count)
    if not is_ours:
        raise Malformed(_NOT_OURS)


@dataclass(frozen=True)
class LoginPolicy:
    """Which authentication requests may be answered.

    Attributes:
        methods: the names that libpq's ``require_auth`` allows; None allows every method.
        sends_cleartext: whether the operator named ``password`` in ``require_auth``.
    """

    methods: frozenset[str] | None = None
    sends_cleartext: bool = False


class Guard(asyncio.Protocol):
    """Pass complete and valid messages to the driver's protocol; end the connection at the first one that is not.

    ``begin`` starts the byte budget of a statement. After a refusal ``failure`` holds the reason, and the driver
    raises an error whose cause it is.
    """

    def __init__(self, driver: asyncio.Protocol, policy: LoginPolicy, *, response_bytes: int, is_trusted: bool) -> None:
        self.driver = driver
        self.failure: ReadingError | None = None
        self._login: _Login | None = _Login(policy, is_trusted=is_trusted)
        self._types = _LOGIN_TYPES
        self._response_bytes = response_bytes
        self._left = LOGIN_BYTES
        self._transport: asyncio.Transport | None = None
        # The beginning of a message, whether its header was charged, and how many bytes the whole of it has.
        self._partial = bytearray()
        self._is_charged = False
        self._needed = _HEADER.size
        self._parameters: set[bytes] = set()

    def begin(self) -> None:
        """Start the budget of the next statement."""
        self._left = self._response_bytes
        self._types = _SESSION_TYPES

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the driver begin its login."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type
        self._transport = transport
        self.driver.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on the messages that are complete now."""
        if self.failure:
            return
        try:
            if whole := self._whole(data):
                self.driver.data_received(whole)
        except ReadingError as refusal:
            # Its frames hold what has come, and the page keeps the failure until the next scrape.
            self._end(refusal.with_traceback(None))
        except Exception:  # noqa: BLE001 - the driver's parser: asyncio would log what it stumbled over
            self._end(Malformed(_NOT_POSTGRESQL))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the driver why."""
        self._partial = bytearray()
        self.driver.connection_lost(self.failure or error)

    def pause_writing(self) -> None:
        """As the transport asks."""
        self.driver.pause_writing()

    def resume_writing(self) -> None:
        """As the transport asks."""
        self.driver.resume_writing()

    def _end(self, failure: ReadingError) -> None:
        self.failure = failure
        self._partial = bytearray()
        if self._transport:
            self._transport.abort()

    def _whole(self, data: bytes) -> bytes:
        """Return the complete messages, and keep what is behind them for the next call."""
        if not self._partial:
            end = self._check(data)
            self._partial += data[end:]
            return data[:end]
        self._partial += data
        if len(self._partial) < self._needed:
            return b""
        # Judged where it is: a copy of what is refused would double the memory.
        end = self._check(self._partial)
        with memoryview(self._partial) as view, view[:end] as messages:
            whole = bytes(messages)
        del self._partial[:end]
        return whole

    def _check(self, data: bytes | bytearray) -> int:
        """Return where the last complete message ends; raise Malformed or Refused."""
        position, size = 0, len(data)
        while size - position >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, position)
            if not self._is_charged:
                self._charge(kind, length)
            end = position + 1 + length
            if end > size:
                self._is_charged, self._needed = True, end - position
                return position
            self._is_charged = False
            self._look(kind, data, position + _HEADER.size, end)
            position = end
        self._needed = _HEADER.size
        return position

    def _charge(self, kind: int, length: int) -> None:
        """Refuse a message by its header."""
        if not 4 <= length <= self._types.get(kind, 0):
            raise Malformed(_NOT_POSTGRESQL)
        self._spend(length + _MESSAGE_OVERHEAD)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            where = (
                "a login" if self._login else f"a statement: limits.database_response_bytes is {self._response_bytes}"
            )
            raise Malformed(f"the server sends more than is accepted in answer to {where}", answered=not self._login)

    def _look(self, kind: int, data: bytes | bytearray, start: int, end: int) -> None:
        """Judge the content of a complete message where it matters."""
        if kind == 0x44:  # D, a row
            if end - start < 2:
                raise Malformed(_NOT_POSTGRESQL)
            self._spend(int.from_bytes(data[start : start + 2], "big") * _VALUE_OVERHEAD)
        elif kind in _DESCRIPTIONS:
            _check_types(kind, bytes(data[start:end]))
        elif kind == 0x53:  # S, a parameter
            self._parameters.add(bytes(data[start:end].partition(b"\0")[0]))
            if len(self._parameters) > _PARAMETERS:
                raise Malformed(_NOT_POSTGRESQL)
        elif self._login and kind == 0x52:  # R, a request for authentication
            self._login.judge(bytes(data[start:end]))
        elif self._login and kind == 0x5A:  # Z, ready for the first statement
            if not self._login.is_over:
                raise Malformed(_NOT_POSTGRESQL)
            self._login = None
            self.begin()
            self._types = _CHECK_TYPES


class _Login:
    """The authentication messages of one login, in libpq's order."""

    def __init__(self, policy: LoginPolicy, *, is_trusted: bool) -> None:
        self.is_over = False
        self._policy = policy
        self._is_trusted = is_trusted
        self._method: str | None = None
        self._last: int | None = None

    def judge(self, message: bytes) -> None:
        """Raise for a request that must not be answered."""
        code = int.from_bytes(message[:4], "big")
        if self.is_over or len(message) < 4:
            raise Malformed(_NOT_POSTGRESQL)
        # Each message of SCRAM once: the driver derives a key for each, and crashes at one after the last.
        match code:
            case 0:
                self._finish()
            case 11 if self._last == 10:
                self._check_iterations(message)
            case 12 if self._last == 11:
                pass
            case _ if code in _METHODS and self._method is None:
                self._method = _METHODS[code]
                self._check_method(self._method)
            case _:
                raise Malformed(_NOT_POSTGRESQL)
        self._last = code

    def _finish(self) -> None:
        if self._method is None:
            self._check_method("none")
        if self._method == "scram-sha-256" and self._last != 12:
            raise Malformed("the server does not prove that it knows the password")
        self.is_over = True

    def _check_method(self, method: str) -> None:
        policy = self._policy
        if policy.methods is not None and method not in policy.methods:
            what = "asks for no authentication" if method == "none" else f"asks for {method} authentication"
            raise Refused(f"the server {what}, which require_auth in the connection string excludes")
        if method in {"kerberos", "gss", "sspi"}:
            raise Refused(f"the server asks for {method} authentication, which the exporter does not support")
        if method == "password" and not (self._is_trusted or policy.sends_cleartext):
            raise Refused(
                "the server asks for the password in clear text, and its certificate is not verified: set "
                "sslmode=verify-full, or allow it with require_auth=password in the connection string"
            )

    @staticmethod
    def _check_iterations(message: bytes) -> None:
        # As the driver reads it, which takes the first.
        found = re.search(rb",i=(\d+)", message)
        if not found:
            raise Malformed(_NOT_POSTGRESQL)
        if len(found[1]) > 10 or int(found[1]) > _SCRAM_ITERATIONS:
            raise Refused(f"the server asks for more than {_SCRAM_ITERATIONS:,} iterations of SCRAM")
