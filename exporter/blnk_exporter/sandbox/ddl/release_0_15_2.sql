-- What release 0.15.2 has beyond the common tables: the hash chain and sharper indexes.

ALTER TABLE blnk.transactions
    ADD COLUMN chain_seq bigint,
    ADD COLUMN chain_prev_hash char(64),
    ADD COLUMN chain_hash char(64);

CREATE TABLE blnk.chain_state (
    chain_key    text PRIMARY KEY,
    last_seq     bigint NOT NULL DEFAULT 0,
    head_hash    char(64) NOT NULL,
    genesis_hash char(64) NOT NULL,
    genesis_at   timestamp NOT NULL DEFAULT now(),
    updated_at   timestamp NOT NULL DEFAULT now()
);
INSERT INTO blnk.chain_state (chain_key, head_hash, genesis_hash) VALUES ('global', repeat('0', 64), repeat('0', 64));

CREATE UNIQUE INDEX idx_transactions_chain_seq ON blnk.transactions (chain_seq) WHERE chain_seq IS NOT NULL;
CREATE INDEX idx_transactions_unchained ON blnk.transactions (id) WHERE chain_seq IS NULL;
CREATE INDEX idx_txn_parent_status ON blnk.transactions (parent_transaction, status);
CREATE INDEX idx_txn_parent_created ON blnk.transactions (parent_transaction, created_at DESC);
CREATE INDEX idx_txn_queued_source ON blnk.transactions (source, currency, created_at) WHERE status = 'QUEUED';
CREATE INDEX idx_txn_queued_destination ON blnk.transactions (destination, currency, created_at)
    WHERE status = 'QUEUED';
CREATE INDEX idx_txn_meta_queued_parent ON blnk.transactions ((meta_data ->> 'QUEUED_PARENT_TRANSACTION'))
    WHERE meta_data ->> 'QUEUED_PARENT_TRANSACTION' IS NOT NULL;
CREATE INDEX idx_txn_meta_inflight ON blnk.transactions ((meta_data ->> 'inflight'))
    WHERE meta_data ->> 'inflight' = 'true';
CREATE INDEX idx_txn_meta_shadow_for ON blnk.transactions ((meta_data ->> '_shadow_for'), created_at)
    WHERE meta_data ->> '_shadow_for' IS NOT NULL;

-- Parent and effective date may be changed, as in the original.
CREATE FUNCTION blnk.prevent_transaction_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    mutable text[] := ARRAY[
        'meta_data', 'parent_transaction', 'effective_date', 'chain_seq', 'chain_prev_hash', 'chain_hash'
    ];
BEGIN
    IF to_jsonb(OLD) - mutable IS DISTINCT FROM to_jsonb(NEW) - mutable THEN
        RAISE EXCEPTION 'transactions are append-only: only meta_data and the hash chain may change';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER prevent_transaction_update_trigger BEFORE UPDATE ON blnk.transactions
    FOR EACH ROW EXECUTE FUNCTION blnk.prevent_transaction_update();
