"""What is watched, worked out of both configurations: servers, workers, PostgreSQL, Redis and the queues' names."""

from ..errors import Fault
from . import databases, origin
from .resolution import Resolution
from .settings import Settings

_NOTHING = (
    "there is nothing to watch: name a blnk.json with --blnk-config, or set BLNK_DATA_SOURCE_DNS and BLNK_REDIS_DNS as"
    " for Blnk, or give servers, workers, postgres.dsn or redis.dsn in exporter.yml"
)


def resolve(resolution: Resolution) -> Settings:
    """Work out the settings; a target that has a fault is left out of them, and its fault is in ``resolution``."""
    blnk = resolution.blnk.blnk
    settings = Settings(
        own=resolution.own.own,
        blnk=blnk,
        servers=_urls(resolution, "servers", "server.port"),
        workers=_urls(resolution, "workers", "queue.monitoring_port"),
        postgres=databases.postgres(resolution),
        redis=databases.redis(resolution),
        queues=blnk.queues if blnk else (),
        blnk_role=databases.blnk_role(resolution),
    )
    found = settings.servers or settings.workers or settings.postgres or settings.redis
    if not found and not resolution.is_faulty:
        resolution.faults.append(Fault("configuration", _NOTHING))
    limit = settings.own.limits.queues
    if len(settings.queues) > limit:
        what = f"is {limit}, but Blnk's configuration implies {len(settings.queues)} queues"
        resolution.fault(resolution.own.origin("limits.queues"), what)
    if settings.queues:
        resolution.target("queues", _span(settings.queues), origin.derived("Blnk queue.*"))
    elif settings.redis:
        resolution.notes.append("Without blnk.json no queue is expected; those that Redis holds are watched.")
    return settings


def _urls(resolution: Resolution, path: str, port_path: str) -> tuple[str, ...]:
    """Return our own addresses, else Blnk's port on this machine."""
    urls: tuple[str, ...] | None = getattr(resolution.own.own, path)
    place = resolution.own.origin(path)
    blnk = resolution.blnk.blnk
    if urls is None and blnk:
        port = blnk.server_port if path == "servers" else blnk.monitoring_port
        urls = (f"http://127.0.0.1:{port}",)
        place = origin.derived(f"Blnk {port_path}")
        resolution.notes.append(f"Blnk's {path} are expected at {urls[0]}; where they run elsewhere, set {path}.")
    for url in urls or ():
        resolution.target(path.removesuffix("s"), url, place)
    return urls or ()


def _span(queues: tuple[str, ...]) -> str:
    """Write the names with the shards, which are many, from the first to the last."""
    prefix = queues[0].rpartition("_")[0]
    shards = [queue for number, queue in enumerate(queues, 1) if queue == f"{prefix}_{number}"]
    if len(shards) < 4:
        return ", ".join(queues)
    return ", ".join([f"{shards[0]} to {shards[-1]}", *queues[len(shards) :]])
