"""The stand-ins answer as Blnk was seen to answer, and as badly as they are told to."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from blnk_exporter.sandbox.blnk import BlnkServer, BlnkWorker
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.sandbox.standin import FAULTS

from ..waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.sandbox
JSON = "application/json; charset=utf-8"


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS)) as session:
        yield session


@pytest_asyncio.fixture
async def server(postgres: PostgresServer) -> AsyncIterator[BlnkServer]:
    started = BlnkServer(postgres.dsn(), secret_key="key")
    await started.start()
    yield started
    await started.stop()


@pytest_asyncio.fixture
async def worker() -> AsyncIterator[BlnkWorker]:
    started = BlnkWorker(secure=True)
    await started.start()
    yield started
    await started.stop()


async def seen(http: aiohttp.ClientSession, url: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    async with http.request(method, url, headers=headers, allow_redirects=False) as response:
        return response.status, response.headers.get("Content-Type", ""), await response.text()


async def test_server_routes(server: BlnkServer, http: aiohttp.ClientSession) -> None:
    assert await seen(http, f"{server.url}/health") == (200, JSON, '{"status":"UP"}')
    assert await seen(http, f"{server.url}/") == (200, JSON, '"server running..."')
    assert (await seen(http, f"{server.url}/health", "HEAD"))[0] == 404
    assert (await seen(http, f"{server.url}/ledgers"))[0] == 401
    assert (await seen(http, f"{server.url}/nosuch"))[0] == 401
    assert (await seen(http, f"{server.url}/ledgers", **{"X-Blnk-Key": "wrong"}))[0] == 401
    status, _, body = await seen(http, f"{server.url}/ledgers", **{"X-Blnk-Key": "key"})
    assert (status, "general_ledger_id" in body) == (200, True)
    assert (await seen(http, f"{server.url}/metrics"))[0] == 403


async def test_server_of_the_old_release(postgres: PostgresServer, http: aiohttp.ClientSession) -> None:
    """No detail in its errors and no metrics: how a monitor tells releases apart."""
    server = BlnkServer(postgres.dsn(), secret_key="key", release="0.13.2")
    await server.start()
    refusal = '{"error":"Authentication required. Use X-Blnk-Key header"}'
    assert await seen(http, f"{server.url}/metrics") == (401, JSON, refusal)
    await server.stop()


async def test_open_server_refuses_nobody(postgres: PostgresServer, http: aiohttp.ClientSession) -> None:
    server = BlnkServer(postgres.dsn())
    await server.start()
    assert (await seen(http, f"{server.url}/ledgers"))[0] == 200
    assert (await seen(http, f"{server.url}/nosuch"))[0] == 404
    await server.stop()


async def test_health_follows_the_database(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Down when it is stopped, down when it is silent, up again when it is back."""
    database = await PostgresServer.start(tmp_path)
    server = BlnkServer(database.dsn())
    await server.start()
    down = (503, JSON, '{"reason":"database ping failed","status":"DOWN"}')
    assert (await seen(http, f"{server.url}/health"))[0] == 200
    database.pause()
    assert await seen(http, f"{server.url}/health") == down
    database.resume()
    await database.halt()
    assert await seen(http, f"{server.url}/health") == down
    await database.restart()
    assert (await seen(http, f"{server.url}/health"))[0] == 200
    await server.stop()
    await database.stop()


async def test_worker_routes(worker: BlnkWorker, http: aiohttp.ClientSession) -> None:
    for method in ("GET", "POST"):
        found = await seen(http, f"{worker.url}/health", method)
        assert found == (200, "application/json", '{"status": "UP", "service": "worker"}')
    assert (await seen(http, f"{worker.url}/health", "HEAD"))[0] == 200
    assert (await seen(http, f"{worker.url}/monitoring"))[0] == 307
    assert (await seen(http, f"{worker.url}/monitoring/api/queues"))[0] == 403
    worker_of_old = BlnkWorker(secure=True, release="0.13.2")
    await worker_of_old.start()
    assert (await seen(http, f"{worker_of_old.url}/monitoring/api/queues"))[0] == 200
    await worker_of_old.stop()


async def test_each_fault_is_as_bad_as_it_says(worker: BlnkWorker, http: aiohttp.ClientSession) -> None:
    url = f"{worker.url}/health"
    found: dict[str, object] = {}
    for fault in FAULTS:
        worker.fault = fault
        try:
            # Two of them never end.
            seconds = 0.4 if fault in {"hang", "endless"} else PATIENCE_SECONDS
            async with asyncio.timeout(seconds), http.get(url, allow_redirects=False) as response:
                found[fault] = response.status, (await response.text())[:9]
        except (TimeoutError, aiohttp.ClientError) as error:
            found[fault] = type(error).__name__
    assert found == {
        "hang": "TimeoutError",
        "html": (200, "<!doctype"),
        "redirect": (302, ""),
        "wrong-json": (200, '["not", {'),
        "no-json": (200, '{"status"'),
        "endless": "TimeoutError",
        "error": (500, '{"error":'),
        "close": "ServerDisconnectedError",
    }
    worker.fault = None
    assert (await seen(http, url))[0] == 200


async def test_stopped_worker_closes_its_port_and_comes_back(worker: BlnkWorker, http: aiohttp.ClientSession) -> None:
    url = worker.url
    await worker.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await seen(http, f"{url}/health")
    await worker.start()
    assert worker.url == url
    assert (await seen(http, f"{url}/health"))[0] == 200
