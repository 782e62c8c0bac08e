"""One read-only connection to one PostgreSQL server."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import asyncpg

from ..errors import Locked, Malformed, NotAsked, NotReady, ReadingError, Refused, TooDear, Unreachable
from ..formats import placeholder
from ..formats.dsn import PostgresDsn
from . import postgres_pooler, tls
from .postgres_login import Session, log_in
from .postgres_session import PoliciesMet, SafeSession, Sessions, SettingsRefused, SharedSession
from .turns import Turns

RESPONSE_BYTES = 16_777_216
"""Default bound of the answer to one statement."""
# asyncpg 0.32: "connection is closed", "connection was closed", "protocol is in the "failed" state", "not connected".
_CLOSED = re.compile(r'\b(?:is|was) closed|"failed" state|not connected')
# A statement that has outlived statement_timeout by this much hangs with its server.
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class _Abandoned:
    """A statement whose caller has left; the server works on until the moment given at the latest."""

    statement: asyncio.Future[Any]
    ends_at: float


class PostgresClient:
    """Runs one statement at a time on one connection that is opened when it is first needed.

    The session is read-only by construction and gives up by itself: on a statement that takes too long, and
    soon on a lock that another session holds. A caller that leaves does not end its statement: whoever comes next
    waits for its end first, so that at most one statement of ours is at work in the server.
    """

    def __init__(
        self, dsn: PostgresDsn, *, statement_timeout_seconds: float, response_bytes: int = RESPONSE_BYTES
    ) -> None:
        self._dsn = dsn
        self._statement_timeout_seconds = statement_timeout_seconds
        self._response_bytes = response_bytes
        self._sessions = Sessions(self._connect, statement_timeout_seconds)
        self._session: SafeSession | None = None
        self._turns = Turns()
        self._abandoned: _Abandoned | None = None
        self._refused: tuple[float, ReadingError] | None = None
        self._closed = False

    @property
    def address(self) -> str:
        """``host:port`` of the server."""
        return self._dsn.address

    async def version(self, *, background: bool = False) -> int:
        """The server's version as ``server_version_num`` counts it, without the minor part: 160000."""
        asked_at = asyncio.get_running_loop().time()
        async with self._turns.take(background=background):
            session = await self._connected(asked_at)
            return int(session.connection.get_server_version().major) * 10_000

    async def fetch_text(self, sql: str, *arguments: str | None, background: bool = False) -> str:
        """The one text value that the statement returns.

        Raises Unreachable, Refused, TooDear, Locked or Malformed; after Unreachable the connection is gone.
        """
        asked_at = asyncio.get_running_loop().time()
        async with self._turns.take(background=background):
            await self._settle()
            reused = self._session is not None
            try:
                return await self._fetch(asked_at, sql, arguments)
            except (SharedSession, PoliciesMet):
                return await self._fetch(asked_at, sql, arguments)
            except (Unreachable, Malformed) as failure:
                # A session that the server ended while it was idle is only seen to be dead when it is used. Where the
                # server's last words have come and the end has not, the driver calls them an answer to nothing.
                if not reused or self._session or failure.answered:
                    raise
                return await self._fetch(asked_at, sql, arguments)

    def background(self) -> "Background":
        """The same server for those whose statements can wait until nobody else has one."""
        return Background(self)

    async def close(self) -> None:
        """Drop the connection without waiting for the server's goodbye; whoever still waits gets Unreachable."""
        self._closed = True
        self._drop()
        if self._abandoned:
            await asyncio.wait([self._abandoned.statement])
            self._abandoned = None

    async def _settle(self) -> None:
        """Wait for the end of a statement that was left alone, and no longer than it can last; discard its result."""
        if not self._abandoned:
            return
        statement, now = self._abandoned.statement, asyncio.get_running_loop().time()
        await asyncio.wait([statement], timeout=max(0.0, self._abandoned.ends_at - now))
        if not statement.done() or _is_fatal(statement.exception()):
            self._drop()
            await asyncio.wait([statement])
        self._abandoned = None

    async def _fetch(self, asked_at: float, sql: str, arguments: tuple[str | None, ...]) -> str:
        session = await self._connected(asked_at)
        session.connection.guard.begin()
        statement = asyncio.ensure_future(session.fetchval(sql, arguments))
        # Seen by us even where nobody comes to ask any more.
        statement.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        ends_at = asyncio.get_running_loop().time() + self._statement_timeout_seconds + _GRACE_SECONDS
        try:
            value = await asyncio.shield(statement)
        except asyncio.CancelledError:
            # To cancel it, the driver would open a second connection; to drop the connection would leave the server at
            # work and the next scrape with a second session. statement_timeout ends it soon enough.
            self._abandoned = _Abandoned(statement, ends_at)
            raise
        except Exception as error:  # noqa: BLE001 - the edge: whatever the driver raises ends here
            failure = _failure(error)
            if _is_fatal(error) or isinstance(failure, SharedSession | PoliciesMet):
                self._drop()
            if isinstance(failure, SharedSession):
                self._sessions.lost_statement()
            if isinstance(failure, PoliciesMet):
                self._sessions.meet_policies()
            raise failure from None
        if not isinstance(value, str):
            raise Malformed("a statement returned no text", answered=True)
        return value

    async def _connected(self, asked_at: float) -> SafeSession:
        if self._closed:
            raise Unreachable("the connection was closed")
        if self._session and not self._session.connection.is_closed():
            return self._session
        if self._refused and asked_at <= self._refused[0]:
            # Collectors of one scrape share a failed login, so that a wrong password is one line in the server's log:
            # who asked before it failed would have nothing else to try. The next scrape tries anew.
            raise self._refused[1]
        try:
            self._session = await self._sessions.open()
        except Exception as error:  # noqa: BLE001 - as above
            failure = _login_failure(error, self._dsn)
            if isinstance(failure, ReadingError):
                self._refused = (asyncio.get_running_loop().time(), failure)
            raise failure from None
        self._refused = None
        return self._session

    async def _connect(self, settings: dict[str, str], prepared_max: int) -> Session:
        return await log_in(
            self._dsn,
            _login_failure,
            response_bytes=self._response_bytes,
            server_settings=settings,
            statement_cache_size=prepared_max,
            # By default, a statement of 15 KiB, as the ledger's, would be parsed and planned again at each scrape.
            max_cacheable_statement_size=0,
        )

    def _drop(self) -> None:
        if self._session:
            self._session.connection.terminate()
            self._session = None


