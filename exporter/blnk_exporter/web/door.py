"""The way in: connections, as many as there may be, with the TLS that is in force when they are made."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from operator import itemgetter

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from ..config.settings import Web
from ..service import Service

_BACKLOG = 128
_HANDSHAKE_SECONDS = 5.0
# How long a client may take to say farewell, which TLS has one wait for.
_FAREWELL_SECONDS = 2.0
_PAUSE_SECONDS = 0.1


class Door:
    """Accepts connections for aiohttp, which would take any number, and take up no other certificate.

    When there are as many as ``limits.connections``, one makes room for the newcomer: first who is about to go, then a
    handshake or a connection that has not had a page yet, then one that has; of these who has been silent longest. Never
    one whose page is made.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._listeners: dict[socket.socket, asyncio.Task[None]] = {}
        self._arriving: dict[socket.socket, tuple[float, asyncio.Task[None]]] = {}
        self._seen: dict[RequestHandler, tuple[bool, float]] = {}
        """Whether a connection has had a page, and when it was made or had its last one."""
        self._busy: set[RequestHandler] = set()
        self._out: set[RequestHandler] = set()
        """Those that made room; each is gone within moments."""

    async def open(self, server: web.Server, where: Web) -> int:
        """Listen, and give the port; raises OSError."""
        # asyncio finds the addresses and binds them; it does not listen, for it would accept, too.
        loop = asyncio.get_running_loop()
        bound = await loop.create_server(asyncio.Protocol, where.host or None, where.port, start_serving=False)
        listeners = [each.dup() for each in bound.sockets]
        bound.close()
        for listener in listeners:
            listener.setblocking(False)
            listener.listen(_BACKLOG)
            self._listeners[listener] = asyncio.create_task(self._accept(listener, server))
        return int(listeners[0].getsockname()[1])

    async def close(self) -> None:
        """Accept no more; the connections that are made stay."""
        tasks = [*self._listeners.values(), *(task for _, task in self._arriving.values())]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for endpoint in (*self._listeners, *self._arriving):
            endpoint.close()
        self._listeners.clear()
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
        if self._listeners:
            self._seen[request.protocol] = True, time.monotonic()

    async def _accept(self, listener: socket.socket, server: web.Server) -> None:
        refused = False
        while True:
            try:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError as error:
                # Out of descriptors, or the client has gone. Who waits stays with the system; it is told once.
                if not refused:
                    structlog.get_logger().warning("connection not accepted", error=error.strerror)
                refused = True
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            refused = False
            if self._makes_room(server):
                task = asyncio.create_task(self._welcome(connection, server))
                self._arriving[connection] = time.monotonic(), task
            else:
                connection.close()
            # sock_accept may not wait at all, and those who are here want their turn.
            await asyncio.sleep(0)

    async def _welcome(self, connection: socket.socket, server: web.Server) -> None:
        try:
            await self._service.refresh()
            tls = self._service.protection.tls
            _, made = await asyncio.get_running_loop().connect_accepted_socket(
                server,
                connection,
                ssl=tls,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if tls else None,
                ssl_shutdown_timeout=_FAREWELL_SECONDS if tls else None,
            )
        except OSError as error:
            # Its frames lead back to it, and hold 256 KiB of buffers until the garbage collector comes by.
            error.__traceback__ = error.__context__ = None
            # Not for who had to make room, and has been counted.
            if connection in self._arriving:
                self._service.turned_away["tls"] += 1
            connection.close()
        else:
            self._seen.setdefault(made, (False, time.monotonic()))
        self._arriving.pop(connection, None)

    def _makes_room(self, server: web.Server) -> bool:
        """Whether one more may come in, after another has been put out if need be."""
        here = {each: each.transport for each in server.connections if each.transport}
        self._seen = {each: seen for each, seen in self._seen.items() if each in here}
        self._out &= here.keys()
        # Prometheus keeps one for each target, and while a scrape hangs a second may be needed.
        most = self._service.settings.own.limits.connections + 2 * len(self._service.targets)
        if len(self._seen.keys() - self._out) + len(self._arriving) < most:
            return True
        self._service.turned_away["connections"] += 1
        guests: list[tuple[bool, bool, float, Callable[[], None]]] = [
            (True, False, at, partial(self._shut, connection)) for connection, (at, _) in self._arriving.items()
        ]
        for each in self._seen.keys() - self._out:
            going = here[each].is_closing()
            if going or each not in self._busy:
                guests.append((not going, *self._seen[each], partial(self._abort, each, here[each])))
        if not guests:
            return False
        *_, put_out = min(guests, key=itemgetter(0, 1, 2))
        put_out()
        return True

    def _abort(self, connection: RequestHandler, transport: asyncio.Transport) -> None:
        self._out.add(connection)
        transport.abort()

    def _shut(self, connection: socket.socket) -> None:
        """End a handshake: to it, the client seems to have gone."""
        del self._arriving[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
