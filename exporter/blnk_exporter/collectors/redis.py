"""Redis or Valkey itself: memory, eviction, persistence, replication, clients.

Source:   INFO, SLOWLOG LEN (Redis 6.2 and newer, Valkey 8 and 9)
Needs:    a Redis user with +info +slowlog|len, as `blnk-exporter grants redis` prints it
By hand:  redis-cli INFO memory
Cost:     1 round trip, shared with the other collectors; 1 more after connecting to a Redis before 7, which takes one
          section in each INFO, and 1 more each minute while the server is a replica
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..collector import Collector, Gap, Reading, Result, Store
from ..errors import Malformed, ReadingError, Refused
from ..formats.redis_info import Info, finite, parse
from ..metric import Metric, Sample
from ..right import Command

_SECTIONS = ("server", "clients", "memory", "persistence", "stats", "replication", "cpu", "errorstats", "keyspace")
# Redis has sixteen unless configured otherwise.
_DATABASES_MAX = 1000
_LABEL_CHARACTERS_MAX = 64
# A server that stays a replica is left once a minute, in case that its address leads elsewhere by now.
_RECONNECT_SECONDS = 60.0

UP = Metric("blnk_redis_up", "Whether Redis answers, if only to refuse the exporter; 0 while it is busy with a script.")
INFO = Metric(
    "blnk_redis_info", "Always 1; what runs and in which version.", ("software", "version", "mode"), "INFO server"
)
POLICY = Metric(
    "blnk_redis_eviction_policy",
    "1 for the policy in force when memory is full; every allkeys policy may delete queued transactions.",
    ("policy",),
    "INFO maxmemory_policy",
)
ROLE = Metric("blnk_redis_role", "1 for the role of this server.", ("role",), "INFO role")
LIMITED = Metric("blnk_redis_memory_limited", "Whether maxmemory is set.", (), "INFO maxmemory")
MEMORY_MAX = Metric(
    "blnk_redis_memory_max_bytes", "The limit maxmemory; absent when there is none.", (), "INFO maxmemory"
)
KEYS = Metric("blnk_redis_keys", "Keys by database.", ("database",), "INFO keyspace")
KEYS_EXPIRING = Metric(
    "blnk_redis_expiring_keys", "Keys with a time to live, by database.", ("database",), "INFO keyspace"
)
ERRORS = Metric(
    "blnk_redis_errors_total",
    "Error replies by their first word; rare words are counted as other.",
    ("error",),
    "INFO errorstats",
)
REPLICAS = Metric("blnk_redis_replicas", "Replicas by whether they are online.", ("state",), "INFO slaveN")
REPLICA_LAG = Metric(
    "blnk_redis_replication_lag_seconds",
    "Longest time since an online replica reported; absent without replicas.",
    (),
    "INFO slaveN",
)
REPLICA_LAG_BYTES = Metric(
    "blnk_redis_replication_lag_bytes",
    "Furthest that an online replica is behind; absent without replicas.",
    (),
    "INFO slaveN",
)
SERVER_CHANGES = Metric(
    "blnk_redis_server_changes_total",
    "How often another server process has answered at this address: a restart or a switchover.",
    (),
    "INFO run_id",
)
SLOW_LOG = Metric("blnk_redis_slow_log_entries", "Entries in the slow log.", (), "SLOWLOG LEN")

_POLICIES = (
    "noeviction",
    *(f"allkeys-{what}" for what in ("lru", "lfu", "random")),
    *(f"volatile-{what}" for what in ("lru", "lfu", "random", "ttl")),
)
_ERRORS = (
    *("ERR", "NOAUTH", "WRONGPASS", "NOPERM", "OOM", "READONLY", "MISCONF", "LOADING", "BUSY"),
    *("MASTERDOWN", "NOREPLICAS", "WRONGTYPE", "EXECABORT", "NOSCRIPT", "CLUSTERDOWN", "MOVED"),
)


@dataclass(frozen=True)
class _Field:
    """A field of INFO and the metric that it becomes.

    ``true`` is the text that means 1, for flags; ``never`` the number that means that a thing has not happened yet;
    ``where`` a flag without which Redis' word on this field means nothing.
    """

    metric: Metric
    name: str
    factor: float = 1.0
    true: str = ""
    never: float = -1
    where: str = ""

    def value(self, info: Info) -> float | None:
        if self.where and info.text(self.where) != "1":
            return None
        if self.true:
            text = info.text(self.name)
            return None if text is None else text == self.true
        number = info.number(self.name)
        return None if number is None or number == self.never else number * self.factor


def _field(name: str, field: str, help_: str, **options: Any) -> _Field:
    return _Field(Metric(f"blnk_redis_{name}", help_, (), f"INFO {field}"), field, **options)


_FIELDS = (
    _field("uptime_seconds", "uptime_in_seconds", "Time since Redis started."),
    _field("loading", "loading", "Whether Redis is still loading its data set.", true="1"),
    _field("memory_used_bytes", "used_memory", "Memory that Redis uses for data and buffers; what maxmemory limits."),
    _field("memory_peak_bytes", "used_memory_peak", "Highest memory use since the start."),
    _field("memory_rss_bytes", "used_memory_rss", "Memory that the process holds, as the system counts it."),
    _field("memory_system_bytes", "total_system_memory", "Memory of the host that Redis runs on."),
    _field("memory_fragmentation_ratio", "mem_fragmentation_ratio", "Held memory over used memory."),
    _field("evicted_keys_total", "evicted_keys", "Keys deleted because memory was full; may be queued transactions."),
    _field("expired_keys_total", "expired_keys", "Keys deleted at the end of their time to live."),
    _field("clients_connected", "connected_clients", "Connected clients, replicas left out."),
    _field("clients_blocked", "blocked_clients", "Clients that wait in a blocking command."),
    _field("clients_max", "maxclients", "Largest number of clients that Redis accepts."),
    _field("connections_total", "total_connections_received", "Connections accepted."),
    _field("connections_rejected_total", "rejected_connections", "Connections refused at the limit of clients."),
    _field("commands_total", "total_commands_processed", "Commands worked on."),
    _field("error_replies_total", "total_error_replies", "Error replies of every kind."),
    _field("keyspace_hits_total", "keyspace_hits", "Look-ups of keys that found theirs."),
    _field("keyspace_misses_total", "keyspace_misses", "Look-ups of keys that found none."),
    _field("network_input_bytes_total", "total_net_input_bytes", "Bytes received."),
    _field("network_output_bytes_total", "total_net_output_bytes", "Bytes sent."),
    _field("cpu_system_seconds_total", "used_cpu_sys", "System CPU time of the process."),
    _field("cpu_user_seconds_total", "used_cpu_user", "User CPU time of the process."),
    _field("aof_enabled", "aof_enabled", "Whether the append-only file is on.", true="1"),
    _field(
        "aof_last_write_ok",
        "aof_last_write_status",
        "Whether the last write to the append-only file went well; absent while it is off.",
        true="ok",
        where="aof_enabled",
    ),
    _field(
        "aof_last_rewrite_ok",
        "aof_last_bgrewrite_status",
        "Whether the last rewrite of the append-only file went well; absent while it is off.",
        true="ok",
        where="aof_enabled",
    ),
    _field("aof_size_bytes", "aof_current_size", "Size of the append-only file; absent while it is off."),
    _field("rdb_last_save_ok", "rdb_last_bgsave_status", "Whether the last snapshot went well.", true="ok"),
    _field(
        "rdb_last_save_timestamp_seconds", "rdb_last_save_time", "When the last snapshot was written, or Redis started."
    ),
    _field("rdb_saves_total", "rdb_saves", "Snapshots written since the start."),
    _field("rdb_changes_since_save", "rdb_changes_since_last_save", "Writes that no snapshot holds yet."),
    _field(
        "rdb_last_save_duration_seconds",
        "rdb_last_bgsave_time_sec",
        "How long the last snapshot took; absent before the first.",
    ),
    _field(
        "last_fork_seconds",
        "latest_fork_usec",
        "How long the last fork stopped Redis; absent before the first.",
        factor=1e-6,
        never=0,
    ),
    _field(
        "primary_link_up",
        "master_link_status",
        "Whether this replica is linked to its primary; absent on a primary.",
        true="up",
    ),
    _field(
        "primary_last_io_seconds",
        "master_last_io_seconds_ago",
        "Time since this replica heard of its primary; absent on a primary.",
    ),
)


@dataclass
class Server:
    """What is known of the server behind an address from one reading to the next."""

    run_id: str | None = None
    changes: int = 0

    def note(self, run_id: str | None) -> None:
        """Count a process that is not the one that answered before."""
        self.changes += run_id is not None and self.run_id not in {None, run_id}
        self.run_id = run_id or self.run_id


@dataclass
class RedisSource:
    """Redis, and what holds for the present connection only.

    Attributes:
        store: the client.
        server: who answers; survives a change of the configuration.
        one_section_on: number of the connection whose server takes one section in each INFO, as Redis does before 7.
        reconnected_at: when a connection was last made because the server was a replica, by ``clock``.

    """

    store: Store
    server: Server = field(default_factory=Server)
    clock: Callable[[], float] = time.monotonic
    one_section_on: int | None = None
    reconnected_at: float = float("-inf")

    @property
    def address(self) -> str:
        """``host:port`` or the path of the socket."""
        return self.store.address


@dataclass(frozen=True, kw_only=True)
class RedisReading(Reading):
    """INFO, and the length of the slow log where it may be asked for."""

    info: Info
    slow_log: int | None
    server_changes: int = 0


def judge(info: Any, slow_log: Any) -> RedisReading:
    """Raises the ReadingError in INFO's place, or Malformed for a text without a version."""
    if isinstance(info, ReadingError):
        raise info
    parsed = parse(info)
    if parsed.text("valkey_version", "redis_version") is None:
        raise Malformed("INFO does not tell a version; is this Redis?")
    gaps = [*_lacking(parsed)]
    if len(parsed.databases()) > _DATABASES_MAX:
        gaps.append(Gap("databases", Refused.reason, f"more than {_DATABASES_MAX} databases; none of them is shown"))
    if isinstance(slow_log, ReadingError):
        gaps.append(Gap("slow_log", slow_log.reason, str(slow_log)))
        slow_log = None
    return RedisReading(info=parsed, slow_log=slow_log, gaps=tuple(gaps))