@dataclass(frozen=True)
class Background:
    """A PostgreSQL as the slow rooms see it."""

    client: PostgresClient

    @property
    def address(self) -> str:
        """``host:port`` of the server."""
        return self.client.address

    async def version(self) -> int:
        """As the client's."""
        return await self.client.version(background=True)

    async def fetch_text(self, sql: str, *arguments: str | None) -> str:
        """As the client's."""
        return await self.client.fetch_text(sql, *arguments, background=True)


def _told(error: BaseException) -> ReadingError | None:
    """What the guard refused, or a pooler said for itself; the driver keeps both behind its own error."""
    for cause in (error, error.__cause__, error.__cause__ and error.__cause__.__cause__):
        match cause:
            case ReadingError():
                return cause
            case asyncpg.PostgresError() if known := postgres_pooler.failure(cause.sqlstate, cause.args[0]):
                return known
    return None


def _login_failure(error: Exception, dsn: PostgresDsn) -> Exception:  # noqa: PLR0911, PLR0912, C901 - one line per failure
    """A failure before the first statement of ours; never in the other side's words, for it knows our password."""
    match error:
        case _ if told := _told(error):
            return told
        case asyncpg.InvalidPasswordError():
            password = dsn.password.get_secret_value() if dsn.password else None
            hint = placeholder.question(password)
            return Refused(f'password authentication failed for user "{dsn.user}"{hint}')
        case asyncpg.InvalidAuthorizationSpecificationError():
            what = " for sessions without TLS" if "no encryption" in str(error) else ", or no right to log in"
            return Refused(f'no entry in pg_hba.conf{what}, for user "{dsn.user}"')
        case asyncpg.InvalidCatalogNameError():
            return Refused(f'database "{dsn.database or dsn.user}" does not exist')
        case asyncpg.InsufficientPrivilegeError():
            return Refused(f'no right to connect to database "{dsn.database or dsn.user}"')
        case asyncpg.TooManyConnectionsError():
            return Refused("too many connections to the server, of this role or to this database")
        case asyncpg.CannotConnectNowError():
            return NotReady("the server is starting, stopping or recovering")
        case asyncpg.ProtocolViolationError() if "startup parameter" in str(error):
            return SettingsRefused(
                "a connection pooler refuses every setting of a session; name PostgreSQL itself instead"
            )
        case asyncpg.InterfaceError() if "server signature" in str(error):
            return Malformed("the server does not prove that it knows the password")
        case asyncpg.InterfaceError() if "unsupported" in str(error):
            return Refused("the server wants a way of logging in that the driver does not know")
        case asyncpg.ClientConfigurationError():
            return NotAsked(str(error))
        case asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return Malformed("the answer is not PostgreSQL's")
        case asyncpg.PostgresConnectionError() if error.sqlstate != "08P01":
            return Unreachable("the connection was closed during the login")
        case asyncpg.PostgresError():
            return Refused(f"the server, or a pooler before it, refuses the login with SQLSTATE {error.sqlstate}")
        case _:
            return _failure(error)


