"""Everything that the questions are asked of: servers of several sizes, all at once, so that sizes can be compared."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from blnk_exporter.sandbox import account
from blnk_exporter.sandbox.blnk import BlnkServer, BlnkWorker
from blnk_exporter.sandbox.process import removes_after_us

from .servers import Database, Store, database, store
from .site import DEFAULT_QUEUES, Site

# Where the number of queues is what differs, each has so many tasks.
_TASKS_PER_QUEUE = 50


@dataclass(frozen=True)
class Sizes:
    """How much there is and how often it is looked at; the last number is that of the large deployment."""

    rounds: int
    delayed_rounds: int
    backlogs: tuple[int, ...]
    rows: tuple[int, ...]
    queues: tuple[int, ...]
    new_rows: int = 100


FULL = Sizes(60, 20, (0, 100_000, 1_000_000), (0, 1_000_000), (DEFAULT_QUEUES, 200, 2000))
QUICK = Sizes(12, 4, (0, 10_000, 50_000), (0, 50_000), (DEFAULT_QUEUES, 200, 500))


@dataclass(frozen=True)
class Bench:
    """Servers by size: databases by rows, stores by backlog at the usual queues, and by queues."""

    sizes: Sizes
    directory: Path
    databases: dict[int, Database]
    backlogs: dict[int, Store]
    queues: dict[int, Store]
    blnk: BlnkServer
    worker: BlnkWorker

    @property
    def database(self) -> Database:
        """The large one."""
        return self.databases[self.sizes.rows[-1]]

    @property
    def store(self) -> Store:
        """The one with the large backlog."""
        return self.backlogs[self.sizes.backlogs[-1]]

    def site(
        self, *, database: Database | None = None, store: Store | None = None, queues: int = DEFAULT_QUEUES
    ) -> Site:
        """A deployment of these servers, of the large ones unless named."""
        return Site(
            redis_port=(store or self.store).server.port,
            postgres_port=(database or self.database).server.port,
            server_port=self.blnk.port,
            worker_port=self.worker.port,
            queues=queues,
        )


@contextlib.asynccontextmanager
async def furnished(sizes: Sizes, report: Callable[[str], None]) -> AsyncIterator[Bench]:
    """Start and fill all servers; ends them and removes their files."""
    async with contextlib.AsyncExitStack() as stack:
        directory = account.shared_directory("blnk-benchmark")
        stack.callback(removes_after_us(directory).dismiss)
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        databases, backlogs, queues = {}, {}, {}
        for rows in sizes.rows:
            report(f"PostgreSQL with {rows:,} transactions")
            databases[rows] = await stack.enter_async_context(database(directory, rows))
        for tasks in sizes.backlogs:
            report(f"Valkey with {tasks:,} waiting tasks")
            backlogs[tasks] = await stack.enter_async_context(store(directory, DEFAULT_QUEUES, tasks))
        for number in sizes.queues:
            report(f"Valkey with {number:,} queues")
            queues[number] = await stack.enter_async_context(store(directory, number, number * _TASKS_PER_QUEUE))
        blnk, worker = BlnkServer(databases[sizes.rows[-1]].server.dsn()), BlnkWorker()
        for endpoint in (blnk, worker):
            await endpoint.start()
            stack.push_async_callback(endpoint.stop)
        yield Bench(sizes, directory, databases, backlogs, queues, blnk, worker)
