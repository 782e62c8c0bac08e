"""What Blnk's own configuration says, as our settings hold it."""

from pydantic import SecretStr

from .model import Model


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
