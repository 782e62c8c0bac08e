"""Every key of Blnk's configuration: its variable, its kind, its default and the release that brought it.

Source: Blnk ``config/config.go``, releases 0.13.2 to 0.15.2. A table; the rules that read it are in ``blnk.py``.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

Version = tuple[int, int, int]
Kind = Literal["text", "secret", "bool", "int", "float", "duration", "headers"]

OLDEST: Version = (0, 13, 2)
NEWEST: Version = (0, 15, 2)

_ZERO: dict[str, Any] = {"text": "", "secret": "", "bool": False, "int": 0, "float": 0.0, "duration": 0, "headers": ""}
MINUTE, SECOND = 60 * 10**9, 10**9
# Where a negative number is a hole too, not only zero.
_ABOVE_ZERO = frozenset(
    {
        "server.max_request_body_size_mb",
        "server.max_upload_size_mb",
        "transaction.hash_chain.poll_interval",
        "transaction.hash_chain.batch_size",
        "transaction.hash_chain.trailing_delay",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One key. Durations are nanoseconds, as in blnk.json; ``defaults`` holds each default with its first release."""

    path: str
    env: str | None
    kind: Kind
    attribute: str | None
    defaults: tuple[tuple[Version, Any], ...]
    since: Version

    def default(self, version: Version) -> Any:
        """Return what fills the hole in a release; before the key existed that is how the release behaves."""
        return next((value for first, value in reversed(self.defaults) if first <= version), self.zero)

    @property
    def is_secret(self) -> bool:
        """Tell whether the value must not be shown; a DSN and a hook's address may hold a password."""
        return self.kind == "secret"

    def is_hole(self, value: Any) -> bool:
        """Tell whether the default takes the value's place."""
        return bool(value == self.zero or (self.path in _ABOVE_ZERO and value < 0))

    @property
    def zero(self) -> Any:
        """Go's value of a field that nobody set."""
        return _ZERO[self.kind]

    @property
    def nested_env(self) -> str:
        """The longer name under which envconfig looks first: the sections' names before the variable's own."""
        sections = [part.replace("_", "").upper() for part in self.path.split(".")[:-1]]
        return "_".join(["BLNK", *sections, self.env or ""])


def _parse(text: str) -> Version:
    major, minor, patch = map(int, text.split("."))
    return major, minor, patch


def _field(  # noqa: PLR0913, PLR0917  one argument for each column of the table
    kind: Kind,
    path: str,
    env: str | None,
    attribute: str | None = None,
    default: Any = None,
    since: str = "0.0.0",
) -> Field:
    """Declare a key, its variable without ``BLNK_``; a default that changed is a dict from release to default."""
    defaults = default if isinstance(default, dict) else {} if default is None else {since: default}
    return Field(
        path=path,
        env=f"BLNK_{env}" if env else None,
        kind=kind,
        attribute=attribute,
        defaults=tuple((_parse(version), value) for version, value in defaults.items()),
        since=_parse(since),
    )


_text = partial(_field, "text")
_secret = partial(_field, "secret")
_bool = partial(_field, "bool")
_int = partial(_field, "int")
_float = partial(_field, "float")
_duration = partial(_field, "duration")
_headers = partial(_field, "headers")

