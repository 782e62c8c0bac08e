"""What Blnk's server does by itself: it works off lineage's outbox and, where that is on, continues the hash chain."""

from dataclasses import dataclass

import asyncpg

from . import chain
from .rows import utc

# An entry is worked off a poll after it was written. The shadow transactions that this makes in Blnk are left out.
_TRACE = "UPDATE blnk.lineage_outbox SET status = 'completed', processed_at = now() WHERE status = 'pending'"


@dataclass
class Keeper:
    """The server's own work; each part can be switched off, and then waits for ever."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    traces: bool = True
    seals: bool = False
    _sealed_at: float = 0.0

    async def tick(self, now: float) -> None:
        """Do what is due."""
        if self.traces:
            await self.pool.execute(_TRACE)
        if self.seals and now - self._sealed_at >= chain.SEAL_SECONDS:
            self._sealed_at = now
            async with self.pool.acquire() as connection:
                await chain.seal(connection, utc(now - chain.REST_SECONDS))
