"""What a dashboard's figures come from, as its first tile: where it is down, all others are unknown."""

from ..board import Panel, States, stat

# Hosts and Blnk's own processes are targets of their own, and nothing tells whose they are.
OUR_ALERTS = 'ALERTS{instance="$instance"} or ALERTS{instance=""} or ALERTS{component=~"host|blnk"}'
# Prometheus' own word stands in for that of an exporter that says nothing.
_SILENT = " or (min(up) == 0) - 9"
_NO_EXPORTER: States = {-9: ("NO EXPORTER", "red")}
_BLIND = ("BlnkExporterDown",)
_SERVERS = "min({0}) + max({0})"
_PARTLY: States = {0: ("DOWN", "red"), 1: ("PARTLY", "orange"), 2: ("UP", "green")}
# Below 0 where none of those that answer is a primary; nobody can write then.
_POSTGRES_STATE = f"{_SERVERS} - 3 * (max(1 - blnk_postgres_in_recovery) == bool 0) or {_SERVERS}".format(
    "blnk_postgres_up"
)
_POSTGRES: States = {-2: ("NO PRIMARY", "red"), -1: ("NO PRIMARY", "red"), **_PARTLY}
_REDIS: States = {
    0: ("DOWN", "red"),
    1: ("LOADING", "red"),
    2: ("UP", "green"),
    3: ("LOADING", "red"),
    4: ("REPLICA", "red"),
    5: ("REFUSES EXPORTER", "orange"),
}
_REDIS_UP = "min(blnk_redis_up)"
_REDIS_STATE = (
    # It answers, and says nothing of itself.
    f"5 * ({_REDIS_UP} == 1) unless max(blnk_redis_info) or "
    f"{_REDIS_UP} * (2 - (max(blnk_redis_loading) or 0 * {_REDIS_UP}))"
    # Two more for one that is another's copy, and takes no writes.
    f' + 2 * (max(blnk_redis_role{{role="replica"}}) or 0 * {_REDIS_UP})'
)


def api() -> Panel:
    """Of the servers that the exporter asks."""
    return stat(
        "API",
        "Whether Blnk's API servers answer that they are UP; some, or all of them.",
        _SERVERS.format("blnk_server_up"),
        states=_PARTLY,
        runbooks=("BlnkServerDown", "BlnkServerInstanceDown"),
    )


def workers() -> Panel:
    """By their own word, and by Redis'."""
    up, silent = _SERVERS.format("blnk_workers_up"), "(sum(blnk_workers_servers) == bool 0)"
    return stat(
        "Workers",
        "Whether workers answer, some or all of them, and beat in Redis. NO BEAT: they answer and take no task; NO ANSWER:"
        " the other way round.",
        # Below 0 where none beats. Where none is asked, the beat is all there is.
        f"{up} - 3 * {silent} or 2 - 5 * {silent}",
        states={
            -3: ("DOWN", "red"),
            -2: ("NO BEAT", "red"),
            -1: ("NO BEAT", "red"),
            0: ("NO ANSWER", "orange"),
            1: ("PARTLY", "orange"),
            2: ("UP", "green"),
        },
        runbooks=("BlnkWorkersDown", "BlnkWorkersNone", "BlnkWorkersInstanceDown"),
        board="queues",
    )


def postgres(*, first: bool = True, board: str = "postgres") -> Panel:
    """Of the primary and the replicas that the exporter asks."""
    return stat(
        "PostgreSQL",
        "Whether the servers answer, some or all of them, and one of them takes writes. What does not answer is unknown.",
        _POSTGRES_STATE + (_SILENT if first else ""),
        states={**_POSTGRES, **(_NO_EXPORTER if first else {})},
        runbooks=(*("BlnkPostgresDown", "BlnkPostgresReadOnly", "BlnkPostgresReplicaDown"), *(_BLIND if first else ())),
        board=board,
    )


def redis(*, first: bool = True, board: str = "redis") -> Panel:
    """While it loads its data it answers, but takes no work."""
    return stat(
        "Redis",
        "Whether Redis answers, has loaded its data, and takes writes, which a replica does not. Where it refuses the exporter,"
        " or does not answer, what is read from it is unknown.",
        _REDIS_STATE + (_SILENT if first else ""),
        states={**_REDIS, **(_NO_EXPORTER if first else {})},
        runbooks=(
            "BlnkRedisDown",
            "BlnkRedisReplica",
            "BlnkRedisLoading",
            "BlnkRedisRefusesWrites",
            "BlnkExporterCollectorFailing",
            *(_BLIND if first else ()),
        ),
        board=board,
    )


def exporter(*, board: str = "") -> Panel:
    """What all the rest comes through."""
    return stat(
        "Exporter",
        "Whether Prometheus can read the exporter. While it cannot, all that it tells is unknown.",
        "min(up)",
        states={0: ("DOWN", "red"), 1: ("UP", "green")},
        nothing="NOT SCRAPED",
        alarm=True,
        runbooks=("BlnkExporterDown", "BlnkExporterAbsent"),
        board=board,
    )
