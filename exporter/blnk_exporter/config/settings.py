"""The effective settings: frozen, typed, secrets masked. Nothing here reads a file or the environment."""

import ipaddress
import zoneinfo
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from ..formats.dsn import PostgresDsn, RedisDsn
from .address import (
    absolute,
    below,
    external,
    http_url,
    listen,
    path_prefix,
    release,
    route,
    split_dsns,
    split_list,
    unique,
    unique_address,
)
from .deployment import Blnk
from .model import Model


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _switch(value: object) -> object:
    # To YAML, on and off are booleans.
    return ("on" if value else "off") if isinstance(value, bool) else _lower(value)


def _zone(name: str) -> str:
    # A machine without the list of zones leaves it to PostgreSQL to know the name.
    if (known := zoneinfo.available_timezones()) and name not in known:
        raise ValueError("must be the name of a time zone, as Europe/Berlin is")
    return name


def _listen(text: str) -> str:
    listen(text)
    return text.strip()


Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
HttpUrls = Annotated[
    tuple[Annotated[str, AfterValidator(http_url)], ...],
    BeforeValidator(split_list),
    AfterValidator(unique),
    AfterValidator(unique_address),
]
Paths = Annotated[
    tuple[Annotated[str, AfterValidator(absolute)], ...], BeforeValidator(split_list), AfterValidator(unique)
]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(split_dsns)]


class BlnkFile(Model):
    """Where Blnk's own configuration stands and which release's defaults fill its holes."""

    config: str | None = Field(default="blnk.json", description="Blnk's configuration file.")
    version: Annotated[str, AfterValidator(release)] = Field(
        default="0.15.2",
        description="The release of Blnk that runs, whose defaults fill the holes of its file. Blnk itself tells it nowhere; "
        "while this is not set, a queue that older releases do not have is expected once it is used.",
    )
    enabled: bool = Field(
        default=True,
        description="Whether Blnk's file and `BLNK_*` variables are read. Without them, name all targets here.",
    )


class Postgres(Model):
    """How to reach PostgreSQL when Blnk's own DSN is not the way; ``password`` replaces the DSN's."""

    dsn: SecretStr | None = Field(
        default=None, description="Connection string, as URL or as `key=value`. Default: Blnk's `data_source.dns`."
    )
    user: str | None = Field(default=None, description="Role to log in with, in place of the connection string's.")
    password: SecretStr | None = Field(default=None, description="Its password, in place of the connection string's.")
    replicas: Secrets = Field(
        default=(),
        description="Connection strings of standbys, which are watched as the primary is but for Blnk's tables.",
    )


class Redis(Model):
    """How to reach Redis when Blnk's own DSN is not the way; ``username`` and ``password`` replace the DSN's."""

    dsn: SecretStr | None = Field(
        default=None, description="Address, as `host:port` or URL. Default: Blnk's `redis.dns`."
    )
    username: str | None = Field(default=None, description="User of an ACL, in place of the address's.")
    password: SecretStr | None = Field(default=None, description="Its password, in place of the address's.")
    ca_file: str | None = Field(
        default=None, description="Certificates that Redis' own is checked with. Default: those of the machine."
    )
    tls_verify: bool | None = Field(
        default=None,
        description="Whether Redis' certificate is checked. Default: not if Blnk's `skip_tls_verify` says so.",
    )


class Host(Model):
    """Which file systems to watch, and where the host's root is mounted when we run in a container."""

    root: Annotated[str, AfterValidator(absolute)] = Field(
        default="/", description="Where the host's root directory is; a container has it mounted somewhere, as `/host`."
    )
    paths: Paths = Field(
        default=("/",),
        description="Directories of the host whose file systems are watched: those of PostgreSQL and Redis, too.",
    )


class Ledger(Model):
    """How Blnk's rows are followed: the zone of its clocks, and how much of history and of currencies is remembered."""

    timezone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC",
        description="Time zone of Blnk's processes, in which releases before 0.15.0 write when a transaction was created.",
    )
    history_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = Field(
        default=30.0,
        description="How far back older rows are looked through, once, for transactions that are still open.",
    )
    history_rows: Annotated[int, Field(ge=1000, le=1_000_000_000)] = Field(
        default=1_000_000, description="How many older ids are looked through for them at most."
    )
    open_rows: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        default=50_000,
        description="How many open transactions of each status are remembered; beyond it the count is a lower bound.",
    )
    currencies: Annotated[int, Field(ge=1, le=200)] = Field(
        default=30, description="How many currencies have series of their own; further ones are told as `other`."
    )


class Books(Model):
    """How often all balances are summed up, how long that may take, and whether the sums mean anything."""

    interval_seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = Field(
        default=900.0, description="How long a sum is served again before all balances are scanned anew."
    )
    timeout_seconds: Annotated[float, Field(ge=0.01, le=3600, allow_inf_nan=False)] = Field(
        default=30.0, description="How long PostgreSQL may take for the scan."
    )
    trial_balance: Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)] = Field(
        default="auto",
        description="Whether the sums of currencies, which are 0 in double entry, are told. With `auto` only where no row can be "
        "from before Blnk 0.15.0, whose exchange rates left sums open.",
    )


class Collectors(Model):
    """Which collectors run; one whose target is not configured never runs."""

    server: bool = True
    workers: bool = True
    queues: bool = True
    redis: bool = True
    postgres: bool = True
    tables: bool = True
    statements: bool = True
    ledger: bool = True
    books: bool = True
    catalog: bool = True
    host: bool = True


