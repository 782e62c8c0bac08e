"""Stand-ins for Blnk's two processes over HTTP: what a monitor sees of the server and of the worker.

Source: cmd/server.go, cmd/workers.go and api/middleware of Blnk 0.13.2 and 0.15.2.
"""

import asyncio
import hmac
from datetime import UTC, datetime

import asyncpg
from aiohttp import web

from .schema import Release
from .standin import StandIn, json, text

_PING_SECONDS = 3.0
_NO_KEY = "Authentication required. Use X-Blnk-Key header"
_WRONG_KEY = "Invalid API key"
_METRICS_DISABLED = "Metrics endpoint unavailable: metrics_bearer_token must be configured when secure mode is enabled"


class BlnkServer(StandIn):
    """Blnk's API server: health that pings PostgreSQL, and a ledger behind a key.

    ``secret_key`` None is ``secure: false``. With PostgreSQL silent it says DOWN after ``ping_seconds``, 3 as its
    source has it; None waits on, as the real one was seen to do for more than 15 seconds.
    """

    def __init__(
        self,
        dsn: str,
        *,
        secret_key: str | None = None,
        release: Release = "0.15.2",
        ping_seconds: float | None = _PING_SECONDS,
    ) -> None:
        super().__init__(self._respond)
        self._ping_seconds = ping_seconds
        self._pings: set[asyncio.Task[bool]] = set()
        self._dsn = dsn
        self._secret_key = secret_key
        self._release = release
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def start(self) -> None:
        """Open the pool that health is asked of, then listen."""
        self._pool = await asyncpg.create_pool(self._dsn, min_size=0, max_size=2)
        await super().start()

    async def stop(self) -> None:
        """Close the port and the pool."""
        await super().stop()
        pool, self._pool = self._pool, None
        if pool:
            pool.terminate()
            for ping in self._pings:
                ping.cancel()
            await asyncio.gather(*self._pings, return_exceptions=True)

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":  # gin: only GET is registered
            return text("", 404, "text/plain")
        if request.path == "/health":
            return await self._health()
        if request.path == "/":
            return json('"server running..."')
        if request.path == "/metrics" and self._release != "0.13.2" and self._secret_key is not None:
            return self._error(_METRICS_DISABLED, "AUTH_METRICS_DISABLED", 403)
        return self._refuse(request) or self._ledger(request)

    async def _health(self) -> web.StreamResponse:
        # Not cancelled when it takes too long: asyncpg would first ask the silent server to cancel.
        ping = asyncio.create_task(self._ping())
        self._pings.add(ping)
        ping.add_done_callback(self._pings.discard)
        await asyncio.wait([ping], timeout=self._ping_seconds)
        if ping.done() and ping.result():
            return json('{"status":"UP"}')
        return json('{"reason":"database ping failed","status":"DOWN"}', 503)

    async def _ping(self) -> bool:
        if self._pool is None:
            return False
        try:
            async with self._pool.acquire() as connection:
                await connection.execute("SELECT 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    def _ledger(self, request: web.Request) -> web.Response:
        if request.path != "/ledgers":
            return text("404 page not found", 404, "text/plain")
        created = datetime.now(UTC).isoformat()
        return json(f'[{{"ledger_id":"general_ledger_id","name":"General Ledger","created_at":"{created}"}}]')

    def _refuse(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("X-Blnk-Key")
        if self._secret_key is None:
            return None
        if given is None:
            return self._error(_NO_KEY, "AUTH_MISSING_API_KEY", 401)
        if not hmac.compare_digest(given.encode(), self._secret_key.encode()):
            return self._error(_WRONG_KEY, "AUTH_INVALID_API_KEY", 401)
        return None

    def _error(self, message: str, code: str, status: int) -> web.Response:
        if self._release == "0.13.2":
            return json(f'{{"error":"{message}"}}', status)
        detail = f'{{"code":"{code}","message":"{message}"}}'
        return json(f'{{"error":"{message}","error_detail":{detail}}}', status)


class BlnkWorker(StandIn):
    """Blnk's worker: health that checks nothing, whatever the method, and asynq's monitor.

    The monitor is open to everybody in 0.13.2; since 0.15.0 secure mode closes it.
    """

    def __init__(self, *, secure: bool = False, release: Release = "0.15.2") -> None:
        super().__init__(self._respond)
        self._closed = secure and release != "0.13.2"

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return text('{"status": "UP", "service": "worker"}', 200, "application/json")
        if request.path == "/monitoring":
            return web.Response(status=307, headers={"Location": "/monitoring/"})
        if request.path.startswith("/monitoring/"):
            return self._monitor()
        return text("404 page not found\n", 404)

    def _monitor(self) -> web.Response:
        if self._closed:
            detail = f'{{"code":"AUTH_METRICS_DISABLED","message":"{_METRICS_DISABLED}"}}'
            return json(f'{{"error":"{_METRICS_DISABLED}","error_detail":{detail}}}', 403)
        return text('{"queues":[]}\n')
