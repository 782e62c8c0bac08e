"""The protected endpoint on real sockets: TLS, clients' certificates, rotation under load, and callers that mean no good."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import psutil
import pytest
import yaml

from blnk_exporter import config
from blnk_exporter.config import listening as listening_at
from blnk_exporter.config.settings import Web
from blnk_exporter.ping import ask
from blnk_exporter.sandbox import Sandbox
from blnk_exporter.sandbox.process import free_port
from blnk_exporter.serve import listening
from blnk_exporter.service import Service

from ..conftest import Pki, issued
from ..waiting import PATIENCE_SECONDS, eventually, until
from .exporter import Exporter, run, serve

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


@dataclass
class Here:
    """An exporter without a Blnk, whose web configuration lies in a directory with certificates."""

    directory: Path
    pki: Pki

    def write(self, **content: Any) -> None:
        """Exchange the web configuration in one step."""
        beside = self.directory / "web.new"
        beside.write_text(yaml.safe_dump(content))
        beside.replace(self.directory / "web.yml")

    def certify(self, paths: tuple[Path, Path]) -> None:
        """Exchange the certificate and its key, one after the other as tools do."""
        for path, ending in zip(paths, ("crt", "key"), strict=True):
            shutil.copy(path, self.directory / "new")
            (self.directory / "new").replace(self.directory / f"server.{ending}")

    @contextlib.asynccontextmanager
    async def listening(self, **flags: Any) -> AsyncIterator[Exporter]:
        """Serve in this process; the URL is that of TLS if the file asks for it."""
        given = {"servers": "http://127.0.0.1:1", "web.config_file": "web.yml"}
        given |= {name.replace("__", "."): value for name, value in flags.items()}
        service = Service(lambda: config.load(flags=given, environ={}, directory=self.directory))
        await service.start()
        scheme = "https" if service.protection.tls else "http"
        try:
            async with listening(service, Web(listen_address="127.0.0.1:0"), stop_seconds=0.1) as opened:
                yield Exporter(service, f"{scheme}://127.0.0.1:{opened.port}")
        finally:
            await service.close()


TLS = {"cert_file": "server.crt", "key_file": "server.key"}
MUTUAL = TLS | {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}


@pytest.fixture
def here(tmp_path: Path, pki: Pki) -> Here:
    """With our certificate in place."""
    made = Here(tmp_path, pki)
    made.certify(pki.server)
    shutil.copy(pki.ca, tmp_path / "ca.crt")
    made.write(tls_server_config=TLS)
    return made


def client(
    pki: Pki, certificate: tuple[Path, Path] | None = None, *, headers: dict[str, str] | None = None, **options: Any
) -> aiohttp.ClientSession:
    """A client that trusts our authority, and may have a certificate."""
    context = ssl.create_default_context(cafile=str(pki.ca))
    if certificate:
        context.load_cert_chain(*certificate)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, **options), headers=headers)


def login(word: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth("prom", word)}


async def status(session: aiohttp.ClientSession, url: str, **options: Any) -> int:
    async with session.get(f"{url}/metrics", **options) as reply:
        await reply.read()
        return reply.status


async def test_tls(here: Here, pki: Pki) -> None:
    """With a certificate that a client can verify, and nothing for who speaks no TLS."""
    async with here.listening() as exporter, client(pki) as session, aiohttp.ClientSession() as stranger:
        assert await status(session, exporter.url) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await status(stranger, exporter.url)
        with pytest.raises(aiohttp.ClientError):
            await status(stranger, exporter.url.replace("https", "http"))
        await until(lambda: exporter.service.turned_away["tls"] >= 2)


@pytest.mark.parametrize(("version", "let_in"), [(ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)])
async def test_no_older_tls_than_allowed(here: Here, pki: Pki, version: ssl.TLSVersion, let_in: bool) -> None:
    """The least version is kept."""
    here.write(tls_server_config=TLS | {"min_version": "TLS13"})
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.maximum_version = version
    async with here.listening() as exporter, aiohttp.ClientSession() as session:
        if let_in:
            assert await status(session, exporter.url, ssl=context) == 200
        else:
            with pytest.raises(aiohttp.ClientConnectorError):
                await status(session, exporter.url, ssl=context)


async def test_a_clients_certificate(here: Here, pki: Pki, tmp_path: Path) -> None:
    """One of the authority that is named; none, and one of another's, get no page."""
    here.write(tls_server_config=MUTUAL)
    good = issued(pki.authority, tmp_path, "good", "prometheus.example")
    bad = issued(pki.other, tmp_path, "bad", "prometheus.example")
    async with here.listening() as exporter:
        async with client(pki, good) as session:
            assert await status(session, exporter.url) == 200
        for certificate in (None, bad):
            async with client(pki, certificate) as session:
                with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                    await status(session, exporter.url)
        await until(lambda: exporter.service.turned_away["tls"] >= 2)


