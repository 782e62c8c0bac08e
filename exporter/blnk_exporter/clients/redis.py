"""One connection to Redis or Valkey on which all collectors of a scrape share their round trips."""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis import exceptions as foreign
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection

from ..errors import Malformed, ReadingError, Refused, TimedOut, Unreachable
from ..formats.dsn import RedisDsn
from . import tls
from .redis_reply import checked

Command = tuple[str | bytes | int | float, ...]
Reply = Any
"""bytes, int, None or a list of these; a ReadingError where the server refused this one command."""

# Its stub knows tuples of one only.
_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]
_Batch = list[tuple[Sequence[Command], asyncio.Future[list[Reply]]]]


class RedisClient:
    """Sends read commands; what several callers ask in the same moment travels in one round trip.

    There is at most one connection and one round trip under way. A caller that leaves early costs the others
    nothing; when the last one has left, the connection is dropped, since half a reply may be on its way.
    """

    def __init__(self, dsn: RedisDsn) -> None:
        self._dsn = dsn
        self._connection: AbstractConnection | None = None
        self._waiting: _Batch = []
        self._flying: _Batch = []
        self._flight: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """``host:port`` or the socket's path."""
        return self._dsn.address

    async def execute(self, *commands: Command) -> list[Reply]:
        """The replies in the order of the commands.

        Raises Unreachable, Refused or Malformed when no reply can be had at all; a command that is refused by
        itself has its ReadingError in its place.
        """
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, future))
        self._take_off()
        try:
            return await future
        finally:
            self._land_if_deserted()

    async def close(self) -> None:
        """Drop the connection; whoever still waits gets Unreachable."""
        waiting, self._waiting = self._waiting, []
        _disappoint(waiting)
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])
        await self._drop()

    def _take_off(self) -> None:
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly(), name=f"redis {self.address}")

    def _land_if_deserted(self) -> None:
        if self._flight is not None and all(asked.done() for _, asked in self._flying + self._waiting):
            self._flight.cancel()

    async def _fly(self) -> None:
        try:
            while self._waiting:
                # One turn of the loop, so that collectors which start together travel together.
                await asyncio.sleep(0)
                self._flying, self._waiting = self._waiting, []
                await self._deliver(self._flying)
                self._flying = []
        finally:
            self._flight = None
            flying, self._flying = self._flying, []
            _disappoint(flying)
            # Whoever came while the flight was already being cancelled had no part in that.
            self._waiting = [asked for asked in self._waiting if not asked[1].done()]
            if self._waiting:
                self._take_off()

    async def _deliver(self, batch: _Batch) -> None:
        """Carry one batch there and back; a failure is delivered to every caller of the batch."""
        try:
            replies = iter(await self._round_trip([command for commands, _ in batch for command in commands]))
        except Exception as error:  # noqa: BLE001 - a defect is the callers', who report it; nobody awaits this task
            # What is not translated may hold a piece of what was sent, a password for one: only its kind goes on.
            failure = error if isinstance(error, ReadingError) else RuntimeError(type(error).__name__)
            for _, future in batch:
                if not future.done():
                    future.set_exception(failure)
            return
        for commands, future in batch:
            mine = [next(replies) for _ in commands]
            if not future.done():
                future.set_result(mine)

    async def _round_trip(self, commands: list[Command]) -> list[Reply]:
        reused = self._connection is not None
        try:
            return await self._exchange(commands)
        except Unreachable:
            # A connection that lay idle while the server restarted is only seen to be dead when it is used.
            if not reused:
                raise
            return await self._exchange(commands)

    async def _exchange(self, commands: list[Command]) -> list[Reply]:
        fresh = self._connection is None
        try:
            connection = self._connection = self._connection or await self._connect()
            # So that CLIENT LIST on the server names us; where an ACL forbids it, that is no loss.
            named: list[Command] = [("CLIENT", "SETNAME", "blnk_exporter")] if fresh else []
            # Packed in C: the driver's own way of packing is as much work as all the rest of a round trip.
            await connection.send_packed_command(b"".join(map(_pack, [*named, *commands])))
            replies = await _read(connection, len(named) + len(commands))
            return list(map(checked, commands, replies[len(named) :]))
        except BaseException as error:
            await self._drop()
            failure = _translate(error)
            if failure is None:
                raise
            if fresh and not self._dsn.tls and str(failure) == os.strerror(errno.ECONNRESET):
                failure = Unreachable(f"{failure}; if it wants TLS, the URL begins with rediss://")
            raise failure from None

    async def _connect(self) -> AbstractConnection:
        connection = _connection(self._dsn)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException as error:
            await connection.disconnect(nowait=True)
            failure = _translate_login(error)
            if failure is None:
                raise
            raise failure from None
        return connection

    async def _drop(self) -> None:
        if self._connection:
            connection, self._connection = self._connection, None
            await connection.disconnect(nowait=True)


def _disappoint(batch: _Batch) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(Unreachable("the connection was closed"))


