"""Blnk's workers: what each instance says of itself, and the truth behind it from asynq's heartbeats.

Source:   GET /health of every instance; asynq:servers (ZSET of keys by expiry), asynq:servers:{…} (protobuf)
Needs:    a Redis user with the commands and keys that `blnk-exporter grants redis` prints for it
By hand:  curl -i http://127.0.0.1:5004/health; redis-cli ZREVRANGEBYSCORE asynq:servers +inf -inf
Cost:     one request per instance; 2 round trips to Redis, shared with the other collectors

A worker's /health is a constant: it says UP while Redis is gone. A heartbeat lives 10 seconds and is renewed every 5.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..collector import Collector, Gap, Reading, Result, Store
from ..errors import Malformed, ReadingError
from ..formats import asynq
from ..health import Health, HealthMetrics, HealthSource, probe
from ..metric import Metric, Sample
from ..right import Command, Keys

_SOURCE = "asynq:servers"
HEALTH = HealthMetrics("workers", "Blnk worker")
SERVERS = Metric(
    "blnk_workers_servers", "Asynq servers with a live heartbeat; a Blnk worker runs two or three.", (), _SOURCE
)
PROCESSES = Metric("blnk_workers_processes", "Worker processes with a live heartbeat.", (), _SOURCE)
STOPPING = Metric("blnk_workers_stopping_servers", "Asynq servers that beat but no longer take tasks.", (), _SOURCE)
FIRST_START = Metric(
    "blnk_workers_oldest_start_timestamp_seconds", "When the longest-running asynq server started.", (), _SOURCE
)
LAST_START = Metric(
    "blnk_workers_newest_start_timestamp_seconds",
    "When the last started asynq server started; moves on a restart.",
    (),
    _SOURCE,
)
CONSUMERS = Metric(
    "blnk_workers_queue_consumers",
    "Asynq servers that take tasks from the queue; 0 for an expected or used queue that nobody serves. Where blnk.version is not set, a queue that not every release of Blnk has is expected once it was used.",
    ("queue",),
    _SOURCE,
)
SLOTS = Metric(
    "blnk_workers_queue_slots",
    "Concurrency of the servers that take tasks from the queue; they share it among all their queues.",
    ("queue",),
    _SOURCE,
)
BUSY = Metric(
    "blnk_workers_queue_busy_slots",
    "Slots at work among the blnk_workers_queue_slots of the queue, on whichever of the servers' queues.",
    ("queue",),
    _SOURCE,
)

# More asynq servers than this are not read; Blnk's own manifests stop at ten workers, two or three servers each.
_SERVERS_MAX = 1000
_HEARTBEAT_BYTES_MAX = 65_535
_QUEUES_MAX = 1000
# Entry and content end within the same second; a server that stops takes both away at once.
_EXPIRING_SECONDS = 2.0


@dataclass(frozen=True)
class HeartbeatSource:
    """Redis, and the queues that the deployment's configuration implies."""

    store: Store
    expected: tuple[str, ...]

    @property
    def address(self) -> str:
        """``host:port`` of Redis."""
        return self.store.address


@dataclass(frozen=True, kw_only=True)
class Heartbeats(Reading):
    """The live asynq servers, and the queues that somebody ought to serve: expected ones and those in use."""

    servers: tuple[asynq.Server, ...]
    queues: tuple[str, ...]


def live_keys(now: float, members: list[bytes]) -> dict[bytes, float]:
    """Seconds to live by key, of members and expiries that alternate; only keys whose expiry lies ahead."""
    pairs = zip(members[::2], members[1::2], strict=True)
    return {key: float(expires_at) - now for key, expires_at in pairs if float(expires_at) >= now}


def parse(keys: Mapping[bytes, float], replies: Sequence[Any], queues: tuple[str, ...]) -> Heartbeats:
    """One server per heartbeat; an unreadable one is a gap, and so is one that is gone before its time."""
    servers, gaps = [], []
    for seconds_left, reply in zip(keys.values(), replies, strict=True):
        try:
            if message := asynq.reply(reply):
                servers.append(asynq.parse_server(message))
            elif _EXPIRING_SECONDS < seconds_left < math.inf:
                raise Malformed("a live server's heartbeat has lost its content; was it evicted?")
        except ReadingError as error:
            gaps.append(Gap("heartbeat", error.reason, str(error)))
    if len(replies) > _SERVERS_MAX:
        gaps.append(Gap("heartbeat", "refused", f"more than {_SERVERS_MAX} live servers; the rest is not read"))
    return Heartbeats(servers=tuple(servers), queues=queues, gaps=tuple(dict.fromkeys(gaps)))