def _lacking(info: Info) -> Iterator[Gap]:
    missing = [section for section in _SECTIONS if section not in info.sections]
    if info.cut:
        yield Gap("info", Malformed.reason, "INFO was cut short")
    elif missing == ["errorstats"]:
        yield Gap("errors", Refused.reason, "this server does not count error replies by kind; Redis 6.2 and newer do")
    elif missing:
        yield Gap("info", Malformed.reason, f"INFO lacks {', '.join(missing)}")


def samples(results: Sequence[Result[RedisReading]]) -> Iterator[Sample]:
    """Whether Redis is up, and everything that its INFO says; a field that it does not have has no series."""
    for result in results:
        yield from UP(result.answered)
        if result.reading:
            yield from SLOW_LOG(result.reading.slow_log)
            yield from SERVER_CHANGES(result.reading.server_changes)
            yield from _info(result.reading.info)


def _info(info: Info) -> Iterator[Sample]:
    software = info.text("server_name") or ("valkey" if info.text("valkey_version") else "redis")
    version, mode = info.text("valkey_version", "redis_version"), info.text("server_mode", "redis_mode")
    labels = {"software": software, "version": version or "", "mode": mode or ""}
    yield from INFO(1, **{label: text[:_LABEL_CHARACTERS_MAX] for label, text in labels.items()})
    for one in _FIELDS:
        yield from one.metric(one.value(info))
    limit = info.number("maxmemory")
    yield from LIMITED(None if limit is None else limit > 0)
    yield from MEMORY_MAX(limit or None)
    yield from _state(POLICY, "policy", info.text("maxmemory_policy"), _POLICIES)
    role = info.text("role")
    yield from _state(
        ROLE, "role", {"master": "primary", "slave": "replica"}.get(role or "", role), ("primary", "replica")
    )
    databases = info.databases()
    for name, record in databases.items() if len(databases) <= _DATABASES_MAX else ():
        yield from KEYS(finite(record.get("keys")), database=name)
        yield from KEYS_EXPIRING(finite(record.get("expires")), database=name)
    # A count over what is left of a section would be too small.
    if role == "master" and info.whole("replication"):
        yield from _replicas(info)
    if info.whole("errorstats"):
        yield from _errors(info)


