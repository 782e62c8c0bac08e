"""The way in: connections, as many as there may be, with the TLS that is in force when they are made."""

import asyncio
import errno
import resource
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from ..config.settings import Web
from ..service import Service
from .connection import Connection, network

_BACKLOG = 128
_HANDSHAKE_SECONDS = 5.0
# How long a client may take to say farewell, which TLS has one wait for.
_FAREWELL_SECONDS = 2.0
_PAUSE_SECONDS = 0.1
# A client that was connected before the end, and has said nothing for this long, is not about to ask.
_SILENCE_SECONDS = 0.3
_LOOK_SECONDS = 0.01
# Open files besides connections: databases and Blnk's instances of each target; logs, listeners, files that are read.
_FILES_PER_TARGET, _FILES = 5, 27
_CONNECTIONS_MIN = 4
# Further addresses push out the one that had its last page longest ago.
_ADDRESSES_MAX = 1024


@dataclass
class _Guest:
    """A connection, or a handshake: where from, whether it has had a page, and when it was made or had its last one."""

    address: str
    at: float
    served: bool = False
    transport: asyncio.BaseTransport | None = None

    @property
    def is_going(self) -> bool:
        """Whether it is about to end."""
        return self.transport is not None and self.transport.is_closing()


class Door:
    """Accepts connections for aiohttp, which would take any number, and take up no other certificate.

    When there are as many as ``limits.connections``, or as files may be open, one makes room for the newcomer: first
    one that is about to go, then a handshake or a connection that has not had a page yet, then one that has. Among
    those without a page, first of addresses that never had one, then of the address with the most connections; and of
    these the one that has been silent longest. Never one whose page is made.
    """

    _server: web.Server

    def __init__(self, service: Service) -> None:
        self._service = service
        self._listeners: dict[socket.socket, asyncio.Task[None]] = {}
        self._arriving: dict[socket.socket, tuple[_Guest, asyncio.Task[None]]] = {}
        self._guests: dict[RequestHandler, _Guest] = {}
        self._busy: set[RequestHandler] = set()
        self._out: set[RequestHandler] = set()
        """Those that made room; each is gone within moments."""
        self._known: OrderedDict[str, None] = OrderedDict()
        """Addresses that have had a page."""
        self._bound: tuple[int, int] | None = None

    async def open(self, server: web.Server, where: Web) -> int:
        """Listen, and give the port; raises OSError."""
        # asyncio finds the addresses and binds them; it does not listen, for it would accept, too.
        loop = asyncio.get_running_loop()
        bound = await loop.create_server(asyncio.Protocol, where.host or None, where.port, start_serving=False)
        listeners = [each.dup() for each in bound.sockets]
        bound.close()
        self._server = server
        self._most()
        for listener in listeners:
            listener.setblocking(False)
            listener.listen(_BACKLOG)
            self._listeners[listener] = asyncio.create_task(self._accept(listener))
        return int(listeners[0].getsockname()[1])

    async def failed(self) -> None:
        """Wait for a defect that ended the accepting of connections, and raise it."""
        done, _ = await asyncio.wait(self._listeners.values(), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def close(self, seconds: float = 0.0) -> None:
        """Accept what waits to be accepted and no more, and let everything that is open be answered, for this long."""
        until = time.monotonic() + seconds
        accepting = [*self._listeners.values()]
        for task in accepting:
            task.cancel()
        if accepting:
            await asyncio.wait(accepting)
        for listener in self._listeners:
            if seconds:
                self._accept_the_rest(listener)
            listener.close()
        self._listeners.clear()
        quiet = 0
        # Three times: a page that is made is not yet on its way.
        while time.monotonic() < until and quiet < 3:
            quiet = 0 if self._is_open() else quiet + 1
            await asyncio.sleep(_LOOK_SECONDS)
        tasks = [task for _, task in self._arriving.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for endpoint in self._arriving:
            endpoint.close()
        self._arriving.clear()

    @contextmanager
    def serving(self, request: web.Request) -> Iterator[None]:
        """While a page is made: its connection makes room for nobody."""
        self._busy.add(request.protocol)
        try:
            yield
        finally:
            self._busy.discard(request.protocol)

    def served(self, request: web.Request) -> None:
        """Remember that a connection has been given a page."""
        guest = self._guests.get(request.protocol)
        if guest:
            guest.served, guest.at = True, time.monotonic()
            self._known[guest.address] = None
            self._known.move_to_end(guest.address)
            while len(self._known) > _ADDRESSES_MAX:
                self._known.popitem(last=False)

    async def _accept(self, listener: socket.socket) -> None:
        refused = False
        while True:
            try:
                connection, peer = await asyncio.get_running_loop().sock_accept(listener)
            except (OSError, MemoryError) as error:
                # Out of descriptors or memory, or the client has gone. The next one stays with the system meanwhile;
                # one line says so.
                if not refused:
                    why = error.strerror if isinstance(error, OSError) else "out of memory"
                    structlog.get_logger().warning("connection not accepted", error=why)
                refused = True
                if getattr(error, "errno", None) in {errno.EMFILE, errno.ENFILE}:
                    self._puts_one_out()
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            refused = False
            self._admit(connection, str(peer[0]))
            # sock_accept may not wait at all, and those who are here want their turn.
            await asyncio.sleep(0)

    def _accept_the_rest(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, peer = listener.accept()
                connection.setblocking(False)
                self._admit(connection, str(peer[0]))

    def _admit(self, connection: socket.socket, address: str) -> None:
        if self._makes_room():
            guest = _Guest(network(address), time.monotonic())
            self._arriving[connection] = guest, asyncio.create_task(self._welcome(connection, guest))
        else:
            connection.close()

    async def _welcome(self, connection: socket.socket, guest: _Guest) -> None:
        try:
            await self._service.refresh()
            tls = self._service.protection.tls
            guest.transport, made = await asyncio.get_running_loop().connect_accepted_socket(
                partial(Connection, self._server, self._service),
                connection,
                ssl=tls,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if tls else None,
                ssl_shutdown_timeout=_FAREWELL_SECONDS if tls else None,
            )
        except (OSError, MemoryError) as error:
            # Its frames lead back to it, and hold 256 KiB of buffers until the garbage collector comes by.
            error.__traceback__ = error.__context__ = None
            # Not for who had to make room, and has been counted.
            if connection in self._arriving:
                self._service.turned_away["tls"] += 1
            connection.close()
        else:
            guest.at = time.monotonic()
            self._guests[made] = guest
        self._arriving.pop(connection, None)

    def _is_open(self) -> bool:
        """Whether an answer, or a request that has hardly had the time to come, is still to be waited for."""
        self._forget()
        heard = time.monotonic() - _SILENCE_SECONDS
        return bool(
            self._arriving
            or self._busy
            or any(not guest.served and guest.at > heard for guest in self._guests.values())
            or any(each.transport and each.transport.get_write_buffer_size() for each in self._guests)
        )

    def _forget(self) -> None:
        self._guests = {each: guest for each, guest in self._guests.items() if each.transport}
        self._out &= self._guests.keys()

    def _most(self) -> int:
        """How many connections there may be; a warning says where that is less than what is configured."""
        targets = len(self._service.targets)
        # Prometheus keeps one for each target, and while a scrape hangs a second may be needed.
        asked = self._service.settings.own.limits.connections + 2 * targets
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return asked
        most = max(_CONNECTIONS_MIN, min(asked, files - _FILES - _FILES_PER_TARGET * max(1, targets)))
        if most < asked and self._bound != (asked, most):
            structlog.get_logger().warning(
                "fewer connections than limits.connections", connections=most, configured=asked, open_files=files
            )
        self._bound = asked, most
        return most

    def _makes_room(self) -> bool:
        """Whether one more may come in, after another has been put out if need be."""
        self._forget()
        if len(self._guests) - len(self._out) + len(self._arriving) < self._most():
            return True
        self._service.turned_away["connections"] += 1
        return self._puts_one_out()

    def _puts_one_out(self) -> bool:
        """Close the connection that is missed least; False where a page is being made on every one."""
        arriving, here = self._arriving, Counter(guest.address for guest in self._guests.values())
        here.update(guest.address for guest, _ in arriving.values())

        def worth(guest: _Guest) -> tuple[bool, bool, bool, int, float]:
            return not guest.is_going, guest.served, guest.address in self._known, -here[guest.address], guest.at

        guests: dict[socket.socket | RequestHandler, _Guest] = {each: guest for each, (guest, _) in arriving.items()}
        guests |= {each: guest for each, guest in self._guests.items() if guest.is_going or each not in self._busy}
        for each in self._out:
            guests.pop(each, None)
        if not guests:
            return False
        least = min(guests, key=lambda each: worth(guests[each]))
        if isinstance(least, socket.socket):
            self._shut(least)
        elif least.transport:
            self._out.add(least)
            least.transport.abort()
        return True

    def _shut(self, connection: socket.socket) -> None:
        """End a handshake: to it, the client seems to have gone."""
        del self._arriving[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
