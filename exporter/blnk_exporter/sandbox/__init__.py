"""A small deployment of Blnk on this machine: real PostgreSQL, real Valkey, stand-ins for Blnk's own processes.

Nothing imports this package but the command line and the tests. Its servers come with the extra ``demo``, are
children of this process, listen on free ports of loopback behind random passwords, and leave nothing behind.
"""

from .failure import SandboxError, ServerError
from .monitoring import Alert, Delivery, Monitoring, alerted, programs, watching
from .postgres import PostgresServer
from .run import running
from .scenarios import SCENARIOS, Scenario
from .stage import Sandbox
from .valkey import ValkeyServer

__all__ = [
    "SCENARIOS",
    "Alert",
    "Delivery",
    "Monitoring",
    "PostgresServer",
    "Sandbox",
    "SandboxError",
    "Scenario",
    "ServerError",
    "ValkeyServer",
    "alerted",
    "programs",
    "running",
    "watching",
]
