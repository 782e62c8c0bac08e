"""The embedded Valkey, and Debian's Redis in its place."""

import asyncio
import os
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from blnk_exporter.sandbox import ServerError
from blnk_exporter.sandbox.valkey import ValkeyServer

from ..programs import program
from .conftest import is_empty, is_owned_by_nobody, self_signed

pytestmark = pytest.mark.sandbox


async def test_keeps_nothing_and_is_gone(tmp_path: Path, servers_gone: list[int]) -> None:
    server = await ValkeyServer.start(tmp_path)
    async with Redis.from_url(server.url()) as client:
        assert (await client.info())["aof_enabled"] == 0
        await client.set("a", "1")
    servers_gone.append(server.pid)
    await server.restart()
    servers_gone.append(server.pid)
    async with Redis.from_url(server.url()) as client:
        assert await client.get("a") is None
    await server.stop()
    assert is_empty(tmp_path)
    assert not server.log_path.exists()


async def test_append_only_file_survives_restart(tmp_path: Path) -> None:
    server = await ValkeyServer.start(tmp_path, args=("--appendonly", "yes", "--maxmemory", "64mb"))
    async with Redis.from_url(server.url()) as client:
        await client.set("a", "1")
    await server.restart()
    async with Redis.from_url(server.url()) as client:
        assert await client.get("a") == b"1"
        assert (await client.info())["maxmemory"] == 64 << 20
    await server.stop()


async def test_ready_when_its_files_are_read(tmp_path: Path) -> None:
    """With a password, too, where a server that still loads refuses a stranger before it says that it loads."""
    # A tenth of a second to load, in which it looks at its connections again and again.
    slow = ("--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024")
    server = await ValkeyServer.start(tmp_path, password="secret", args=slow)
    async with Redis.from_url(server.url()) as client:
        await client.mset({f"key{i}": "x" * 1024 for i in range(1000)})
        await client.save()
    await server.restart()
    async with Redis.from_url(server.url()) as client:
        assert await client.dbsize() == 1000
    await server.stop()


async def test_password_with_every_character(tmp_path: Path) -> None:
    server = await ValkeyServer.start(tmp_path, password="p@ss:/ #%\"\\'")
    async with Redis.from_url(server.url()) as client:
        assert await client.ping()
    async with Redis.from_url(server.url(password="wrong")) as client:
        with pytest.raises(AuthenticationError):
            await client.ping()
    assert server.password not in repr(server)
    await server.stop()


async def test_acl_user_may_only_what_its_rules_say(tmp_path: Path) -> None:
    server = await ValkeyServer.start(tmp_path, users={"exporter": "on >secret +@read +@connection ~asynq:*"})
    async with Redis.from_url(server.url(user="exporter", password="secret")) as client:
        assert await client.llen("asynq:{q}:pending") == 0
        with pytest.raises(NoPermissionError):
            await client.set("asynq:x", "1")
    await server.stop()


async def test_debian_redis_with_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    server = await ValkeyServer.start(tmp_path, binary=program("redis-server"), tls=(certificate, key), password="x")
    assert server.url().startswith("rediss://")
    async with Redis.from_url(server.url(), ssl_ca_certs=str(certificate), ssl_check_hostname=False) as client:
        assert (await client.info())["redis_version"].startswith("7.")
    await server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop privileges")
async def test_root_drops_to_nobody(valkey: ValkeyServer) -> None:
    assert is_owned_by_nobody(Path(f"/proc/{valkey.pid}"))


async def test_unix_socket(valkey: ValkeyServer) -> None:
    async with Redis(unix_socket_path=str(valkey.socket_path)) as client:
        assert await client.ping()


async def test_pause_is_silence_and_resume_ends_it(valkey: ValkeyServer, redis: Redis) -> None:
    valkey.pause()
    valkey.pause()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(redis.ping(), 0.2)
    valkey.resume()
    valkey.resume()
    assert await redis.ping()


async def test_bad_directive_shows_the_log(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no-such-directive"):
        await ValkeyServer.start(tmp_path, args=("--no-such-directive", "1"))
    assert is_empty(tmp_path)
