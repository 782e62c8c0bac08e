"""Blnk's workers: what each instance says of itself, and the truth behind it from asynq's heartbeats.

Source:   GET /health of every instance; asynq:servers (ZSET of keys by expiry), asynq:servers:{…} (protobuf)
Needs:    a Redis user with the commands and keys that `blnk-exporter grants redis` prints for it
By hand:  curl -i http://127.0.0.1:5004/health; redis-cli ZREVRANGEBYSCORE asynq:servers +inf -inf
Cost:     one request per instance; 2 round trips to Redis, shared with the other collectors

A worker's /health is a constant: it says UP while Redis is gone. A heartbeat lives 10 seconds and is renewed every 5.
Its key expires by Redis' clock. Its score in asynq:servers is the end of these 10 seconds by the clock of the worker's
host, which may be wrong: so whether the key exists decides, and the difference is the skew of that clock.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
    "blnk_workers_servers",
    "Asynq servers of Blnk's queues with a live heartbeat; a Blnk worker runs two or three.",
    (),
    _SOURCE,
)
FOREIGN = Metric(
    "blnk_workers_foreign_servers",
    "Asynq servers with a live heartbeat that serve none of Blnk's queues: another application in the same Redis.",
    (),
    _SOURCE,
)
PROCESSES = Metric("blnk_workers_processes", "Processes of Blnk's workers with a live heartbeat.", (), _SOURCE)
STOPPING = Metric(
    "blnk_workers_stopping_servers",
    "Asynq servers of Blnk's queues that have a heartbeat but no longer take tasks.",
    (),
    _SOURCE,
)
FIRST_START = Metric(
    "blnk_workers_oldest_start_timestamp_seconds",
    "When the longest-running asynq server of Blnk's queues started.",
    (),
    _SOURCE,
)
LAST_START = Metric(
    "blnk_workers_newest_start_timestamp_seconds",
    "When the last started asynq server of Blnk's queues started; moves on a restart.",
    (),
    _SOURCE,
)
SKEW = Metric(
    "blnk_workers_clock_skew_seconds",
    "How far a worker's clock is ahead of Redis' clock, within half a second; the furthest off of several.",
    (),
    _SOURCE,
)
CONSUMERS = Metric(
    "blnk_workers_queue_consumers",
    "Asynq servers that take tasks from the queue of Blnk's; 0 for an expected or used one that no server takes from.",
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
# Of all heartbeats: a worker's has some 800 bytes, and a megabyte takes a quarter of a second to parse.
_HEARTBEATS_BYTES_MAX = 2 << 20
_QUEUES_MAX = 1000
# Entry and content end within the same second; a server that stops takes both away at once.
_EXPIRING_SECONDS = 2.0
_TTL_SECONDS = 10.0
# A clock that is set to another time zone is hours off. The entries of servers that died stay in the set for good.
_SPAN_SECONDS = 86_400.0
_SURE_SPAN_SECONDS = 60.0
_SHARD = re.compile(r"(.+_)\d+")


@dataclass(frozen=True)
class HeartbeatSource:
    """Redis, the queues that the deployment's configuration implies, and others that Blnk may have used.

    Without any expected queue every server is taken for Blnk's.
    """

    store: Store
    expected: tuple[str, ...]
    possible: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """``host:port`` of Redis."""
        return self.store.address

    def owns(self, queue: str) -> bool:
        """Whether the queue is Blnk's: expected, possible, or a shard beyond those that are expected."""
        if not self.expected or queue in self._names:
            return True
        shard = _SHARD.fullmatch(queue)
        return shard is not None and shard[1] in self._stems

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset((*self.expected, *self.possible))

    @cached_property
    def _stems(self) -> frozenset[str]:
        return frozenset(shard[1] for name in self.expected if (shard := _SHARD.fullmatch(name)))


@dataclass(frozen=True, kw_only=True)
class Heartbeats(Reading):
    """The live asynq servers of Blnk's queues, how many others live, and the queues of Blnk's that should be served."""

    servers: tuple[asynq.Server, ...]
    foreign: int
    queues: tuple[str, ...]


def candidates(now: float, members: list[bytes]) -> dict[bytes, float]:
    """Seconds to live by key, as the servers' own clocks have it, of members and scores that alternate.

    Keys that should have expired long ago are left out.
    """
    pairs = zip(members[::2], members[1::2], strict=True)
    left = {key: float(expires_at) - now for key, expires_at in pairs}
    return {key: seconds for key, seconds in left.items() if seconds > -_SPAN_SECONDS}


def parse(keys: Mapping[bytes, float], replies: Sequence[Any]) -> tuple[list[asynq.Server], list[Gap]]:
    """One server for each key that exists; replies as ``_commands`` asked for them."""
    servers, gaps = [], []
    clock, *rest = replies
    for seconds_left, content, ttl in zip(keys.values(), rest[::2], rest[1::2], strict=True):
        try:
            if message := asynq.reply(content):
                server = asynq.parse_server(message)
                servers.append(replace(server, clock_skew_seconds=_skew(seconds_left, clock, ttl)))
            elif _EXPIRING_SECONDS < seconds_left <= _TTL_SECONDS + 1:
                raise Malformed("a live server's heartbeat has lost its content; was it evicted?")
        except ReadingError as error:
            gaps.append(Gap("heartbeat", error.reason, str(error)))
    refusals = (reply for reply in (clock, *rest[1::2]) if isinstance(reply, ReadingError))
    gaps += [Gap("clock_skew", error.reason, str(error)) for error in refusals]
    return servers, gaps