def _connection(dsn: RedisDsn) -> AbstractConnection:
    password = dsn.password.get_secret_value() if dsn.password else None
    # RESP2 and no driver info: on connecting, anything else makes older servers count error replies, which we report.
    common: dict[str, Any] = {
        "username": dsn.username,
        "password": password,
        "db": dsn.database,
        "protocol": 2,
        "driver_info": None,
        "socket_timeout": None,
        "socket_connect_timeout": None,
    }
    if dsn.path:
        return UnixDomainSocketConnection(path=dsn.path, **common)
    if not dsn.tls:
        return Connection(host=dsn.host, port=dsn.port, **common)
    tls.check_files(dsn.ca_file)
    return SSLConnection(
        host=dsn.host,
        port=dsn.port,
        ssl_cert_reqs="required" if dsn.tls_verify else "none",
        ssl_check_hostname=dsn.tls_verify,
        ssl_ca_certs=dsn.ca_file,
        **common,
    )


async def _read(connection: AbstractConnection, count: int) -> list[Reply]:
    """So many replies; an error reply to one command is a value, so that those behind it are still read.

    Out of the driver's parser: its own way to read one reply costs as much as all the rest of a round trip.
    """
    parser: Any = connection._parser  # noqa: SLF001 - there is no other way to it
    replies: list[Reply] = []
    while len(replies) < count:
        try:
            reply = parser._reader.gets(False)  # noqa: SLF001 - as bytes
        except (ValueError, LookupError, TypeError, AttributeError):
            # The driver takes some errors and types apart that only look like Redis'.
            raise foreign.InvalidResponse from None
        if reply is NOT_ENOUGH_DATA:
            await parser.read_from_socket()
        else:
            replies.append(_refusal(reply) if isinstance(reply, Exception) else reply)
    return replies


def _refusal(error: Exception) -> ReadingError:
    """What an error reply to one command says; raises what is not about this one command."""
    match error:
        case foreign.NoPermissionError():
            return Refused(f"{error}; `blnk-exporter grants redis` prints what is needed")
        case foreign.BusyLoadingError():
            # INFO and TIME are answered meanwhile.
            return Refused("Redis is loading its data set")
        case foreign.MasterDownError():
            return Refused("this replica has lost its primary and does not serve what it holds")
        case (
            foreign.AskError() | foreign.TryAgainError() | foreign.ClusterDownError() | foreign.ClusterCrossSlotError()
        ):
            return Refused("this is a node of a Redis Cluster that does not serve all keys")
        case foreign.ResponseError():
            # Behind these words stands what was sent.
            text = str(error).partition(", with args")[0]
            return Refused(text) if text.startswith(_REFUSALS) else Malformed(text)
        case _:
            raise error


_REFUSALS = ("unknown command", "unknown subcommand", "BUSY ", "DENIED ", "MISCONF ", "UNKILLABLE ")


def _translate_login(error: BaseException) -> ReadingError | None:  # noqa: PLR0911 - one line per failure
    """A failure before the first command of ours; never in the server's words, for it may repeat what it was sent."""
    text = str(error)
    match error:
        case foreign.NoPermissionError():
            return Refused("Redis refuses the login: the user may not choose the database")
        case foreign.AuthenticationError() | foreign.AuthorizationError():
            return Refused("Redis refuses the login: wrong user name or password")
        case foreign.ResponseError() if text.startswith("unknown command"):
            return Refused("Redis refuses the login: it does not know the command AUTH or SELECT")
        case foreign.ResponseError() if "index" in text:
            return Refused("Redis has no database of that index")
        case foreign.ResponseError() if text.startswith("DENIED"):
            return Refused("Redis is in protected mode and serves its own machine only")
        case foreign.ResponseError():
            return Refused("Redis refuses the login")
        case foreign.ConnectionError() if text == "max number of clients reached":
            return Refused("Redis has too many clients")
        case ValueError() | LookupError() | TypeError() | AttributeError():
            # Ours when it is about letters, the server's otherwise.
            ours = isinstance(error, UnicodeEncodeError)
            return Refused("the login is not UTF-8 text") if ours else Malformed("not the Redis protocol")
        case _:
            return _translate(error)


def _translate(error: BaseException) -> ReadingError | None:  # noqa: PLR0911 - one line per failure
    """The driver's failure in our words, None for what is not the driver's."""
    match error:
        case ReadingError():
            return error
        case foreign.AuthenticationError() | foreign.AuthorizationError():
            return Refused("Redis refuses the login: it wants a password")
        case foreign.BusyLoadingError():
            return Refused("Redis is loading its data set")
        case foreign.InvalidResponse() | foreign.ResponseError():
            return Malformed("not the Redis protocol")
        case foreign.TimeoutError():
            return TimedOut("no answer in time")
        case foreign.ConnectionError() | OSError():
            return tls.failure(error) or Unreachable.because(error)
        case _:
            return None
