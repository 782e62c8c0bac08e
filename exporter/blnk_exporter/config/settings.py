"""The effective settings: frozen, typed, secrets masked. Nothing here reads a file or the environment."""

import zoneinfo
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from ..formats.dsn import PostgresDsn, RedisDsn
from .address import absolute, http_url, listen, release, route, split_dsns, split_list, unique, unique_address


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


class Model(BaseModel):
    """Frozen, and a key it does not know is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_from_a_boolean(cls, value: object, info: ValidationInfo) -> object:
        # True is 1 to Python and so to pydantic; in YAML it is a slip.
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation in {int, float}:
            raise ValueError("must be a number")
        return value


class BlnkFile(Model):
    """Where Blnk's own configuration stands and which release's defaults fill its holes."""

    config: str = "blnk.json"
    version: Annotated[str, AfterValidator(release)] = "0.15.2"
    enabled: bool = True


class Postgres(Model):
    """How to reach PostgreSQL when Blnk's own DSN is not the way; ``password`` replaces the DSN's."""

    dsn: SecretStr | None = None
    user: str | None = None
    password: SecretStr | None = None
    replicas: Secrets = ()


class Redis(Model):
    """How to reach Redis when Blnk's own DSN is not the way; ``username`` and ``password`` replace the DSN's."""

    dsn: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: str | None = None
    tls_verify: bool | None = None


class Host(Model):
    """Which file systems to watch, and where the host's root is mounted when we run in a container."""

    root: Annotated[str, AfterValidator(absolute)] = "/"
    paths: Paths = ("/",)


class Ledger(Model):
    """How Blnk's rows are followed: the zone of its clocks, and how much of history and of currencies is remembered."""

    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    history_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = 30.0
    history_rows: Annotated[int, Field(ge=1000, le=1_000_000_000)] = 1_000_000
    open_rows: Annotated[int, Field(ge=100, le=1_000_000)] = 50_000
    currencies: Annotated[int, Field(ge=1, le=200)] = 30


class Books(Model):
    """How often all balances are summed up, how long that may take, and whether the sums mean anything."""

    interval_seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 900.0
    timeout_seconds: Annotated[float, Field(ge=0.01, le=3600, allow_inf_nan=False)] = 30.0
    trial_balance: Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)] = "auto"


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

    scrape_timeout_seconds: Seconds = 9.5
    scrape_timeout_margin_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.5
    health_timeout_seconds: Seconds = 5.0
    statement_timeout_seconds: Annotated[float, Field(ge=0.01, le=3600, allow_inf_nan=False)] = 5.0
    slow_interval_seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 60.0
    response_bytes: Annotated[int, Field(ge=64, le=16_777_216)] = 65_536
    queues: Annotated[int, Field(ge=1, le=10_000)] = 1000
    series_per_metric: Annotated[int, Field(ge=10, le=100_000)] = 2000
    requests: Annotated[int, Field(ge=1, le=1000)] = 40


class Web(Model):
    """The exporter's own endpoint."""

    listen_address: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:10501"
    telemetry_path: Annotated[str, AfterValidator(route)] = "/metrics"

    @property
    def host(self) -> str:
        """The interface to listen on; empty for every one."""
        return listen(self.listen_address)[0]

    @property
    def port(self) -> int:
        """The port to listen on; 0 takes a free one."""
        return listen(self.listen_address)[1]


class Log(Model):
    """How the exporter speaks of itself, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    format: Annotated[Literal["logfmt", "json"], BeforeValidator(_lower)] = "logfmt"


class Own(Model):
    """All of exporter.yml, which BLNK_EXPORTER_* and flags override key by key."""

    blnk: BlnkFile = BlnkFile()
    servers: HttpUrls | None = None
    workers: HttpUrls | None = None
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    host: Host = Host()
    ledger: Ledger = Ledger()
    books: Books = Books()
    collectors: Collectors = Collectors()
    limits: Limits = Limits()
    web: Web = Web()
    log: Log = Log()


class Blnk(Model):
    """What blnk.json and BLNK_* say of the deployment, with Blnk's defaults filled in; None when neither exists.

    The values are those that Blnk works with, after its own corrections: a duration that it multiplied is here as
    it became. A feature that the release does not have is off, a limit that it does not have is 0.
    """

    version: str = "0.15.2"
    project_name: str = "Blnk Server"
    server_port: str
    monitoring_port: str
    data_source_dns: SecretStr | None
    redis_dns: SecretStr | None
    redis_skip_tls_verify: bool = False
    redis_pool_size: int = 100
    redis_min_idle_conns: int = 20
    secure: bool = False
    secret_key: SecretStr | None = None
    metrics_bearer_token: SecretStr | None = None
    tokenization_secret: SecretStr | None = None
    ssl: bool = False
    cert_storage_path: str | None = None
    max_request_body_megabytes: int = 5
    max_upload_megabytes: int = 256
    upload_whitelist: str | None = None
    database_max_open_conns: int = 50
    database_max_idle_conns: int = 25
    database_conn_max_lifetime_seconds: float = 1800
    database_conn_max_idle_seconds: float = 300
    typesense_dns: SecretStr | None = None
    typesense_key: SecretStr | None = None
    slack_webhook_url: SecretStr | None = None
    webhook_url: SecretStr | None = None
    rate_limit_configured: bool = False
    rate_limit_requests_per_second: float = 5_000_000
    rate_limit_burst: int = 10_000_000
    rate_limit_cleanup_seconds: int = 10_800
    telemetry_enabled: bool = False
    observability_enabled: bool = False
    monitoring_dsn: SecretStr | None = None
    transaction_batch_size: int = 1000
    transaction_max_queue_size: int = 1000
    transaction_max_workers: int = 10
    transaction_lock_duration_seconds: float = 300
    transaction_lock_wait_timeout_seconds: float = 3
    transaction_coalescing_enabled: bool = True
    hash_chain_enabled: bool = False
    hash_chain_poll_interval_seconds: float = 5
    hash_chain_batch_size: int = 1000
    hash_chain_trailing_delay_seconds: float = 30
    transaction_queue: str = "new:transaction"
    number_of_queues: int = 20
    transaction_worker_concurrency: int = 4
    webhook_queue: str = "new:webhook"
    webhook_concurrency: int = 20
    index_queue: str = "new:index"
    inflight_expiry_queue: str = "new:inflight-expiry"
    inflight_commit_queue: str | None = "new:inflight-commit"
    hot_lane_enabled: bool = False
    hot_queue: str | None = "hot_transactions"
    hot_queue_concurrency: int = 1
    hot_pair_ttl_seconds: float = 300
    max_retry_attempts: int = 5
    insufficient_fund_retries: bool = False
    backpressure_enabled: bool = False
    backpressure_memory_percent: float = 85
    backpressure_max_pending_tasks: int = 0
    backup_dir: str | None = None
    backup_s3_bucket: str | None = None
    backup_s3_endpoint: str | None = None
    backup_s3_region: str | None = None
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    queues: tuple[str, ...]


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