def samples(results: Sequence[Result[Any]]) -> Iterator[Sample]:
    """Health for each instance that is configured, consumers for each queue that is expected or served."""
    yield from HEALTH.samples([result for result in results if not isinstance(result.source, HeartbeatSource)])
    for result in results:
        if isinstance(result.reading, Heartbeats):
            yield from _heartbeats(result.reading)


def _heartbeats(reading: Heartbeats) -> Iterator[Sample]:
    # A heartbeat that could not be read may be the one consumer of a queue: then nothing is known, not zero.
    if any(gap.fact == "heartbeat" for gap in reading.gaps):
        return
    taking = [server for server in reading.servers if server.status == "active"]
    yield from SERVERS(len(reading.servers))
    yield from PROCESSES(len({server.process for server in reading.servers}))
    yield from STOPPING(len(reading.servers) - len(taking))
    starts = [server.started_at for server in reading.servers]
    yield from FIRST_START(min(starts, default=None))
    yield from LAST_START(max(starts, default=None))
    consumers, slots, busy = Counter[str](), Counter[str](), Counter[str]()
    for server in taking:
        for queue in server.queues:
            consumers[queue] += 1
            slots[queue] += server.concurrency
            busy[queue] += server.active
    for queue in dict.fromkeys((*reading.queues, *sorted(consumers))):
        yield from CONSUMERS(consumers[queue], queue=queue)
        yield from SLOTS(slots[queue], queue=queue)
        yield from BUSY(busy[queue], queue=queue)


async def read(source: HeartbeatSource | HealthSource) -> Health | Heartbeats:
    """One instance, or the heartbeats of all."""
    if not isinstance(source, HeartbeatSource):
        return await probe(source)
    clock, members, used = await source.store.execute(
        ("TIME",),
        ("ZREVRANGEBYSCORE", asynq.SERVERS, "+inf", "-inf", "WITHSCORES", "LIMIT", 0, _SERVERS_MAX + 1),
        ("SRANDMEMBER", asynq.QUEUES, _QUEUES_MAX + 1),
    )
    # Without the clock every key is asked for: that of a dead server is no longer there.
    now = -math.inf if isinstance(clock, ReadingError) else asynq.clock(clock)
    keys = live_keys(now, asynq.reply(members))
    # A heartbeat has some hundred bytes; whatever else stands under that name is not read whole.
    asked = [("GETRANGE", key, 0, _HEARTBEAT_BYTES_MAX) for key in keys]
    replies = await source.store.execute(*asked) if asked else []
    reading = parse(keys, replies, in_use(source.expected, used))
    # Without the clock an evicted heartbeat looks like a dead server's, without the registry a used queue is not seen.
    asked_first = (("clock", clock), ("registered", used))
    gaps = [Gap(fact, reply.reason, str(reply)) for fact, reply in asked_first if isinstance(reply, ReadingError)]
    return replace(reading, gaps=(*reading.gaps, *gaps))


def in_use(expected: tuple[str, ...], used: Any) -> tuple[str, ...]:
    """The expected queues and those of asynq's registry: tasks may lie in one that nobody expects any more.

    A registry that may not be read, or came as a random part of itself, adds nothing.
    """
    if isinstance(used, ReadingError) or len(used) > _QUEUES_MAX:
        return expected
    others = (asynq.text(name) for name in used if len(name) <= asynq.NAME_BYTES_MAX)
    return tuple(dict.fromkeys((*expected, *sorted(others))))


COLLECTOR = Collector(
    name="workers",
    help="Health of Blnk's workers, and the consumers of each queue.",
    metrics=(*HEALTH.all, SERVERS, PROCESSES, STOPPING, FIRST_START, LAST_START, CONSUMERS, SLOTS, BUSY),
    read=read,
    samples=samples,
    facts=("heartbeat", "clock", "registered"),
    rights=(
        Command("time", ("clock",)),
        Command("zrevrangebyscore", ()),
        Command("getrange", ("heartbeat",)),
        Command("srandmember", ("registered",)),
        Keys(asynq.SERVERS),
        Keys(asynq.SERVER_KEYS, ("heartbeat",)),
        Keys(asynq.QUEUES, ("registered",)),
    ),
)
