"""A PostgreSQL server of its own, thrown away afterwards.

The cluster trades durability for speed (``fsync = off``). By default everybody on this machine may connect as
its superuser; give a ``password`` where other people log in too.
"""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, urlencode

from . import account
from .binaries import postgres_bindir
from .failure import ServerError
from .process import Guard, ServerProcess, on_free_port, removes_after_us, run

_HOST = "127.0.0.1"
# Far beyond need: a busy machine must not end the wait.
_START_SECONDS = 120.0
# "fast", then "immediate" shutdown: https://www.postgresql.org/docs/16/server-shutdown.html
_STOP = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 2.0))
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "10s",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}

# The slot may still be held by the copy that has just ended; the next attempt would be after 5 s.
_REPLICA_SETTINGS = {"hot_standby": "on", "wal_retrieve_retry_interval": "100ms"}


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Everything about a cluster that outlives its process."""

    home: Path
    bindir: Path
    owner: account.Account | None
    password: str | None = None
    guard: Guard | None = None

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    def program(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> ServerProcess:
        # The wheel's programs look for libpq where they were built.
        found = {"LD_LIBRARY_PATH": str(self.bindir.parent / "lib"), **(environment or {})}
        return ServerProcess(
            [self.bindir / name, *arguments],
            directory=self.home,
            log_path=self.log,
            account=self.owner,
            environment=found,
        )

    def remove(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        if self.guard:
            self.guard.dismiss()


@dataclass(kw_only=True)
class PostgresServer:
    """A running server; make one with ``start`` or ``start_replica``, end it with ``stop``."""

    port: int
    tls: bool
    _place: _Place = field(repr=False)
    _process: ServerProcess = field(repr=False)

    @classmethod
    async def start(  # noqa: PLR0913  # the options of a server, each by name
        cls,
        directory: Path,
        *,
        version: int = 16,
        bindir: Path | None = None,
        password: str | None = None,
        tls: tuple[Path, Path] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> "PostgresServer":
        """Make a cluster below ``directory`` and start it on a free port of loopback, in about half a second.

        ``bindir`` replaces the wheel's programs of ``version``. With ``password`` TCP asks for it
        (scram-sha-256), with ``tls`` (certificate, key) the server offers encryption: Debian's programs can, the
        wheel's are built without. ``settings`` go to postgresql.conf. Raises ServerError with the end of the log.
        """
        place = _place(directory, bindir or postgres_bindir(version), password)
        try:
            place = await _initdb(place)
            certificate = _install_tls(place, tls) if tls else {}
            _configure(place, {**_SETTINGS, **certificate, **(settings or {})})
            return await cls._launch(place, tls=tls is not None)
        except BaseException:
            place.remove()
            raise

    @classmethod
    async def start_replica(
        cls,
        directory: Path,
        primary: "PostgresServer",
        *,
        slot: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> "PostgresServer":
        """Copy a running ``primary`` and follow it as a hot standby, through a new replication slot if named."""
        place = _place(directory, primary._place.bindir, primary.password)  # noqa: SLF001
        try:
            await run(_basebackup_program(place, primary, slot), _START_SECONDS)
            _configure(place, {**_REPLICA_SETTINGS, **(settings or {})})
            return await cls._launch(place, tls=primary.tls)
        except BaseException:
            place.remove()
            raise

    @classmethod
    async def _launch(cls, place: _Place, *, tls: bool) -> "PostgresServer":
        async def on(port: int) -> PostgresServer:
            return cls(port=port, tls=tls, _place=place, _process=await _boot(place, port))

        return await on_free_port(on)

    @property
    def host(self) -> str:
        """Always loopback."""
        return _HOST

    @property
    def password(self) -> str | None:
        """The superuser's password; None when nobody is asked for one."""
        return self._place.password

    @property
    def data_directory(self) -> Path:
        """The cluster's files; gone after ``stop``."""
        return self._place.data

    @property
    def socket_directory(self) -> Path:
        """Where the Unix socket lies; it asks for no password."""
        return self._place.home

    @property
    def log_path(self) -> Path:
        """The server's log, that of initdb first."""
        return self._place.log

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the postmaster lives, be it frozen."""
        return self._process.running

    def dsn(
        self, *, user: str = "postgres", password: str | None = None, database: str = "postgres", **options: str
    ) -> str:
        """URL over TCP. Without ``password`` the superuser's own is used for the superuser, none for others."""
        secret = self.password if password is None and user == "postgres" else password
        login = quote(user, safe="") + (f":{quote(secret, safe='')}" if secret is not None else "")
        query = f"?{urlencode(options)}" if options else ""
        return f"postgres://{login}@{self.host}:{self.port}/{quote(database, safe='')}{query}"

    def pause(self) -> None:
        """Freeze postmaster and backends: connections stay open and say nothing."""
        self._process.pause()

    def resume(self) -> None:
        """Undo ``pause``."""
        self._process.resume()

    def reload(self, settings: Mapping[str, str]) -> None:
        """Append settings to postgresql.conf and have them read; some of them need ``restart``."""
        _configure(self._place, settings)
        self._process.reload()

    async def halt(self) -> None:
        """Stop the server and keep its data, for ``restart``."""
        await self._process.stop(_STOP)

    async def restart(self) -> None:
        """Start again on the same port and data, after stopping where it runs."""
        await self.halt()
        self._process = await _boot(self._place, self.port)

    async def stop(self) -> None:
        """End the server and remove its data. Never hangs; may be called twice."""
        try:
            await self._process.stop(_STOP)
        finally:
            self._place.remove()


