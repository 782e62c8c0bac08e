"""A worker process as its deployment sees it: it takes tasks, is seen working on them, and beats.

It works in ticks: what it takes in one tick is active for all to see and is finished in a later one.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from .asynq import Asynq
from .task import Server, Task

# n⁴ + 15 s and something random; asynq server.go, DefaultRetryDelayFunc.
_RETRY_BASE_SECONDS = 15


class WorkFailed(Exception):  # an outcome, not a defect
    """A task could not be done; asynq will try again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A task and how to do it. ``work`` gets the time; it raises WorkFailed to be tried again."""

    task: Task
    work: Callable[[float], Awaitable[None]]


Jobs = dict[tuple[str, str], Job]


@dataclass(kw_only=True)
class _Taken:
    job: Job
    taken_at: float
    done: bool = False


@dataclass(kw_only=True)
class Consumer:
    """One asynq server. ``jobs`` are all known jobs by queue and id; each task keeps it busy for some seconds."""

    asynq: Asynq
    server: Server
    jobs: Jobs
    task_seconds: float
    _taken: list[_Taken] = field(default_factory=list)

    async def tick(self, now: float) -> None:
        """Finish what is due, then take as much as there are free hands."""
        await self._finish([taken for taken in self._taken if now - taken.taken_at >= self.task_seconds], now)
        while len(self._taken) < self.server.concurrency and (
            found := await self.asynq.dequeue(_shuffled(self.server.queues), now)
        ):
            # An unknown task is not ours: it stays active, as one does whose worker was killed.
            if job := self.jobs.get(found):
                self._taken.append(_Taken(job=job, taken_at=now))

    @property
    def working(self) -> Mapping[Task, float]:
        """What it works on, and since when; may be read from another thread."""
        return {taken.job.task: taken.taken_at for taken in tuple(self._taken)}

    async def beat(self, now: float) -> None:
        """Show that it lives, move on what has become due, keep the leases of what it works on."""
        working = self.working
        await self.asynq.beat(self.server, working, now)
        await self.asynq.forward(list(self.server.queues), now)
        if working:
            await self.asynq.extend(working, now)

    async def _finish(self, due: list[_Taken], now: float) -> None:
        for taken in due:
            if not taken.done:  # else Redis failed between the work and its record, a tick ago
                try:
                    await taken.job.work(now)
                except WorkFailed as failure:
                    await self._put_off(taken, str(failure), now)
                    continue
                taken.done = True
        done = [taken for taken in due if taken.done]
        if done:
            await self.asynq.complete((taken.job.task for taken in done), now)
        for taken in done:
            self._taken.remove(taken)
            self.jobs.pop((taken.job.task.queue, taken.job.task.id), None)

    async def _put_off(self, taken: _Taken, error: str, now: float) -> None:
        task = taken.job.task.failed(error, now)
        if task.retried > task.retry:
            await self.asynq.archive(task, now)
        else:
            await self.asynq.retry(task, now + _RETRY_BASE_SECONDS + task.retried**4, now)
        self._taken.remove(taken)
        self.jobs[task.queue, task.id] = Job(task=task, work=taken.job.work)


def _shuffled(weights: Mapping[str, int]) -> list[str]:
    """Order queues by chance, the heavier ones mostly first, so that none starves; asynq processor.go, queues."""
    return sorted(weights, key=lambda queue: random.random() ** (1 / weights[queue]), reverse=True)
