-- The tables of Blnk's schema as far as a monitor can see them, common to releases 0.13.2 and 0.15.2.
-- Names and types are those of a running Blnk, so that queries can be tried; the statements are our own, and only
-- what a monitor could notice is here.

CREATE SCHEMA blnk;

CREATE TABLE blnk.gorp_migrations (
    id         text PRIMARY KEY,
    applied_at timestamptz
);

CREATE TABLE blnk.ledgers (
    id         serial PRIMARY KEY,
    ledger_id  text NOT NULL UNIQUE,
    name       text,
    created_at timestamp NOT NULL DEFAULT now(),
    meta_data  jsonb
);

CREATE TABLE blnk.identity (
    id                serial PRIMARY KEY,
    identity_id       text NOT NULL UNIQUE,
    identity_type     text,
    first_name        text NOT NULL,
    last_name         text NOT NULL,
    organization_name text,
    email_address     text,
    category          text,
    country           text,
    created_at        timestamp NOT NULL DEFAULT now(),
    meta_data         jsonb
);

CREATE TABLE blnk.balances (
    id                      serial PRIMARY KEY,
    balance_id              text NOT NULL UNIQUE,
    ledger_id               text NOT NULL REFERENCES blnk.ledgers (ledger_id),
    identity_id             text REFERENCES blnk.identity (identity_id),
    indicator               text,
    currency                text NOT NULL,
    balance                 numeric NOT NULL,
    credit_balance          numeric NOT NULL,
    debit_balance           numeric NOT NULL,
    inflight_balance        numeric NOT NULL DEFAULT 0,
    inflight_credit_balance numeric NOT NULL DEFAULT 0,
    inflight_debit_balance  numeric NOT NULL DEFAULT 0,
    version                 integer NOT NULL DEFAULT 1,
    track_fund_lineage      boolean NOT NULL DEFAULT false,
    allocation_strategy     text NOT NULL DEFAULT 'FIFO',
    created_at              timestamp NOT NULL DEFAULT now(),
    meta_data               jsonb,
    CONSTRAINT unique_indicator_currency UNIQUE (indicator, currency)
);
CREATE INDEX blnk_balances_created_at_idx ON blnk.balances (created_at DESC);
CREATE INDEX blnk_balances_ledger_id_idx ON blnk.balances (ledger_id);

CREATE TABLE blnk.accounts (
    id          serial PRIMARY KEY,
    account_id  text NOT NULL UNIQUE,
    name        text NOT NULL,
    number      text NOT NULL UNIQUE,
    bank_name   text NOT NULL,
    currency    text NOT NULL,
    ledger_id   text NOT NULL REFERENCES blnk.ledgers (ledger_id),
    balance_id  text NOT NULL REFERENCES blnk.balances (balance_id),
    identity_id text NOT NULL REFERENCES blnk.identity (identity_id),
    created_at  timestamp NOT NULL DEFAULT now(),
    meta_data   jsonb
);

CREATE TABLE blnk.balance_monitors (
    id            serial PRIMARY KEY,
    monitor_id    text NOT NULL UNIQUE,
    balance_id    text NOT NULL REFERENCES blnk.balances (balance_id),
    field         text NOT NULL,
    operator      text NOT NULL,
    value         bigint NOT NULL,
    precision     double precision,
    precise_value bigint,
    description   text,
    call_back_url text,
    created_at    timestamp NOT NULL DEFAULT now()
);

CREATE TABLE blnk.balance_snapshots (
    id             serial PRIMARY KEY,
    balance_id     text NOT NULL REFERENCES blnk.balances (balance_id),
    ledger_id      text NOT NULL REFERENCES blnk.ledgers (ledger_id),
    currency       text NOT NULL,
    balance        numeric NOT NULL,
    credit_balance numeric NOT NULL,
    debit_balance  numeric NOT NULL,
    snapshot_time  timestamptz NOT NULL,
    created_at     timestamp NOT NULL,
    last_tx_id     text,
    meta_data      jsonb
);