def _is_fatal(error: BaseException | None) -> bool:
    """Whether the connection is of no more use: a statement's own failure leaves it whole."""
    own = error is None or isinstance(error, asyncpg.PostgresError | Refused)
    return not own or isinstance(
        error, asyncpg.PostgresConnectionError | asyncpg.AdminShutdownError | asyncpg.CrashShutdownError
    )


def _failure(error: BaseException) -> Exception:  # noqa: PLR0911, PLR0912, C901 - one line per failure
    """The driver's failure in our words; of what we do not know the kind alone, since its text may hold anything."""
    match error:
        case _ if told := _told(error):
            return told
        case asyncpg.DuplicatePreparedStatementError() | asyncpg.InvalidSQLStatementNameError():
            return SharedSession("a connection pooler gives the session to other clients")
        case asyncpg.LockNotAvailableError():
            return Locked(f"{error}")
        case asyncpg.QueryCanceledError():
            return TooDear(f"{error}")
        case asyncpg.InsufficientPrivilegeError() if error.server_source_filename == "rls.c":
            return PoliciesMet(f"{error.args[0]}")
        case asyncpg.InsufficientPrivilegeError():
            return Refused(
                f"{error}; run what `blnk-exporter grants postgres` prints, as after every migration of Blnk"
            )
        case asyncpg.ConnectionDoesNotExistError() if isinstance(error.__cause__, asyncpg.PostgresError):
            return Unreachable(f"the server ended the session: {error.__cause__.args[0]}")
        case asyncpg.PostgresConnectionError() | asyncpg.OperatorInterventionError() | OSError():
            return tls.failure(error) or Unreachable.because(error)
        # The driver's state once the server has ended the session and before the socket is closed.
        case asyncpg.InterfaceError() | asyncpg.InternalClientError() if _CLOSED.search(str(error)):
            return Unreachable("the connection was closed")
        # Messages that are valid but do not fit the request; the driver's text has advice for programmers.
        case asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return Malformed("the answer is not PostgreSQL's")
        case asyncpg.PostgresError():
            return Malformed(error.args[0], answered=True)
        case UnicodeEncodeError():
            return NotAsked("the login is not UTF-8 text")
        case LookupError() | TypeError() | AttributeError() | ValueError() | AssertionError() | SystemError():
            return Malformed("the answer is not PostgreSQL's")
        # A BufferError of the driver's own, which it does not export.
        case _ if type(error).__module__.startswith("asyncpg."):
            return Malformed("the answer is not PostgreSQL's")
        case _:
            return RuntimeError(type(error).__name__)
