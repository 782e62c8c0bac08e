"""A network between an exporter and a server: it takes its time and counts how often the exporter waited for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

_CHUNK_BYTES = 1 << 18
_Seen = Callable[[bytes], object]


@dataclass
class Relay:
    """Passes bytes on after ``delay_seconds`` each way.

    A round trip is counted when the client speaks after it was answered. What it sends before the answer can have
    reached it belongs to the same trip: the delay is what keeps the two apart.
    """

    to_port: int
    delay_seconds: float
    port: int = 0
    connections: int = 0
    round_trips: int = 0
    received_bytes: int = 0
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.connections += 1
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.CancelledError):
            # TCP's own greeting takes a round trip, too.
            await asyncio.sleep(2 * self.delay_seconds)
            there, back = await asyncio.open_connection("127.0.0.1", self.to_port)
            with contextlib.closing(back):
                await self._pass(reader, writer, there, back)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        answered = True

        def asks(_: bytes) -> None:
            nonlocal answered
            self.round_trips += answered
            answered = False

        def hears(data: bytes) -> None:
            nonlocal answered
            self.received_bytes += len(data)
            answered = True

        up = asyncio.create_task(self._pump(reader, back, on_read=asks))
        down = asyncio.create_task(self._pump(there, writer, on_write=hears))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, **on: "_Seen") -> None:
        """Until the reader ends. What is read meanwhile has its own moment at which it is due."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        nothing: _Seen = len

        async def write() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - loop.time())
                if not data:
                    return
                on.get("on_write", nothing)(data)
                writer.write(data)

        writing = asyncio.create_task(write())
        try:
            while data := await reader.read(_CHUNK_BYTES):
                on.get("on_read", nothing)(data)
                queue.put_nowait((loop.time() + self.delay_seconds, data))
            queue.put_nowait((loop.time() + self.delay_seconds, b""))
            await writing
        finally:
            writing.cancel()

    async def close(self) -> None:
        """End all connections."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def relay(to_port: int, delay_seconds: float) -> AsyncIterator[Relay]:
    """A relay on a free port before a port of loopback."""
    made = Relay(to_port, delay_seconds)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
        await server.wait_closed()