-- Append-only: what a transaction became is told by later rows that name it as their parent.
-- scheduled_for is 0001-01-01 where nothing is scheduled, not NULL.
CREATE TABLE blnk.transactions (
    id                 serial PRIMARY KEY,
    transaction_id     text NOT NULL UNIQUE,
    parent_transaction text,
    source             text REFERENCES blnk.balances (balance_id),
    destination        text REFERENCES blnk.balances (balance_id),
    reference          text,
    description        text,
    amount             numeric,
    precise_amount     numeric,
    precision          bigint DEFAULT 1,
    currency           text,
    status             text,
    hash               text,
    created_at         timestamp NOT NULL DEFAULT now(),
    effective_date     timestamp,
    scheduled_for      timestamp,
    meta_data          jsonb
);
CREATE UNIQUE INDEX idx_transactions_reference_unique ON blnk.transactions (reference);
CREATE INDEX idx_transactions_status ON blnk.transactions (status);
CREATE INDEX idx_transactions_parent_transaction ON blnk.transactions (parent_transaction);
CREATE INDEX idx_transactions_currency ON blnk.transactions (currency);
CREATE INDEX idx_transactions_source ON blnk.transactions (source);
CREATE INDEX idx_transactions_destination ON blnk.transactions (destination);
CREATE INDEX blnk_transactions_created_at_source_idx ON blnk.transactions (created_at, source);
CREATE INDEX blnk_transactions_created_at_destination_idx ON blnk.transactions (created_at, destination);
CREATE INDEX blnk_txn_created_at_not_queued_idx ON blnk.transactions (created_at DESC) WHERE status <> 'QUEUED';
CREATE INDEX blnk_txn_currency_created_at_desc_idx ON blnk.transactions (currency, created_at DESC)
    INCLUDE (precision);
CREATE INDEX idx_transactions_meta_data ON blnk.transactions USING gin (meta_data);
CREATE INDEX idx_transactions_queued_recovery ON blnk.transactions (created_at) WHERE status = 'QUEUED';

CREATE TABLE blnk.transaction_journal (
    id             serial PRIMARY KEY,
    transaction_id text NOT NULL,
    action_type    text NOT NULL CHECK (action_type IN ('INSERT', 'UPDATE', 'DELETE')),
    client_addr    inet,
    backend_pid    integer,
    timestamp      timestamp NOT NULL DEFAULT now(),
    old_data       jsonb,
    new_data       jsonb,
    succeeded      boolean NOT NULL
);

