"""One connection to Redis or Valkey on which all collectors of a scrape share their round trips."""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
from redis import exceptions as foreign
from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection

from ..errors import Malformed, NotAsked, NotReady, ReadingError, Refused, TimedOut, Unreachable
from ..formats import placeholder
from ..formats.dsn import RedisDsn
from . import tls
from .redis_reply import checked
from .redis_wire import BoundedParser, ImpatientSSLConnection, TooLarge

Command = tuple[str | bytes | int | float, ...]
Reply = Any
"""bytes, int, None or a list of these; a ReadingError where the server refused this one command."""

# Its stub knows tuples of one only.
_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]
_Batch = list[tuple[Sequence[Command], asyncio.Future[list[Reply]]]]
# A name, or a balancer, may lead elsewhere by now, while the server that it led to keeps its clients.
_CONNECTION_SECONDS_MAX = 300.0


class RedisClient:
    """Sends read commands; what several callers ask in the same moment travels in one round trip.

    There is at most one connection and one round trip under way. A caller that leaves early costs the others
    nothing; when the last one has left, the connection is dropped, since half a reply may be on its way.
    ``response_bytes`` is the most that one round trip may bring.
    """

    def __init__(self, dsn: RedisDsn, *, response_bytes: int = 16_777_216) -> None:
        self._dsn = dsn
        self._response_bytes = response_bytes
        self._connection: AbstractConnection | None = None
        self._connected_at = float("-inf")
        self._named = False
        self._waiting: _Batch = []
        self._flying: _Batch = []
        self._flight: asyncio.Task[None] | None = None
        self.connections = 0
        """How many connections have been made: what was learned of a server holds for one of them."""

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

    def reconnect(self) -> None:
        """Let the next round trip begin with a new connection: the address may lead to another server by now."""
        self._connected_at = float("-inf")

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
        except TooLarge as error:
            if len(batch) == 1:
                _fail(batch, error)
            # One caller's reply is at fault; the others have theirs without it.
            for asked in batch if len(batch) > 1 else ():
                await self._deliver([asked])
            return
        except Exception as error:  # noqa: BLE001 - a defect is the callers', who report it; nobody awaits this task
            # What is not translated may hold a piece of what was sent, a password for one: only its kind goes on.
            failure = error if isinstance(error, ReadingError) else RuntimeError(type(error).__name__)
            _fail(batch, failure)
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
        try:
            connection = await self._kept() or await self._renewed()
            # So that CLIENT LIST on the server names us; where an ACL forbids it, that is no loss.
            named: list[Command] = [] if self._named else [("CLIENT", "SETNAME", "blnk_exporter")]
            parser = _parser(connection)
            parser.budget.renew(self._response_bytes)
            # Packed in C: the driver's own way of packing is as much work as all the rest of a round trip.
            await connection.send_packed_command(b"".join(map(_pack, [*named, *commands])))
            replies = await parser.read_replies(len(named) + len(commands), _refusal)
            self._named = True
            return list(map(checked, commands, replies[len(named) :]))
        except BaseException as error:
            fresh = not self._named
            await self._drop()
            failure = _translate(error)
            if failure is None:
                raise
            if fresh and str(failure) == os.strerror(errno.ECONNRESET):
                failure = Unreachable(f"{failure}; {_HANGS_UP[self._dsn.tls]}")
            raise failure from None

    async def _kept(self) -> AbstractConnection | None:
        """The connection, unless it is too old or something has come on it that was not asked for."""
        if self._connection is None or self._now() - self._connected_at > _CONNECTION_SECONDS_MAX:
            return None
        if await self._connection.can_read():
            await self._drop()
        return self._connection

    async def _renewed(self) -> AbstractConnection:
        """A new connection in place of the old one, which is kept where the server refuses another login."""
        try:
            connection = await self._connect()
        except Refused:
            if self._connection is None:
                raise
            connection = self._connection
        else:
            await self._drop()
            self.connections += 1
        self._connection, self._connected_at = connection, self._now()
        return connection

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _connect(self) -> AbstractConnection:
        connection = _connection(self._dsn)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            _parser(connection).expect_silence()
        except BaseException as error:
            await connection.disconnect(nowait=True)
            password = self._dsn.password.get_secret_value() if self._dsn.password else None
            failure = _translate_login(error, placeholder.question(password))
            if failure is None:
                raise
            raise failure from None
        return connection

    async def _drop(self) -> None:
        self._named = False
        if self._connection:
            connection, self._connection = self._connection, None
            await connection.disconnect(nowait=True)


def _disappoint(batch: _Batch) -> None:
    _fail(batch, Unreachable("the connection was closed"))


