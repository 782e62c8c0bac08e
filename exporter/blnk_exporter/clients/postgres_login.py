"""Log in to PostgreSQL as libpq does: its hosts in turn, its TLS modes, its choice of the server.

The driver connects through ``_Dialer``, which negotiates TLS and puts a guard before the driver's parser, so that only
public parameters of ``asyncpg.connect`` are used: ``loop`` and ``connection_class``.

Source: libpq ``fe-connect.c`` and PostgreSQL documentation 34.1 (connection strings), 55.2.10 (TLS).
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncpg

from ..config.databases import NO_USER, default_user
from ..errors import Malformed, NotAsked, NotReady, ReadingError, Refused, TimedOut, Unreachable
from ..formats.dsn import PostgresDsn
from . import tls
from .postgres_session import one_line
from .postgres_wire import Guard, LoginPolicy

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
# For one of several hosts; a scrape's deadline would end the attempt at the first that does not answer, each time.
_HOST_SECONDS = 2.0
Failure = Callable[[Exception, PostgresDsn], Exception]


class Session(asyncpg.Connection):  # type: ignore[misc]
    """The driver's connection, with the guard before its parser."""

    def __init__(self, protocol: Any, transport: Any, loop: "_Dialer", *rest: Any) -> None:
        super().__init__(protocol, transport, loop.loop, *rest)
        self.guard = loop.guard
        self.is_encrypted = transport.get_extra_info("ssl_object") is not None


@dataclass(frozen=True)
class _Host:
    """One host of a connection string: the name, where it is found, and its port."""

    name: str
    address: str
    port: int

    @property
    def text(self) -> str:
        """The host for people."""
        return PostgresDsn(hosts=(self.name,), ports=(self.port,)).address


async def log_in(dsn: PostgresDsn, translate: Failure, *, response_bytes: int, **options: Any) -> Session:
    """Return a session on the first host that answers and is what ``target_session_attrs`` asks for.

    ``translate`` makes a ReadingError of the driver's error; ``options`` are the driver's. As in libpq, a host that
    refuses the login ends the search, unless it is only starting or stopping.
    """
    if not (dsn.user or default_user()):
        raise NotAsked(f"the connection string {NO_USER}")
    addresses = dsn.addresses or dsn.hosts
    hosts = [_Host(*host) for host in zip(dsn.hosts, addresses, dsn.ports, strict=True)]
    session: Session | None = None
    limit = dsn.connect_timeout_seconds or (_HOST_SECONDS if len(hosts) > 1 else None)
    failures: dict[str, ReadingError] = {}
    opened: list[Session] = []
    chosen: Session | None = None
    try:
        for host in hosts:
            scope = asyncio.timeout(limit)
            try:
                session = None
                async with scope:
                    session = await _log_in(dsn, host, response_bytes=response_bytes, **options)
                    opened.append(session)
                    if await _suits(session, dsn.target):
                        chosen = session
                        return chosen
                failures[host.text] = NotReady(f"is {'not ' if dsn.target != 'primary' else ''}in recovery")
            except Exception as error:  # noqa: BLE001 - the edge: the driver may raise anything
                if session:  # at once: the driver would ask the server, without TLS, to cancel what is under way
                    session.terminate()
                    opened.remove(session)
                # The kernel raises a TimeoutError as well.
                failure = TimedOut(f"no answer within {limit:g} s") if scope.expired() else translate(error, dsn)
                goes_on = isinstance(failure, NotReady) or not isinstance(failure, Refused)
                if len(hosts) == 1 or not goes_on or not isinstance(failure, ReadingError):
                    raise failure from None
                failures[host.text] = failure
        if dsn.target == "prefer-standby" and opened:
            chosen = opened[0]
            return chosen
    finally:
        for session in opened:
            if session is not chosen:
                session.terminate()
    raise _none(dsn, failures)