CREATE TABLE blnk.api_keys (
    id           serial PRIMARY KEY,
    api_key_id   text NOT NULL UNIQUE,
    key_prefix   varchar(16),
    key          text NOT NULL UNIQUE,
    name         text NOT NULL,
    owner_id     text NOT NULL,
    scopes       text[] NOT NULL DEFAULT '{}',
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    is_revoked   boolean NOT NULL DEFAULT false,
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE blnk.external_transactions (
    id          text PRIMARY KEY,
    upload_id   text NOT NULL,
    amount      numeric NOT NULL,
    reference   varchar(255) NOT NULL,
    currency    text NOT NULL,
    description text,
    date        timestamp NOT NULL,
    source      varchar(255) NOT NULL
);

CREATE TABLE blnk.matching_rules (
    id          serial PRIMARY KEY,
    rule_id     text NOT NULL,
    name        varchar(255) NOT NULL,
    description text,
    criteria    jsonb NOT NULL,
    created_at  timestamp NOT NULL,
    updated_at  timestamp NOT NULL
);

-- completed_at is set by success alone: a failed or forgotten run has none.
CREATE TABLE blnk.reconciliations (
    id                     serial PRIMARY KEY,
    reconciliation_id      text NOT NULL,
    upload_id              text NOT NULL,
    status                 varchar(50) NOT NULL,
    matched_transactions   integer NOT NULL,
    unmatched_transactions integer NOT NULL,
    started_at             timestamp NOT NULL,
    completed_at           timestamp
);

CREATE TABLE blnk.reconciliation_progress (
    reconciliation_id              text UNIQUE,
    processed_count                bigint,
    last_processed_external_txn_id text
);

CREATE TABLE blnk.matches (
    id                      serial PRIMARY KEY,
    external_transaction_id text NOT NULL,
    internal_transaction_id text NOT NULL,
    reconciliation_id       text NOT NULL,
    amount                  numeric(12, 2) NOT NULL,
    date                    timestamp NOT NULL
);

CREATE TABLE blnk.unmatched (
    id                      serial PRIMARY KEY,
    external_transaction_id text NOT NULL,
    reconciliation_id       text NOT NULL,
    date                    timestamp NOT NULL
);

CREATE TABLE blnk.lineage_mappings (
    id                   serial PRIMARY KEY,
    balance_id           text NOT NULL REFERENCES blnk.balances (balance_id),
    provider             text NOT NULL,
    shadow_balance_id    text NOT NULL REFERENCES blnk.balances (balance_id),
    aggregate_balance_id text NOT NULL REFERENCES blnk.balances (balance_id),
    identity_id          text NOT NULL REFERENCES blnk.identity (identity_id),
    created_at           timestamp NOT NULL DEFAULT now(),
    UNIQUE (balance_id, provider)
);

CREATE TABLE blnk.lineage_outbox (
    id                     bigserial PRIMARY KEY,
    transaction_id         text NOT NULL UNIQUE,
    source_balance_id      text,
    destination_balance_id text,
    provider               text,
    lineage_type           text NOT NULL,
    payload                jsonb NOT NULL,
    status                 text NOT NULL DEFAULT 'pending',
    attempts               integer NOT NULL DEFAULT 0,
    max_attempts           integer NOT NULL DEFAULT 5,
    last_error             text,
    created_at             timestamp NOT NULL DEFAULT now(),
    processed_at           timestamp,
    locked_until           timestamp,
    inflight               boolean NOT NULL DEFAULT false
);
CREATE INDEX idx_lineage_outbox_pending ON blnk.lineage_outbox (status, created_at) WHERE status = 'pending';
CREATE INDEX idx_lineage_outbox_failed ON blnk.lineage_outbox (status, created_at) WHERE status = 'failed';
CREATE INDEX idx_lineage_outbox_claim ON blnk.lineage_outbox (status, locked_until, attempts, created_at)
    WHERE status IN ('pending', 'processing');

-- Every change of a transaction is kept whole, for ever.
CREATE FUNCTION blnk.log_transaction_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO blnk.transaction_journal
        (transaction_id, action_type, client_addr, backend_pid, old_data, new_data, succeeded)
    VALUES (
        CASE WHEN TG_OP = 'DELETE' THEN OLD.transaction_id ELSE NEW.transaction_id END,
        TG_OP,
        inet_client_addr(),
        pg_backend_pid(),
        CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END,
        true
    );
    RETURN NULL;
END $$;
CREATE TRIGGER log_transaction_changes_trigger AFTER INSERT OR UPDATE OR DELETE ON blnk.transactions
    FOR EACH ROW EXECUTE FUNCTION blnk.log_transaction_changes();

-- A row longer than NOTIFY's 8000 bytes makes its own INSERT fail, as it does in Blnk.
CREATE FUNCTION blnk.capture_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('data_change', json_build_object('table', TG_TABLE_NAME, 'data', row_to_json(NEW))::text);
    RETURN NULL;
END $$;
CREATE TRIGGER transaction_after_insert AFTER INSERT ON blnk.transactions
    FOR EACH ROW EXECUTE FUNCTION blnk.capture_changes();
CREATE TRIGGER ledger_after_insert AFTER INSERT ON blnk.ledgers
    FOR EACH ROW EXECUTE FUNCTION blnk.capture_changes();
CREATE TRIGGER balance_after_insert AFTER INSERT ON blnk.balances
    FOR EACH ROW EXECUTE FUNCTION blnk.capture_changes();
CREATE TRIGGER balance_after_update AFTER UPDATE ON blnk.balances
    FOR EACH ROW EXECUTE FUNCTION blnk.capture_changes();