def _fail(batch: _Batch, failure: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(failure)


def _parser(connection: AbstractConnection) -> BoundedParser:
    return cast("BoundedParser", connection._parser)  # noqa: SLF001 - the driver has no other way to it


def _connection(dsn: RedisDsn) -> AbstractConnection:
    password = dsn.password.get_secret_value() if dsn.password else None
    # RESP2 and no driver info: on connecting, anything else makes older servers count error replies, which we report.
    common: dict[str, Any] = {
        "username": dsn.username,
        "password": password,
        "db": dsn.database,
        "protocol": 2,
        "driver_info": None,
        "parser_class": BoundedParser,
        "socket_timeout": None,
        "socket_connect_timeout": None,
    }
    if dsn.path:
        return UnixDomainSocketConnection(path=dsn.path, **common)
    if not dsn.tls:
        return Connection(host=dsn.host, port=dsn.port, **common)
    tls.check_authority(dsn.ca_file)
    return ImpatientSSLConnection(
        host=dsn.host,
        port=dsn.port,
        ssl_cert_reqs="required" if dsn.tls_verify else "none",
        ssl_check_hostname=dsn.tls_verify,
        ssl_ca_certs=dsn.ca_file,
        ssl_include_verify_flags=tls.INCLUDED,
        ssl_exclude_verify_flags=tls.EXCLUDED,
        **common,
    )


def _refusal(error: Exception) -> ReadingError:
    """What an error reply to one command says; raises what is not about this one command."""
    match error:
        case foreign.NoPermissionError():
            return Refused(f"{error}; `blnk-exporter grants redis` prints what is needed")
        case foreign.BusyLoadingError():
            # INFO and TIME are answered meanwhile.
            return NotReady("Redis is loading its data set")
        case foreign.MasterDownError():
            return Refused("this replica has lost its primary and does not serve what it holds")
        case (
            foreign.AskError() | foreign.TryAgainError() | foreign.ClusterDownError() | foreign.ClusterCrossSlotError()
        ):
            return Refused("this is a node of a Redis Cluster that does not serve all keys")
        case foreign.ResponseError():
            # Behind these words stands what was sent.
            text = str(error).partition(", with args")[0]
            if text.startswith("BUSY "):
                return NotReady(text)
            return Refused(text) if text.startswith(_REFUSALS) else Malformed(text, answered=True)
        case _:
            raise error


_HANGS_UP = {
    False: "if it expects TLS, the URL must begin with rediss://",
    True: "a Redis that demands a client's certificate hangs up like this, and neither Blnk nor the exporter has one",
}
_REFUSALS = ("unknown command", "unknown subcommand", "DENIED ", "MISCONF ", "UNKILLABLE ")


def _translate_login(error: BaseException, hint: str) -> ReadingError | None:  # noqa: PLR0911 - one line per failure
    """A failure before the first command of ours; never in the server's words, for it may repeat what it was sent.

    ``hint`` is for the password.
    """
    text = str(error)
    match error:
        case foreign.NoPermissionError():
            return Refused("Redis refuses the login: the user lacks the permission for SELECT")
        case foreign.AuthenticationError() | foreign.AuthorizationError():
            return Refused(f"Redis refuses the login: wrong user name or password{hint}")
        case foreign.ResponseError() if text.startswith("unknown command"):
            return Refused("Redis refuses the login: it does not know the command AUTH or SELECT")
        case foreign.ResponseError() if "index" in text:
            return Refused("Redis has no database of that index")
        case foreign.ResponseError() if text.startswith("DENIED"):
            return Refused("Redis is in protected mode and serves its own machine only")
        case foreign.ResponseError():
            return Refused("Redis refuses the login")
        case ValueError() | LookupError() | TypeError() | AttributeError():
            # Ours when it is about letters, the server's otherwise.
            ours = isinstance(error, UnicodeEncodeError)
            return NotAsked("the login is not UTF-8 text") if ours else Malformed("not the Redis protocol")
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
            return NotReady("Redis is loading its data set")
        case foreign.InvalidResponse() | foreign.ResponseError():
            return Malformed("not the Redis protocol")
        case foreign.TimeoutError():
            return TimedOut("no answer in time")
        case foreign.ConnectionError() if str(error) == "max number of clients reached":
            return Refused("Redis has too many clients")
        case foreign.ConnectionError() if "SSL handshake is taking longer" in str(error):
            return TimedOut("no TLS handshake; is TLS expected there?")
        case foreign.ConnectionError() | OSError():
            return tls.failure(error) or Unreachable.because(error)
        case _:
            return None