class Limits(Model):
    """The bounds that keep the exporter harmless and its page small."""

    scrape_timeout_seconds: Seconds = Field(
        default=9.5, description="How long a scrape may take at most; less where Prometheus grants less."
    )
    scrape_timeout_margin_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = Field(
        default=0.5,
        description="How much earlier than Prometheus gives up a scrape ends, so that the page still arrives.",
    )
    health_timeout_seconds: Seconds = Field(
        default=5.0, description="How long one of Blnk's servers or workers may take for its health answer."
    )
    statement_timeout_seconds: Annotated[float, Field(ge=0.01, le=3600, allow_inf_nan=False)] = Field(
        default=5.0,
        description="How long PostgreSQL may take for one statement, no longer than a scrape; the books have a limit of their own.",
    )
    slow_interval_seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = Field(
        default=60.0,
        description="How long a reading of the slow collectors `tables`, `statements` and `catalog` is served again.",
    )
    response_bytes: Annotated[int, Field(ge=64, le=16_777_216)] = Field(
        default=65_536, description="How much of a health answer is read."
    )
    database_response_bytes: Annotated[int, Field(ge=1_048_576, le=268_435_456)] = Field(
        default=16_777_216,
        description="Largest answer of PostgreSQL to one statement, or of Redis to one round trip. A longer answer is "
        "refused, and the connection is dropped.",
    )
    queues: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1000, description="How many queues are read; expected ones first."
    )
    series_per_metric: Annotated[int, Field(ge=10, le=100_000)] = Field(
        default=2000, description="How many series a metric may have on the page; what is beyond is left out, and told."
    )
    requests: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=64, description="How many scrapes may be under way at once; more are turned away with 503."
    )
    connections: Annotated[int, Field(ge=4, le=10_000)] = Field(
        default=256,
        description="How many connections to the exporter's pages may be open; two more for each of "
        "`targets`. Fewer if the open-files limit is lower. docs/protect.md says which one makes room for the next.",
    )


class Web(Model):
    """The exporter's own endpoint."""

    listen_address: Annotated[str, AfterValidator(_listen)] = Field(
        default="127.0.0.1:10501",
        description="Interface and port: `host:port`, `[::1]:port`, or `:port` for every interface. A change takes effect after a restart.",
    )
    telemetry_path: Annotated[str, AfterValidator(route)] = Field(
        default="/metrics",
        description="Path of the page for Prometheus, below `route_prefix` if there is one. A change takes effect after a restart.",
    )
    external_url: Annotated[str, AfterValidator(external)] | None = Field(
        default=None,
        description="Address that browsers have for the exporter, as `https://ops.example/blnk`, where a reverse proxy is in "
        "front of it. Its path is the default of `route_prefix`. A change takes effect after a restart.",
    )
    route_prefix: Annotated[str, AfterValidator(path_prefix)] | None = Field(
        default=None,
        description="Path that all pages are below, health checks included; `/` where the proxy removes the path of "
        "`external_url` from its requests. Default: the path of `external_url`. A change takes effect after a restart.",
    )
    config_file: str | None = Field(
        default=None,
        description="File with TLS, users and tokens for all of the exporter's pages, as Prometheus' own servers take it: see "
        "[protect.md](protect.md). Default: the pages are open to whoever reaches the address.",
    )

    @property
    def prefix(self) -> str:
        """The path that all pages are below, without a slash at its end: empty, or as ``/blnk``."""
        return below(self.external_url, self.route_prefix)

    @property
    def host(self) -> str:
        """The interface to listen on; empty for every one."""
        return listen(self.listen_address)[0]

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def port(self) -> int:
        """The port to listen on; 0 takes a free one."""
        return listen(self.listen_address)[1]


class Log(Model):
    """How the exporter speaks of itself, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="What is below it is not logged. A change takes effect after a restart."
    )
    format: Annotated[Literal["logfmt", "json"], BeforeValidator(_lower)] = Field(
        default="logfmt", description="How a line is written. A change takes effect after a restart."
    )


class Own(Model):
    """All of exporter.yml, which BLNK_EXPORTER_* and flags override key by key."""

    blnk: BlnkFile = BlnkFile()
    servers: HttpUrls | None = Field(
        default=None,
        description="Addresses of Blnk's API servers, `http://host:port` each. Default: Blnk's port on this machine.",
    )
    workers: HttpUrls | None = Field(
        default=None,
        description="Addresses of Blnk's workers with their monitoring port. Default: Blnk's port on this machine.",
    )
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    host: Host = Host()
    ledger: Ledger = Ledger()
    books: Books = Books()
    collectors: Collectors = Collectors()
    limits: Limits = Limits()
    web: Web = Web()
    log: Log = Log()
    thresholds: str | None = Field(
        default=None,
        description="File with limits of this deployment, as for `blnk-exporter render alerts --thresholds`; the page and the "
        "runbooks go by them. Default: those of the package.",
    )


class Settings(Model):
    """Everything the rest of the program needs, resolved: no file or variable is read after this."""

    own: Own
    blnk: Blnk | None
    servers: tuple[str, ...]
    workers: tuple[str, ...]
    postgres: tuple[PostgresDsn, ...]
    redis: RedisDsn | None
    queues: tuple[str, ...]
    blnk_role: str | None = None