def _skew(score_left: float, passed: Any, ttl: Any) -> float | None:
    """The score is in whole seconds, rounded down; both times to live end at the same moment of two clocks."""
    if isinstance(passed, ReadingError) or isinstance(ttl, ReadingError) or ttl < 0:
        return None
    skew = float(score_left - passed + 0.5 - ttl / 1000)
    return skew if math.isfinite(skew) else None


def samples(results: Sequence[Result[Any]]) -> Iterator[Sample]:
    """Health for each instance that is configured, consumers for each queue that is expected or used."""
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
    yield from FOREIGN(reading.foreign)
    yield from PROCESSES(len({server.process for server in reading.servers}))
    yield from STOPPING(len(reading.servers) - len(taking))
    starts = [server.started_at for server in reading.servers]
    yield from FIRST_START(min(starts, default=None))
    yield from LAST_START(max(starts, default=None))
    skews = [server.clock_skew_seconds for server in reading.servers if server.clock_skew_seconds is not None]
    yield from SKEW(max(skews, key=abs, default=None))
    consumers, slots, busy = Counter[str](), Counter[str](), Counter[str]()
    for server in taking:
        for queue in server.queues:
            consumers[queue] += 1
            slots[queue] += server.concurrency
            busy[queue] += server.active
    for queue in reading.queues:
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
    keys = candidates(now, asynq.reply(members))
    gaps = []
    if len(keys) > _SERVERS_MAX:
        _, seconds_left = keys.popitem()
        if seconds_left > -_SURE_SPAN_SECONDS:
            gaps.append(Gap("heartbeat", "refused", f"more than {_SERVERS_MAX} live servers; the rest is not read"))
    servers, unread = parse(keys, _timed(now, await source.store.execute(*_commands(keys)))) if keys else ([], [])
    own = [server for server in servers if any(map(source.owns, server.queues))]
    # Without the clock an evicted heartbeat looks like a dead server's, without the registry a used queue is not seen.
    asked_first = (("clock", clock), ("registered", used))
    gaps += [Gap(fact, reply.reason, str(reply)) for fact, reply in asked_first if isinstance(reply, ReadingError)]
    return Heartbeats(
        servers=tuple(own),
        foreign=len(servers) - len(own),
        queues=in_use(source, used, own),
        gaps=Gap.once_each((*unread, *gaps)),
    )


def _commands(keys: Mapping[bytes, float]) -> Iterator[tuple[Any, ...]]:
    """What else may be stored under a heartbeat's name is not read whole."""
    yield ("TIME",)
    size = min(_HEARTBEAT_BYTES_MAX, _HEARTBEATS_BYTES_MAX // len(keys))
    for key in keys:
        yield ("GETRANGE", key, 0, size)
        yield ("PTTL", key)


def _timed(now: float, replies: list[Any]) -> list[Any]:
    """The replies with the seconds that have passed since ``now`` in place of the time."""
    clock, *rest = replies
    return [clock if isinstance(clock, ReadingError) else asynq.clock(clock) - now, *rest]


def in_use(source: HeartbeatSource, used: Any, servers: Sequence[asynq.Server]) -> tuple[str, ...]:
    """The expected queues, and those of Blnk's that are served or in asynq's registry: tasks may be left in them.

    A registry that may not be read, or came as a random part of itself, adds nothing.
    """
    known = () if isinstance(used, ReadingError) or len(used) > _QUEUES_MAX else used
    registered = (asynq.text(name) for name in known if len(name) <= asynq.NAME_BYTES_MAX)
    served = (queue for server in servers for queue in server.queues)
    others = sorted(queue for queue in {*registered, *served}.difference(source.expected) if source.owns(queue))
    return tuple(dict.fromkeys((*source.expected, *others[:_QUEUES_MAX])))


COLLECTOR = Collector(
    name="workers",
    help="Health of Blnk's workers, and the consumers of each queue.",
    metrics=(
        *HEALTH.all,
        *(SERVERS, FOREIGN, PROCESSES, STOPPING, FIRST_START, LAST_START, SKEW, CONSUMERS, SLOTS, BUSY),
    ),
    read=read,
    samples=samples,
    facts=("heartbeat", "clock", "clock_skew", "registered"),
    rights=(
        Command("time", ("clock", "clock_skew")),
        Command("pttl", ("clock_skew",)),
        Command("zrevrangebyscore", ()),
        Command("getrange", ("heartbeat",)),
        Command("srandmember", ("registered",)),
        Keys(asynq.SERVERS),
        Keys(asynq.SERVER_KEYS, ("heartbeat", "clock_skew")),
        Keys(asynq.QUEUES, ("registered",)),
    ),
)
