"""PgBouncer in front of a test's PostgreSQL."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blnk_exporter.formats.dsn import PostgresDsn
from blnk_exporter.sandbox import account
from blnk_exporter.sandbox.process import ServerProcess, on_free_port

from .conftest import PASSWORD, Database
from .programs import program

START_SECONDS = 60.0
_STOP = ((signal.SIGINT, 10.0),)
# What operators of applications that set parameters at the login write.
IGNORED = (
    "extra_float_digits,default_transaction_read_only,default_transaction_isolation,default_transaction_deferrable,"
    "statement_timeout,lock_timeout,idle_in_transaction_session_timeout,row_security,jit,plan_cache_mode,search_path,"
    "bytea_output,transform_null_equals,IntervalStyle"
)


@dataclass
class PgBouncer:
    """A running PgBouncer; ``log`` is its own."""

    port: int
    database: Database
    process: ServerProcess
    home: Path

    def dsn(self, user: str = "exporter", **fields: Any) -> PostgresDsn:
        """Where it listens."""
        return self.database.dsn(user, **{"ports": (self.port,)} | fields)

    def send(self, sign: signal.Signals) -> None:
        """SIGUSR1 is PAUSE, SIGUSR2 is RESUME."""
        os.kill(self.process.pid, sign)

    async def says(self, words: str) -> bool:
        """Whether its log has these words."""
        return words in self.process.log_path.read_text("utf-8", "replace")

    async def restart(self) -> None:
        """Stop it, and start it on the same port."""
        await self.process.stop(_STOP)
        self.process = await _run(self.home)


async def _run(home: Path) -> ServerProcess:
    binary, owner = program("pgbouncer", "/usr/sbin/pgbouncer"), account.unprivileged()
    log = home / "pgbouncer.log"
    log.unlink(missing_ok=True)
    process = ServerProcess([binary, str(home / "pgbouncer.ini")], directory=home, log_path=log, account=owner)
    try:
        await process.ready(lambda: "process up" in process.log_tail(50), START_SECONDS)
    except BaseException:
        process.kill()
        raise
    return process


@asynccontextmanager
async def pgbouncer(
    directory: Path, database: Database, *, certificate: tuple[Path, Path] | None = None, **settings: Any
) -> AsyncIterator[PgBouncer]:
    """PgBouncer with these settings on a free port, its files below a directory that goes with it."""
    owner = account.unprivileged()
    home = account.home(directory, owner, "pgbouncer")
    if certificate:
        for name, path in zip(("client_tls_cert_file", "client_tls_key_file"), certificate, strict=True):
            settings[name] = account.hand_copy(path, home / name, owner)
    secret = PASSWORD.replace('"', '""')
    users = "".join(f'"{user}" "{secret}"\n' for user in ("exporter", "plain", "blnk"))
    account.write_private(home / "users.txt", users, owner)

    async def start(port: int) -> PgBouncer:
        given = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": home,
            "auth_type": "scram-sha-256",
            "auth_file": home / "users.txt",
            "server_tls_sslmode": "disable",
            "pool_mode": "transaction",
        }
        where = f"host={database.server.host} port={database.server.port}"
        lines = ["[databases]", f"* = {where}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in (given | settings).items()]
        account.write_private(home / "pgbouncer.ini", "\n".join(lines) + "\n", owner)
        return PgBouncer(port, database, await _run(home), home)

    started: PgBouncer | None = None
    try:
        started = await on_free_port(start)
        yield started
    finally:
        if started:
            await started.process.stop(_STOP)
        _remove(home)


def _remove(home: Path) -> None:
    for path in home.iterdir():
        with contextlib.suppress(OSError):
            path.unlink()
    home.rmdir()
