"""PostgreSQL for what may outlast a scrape: a connection and a time limit of its own, one reading at a time."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from ..collector import Gap
from ..errors import TimedOut
from ..formats.dsn import PostgresDsn
from ..table import Rows, Table, TableReader
from .postgres import RESPONSE_BYTES, PostgresClient

# What a reading may take beyond its one statement: name lookup, login, and facts asked for one by one.
_GRACE_SECONDS = 10.0

Answer = tuple[Rows, tuple[Gap, ...], float]
"""Rows by table, gaps, and when they were read, in Unix time."""


class PatientReader:
    """Reads tables in the background; whoever asks again is given the end of the reading that is under way.

    Its connection is opened for the reading and closed behind it, so that the others' is never held up.
    """

    def __init__(
        self, dsn: PostgresDsn, *, statement_timeout_seconds: float, response_bytes: int = RESPONSE_BYTES
    ) -> None:
        self.address = dsn.address
        self._dsn = dsn
        self._statement_timeout_seconds = statement_timeout_seconds
        self._response_bytes = response_bytes
        self._task: asyncio.Task[Answer] | None = None

    async def read(self, tables: Sequence[Table], *, patience_seconds: float | None) -> Answer | None:
        """As TableReader's, with its time; None when it has not come to its end within the patience."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(tables))
        await asyncio.wait([self._task], timeout=patience_seconds)
        if not self._task.done():
            return None
        task, self._task = self._task, None
        return task.result()

    async def close(self) -> None:
        """End the reading that is under way; the server ends its statement by its time limit."""
        if task := self._task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])

    async def _run(self, tables: Sequence[Table]) -> Answer:
        client = PostgresClient(
            self._dsn,
            statement_timeout_seconds=self._statement_timeout_seconds,
            response_bytes=self._response_bytes,
        )
        try:
            async with asyncio.timeout(self._statement_timeout_seconds + _GRACE_SECONDS):
                rows, gaps = await TableReader(client).read(tables, now=asyncio.get_running_loop().time())
                return rows, gaps, time.time()
        except TimeoutError:
            raise TimedOut("no answer within the time limit") from None
        finally:
            await client.close()