async def test_a_name_in_the_clients_certificate(here: Here, pki: Pki, tmp_path: Path) -> None:
    """Of all that the authority vouches for only who is named."""
    here.write(tls_server_config=MUTUAL | {"client_allowed_sans": ["10.1.2.3", "prometheus.example", "fd00::1"]})
    async with here.listening() as exporter:
        for names, expected in (
            (("x.example", "prometheus.example"), 200),
            (("10.1.2.3",), 200),
            (("fd00:0::0001",), 200),
            (("grafana.example",), 403),
        ):
            async with client(pki, issued(pki.authority, tmp_path, "one", *names)) as session:
                assert await status(session, exporter.url) == expected
        assert exporter.service.turned_away["certificate"] == 1


async def test_users_and_certificates_together(here: Here, pki: Pki) -> None:
    """Both are asked for, as Prometheus' own servers do."""
    here.write(tls_server_config=MUTUAL, basic_auth_users={"prom": HASH})
    async with here.listening() as exporter, client(pki, pki.server) as session:
        assert await status(session, exporter.url) == 401
        assert await status(session, exporter.url, headers=login("wrong")) == 401
        assert await status(session, exporter.url, headers=login("secret")) == 200


async def test_a_certificate_is_rotated_under_load(here: Here, pki: Pki) -> None:
    """Twenty times, under clients that keep their connection and clients that make one each time: none fails.

    The second certificate is of another authority, so that who meets it is seen.
    """
    both = ssl.create_default_context(cadata=pki.ca.read_text() + pki.other_ca.read_text())
    stop, done = asyncio.Event(), {"kept": 0, "fresh": 0}

    async def load(kind: str, url: str) -> None:
        connector = aiohttp.TCPConnector(ssl=both, force_close=kind == "fresh")
        async with aiohttp.ClientSession(connector=connector) as session:
            while not stop.is_set():
                assert await status(session, url) == 200
                done[kind] += 1

    async def met(url: str) -> str:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), ssl=both)
        certificate = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
        await writer.wait_closed()
        return str(certificate["serialNumber"])

    second = issued(pki.other, here.directory, "second", "127.0.0.1")
    async with here.listening() as exporter:
        loads = [asyncio.create_task(load(kind, exporter.url)) for kind in ("kept", "fresh") * 3]
        serials = set()
        for certificate in (second, pki.server) * 10:
            before = sum(done.values())
            here.certify(certificate)
            serials.add(await met(exporter.url))
            await until(lambda before=before: sum(done.values()) >= before + 6)
        stop.set()
        await asyncio.gather(*loads)
    assert len(serials) == 2
    assert min(done.values()) > 0


async def test_tls_is_switched_on_and_off(here: Here, pki: Pki) -> None:
    """Without a restart; a connection from before ends with its next answer."""
    here.write()
    async with here.listening() as exporter, client(pki) as session:
        plain, tls = exporter.url, exporter.url.replace("http", "https")
        assert await status(session, plain) == 200
        here.write(tls_server_config=TLS)
        assert await status(session, tls) == 200
        async with session.get(f"{plain}/metrics") as last:
            assert last.headers["Connection"] == "close"
        with pytest.raises(aiohttp.ClientError):
            await status(session, plain)
        here.write()
        async with session.get(f"{tls}/metrics") as last:
            assert last.headers["Connection"] == "close"
        assert await status(session, plain) == 200


async def test_a_connection_from_before_is_no_way_round_a_certificate(here: Here, pki: Pki, tmp_path: Path) -> None:
    """Once clients need one, or one of another authority, an older connection gets no page; a new key of ours changes nothing."""
    async with here.listening() as exporter, client(pki) as bare, client(pki, pki.server) as known:
        assert await status(bare, exporter.url) == 200
        here.write(tls_server_config=MUTUAL)
        assert await status(bare, exporter.url) == 403
        assert await status(known, exporter.url) == 200
        here.certify(issued(pki.authority, tmp_path, "renewed", "127.0.0.1"))
        assert await status(known, exporter.url) == 200
        assert await status(known, exporter.url) == 200
        (here.directory / "ca.crt").write_bytes(pki.other_ca.read_bytes())
        assert await status(known, exporter.url) == 403