def _none(dsn: PostgresDsn, failures: dict[str, ReadingError]) -> ReadingError:
    """The failure of all hosts: the servers that did not answer may be the right ones."""
    wanted = {"primary": "no primary", "standby": "no standby"}.get(dsn.target, "no server")
    reasons = {type(failure) for failure in failures.values()}
    kind = reasons.pop() if len(reasons) == 1 else Unreachable
    return kind(f"{wanted} found: " + "; ".join(f"{host}: {failure}" for host, failure in failures.items()))


async def _suits(session: Session, target: str) -> bool:
    """Compare the server's state with ``target_session_attrs``; PostgreSQL 14 and newer report it during the login.

    Our sessions are read-only whatever the server's default is, so read-write is ``primary`` and read-only ``standby``.
    """
    if target == "any":
        return True
    reported = getattr(session.get_settings(), "in_hot_standby", None)
    if reported is None:
        reported = await one_line(session, "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE 'off' END")
    return bool((reported == "on") == (target != "primary"))


async def _log_in(dsn: PostgresDsn, host: _Host, *, response_bytes: int, **options: Any) -> Session:
    """Log in with TLS and without, in the order of ``sslmode``, until the server accepts one of both.

    The second way is only taken if TLS fails, or if pg_hba.conf refuses the first: a wrong password stays wrong.
    """
    trust = None if host.address.startswith("/") or dsn.sslmode == "disable" else tls.postgres(dsn.sslmode, dsn.tls)
    first, second = (None, trust) if dsn.sslmode == "allow" else (trust, None)
    dialer = _Dialer(dsn, host, first, response_bytes)
    try:
        return await _attempt(dialer, **options)
    except (asyncpg.InvalidAuthorizationSpecificationError, _TlsFailure) as refusal:
        has_another = trust and (dsn.sslmode == "allow" or (dsn.sslmode == "prefer" and dialer.is_encrypting))
        if not has_another or isinstance(refusal, asyncpg.InvalidPasswordError):
            raise
        with contextlib.suppress(_NoTls):
            return await _attempt(_Dialer(dsn, host, second, response_bytes), **options)
        raise


async def _attempt(dialer: "_Dialer", **options: Any) -> Session:
    dsn, host = dialer.dsn, dialer.host
    try:
        session: Session = await asyncpg.connect(
            loop=dialer,
            connection_class=Session,
            host=[host.address if host.name.startswith("/") else host.name],
            port=[host.port],
            user=dsn.user,
            password=dsn.password.get_secret_value() if dsn.password else None,
            passfile=dsn.tls.get("passfile"),
            database=dsn.database,
            # TLS and the choice of the server are not the driver's; explicit, or it would look into the environment.
            ssl=False,
            direct_tls=False,
            target_session_attrs="any",
            timeout=3600,  # the scrape's deadline is the true limit
            **options,
        )
    except BaseException:
        dialer.abort()
        raise
    return session


class _TlsFailure(OSError):
    """TLS fails; the cause is the failure."""


class _NoTls(Refused):
    """The server does not offer TLS."""


