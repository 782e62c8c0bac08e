"""One read-only connection to one PostgreSQL server."""

import asyncio
import contextlib
import os
import ssl
import struct
import urllib.parse

import asyncpg

from ..errors import Locked, Malformed, ReadingError, Refused, TimedOut, Unreachable
from ..formats.dsn import PostgresDsn

# Asks whether the server would encrypt; every PostgreSQL answers one letter: https://www.postgresql.org/docs/16/protocol-flow.html
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class PostgresClient:
    """Runs one statement at a time on one connection that is opened when it is first needed.

    The session is read-only by construction and gives up by itself: on a statement that takes too long, and
    soon on a lock that another session holds.
    """

    def __init__(self, dsn: PostgresDsn, *, statement_timeout_seconds: float) -> None:
        self._dsn = dsn
        self._statement_timeout_seconds = statement_timeout_seconds
        self._connection: asyncpg.Connection | None = None
        self._lock = asyncio.Lock()
        self._refused: tuple[float, ReadingError] | None = None
        self._closed = False

    @property
    def address(self) -> str:
        """``host:port`` of the server."""
        return self._dsn.address

    @property
    def user(self) -> str | None:
        """The role that the connection string names."""
        return self._dsn.user

    async def version(self) -> int:
        """The server's version as ``server_version_num`` counts it, without the minor part: 160000."""
        asked_at = asyncio.get_running_loop().time()
        async with self._lock:
            connection = await self._connected(asked_at)
            return int(connection.get_server_version().major) * 10_000

    async def fetch_text(self, sql: str, *arguments: str | None) -> str:
        """The one text value that the statement returns.

        Raises Unreachable, Refused, TimedOut or Malformed; after Unreachable the connection is gone.
        """
        asked_at = asyncio.get_running_loop().time()
        async with self._lock:
            reused = self._connection is not None
            try:
                return await self._fetch(asked_at, sql, arguments)
            except Unreachable:
                # A connection that lay idle while the server restarted is only seen to be dead when it is used.
                if not reused:
                    raise
                return await self._fetch(asked_at, sql, arguments)

    async def close(self) -> None:
        """Drop the connection without waiting for the server's goodbye; whoever still waits gets Unreachable."""
        self._closed = True
        self._drop()

    async def _fetch(self, asked_at: float, sql: str, arguments: tuple[str | None, ...]) -> str:
        connection = await self._connected(asked_at)
        statement = asyncio.ensure_future(connection.fetchval(sql, *arguments))
        try:
            value = await asyncio.shield(statement)
        except asyncio.CancelledError:
            # The driver would open a second connection to cancel the statement, and a server that hangs would
            # then collect them. Dropping ours is enough: statement_timeout ends what still runs there.
            self._drop()
            await asyncio.wait([statement])
            statement.exception()
            raise
        except Exception as error:
            failure = _translate(error)
            if failure is None or isinstance(failure, Unreachable):
                self._drop()
            if failure is None:
                raise
            raise failure from None
        if not isinstance(value, str):
            raise Malformed("a statement returned no text")
        return value

    async def _connected(self, asked_at: float) -> asyncpg.Connection:
        if self._closed:
            raise Unreachable("the connection was closed")
        if self._connection and not self._connection.is_closed():
            return self._connection
        if self._refused and asked_at <= self._refused[0]:
            # Collectors of one scrape share a failed login, so that a wrong password is one line in the server's log:
            # who asked before it failed would have nothing else to try. The next scrape tries anew.
            raise self._refused[1]
        try:
            self._connection = await self._connect()
        except Exception as error:
            failure = error if isinstance(error, ReadingError) else _translate(error)
            if failure is None:
                raise
            self._refused = (asyncio.get_running_loop().time(), failure)
            raise failure from None
        self._refused = None
        return self._connection

    async def _connect(self) -> asyncpg.Connection:
        if self._dsn.sslmode == "disable":
            for host, port in zip(self._dsn.hosts, self._dsn.ports, strict=True):
                await _greet(host, port)
        milliseconds = str(int(self._statement_timeout_seconds * 1000))
        authority = self._dsn.tls.get("sslrootcert", "system") if self._dsn.sslmode.startswith("verify") else "system"
        if authority != "system" and not os.access(authority, os.R_OK):
            raise Refused(f"the certificate file {authority} cannot be read")
        return await asyncpg.connect(
            # The driver takes TLS files only from a connection string; no secret but the key's passphrase is in this one.
            dsn="postgresql://?" + urllib.parse.urlencode(self._dsn.tls) if self._dsn.tls else None,
            host=list(self._dsn.hosts),
            port=list(self._dsn.ports),
            user=self._dsn.user,
            password=self._dsn.password.get_secret_value() if self._dsn.password else None,
            database=self._dsn.database,
            ssl=self._dsn.sslmode,
            timeout=3600,  # the scrape's deadline is the true limit
            server_settings={
                "application_name": "blnk_exporter",
                "default_transaction_read_only": "on",
                "statement_timeout": milliseconds,
                "lock_timeout": "200",
                "idle_in_transaction_session_timeout": milliseconds,
                "jit": "off",
                "search_path": "pg_catalog",
                "timezone": "UTC",
            },
        )

    def _drop(self) -> None:
        if self._connection:
            self._connection.terminate()
            self._connection = None


async def _greet(host: str, port: int) -> None:
    """Raises Malformed when somebody else than PostgreSQL listens there.

    With TLS the driver begins with the same question. Without, it would believe whatever comes, and turn round for
    ever within one callback on a message that claims to be shorter than its own header: the whole process hangs.
    """
    if host.startswith("/"):
        return
    with contextlib.suppress(OSError):  # the driver meets it again, and may know another host
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(_SSL_REQUEST)
            answer = await reader.read(1)
        finally:
            writer.transport.abort()
        if answer not in (b"S", b"N", b"E", b""):
            raise Malformed("the answer is not PostgreSQL's")


def _translate(error: Exception) -> ReadingError | None:  # noqa: PLR0911 - one line per failure
    """The driver's failure in our words, None for what is not the driver's. The driver's texts hold no password."""
    match error:
        case ssl.SSLCertVerificationError():
            return Refused(f"the server's certificate is not trusted: {error.verify_message}")
        case asyncpg.LockNotAvailableError():
            return Locked(f"{error}")
        case asyncpg.QueryCanceledError():
            return TimedOut(f"{error}")
        case (
            asyncpg.InvalidAuthorizationSpecificationError()
            | asyncpg.InsufficientPrivilegeError()
            | asyncpg.InvalidCatalogNameError()
            | asyncpg.TooManyConnectionsError()
            | asyncpg.CannotConnectNowError()
        ):
            return Refused(f"{error}")
        case asyncpg.ProtocolViolationError() if "startup parameter" in str(error):
            return Refused("a connection pooler refuses the session's safety settings; name PostgreSQL itself instead")
        case asyncpg.PostgresConnectionError() | asyncpg.OperatorInterventionError() | OSError():
            return Unreachable.because(error)
        case asyncpg.ClientConfigurationError():
            return Refused(f"{error}")
        # The latter is the driver's state once the server has said goodbye and before the socket is closed.
        case asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return Unreachable(f"{error}")
        case asyncpg.PostgresError():
            return Malformed(f"{error}")
        case _:
            return None