def _place(directory: Path, bindir: Path, password: str | None) -> _Place:
    owner = account.unprivileged()
    home = account.home(directory, owner, "postgres")
    elsewhere = not home.is_relative_to(directory.resolve())
    guard = removes_after_us(home) if elsewhere else None
    return _Place(home=home, bindir=bindir.absolute(), owner=owner, password=password, guard=guard)


async def _initdb(place: _Place) -> _Place:
    try:
        await run(_initdb_program(place), _START_SECONDS)
    except ServerError:
        if not place.owner:
            raise
        # The account may not reach the programs: a virtual environment below /root, for one.
        shutil.rmtree(place.data, ignore_errors=True)
        # Left only when the copy has ended: a cancelled one would go on writing into what is being removed.
        with ThreadPoolExecutor(max_workers=1) as thread:
            copying = asyncio.get_running_loop().run_in_executor(thread, _copy_programs, place)
            place = replace(place, bindir=await copying)
        await run(_initdb_program(place), _START_SECONDS)
    return place


def _copy_programs(place: _Place) -> Path:
    tree = place.bindir.parent
    copy = account.readable_copy(tree, place.home / "programs")
    # Where auditwheel puts the libraries of a wheel: https://github.com/pypa/auditwheel
    bundled = tree.parent.with_name(f"{tree.parent.name}.libs")
    if bundled.is_dir():
        account.readable_copy(bundled, copy / "lib")
    return copy / "bin"


def _initdb_program(place: _Place) -> ServerProcess:
    login: tuple[str, ...] = ("--auth=trust",)
    if place.password is not None:
        secret = place.home / "password"
        account.write_private(secret, f"{place.password}\n", place.owner)
        login = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}")
    options = ("-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
    return place.program("initdb", "-D", str(place.data), *options, *login)


def _basebackup_program(place: _Place, primary: PostgresServer, slot: str | None) -> ServerProcess:
    source = ("-h", primary.host, "-p", str(primary.port), "-U", "postgres", "-D", str(place.data))
    options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
    new_slot = ("--create-slot", f"--slot={slot}") if slot else ()
    secret = {"PGPASSWORD": primary.password} if primary.password is not None else {}
    return place.program("pg_basebackup", *source, *options, *new_slot, environment=secret)


def _install_tls(place: _Place, tls: tuple[Path, Path]) -> dict[str, str]:
    certificate, key = (
        account.hand_copy(path, place.data / name, place.owner)
        for path, name in zip(tls, ("server.crt", "server.key"), strict=True)
    )
    return {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}


def _configure(place: _Place, settings: Mapping[str, str]) -> None:
    with (place.data / "postgresql.conf").open("a", encoding="utf-8") as file:
        for name, value in settings.items():
            escaped = value.replace("'", "''")
            file.write(f"{name} = '{escaped}'\n")


async def _boot(place: _Place, port: int) -> ServerProcess:
    (place.home / "password").unlink(missing_ok=True)
    (place.data / "postmaster.pid").unlink(missing_ok=True)
    addresses = ("-c", f"listen_addresses={_HOST}", "-p", str(port), "-k", str(place.home))
    server = place.program("postgres", "-D", str(place.data), *addresses)
    try:
        await server.ready(lambda: _accepts(place.data), _START_SECONDS)
    except BaseException:
        server.kill()
        raise
    return server


def _accepts(data: Path) -> bool:
    # The eighth line is the state that pg_ctl waits for: src/bin/pg_ctl/pg_ctl.c, wait_for_postmaster_start.
    with contextlib.suppress(OSError):
        lines = (data / "postmaster.pid").read_text("ascii", "replace").splitlines()
        return len(lines) > 7 and lines[7].strip() == "ready"
    return False