def _state(metric: Metric, label: str, value: str | None, states: Sequence[str]) -> Iterator[Sample]:
    """One series per state; none when the value is missing or unheard of."""
    for state in states if value in states else ():
        yield from metric(value == state, **{label: state})


def _replicas(info: Info) -> Iterator[Sample]:
    replicas = [record for record in info.records("slave").values() if "state" in record]
    online = [record for record in replicas if record["state"] == "online"]
    yield from REPLICAS(len(online), state="online")
    yield from REPLICAS(len(replicas) - len(online), state="other")
    lags = [lag for record in online if (lag := finite(record.get("lag"))) is not None]
    yield from REPLICA_LAG(max(lags, default=None))
    ours = info.number("master_repl_offset")
    theirs = [offset for record in online if (offset := finite(record.get("offset"))) is not None]
    yield from REPLICA_LAG_BYTES(max(0.0, ours - min(theirs)) if ours is not None and theirs else None)


def _errors(info: Info) -> Iterator[Sample]:
    counts = dict.fromkeys((*_ERRORS, "other"), 0.0)
    for name, record in info.records("errorstat_").items():
        word = name.removeprefix("errorstat_")
        counts[word if word in counts else "other"] += finite(record.get("count")) or 0.0
    for word, count in counts.items():
        yield from ERRORS(count, error=word)


