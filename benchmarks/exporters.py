"""The exporters that are compared: how each is started for a deployment, and what shows that it does its work."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .site import Site

_ROOT = Path(__file__).parent.parent
_PATH = os.pathsep.join((str(_ROOT / ".venv/debian/usr/bin"), str(_ROOT / ".venv/go"), os.environ.get("PATH", "")))
_STATES = ("pending", "active", "scheduled", "retry", "archived", "completed")


@dataclass(frozen=True)
class Launch:
    """What a program is started with; every page has ``proof`` in it once the exporter does all of its work."""

    arguments: tuple[str, ...]
    proof: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exporter:
    """One kind of exporter; ``launch`` takes the deployment and the address to listen on."""

    name: str
    file: str
    launch: Callable[[Site, str], Launch]

    @property
    def program(self) -> str | None:
        """The whole path of its program; None where it is not on this machine."""
        return shutil.which(self.file, path=_PATH)


def _ours(site: Site, address: str) -> Launch:
    told = {
        "BLNK_DATA_SOURCE_DNS": site.dsn(),
        "BLNK_REDIS_DNS": f"redis://{site.redis}",
        "BLNK_SERVER_PORT": str(site.server_port),
        "BLNK_QUEUE_MONITORING_PORT": str(site.worker_port),
        "BLNK_QUEUE_NUMBER_OF_QUEUES": str(site.shards),
        # Every scrape reads one of the slow collectors, which is the most that one scrape may do. Scrapes follow each
        # other here within milliseconds: with the interval as shipped, hardly any would.
        "BLNK_EXPORTER_LIMITS_SLOW_INTERVAL_SECONDS": "0.001",
        "BLNK_EXPORTER_LIMITS_QUEUES": "10000",
        "BLNK_EXPORTER_LIMITS_SERIES_PER_METRIC": "100000",
    }
    arguments = ("-m", "blnk_exporter", "serve", "--web.listen-address", address, "--log.level", "error")
    proof = (
        *("\nblnk_server_up{", f'\nblnk_queues_expected{{queue="{site.queue_names[-1]}"}} 1.0'),
        *("\nblnk_redis_memory_used_bytes", "\nblnk_postgres_", "\nblnk_ledger_history_complete 1.0", "\nblnk_books_"),
    )
    return Launch(arguments, proof, told)


def _redis(site: Site, address: str) -> Launch:
    arguments = ["-web.listen-address", address, "-redis.addr", f"redis://{site.redis}"]
    if not ASYNQ.program:
        # It is then the only one to tell how long the queues are.
        keys = (f"db0=asynq:{{{queue}}}:{state}" for queue in site.queue_names for state in _STATES)
        arguments += ["-check-single-keys", ",".join(keys)]
    return Launch(tuple(arguments), ("\nredis_up 1\n",))


def _asynq(site: Site, address: str) -> Launch:
    proof = f'\nasynq_queue_size{{queue="{site.queue_names[-1]}"}}'
    return Launch((address, site.redis), (proof,))


def _postgres(site: Site, address: str) -> Launch:
    proof = ("\npg_up 1\n", "\npg_stat_database_")
    return Launch(("--web.listen-address", address), proof, {"DATA_SOURCE_NAME": site.dsn("postgres_exporter")})


def _node(_: Site, address: str) -> Launch:
    arguments = ("--web.listen-address", address, "--log.level", "error")
    return Launch(arguments, ("\nnode_memory_", "\nnode_filesystem_"))


OURS = Exporter("blnk-exporter", sys.executable, _ours)
REDIS = Exporter("redis_exporter", "prometheus-redis-exporter", _redis)
ASYNQ = Exporter("asynq's exporter", "asynq-exporter", _asynq)
POSTGRES = Exporter("postgres_exporter", "prometheus-postgres-exporter", _postgres)
NODE = Exporter("node_exporter", "prometheus-node-exporter", _node)
# Those that read Blnk's servers, and that which reads the machine.
PEERS = (REDIS, ASYNQ, POSTGRES, NODE)
