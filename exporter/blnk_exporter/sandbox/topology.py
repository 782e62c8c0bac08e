"""The queues of a Blnk 0.15.2 with default names, and who works on them; source: Blnk ``cmd/workers.go``."""

SHARDS = 20
TRANSACTION_QUEUES = tuple(f"new:transaction_{shard}" for shard in range(1, SHARDS + 1))
EXPIRY_QUEUE = "new:inflight-expiry"
COMMIT_QUEUE = "new:inflight-commit"
WEBHOOK_QUEUE = "new:webhook"
INDEX_QUEUE = "new:index"

# Two asynq servers run in each worker process.
TRANSACTION_WEIGHTS = dict.fromkeys((*TRANSACTION_QUEUES, EXPIRY_QUEUE, COMMIT_QUEUE), 1)
TRANSACTION_CONCURRENCY = 4
WEBHOOK_WEIGHTS = {WEBHOOK_QUEUE: 3, INDEX_QUEUE: 1}
WEBHOOK_CONCURRENCY = 20

_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


def transaction_queue(source_balance: str) -> str:
    """Pick the queue of a source balance: FNV-1a of its id, as Blnk does, so that one balance stays in order."""
    digest = _FNV_OFFSET
    for byte in source_balance.encode():
        digest = (digest ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return TRANSACTION_QUEUES[digest % SHARDS]
