"""What follows from what is not told: a live Alertmanager with the shipped routes and inhibitions."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
import pytest_asyncio

from blnk_exporter.render import quick
from blnk_exporter.render.quick import Pace
from blnk_exporter.sandbox import alerted

from ..waiting import PATIENCE_SECONDS
from .alertmanager import CONFIG, Labels, alert, needs_alertmanager, post


@pytest_asyncio.fixture(scope="module")
async def inhibiting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """An Alertmanager with the shipped routes and inhibitions, whose messages nobody takes."""
    local = quick.alertmanager(CONFIG, Pace(), "http://127.0.0.1:9")
    async with alerted(tmp_path_factory.mktemp("alertmanager"), local) as address:
        yield address


DOWN = alert("BlnkExporterDown")
REDIS, POSTGRES = alert("BlnkRedisDown"), alert("BlnkPostgresDown", address="db-1:5432")
WORKERS = alert("BlnkWorkersNone")
ABSENT = alert("BlnkExporterAbsent", job="", instance="")
WAITING, MISMATCH = alert("BlnkQueuesWaiting", queue="q1"), alert("BlnkBooksBalancesMismatched")
WATCHDOG = alert("Watchdog", "none", component="exporter", job="", instance="")
QUEUES_FAIL = alert("BlnkExporterCollectorFailing", "warning", collector="queues")
LEDGER_FAILS = alert("BlnkExporterCollectorFailing", "warning", collector="ledger")
WORKERS_FAIL = alert("BlnkExporterCollectorFailing", "warning", collector="workers")
TASKS_MISSING = alert("BlnkExporterFactMissing", "warning", collector="ledger", fact="tasks", reason="unreachable")
LOST = (alert("BlnkQueuesTasksLost", queue="q1"), alert("BlnkTablesRowsDeleted", table="transactions"), MISMATCH)
# What fires, and what of it is not told.
INHIBITIONS: Mapping[str, tuple[tuple[Labels, ...], tuple[Labels, ...]]] = {
    "a blind exporter": ((DOWN, WAITING, MISMATCH, LEDGER_FAILS, WATCHDOG), (WAITING, MISMATCH, LEDGER_FAILS)),
    "another exporter sees": ((DOWN, WAITING | {"instance": "other:10501"}), ()),
    "another site's exporter": ((DOWN, WAITING | {"env": "staging"}), ()),
    "Blnk's own metrics go on": (
        (DOWN, ABSENT, alert("BlnkApiErrors", "warning", job="blnk", instance="api:5001", component="blnk")),
        (),
    ),
    "an exporter that is no target": ((ABSENT, WAITING, MISMATCH, WATCHDOG), (WAITING, MISMATCH)),
    "a collector that fails": ((QUEUES_FAIL, WAITING, MISMATCH), (WAITING,)),
    "one server that fails": (
        (alert("BlnkExporterCollectorFailing", "warning", collector="postgres"), alert("BlnkPostgresDown")),
        (alert("BlnkExporterCollectorFailing", "warning", collector="postgres"),),
    ),
    "no PostgreSQL": (
        (POSTGRES, alert("BlnkServerDown", address="a:1"), WAITING, LEDGER_FAILS, QUEUES_FAIL, WATCHDOG),
        (alert("BlnkServerDown", address="a:1"), WAITING, LEDGER_FAILS),
    ),
    "no PostgreSQL, but its disk is full": ((POSTGRES, alert("BlnkHostDiskHigh", path="/data")), ()),
    "a replica that is down": ((alert("BlnkPostgresReplicaDown", "warning", address="db-2:1"), WAITING), ()),
    "no Redis": (
        (REDIS, WAITING, QUEUES_FAIL, TASKS_MISSING, MISMATCH, LEDGER_FAILS),
        (WAITING, QUEUES_FAIL, TASKS_MISSING),
    ),
    "a worker that is down": (
        (alert("BlnkWorkersInstanceDown", "warning", address="w:1"), WORKERS_FAIL, WAITING),
        (WORKERS_FAIL,),
    ),
    "no heartbeats": ((WORKERS, WAITING, WORKERS_FAIL, MISMATCH), (WAITING,)),
    "no workers": (
        (alert("BlnkWorkersDown"), WORKERS, WORKERS_FAIL, MISMATCH),
        (alert("BlnkWorkersDown"), WORKERS_FAIL),
    ),
    "no health of workers": ((alert("BlnkWorkersDown"), WAITING, WORKERS_FAIL), (WORKERS_FAIL,)),
    "no PostgreSQL, and rows are lost": ((POSTGRES, *LOST), ()),
    "no Redis, and tasks are lost": ((REDIS, LOST[0]), ()),
    "the higher of two limits": ((WAITING, WAITING | {"severity": "warning"}), (WAITING | {"severity": "warning"},)),
    "limits of two queues": ((WAITING, WAITING | {"severity": "warning", "queue": "q2"}), ()),
    "limits of two servers": (
        (
            alert("BlnkPostgresConnectionsHigh", address="a:1"),
            alert("BlnkPostgresConnectionsHigh", "warning", address="b:1"),
        ),
        (),
    ),
    "claims of two namespaces": (
        (
            alert("BlnkHostDiskHigh", path="data", namespace="a"),
            alert("BlnkHostDiskHigh", "warning", path="data", namespace="b"),
        ),
        (),
    ),
    "limits of two disks": (
        (alert("BlnkHostDiskHigh", path="/"), alert("BlnkHostDiskHigh", "warning", path="/data")),
        (),
    ),
    "two alerts that have nothing to tell them apart but their names": (
        (alert("BlnkRedisMemoryHigh"), alert("BlnkHostMemoryHigh", "warning")),
        (),
    ),
    "not ours": ((WAITING, {"alertname": "NodeDown", "severity": "warning"}, DOWN), (WAITING,)),
}


@needs_alertmanager
@pytest.mark.parametrize("what", INHIBITIONS)
async def test_what_follows_is_not_told(inhibiting: str, what: str) -> None:
    """The cause is told, what follows from it is not, and everything else is."""
    fires, muted = INHIBITIONS[what]
    here = {"cluster": what}
    await post(inhibiting, *({**labels, **here} for labels in fires))
    # Causes become known in turn: once this one is, those before it are.
    last = {"cluster": f"after {what}"}
    await post(inhibiting, {**REDIS, **last}, {**WAITING, **last})

    async def found(cluster: str) -> dict[frozenset[tuple[str, str]], bool]:
        query = {"filter": f'cluster="{cluster}"'}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{inhibiting}/api/v2/alerts", params=query) as reply,
        ):
            alerts = await reply.json()
        return {frozenset(one["labels"].items()): bool(one["status"]["inhibitedBy"]) for one in alerts}

    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any((await found(last["cluster"])).values()):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)
    expected = {frozenset({**labels, **here}.items()): labels in muted for labels in fires}
    assert await found(what) == expected