class _Dialer:
    """The event loop as the driver sees it: its connections are encrypted and guarded."""

    def __init__(self, dsn: PostgresDsn, host: _Host, trust: ssl.SSLContext | None, response_bytes: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.dsn, self.host, self._trust, self._response_bytes = dsn, host, trust, response_bytes
        self.is_encrypting = False
        self._transport: asyncio.Transport | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)

    def abort(self) -> None:
        """Close the connection at once, however far it got."""
        if self._transport:
            self._transport.abort()

    async def create_unix_connection(self, factory: Callable[[], Any], path: str) -> tuple[asyncio.Transport, Any]:
        """Connect to a socket, as the driver asks."""
        return self._hand_over(factory, *await self.loop.create_unix_connection(_Greeting, path))

    async def create_connection(self, factory: Callable[[], Any], _: str, port: int) -> tuple[asyncio.Transport, Any]:
        """Connect to a host, as the driver asks, and encrypt where that is wanted and offered."""
        self._transport, greeting = await self.loop.create_connection(_Greeting, self.host.address, port)
        if self._trust:
            is_direct = self.dsn.tls.get("sslnegotiation") == "direct"
            if is_direct or await self._is_offered(greeting):
                await self._encrypt(self._trust, greeting)
                if is_direct and self._transport.get_extra_info("ssl_object").selected_alpn_protocol() != "postgresql":
                    raise Malformed("the answer is not PostgreSQL's")
        return self._hand_over(factory, self._transport, greeting)

    async def _is_offered(self, greeting: "_Greeting") -> bool:
        assert self._transport  # noqa: S101 - for the type
        self._transport.write(_SSL_REQUEST)
        greeting.is_asked = True
        match await greeting.answer:
            case b"S":
                return True
            case b"N" if self.dsn.sslmode == "prefer":
                return False
            case b"N":
                raise _NoTls(_no_tls(self.dsn))
            case b"E":  # an error, which nothing vouches for yet: CVE-2024-10977
                raise Unreachable("the server answers the request for TLS with an error; its log has the reason")
            case _:
                raise Malformed("the answer is not PostgreSQL's")

    async def _encrypt(self, trust: ssl.SSLContext, greeting: "_Greeting") -> None:
        assert self._transport  # noqa: S101 - for the type
        self.is_encrypting = True
        name = None if self.dsn.tls.get("sslsni") == "0" else self.host.name
        try:
            encrypted = await self.loop.start_tls(self._transport, greeting, trust, server_hostname=name)
        except OSError as error:
            raise _TlsFailure from error
        assert encrypted  # noqa: S101 - for the type
        self._transport = encrypted

    def _hand_over(
        self, factory: Callable[[], Any], transport: asyncio.Transport, greeting: "_Greeting"
    ) -> tuple[asyncio.Transport, Any]:
        """Put the driver behind its guard; a server that speaks first is not PostgreSQL's."""
        self._transport = transport
        if greeting.is_rash:
            raise Malformed("the answer is not PostgreSQL's")
        encryption = transport.get_extra_info("ssl_object")
        is_verified = bool(encryption) and encryption.context.verify_mode == ssl.CERT_REQUIRED
        policy = LoginPolicy(self.dsn.login_methods, self.dsn.sends_cleartext)
        driver = factory()
        self.guard = Guard(
            driver, policy, response_bytes=self._response_bytes, is_trusted=is_verified or _is_local(transport)
        )
        transport.set_protocol(self.guard)
        self.guard.connection_made(transport)
        return transport, driver


class _Greeting(asyncio.Protocol):
    """The connection before the driver has it: one byte answers the request for TLS, and nothing else is due."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.is_rash = False
        self.is_asked = False

    def data_received(self, data: bytes) -> None:
        """Take the answer."""
        self.is_rash |= not self.is_asked or self.answer.done()
        if not self.answer.done():
            self.answer.set_result(data[:2])

    def connection_lost(self, error: Exception | None) -> None:
        """End the wait for the answer."""
        if not self.answer.done():
            self.answer.set_exception(error or ConnectionResetError("the connection was closed during the login"))
            self.answer.exception()


def _is_local(transport: asyncio.Transport) -> bool:
    """Whether the peer is on this machine."""
    if transport.get_extra_info("socket").family == socket.AF_UNIX:
        return True
    peer = ipaddress.ip_address(transport.get_extra_info("peername")[0].partition("%")[0])
    return (getattr(peer, "ipv4_mapped", None) or peer).is_loopback


def _no_tls(dsn: PostgresDsn) -> str:
    text = "the server does not offer TLS"
    if dsn.is_sslmode_given:
        return text
    return f"{text}; the connection string has no sslmode, and Blnk's driver then requires TLS: sslmode=disable turns it off"