FIELDS: tuple[Field, ...] = (
    _text("project_name", "PROJECT_NAME", "project_name", "Blnk Server"),
    _text("server.port", "SERVER_PORT", "server_port", "5001"),
    _bool("server.secure", "SERVER_SECURE", "secure"),
    _secret("server.secret_key", "SERVER_SECRET_KEY", "secret_key"),
    _secret("server.metrics_bearer_token", "METRICS_BEARER_TOKEN", "metrics_bearer_token", since="0.14.0"),
    _bool("server.ssl", "SERVER_SSL", "ssl"),
    _text("server.cert_storage_path", "CERT_STORAGE_PATH", "cert_storage_path"),
    _text("server.domain", "SERVER_SSL_DOMAIN"),
    _text("server.ssl_email", "SERVER_SSL_EMAIL"),
    _int(
        "server.max_request_body_size_mb",
        "SERVER_MAX_REQUEST_BODY_SIZE_MB",
        "max_request_body_megabytes",
        5,
        since="0.15.0",
    ),
    _int("server.max_upload_size_mb", "SERVER_MAX_UPLOAD_SIZE_MB", "max_upload_megabytes", 256, since="0.15.0"),
    _text("server.upload_whitelist", "UPLOAD_DOMAIN_WHITELIST", "upload_whitelist", since="0.15.1"),
    _int("server.upload_url_timeout_sec", "UPLOAD_URL_TIMEOUT_SEC", since="0.15.1"),
    _secret("data_source.dns", "DATA_SOURCE_DNS", "data_source_dns"),
    _int(
        "data_source.max_open_conns", "DATABASE_MAX_OPEN_CONNS", "database_max_open_conns", {"0.0.0": 25, "0.15.0": 50}
    ),
    _int(
        "data_source.max_idle_conns", "DATABASE_MAX_IDLE_CONNS", "database_max_idle_conns", {"0.0.0": 10, "0.15.0": 25}
    ),
    _duration(
        "data_source.conn_max_lifetime", "DATABASE_CONN_MAX_LIFETIME", "database_conn_max_lifetime_seconds", 30 * MINUTE
    ),
    _duration(
        "data_source.conn_max_idle_time", "DATABASE_CONN_MAX_IDLE_TIME", "database_conn_max_idle_seconds", 5 * MINUTE
    ),
    _secret("redis.dns", "REDIS_DNS", "redis_dns"),
    _bool("redis.skip_tls_verify", "REDIS_SKIP_TLS_VERIFY", "redis_skip_tls_verify"),
    _int("redis.pool_size", "REDIS_POOL_SIZE", "redis_pool_size", 100),
    _int("redis.min_idle_conns", "REDIS_MIN_IDLE_CONNS", "redis_min_idle_conns", 20),
    _secret("typesense.dns", "TYPESENSE_DNS", "typesense_dns"),
    _secret("type_sense_key", "TYPESENSE_KEY", "typesense_key", "blnk-api-key"),
    _duration("typesense.backpressure_retry_interval", "TYPESENSE_BACKPRESSURE_RETRY_INTERVAL", since="0.15.2"),
    _secret("tokenization_secret", "TOKENIZATION_SECRET", "tokenization_secret"),
    _secret("notification.slack.webhook_url", "SLACK_WEBHOOK_URL", "slack_webhook_url"),
    _secret("notification.webhook.url", "WEBHOOK_URL", "webhook_url"),
    _headers("notification.webhook.headers", "WEBHOOK_HEADERS"),
    _float("rate_limit.requests_per_second", "RATE_LIMIT_RPS"),
    _int("rate_limit.burst", "RATE_LIMIT_BURST"),
    _int("rate_limit.cleanup_interval_sec", "RATE_LIMIT_CLEANUP_INTERVAL_SEC"),
    _bool("enable_telemetry", "ENABLE_TELEMETRY", "telemetry_enabled"),
    _bool("enable_observability", "ENABLE_OBSERVABILITY", "observability_enabled"),
    _secret("monitoring_dsn", "MONITORING_DSN", "monitoring_dsn", since="0.14.4"),
    _int(
        "transaction.batch_size", "TRANSACTION_BATCH_SIZE", "transaction_batch_size", {"0.0.0": 100_000, "0.14.0": 1000}
    ),
    _int("transaction.max_queue_size", "TRANSACTION_MAX_QUEUE_SIZE", "transaction_max_queue_size", 1000),
    _int("transaction.max_workers", "TRANSACTION_MAX_WORKERS", "transaction_max_workers", 10),
    _duration(
        "transaction.lock_duration",
        "TRANSACTION_LOCK_DURATION",
        "transaction_lock_duration_seconds",
        {"0.0.0": 30 * MINUTE, "0.15.1": 5 * MINUTE},
    ),
    _duration(
        "transaction.lock_wait_timeout",
        "TRANSACTION_LOCK_WAIT_TIMEOUT",
        "transaction_lock_wait_timeout_seconds",
        3 * SECOND,
        since="0.14.0",
    ),
    _text("transaction.index_queue_prefix", "TRANSACTION_INDEX_QUEUE_PREFIX"),
    _bool(
        "transaction.enable_coalescing",
        "TRANSACTION_ENABLE_COALESCING",
        "transaction_coalescing_enabled",
        True,
        since="0.14.0",
    ),
    _bool("transaction.enable_queued_checks", "TRANSACTION_ENABLE_QUEUED_CHECKS"),
    _bool("transaction.disable_batch_reference_check", "TRANSACTION_DISABLE_BATCH_REFERENCE_CHECK", since="0.14.0"),
    _bool("transaction.hash_chain.enabled", "TRANSACTION_HASHCHAIN_ENABLED", "hash_chain_enabled", since="0.15.0"),
    _duration(
        "transaction.hash_chain.poll_interval",
        "TRANSACTION_HASHCHAIN_POLL_INTERVAL",
        "hash_chain_poll_interval_seconds",
        5 * SECOND,
        since="0.15.0",
    ),
    _int(
        "transaction.hash_chain.batch_size",
        "TRANSACTION_HASHCHAIN_BATCH_SIZE",
        "hash_chain_batch_size",
        1000,
        since="0.15.0",
    ),
    _duration(
        "transaction.hash_chain.trailing_delay",
        "TRANSACTION_HASHCHAIN_TRAILING_DELAY",
        "hash_chain_trailing_delay_seconds",
        30 * SECOND,
        since="0.15.0",
    ),
    _text("queue.transaction_queue", "QUEUE_TRANSACTION", "transaction_queue", "new:transaction"),
    _int("queue.number_of_queues", "QUEUE_NUMBER_OF_QUEUES", "number_of_queues", 20),
    _int(
        "queue.transaction_worker_concurrency",
        "QUEUE_TRANSACTION_WORKER_CONCURRENCY",
        "transaction_worker_concurrency",
        {"0.0.0": 1, "0.15.0": 4},
        since="0.14.0",
    ),
    _text("queue.inflight_expiry_queue", "QUEUE_INFLIGHT_EXPIRY", "inflight_expiry_queue", "new:inflight-expiry"),
    _text(
        "queue.inflight_commit_queue",
        "QUEUE_INFLIGHT_COMMIT",
        "inflight_commit_queue",
        {"0.14.4": "new:inflight-commit"},
        since="0.14.1",
    ),
    _text("queue.webhook_queue", "QUEUE_WEBHOOK", "webhook_queue", "new:webhook"),
    _int("queue.webhook_concurrency", "QUEUE_WEBHOOK_CONCURRENCY", "webhook_concurrency", 20),
    _text("queue.index_queue", "QUEUE_INDEX", "index_queue", "new:index"),
    _bool("queue.enable_hot_lane", "QUEUE_ENABLE_HOT_LANE", "hot_lane_enabled", since="0.14.0"),
    _text("queue.hot_queue_name", "QUEUE_HOT_QUEUE_NAME", "hot_queue", "hot_transactions", since="0.14.0"),
    _int("queue.hot_queue_concurrency", "QUEUE_HOT_QUEUE_CONCURRENCY", "hot_queue_concurrency", 1, since="0.14.0"),
    _duration("queue.hot_pair_ttl", "QUEUE_HOT_PAIR_TTL", "hot_pair_ttl_seconds", 5 * MINUTE, since="0.14.0"),
    _int("queue.hot_pair_lock_contention_threshold", "QUEUE_HOT_PAIR_LOCK_CONTENTION_THRESHOLD", since="0.14.0"),
    _bool("queue.reject_lock_contention_immediately", "QUEUE_REJECT_LOCK_CONTENTION_IMMEDIATELY", since="0.14.0"),
    _bool("queue.insufficient_fund_retries", "QUEUE_INSUFFICIENT_FUND_RETRIES", "insufficient_fund_retries"),
    _int("queue.max_retry_attempts", "QUEUE_MAX_RETRY_ATTEMPTS", "max_retry_attempts", {"0.14.0": 5}),
    _text("queue.monitoring_port", "QUEUE_MONITORING_PORT", "monitoring_port", "5004"),
    _bool("queue.enable_backpressure", "QUEUE_ENABLE_BACKPRESSURE", "backpressure_enabled", since="0.15.2"),
    _float(
        "queue.backpressure_memory_percent",
        "QUEUE_BACKPRESSURE_MEMORY_PERCENT",
        "backpressure_memory_percent",
        85.0,
        since="0.15.2",
    ),
    _int(
        "queue.backpressure_max_pending_tasks",
        "QUEUE_BACKPRESSURE_MAX_PENDING_TASKS",
        "backpressure_max_pending_tasks",
        since="0.15.2",
    ),
    _duration("queue.backpressure_check_interval", "QUEUE_BACKPRESSURE_CHECK_INTERVAL", since="0.15.2"),
    _text("reconciliation.default_strategy", "RECONCILIATION_DEFAULT_STRATEGY"),
    _int("reconciliation.progress_interval", "RECONCILIATION_PROGRESS_INTERVAL"),
    _int("reconciliation.max_retries", "RECONCILIATION_MAX_RETRIES"),
    _duration("reconciliation.retry_delay", "RECONCILIATION_RETRY_DELAY"),
    _text("backup_dir", "BACKUP_DIR", "backup_dir"),
    _text("s3_bucket_name", "S3_BUCKET_NAME", "backup_s3_bucket"),
    _text("s3_endpoint", "S3_ENDPOINT", "backup_s3_endpoint"),
    _text("s3_region", "S3_REGION", "backup_s3_region"),
    _secret("aws_access_key_id", "AWS_ACCESS_KEY_ID", "aws_access_key_id"),
    _secret("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
    _bool("account_number_generation.enable_auto_generation", None),
    _text("account_number_generation.http_service.url", None),
    _int("account_number_generation.http_service.timeout", None),
    _text("account_number_generation.http_service.headers.Authorization", None),
)

BY_PATH = {field.path: field for field in FIELDS}
BY_ENV = {name: field for field in FIELDS if field.env for name in (field.env, field.nested_env)}
BY_ENV_FILE = {f"{field.env}_FILE": field for field in FIELDS if field.is_secret}


def shown(version: Version) -> str:
    """Write a release as people do."""
    return ".".join(map(str, version))
