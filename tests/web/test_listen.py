"""Which addresses ``:PORT`` stands for."""

import errno
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from blnk_exporter import config
from blnk_exporter.config.settings import Web
from blnk_exporter.sandbox.process import free_port
from blnk_exporter.serve import listening
from blnk_exporter.service import Service

REPOSITORY = Path(__file__).parents[2]


def has_ipv6() -> bool:
    """Whether this machine has the address ::1."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def answering(directory: Path, address: str, *hosts: str) -> list[str]:
    """The hosts at which an exporter that listens there answers."""
    service = Service(lambda: config.load(flags={"servers": "http://127.0.0.1:1"}, environ={}, directory=directory))
    await service.start()
    found = []
    async with (
        listening(service, Web(listen_address=address), stop_seconds=0.1) as opened,
        aiohttp.ClientSession() as session,
    ):
        for host in hosts:
            try:
                async with session.get(f"http://{host}:{opened.port}/-/healthy") as reply:
                    found += [host] if reply.status == 200 else []
            except aiohttp.ClientConnectorError:
                continue
    await service.close()
    return found


async def test_no_host_is_every_interface_of_both_families(tmp_path: Path) -> None:
    """In a cluster with IPv6 alone, Prometheus comes by it; elsewhere by IPv4."""
    both = ["127.0.0.1", *(["[::1]"] if has_ipv6() else [])]
    assert await answering(tmp_path, f":{free_port()}", "127.0.0.1", "[::1]") == both
    assert await answering(tmp_path, f"0.0.0.0:{free_port()}", "127.0.0.1", "[::1]") == ["127.0.0.1"]


async def test_a_kernel_without_ipv6_serves_ipv4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the boot parameter ipv6.disable=1, where such a socket cannot be made."""

    class Socket(socket.socket):
        def __init__(self, family: int = -1, *arguments: Any, **more: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *arguments, **more)

    monkeypatch.setattr(socket, "socket", Socket)
    assert await answering(tmp_path, f":{free_port()}", "127.0.0.1", "[::1]") == ["127.0.0.1"]


def test_the_image_listens_on_both_families() -> None:
    """As chart and manifests do."""
    assert "BLNK_EXPORTER_WEB_LISTEN_ADDRESS=:10501\n" in (REPOSITORY / "Dockerfile").read_text()
