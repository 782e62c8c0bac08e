"""What an exporter is told of the deployment that it watches."""

from dataclasses import dataclass, replace

# Blnk's default: twenty queues of transactions, and these besides.
OTHER_QUEUES = ("new:inflight-expiry", "new:inflight-commit", "new:webhook", "new:index")
DEFAULT_QUEUES = 24
DATABASE = "blnk"


@dataclass(frozen=True)
class Site:
    """Ports of loopback, and how many queues Blnk has, the four that are not of transactions among them."""

    redis_port: int
    postgres_port: int
    server_port: int
    worker_port: int
    queues: int = DEFAULT_QUEUES

    @property
    def shards(self) -> int:
        """Queues of transactions."""
        return self.queues - len(OTHER_QUEUES)

    @property
    def queue_names(self) -> tuple[str, ...]:
        """All of them, as Blnk names them."""
        return queue_names(self.queues)

    @property
    def redis(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.redis_port}"

    def dsn(self, application: str = "") -> str:
        """Where PostgreSQL is; ``application`` is what its log calls the session, unless the client says otherwise."""
        named = f"&application_name={application}" if application else ""
        return f"postgres://postgres@127.0.0.1:{self.postgres_port}/{DATABASE}?sslmode=disable{named}"

    def through(self, redis_port: int, postgres_port: int) -> "Site":
        """The same deployment, seen through relays."""
        return replace(self, redis_port=redis_port, postgres_port=postgres_port)


def queue_names(queues: int) -> tuple[str, ...]:
    """Names of so many queues."""
    shards = range(1, queues - len(OTHER_QUEUES) + 1)
    return (*(f"new:transaction_{shard}" for shard in shards), *OTHER_QUEUES)
