"""What goes over the wire to Redis: a proxy that counts round trips."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from ..waiting import speech


@dataclass
class Wire:
    """A proxy before one server. ``trips`` has the number of requests of each round trip.

    Everything that the client sends is held back until the client falls silent, and only then given to the server.
    What it sent before did not depend on an answer that it had not received; what it sends after an answer is
    another round trip. So the number of times that a held burst is handed on is the number of times that the client
    waited for the server, however the kernel cuts the stream. The client must run in this event loop.
    """

    host: str
    to_port: int
    port: int = 0
    connections: int = 0
    trips: list[int] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def commands(self) -> int:
        """Commands in all round trips so far."""
        return sum(self.trips)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection(self.host, self.to_port)
            with contextlib.closing(up_writer):
                await self._relay(reader, writer, up_reader, up_writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        replies = asyncio.create_task(_pump(up_reader, writer))
        try:
            while request := await speech(reader):
                self.trips.append(_commands(request))
                up_writer.write(request)
        finally:
            replies.cancel()
            await asyncio.wait([replies])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 20):
            writer.write(data)
    writer.close()


def _commands(request: bytes) -> int:
    """How many commands a burst holds; it holds whole ones, since the client had said all it had to say."""
    commands, rest = 0, request
    while rest:
        count, _, rest = rest[1:].partition(b"\r\n")
        for _ in range(int(count)):
            size, _, rest = rest[1:].partition(b"\r\n")
            rest = rest[int(size) + 2 :]
        commands += 1
    return commands


@contextlib.asynccontextmanager
async def wire(host: str, port: int) -> AsyncIterator[Wire]:
    """A counting proxy before a server, on a free port."""
    counting = Wire(host, port)
    server = await asyncio.start_server(counting._serve, "127.0.0.1", 0)
    counting.port = server.sockets[0].getsockname()[1]
    try:
        yield counting
    finally:
        server.close()
        for task in [*counting._tasks]:
            task.cancel()
        await asyncio.gather(*counting._tasks, return_exceptions=True)
        await server.wait_closed()