async def read(source: RedisSource) -> RedisReading:
    """INFO and the slow log's length; of the server that the address leads to now where the one before is a replica."""
    connections = source.store.connections
    reading = await _ask(source)
    if reading.info.text("role") == "slave" and source.clock() - source.reconnected_at > _RECONNECT_SECONDS:
        # A server that was demoted keeps its clients. A connection that has just been made is as good as another one.
        source.reconnected_at = source.clock()
        if source.store.connections == connections:
            source.store.reconnect()
            reading = await _ask(source)
    source.server.note(reading.info.text("run_id"))
    return replace(reading, server_changes=source.server.changes)


async def _ask(source: RedisSource) -> RedisReading:
    store = source.store
    if source.one_section_on != store.connections:
        info, slow_log = await store.execute(("INFO", *_SECTIONS), ("SLOWLOG", "LEN"))
        if not isinstance(info, Malformed):
            return judge(info, slow_log)
        source.one_section_on = store.connections
    # Without a section it gives all but the errors, which Redis counts since 6.2.
    errors, info, slow_log = await store.execute(("INFO", "errorstats"), ("INFO",), ("SLOWLOG", "LEN"))
    if isinstance(info, bytes) and isinstance(errors, bytes):
        info = errors + b"\r\n" + info
    return judge(info, slow_log)


COLLECTOR = Collector(
    name="redis",
    help="Memory, eviction, persistence, replication and clients of Redis or Valkey.",
    metrics=(
        *(UP, INFO, POLICY, ROLE, LIMITED, MEMORY_MAX, KEYS, KEYS_EXPIRING, ERRORS),
        *(REPLICAS, REPLICA_LAG, REPLICA_LAG_BYTES, SERVER_CHANGES, SLOW_LOG),
        *(one.metric for one in _FIELDS),
    ),
    read=read,
    samples=samples,
    facts=("info", "errors", "databases", "slow_log"),
    rights=(Command("info", ()), Command("slowlog|len", ("slow_log",))),
)