async def test_ping_knows_a_living_exporter(here: Here, pki: Pki) -> None:
    """Whatever it asks of others, and also while the configuration that we read is no longer the one in force."""
    for content in (
        {},
        {"tls_server_config": TLS},
        {"tls_server_config": MUTUAL},
        {"tls_server_config": TLS, "basic_auth_users": {"prom": HASH}, "protect_health": True},
    ):
        here.write(**content)
        async with here.listening() as exporter:
            where = listening_at.find({}, {"web.listen_address": exporter.url.partition("//")[2]})
            for tls in (False, True):
                assert await asyncio.to_thread(ask, where._replace(tls=tls), timeout_seconds=60) is None
    assert "refused" in (await asyncio.to_thread(ask, where, timeout_seconds=60)).lower()


async def _hold(port: int, words: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that says this, and no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(words)
        await writer.drain()
    return reader, writer


@pytest.mark.parametrize(("tls", "words"), [(False, b""), (False, b"GET /metrics HTTP/1.1\r\nX: "), (True, b"")])
async def test_connections_are_bounded(here: Here, pki: Pki, tls: bool, words: bytes) -> None:
    """Who says nothing, or only half of a request, is put out for the next one; who has had a page stays longest."""
    here.write(**{"tls_server_config": TLS} if tls else {})
    async with here.listening(limits__connections=8) as exporter, client(pki) as session:
        assert await status(session, exporter.url) == 200
        (kept,) = (pool for pools in session.connector._conns.values() for pool in pools)
        port = int(exporter.url.rpartition(":")[2])
        held = [await _hold(port, words) for _ in range(50)]
        gone = exporter.service.turned_away
        await until(lambda: gone["connections"] >= 43)
        assert gone["connections"] == 43  # 1 + 50 - 8
        assert gone["tls"] == 0
        assert await status(session, exporter.url) == 200
        assert next(pool for pools in session.connector._conns.values() for pool in pools)[0] is kept[0]
        ends = [asyncio.create_task(reader.read()) for reader, _ in held]
        await until(lambda: sum(end.done() for end in ends) >= 43)
        for _, writer in held:
            writer.close()
        await asyncio.gather(*ends, return_exceptions=True)


async def test_who_does_not_say_farewell_takes_no_room(here: Here, pki: Pki) -> None:
    """TLS has one wait for it; who is gone but for that makes room before all others."""
    async with here.listening(limits__connections=8) as exporter, client(pki) as session:
        here.write(tls_server_config=TLS, basic_auth_users={"prom": HASH})
        port = int(exporter.url.rpartition(":")[2])
        before, held = psutil.Process().num_fds(), []
        for _ in range(60):
            held.append(await asyncio.to_thread(_mute, port))
            assert psutil.Process().num_fds() - before - len(held) <= 12
        assert await status(session, exporter.url, headers=login("secret")) == 200
        for one in held:
            one.close()


def _mute(port: int) -> socket.socket:
    """A client that asks for its connection to be closed, and then neither reads nor closes it."""
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    encrypted = made.wrap_socket(plain, server_hostname="localhost")
    encrypted.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    encrypted.recv(10)
    return encrypted


async def test_a_page_that_is_being_made_is_never_cut_off(
    here: Here, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come: with no other to put out, it is the newcomer that is turned away."""
    go, begun = asyncio.Event(), []
    here.write()
    async with here.listening(limits__connections=4) as exporter:
        real = exporter.service.scrape

        async def slow(**options: Any) -> Any:
            begun.append(1)
            await go.wait()
            return await real(**options)

        monkeypatch.setattr(exporter.service, "scrape", slow)
        async with client(pki, limit=0) as session:
            under_way = [asyncio.create_task(status(session, exporter.url)) for _ in range(4)]
            await until(lambda: len(begun) == 4)
            with pytest.raises(aiohttp.ClientError):
                await status(session, exporter.url)
            go.set()
            assert await asyncio.gather(*under_way) == [200] * 4


def _hostile(port: int, connections: int, words: bytes) -> str:
    """A program that keeps so many connections busy with these words, and makes a new one for each that is closed."""
    return f"""
import asyncio
async def one():
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", {port})
            writer.write({words!r})
            await reader.read()
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(0.5)
async def all():
    await asyncio.gather(*(one() for _ in range({connections})))
asyncio.run(all())
"""


@pytest.mark.parametrize("tls", [False, True])
async def test_an_honest_scrape_among_a_thousand_slow_connections(
    here: Here, healthy: Sandbox, pki: Pki, tls: bool
) -> None:
    """And fifty scrapers at once: it ends within its budget, and memory and descriptors stay in bounds.

    Slow ones say half of a request, or over TLS nothing. The limit of open files is what a service has by default.
    """
    here.write(basic_auth_users={"prom": HASH}, **({"tls_server_config": TLS} if tls else {}))
    words = b"" if tls else b"GET /metrics HTTP/1.1\r\nX: "
    with serve(healthy.blnk_json, here.directory, "--web.config.file", "web.yml") as running:
        url = running.url.replace("http", "https") if tls else running.url
        await until(lambda: running.lines("listening"))
        process = psutil.Process(running.process.pid)
        process.rlimit(psutil.RLIMIT_NOFILE, (1024, 1024))
        async with client(pki, limit=0, headers=login("secret")) as session:
            await asyncio.gather(*(status(session, url) for _ in range(20)))
            before, rest = process.memory_info().rss, process.num_fds()
            program = _hostile(running.port, 1000, words)
            hostile = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
            try:
                await eventually(lambda: _is_crowded(process))
                answers, fds = [], []
                for _ in range(5):
                    async with client(pki, headers=login("secret")) as fresh, asyncio.TaskGroup() as group:
                        honest = group.create_task(status(fresh, url))
                        for _ in range(50):
                            group.create_task(_try(session, url, answers))
                        assert await honest == 200
                        assert hostile.returncode is None, "the others are still there"
                    fds.append(process.num_fds())
            finally:
                hostile.kill()
                await hostile.wait()
        assert answers.count(200) > 150
        assert max(fds) <= 256 + 64
        # A handshake has 256 KiB of buffers.
        assert process.memory_info().rss - before < (160 if tls else 64) * 1024 * 1024
        await until(lambda: process.num_fds() <= rest)
        assert running.lines("Traceback") == []


async def _is_crowded(process: psutil.Process) -> bool:
    return await asyncio.to_thread(process.num_fds) >= 240


async def _try(session: aiohttp.ClientSession, url: str, answers: list[int]) -> None:
    with contextlib.suppress(aiohttp.ClientError):
        answers.append(await status(session, url))
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("address", "content", "missing"),
    [
        (":{}", {}, "TLS and credentials"),
        ("0.0.0.0:{}", {"basic_auth_users": {"prom": HASH}}, "TLS"),
        ("0.0.0.0:{}", {"tls_server_config": TLS}, "credentials"),
        (":{}", {"tls_server_config": MUTUAL}, None),
        ("127.0.0.1:{}", {}, None),
    ],
)
async def test_an_open_endpoint_is_warned_about(here: Here, healthy: Sandbox, address: str, content: dict[str, Any], missing: str | None) -> None:  # fmt: skip
    """Once, at the start, with what is missing; not where only this machine can reach it."""
    here.write(**content)
    port = free_port()
    arguments = ("--web.config.file", "web.yml", "--web.listen-address", address.format(port))
    with serve(healthy.blnk_json, here.directory, *arguments) as running:
        await until(lambda: running.lines("listening") or running.process.poll() is not None)
        warned = running.lines("whoever reaches the address")
        assert len(warned) == (missing is not None)
        assert missing is None or f"without={missing}" in warned[0].replace('"', "")
        assert (await run("ping", "--web.listen-address", f"127.0.0.1:{port}", cwd=here.directory)).returncode == 0


async def test_a_faulty_web_configuration_stops_the_start(here: Here, healthy: Sandbox) -> None:
    """In one sentence, and nothing listens open."""
    here.write(tls_server_config=TLS | {"key_file": "none.key"})
    ended = await run(
        "serve", "--blnk-config", str(healthy.blnk_json), "--web.config.file", "web.yml", cwd=here.directory
    )
    assert ended.returncode == 1
    assert (
        ended.stderr == "1 fault in the configuration:\n  web.yml tls_server_config.key_file: none.key does not exist\n"
    )
