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
CREATE INDEX blnk_ledgers_created_at_idx ON blnk.ledgers (created_at DESC);

CREATE TABLE blnk.identity (
    id                serial PRIMARY KEY,
    identity_id       text NOT NULL UNIQUE,
    identity_type     text,
    first_name        text NOT NULL,
    last_name         text NOT NULL,
    other_names       text,
    organization_name text,
    category          text,
    gender            text,
    dob               date,
    nationality       text,
    email_address     text,
    phone_number      text,
    street            text,
    post_code         text,
    city              text,
    state             text,
    country           text,
    created_at        timestamp NOT NULL DEFAULT now(),
    meta_data         jsonb
);
CREATE INDEX blnk_identity_created_at_idx ON blnk.identity (created_at DESC);
CREATE INDEX blnk_identity_country_created_at_idx ON blnk.identity (country, created_at DESC);

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
CREATE INDEX blnk_balances_identity_id_idx ON blnk.balances (identity_id);
CREATE INDEX blnk_balances_currency_identity_id_idx ON blnk.balances (currency, identity_id);
CREATE INDEX idx_balances_indicator ON blnk.balances (indicator);

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
    field         text NOT NULL CHECK (field IN ('balance', 'credit_balance', 'debit_balance', 'inflight_balance',
                                                 'inflight_credit_balance', 'inflight_debit_balance')),
    operator      text NOT NULL CHECK (operator IN ('>', '<', '>=', '<=', '=', '!=')),
    value         bigint NOT NULL,
    precision     double precision,
    precise_value bigint,
    description   text,
    call_back_url text,
    created_at    timestamp NOT NULL DEFAULT now()
);

CREATE TABLE blnk.balance_snapshots (
    id                      serial PRIMARY KEY,
    balance_id              text NOT NULL REFERENCES blnk.balances (balance_id),
    ledger_id               text NOT NULL REFERENCES blnk.ledgers (ledger_id),
    currency                text NOT NULL,
    balance                 numeric NOT NULL,
    credit_balance          numeric NOT NULL,
    debit_balance           numeric NOT NULL,
    inflight_balance        numeric NOT NULL,
    inflight_credit_balance numeric NOT NULL,
    inflight_debit_balance  numeric NOT NULL,
    snapshot_time           timestamptz NOT NULL,
    created_at              timestamp NOT NULL,
    last_tx_id              text,
    meta_data               jsonb
);
CREATE INDEX idx_balance_snapshots_balance_id ON blnk.balance_snapshots (balance_id);
CREATE INDEX idx_balance_snapshots_snapshot_time ON blnk.balance_snapshots (snapshot_time);
CREATE INDEX idx_balance_snapshots_ledger_time ON blnk.balance_snapshots (ledger_id, snapshot_time);

-- Append-only: what a transaction became is told by later rows that name it as their parent.
-- scheduled_for is 0001-01-01 where nothing is scheduled, parent_transaction '' where there is none: neither is NULL.
CREATE TABLE blnk.transactions (
    id                 serial PRIMARY KEY,
    transaction_id     text NOT NULL UNIQUE,
    parent_transaction text,
    source             text CONSTRAINT fk_source_balance REFERENCES blnk.balances (balance_id),
    destination        text CONSTRAINT fk_destination_balance REFERENCES blnk.balances (balance_id),
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
CREATE INDEX idx_api_keys_key ON blnk.api_keys (key);
CREATE INDEX idx_api_keys_key_prefix ON blnk.api_keys (key_prefix);
CREATE INDEX idx_api_keys_owner_id ON blnk.api_keys (owner_id);

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
CREATE INDEX idx_external_transactions_upload_id ON blnk.external_transactions (upload_id);

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
CREATE INDEX idx_reconciliations_upload_id ON blnk.reconciliations (upload_id);

CREATE TABLE blnk.reconciliation_progress (
    reconciliation_id              text UNIQUE,
    processed_count                bigint,
    last_processed_external_txn_id text
);
CREATE INDEX idx_reconciliations_progress_id ON blnk.reconciliation_progress (reconciliation_id);

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
    balance_id           text NOT NULL,
    provider             text NOT NULL,
    shadow_balance_id    text NOT NULL,
    aggregate_balance_id text NOT NULL,
    identity_id          text NOT NULL,
    created_at           timestamp NOT NULL DEFAULT now(),
    UNIQUE (balance_id, provider),
    CONSTRAINT fk_lineage_mappings_balance_id FOREIGN KEY (balance_id)
        REFERENCES blnk.balances (balance_id) ON DELETE CASCADE,
    CONSTRAINT fk_lineage_mappings_shadow_balance_id FOREIGN KEY (shadow_balance_id)
        REFERENCES blnk.balances (balance_id) ON DELETE CASCADE,
    CONSTRAINT fk_lineage_mappings_aggregate_balance_id FOREIGN KEY (aggregate_balance_id)
        REFERENCES blnk.balances (balance_id) ON DELETE CASCADE,
    CONSTRAINT fk_lineage_mappings_identity_id FOREIGN KEY (identity_id)
        REFERENCES blnk.identity (identity_id) ON DELETE CASCADE
);
CREATE INDEX idx_lineage_mappings_balance_id ON blnk.lineage_mappings (balance_id);
CREATE INDEX idx_lineage_mappings_provider ON blnk.lineage_mappings (provider);
CREATE INDEX idx_lineage_mappings_shadow_balance_id ON blnk.lineage_mappings (shadow_balance_id);

-- Blnk writes created_at in the zone of its own process and processed_at in the database's.
CREATE TABLE blnk.lineage_outbox (
    id                     bigserial PRIMARY KEY,
    transaction_id         text NOT NULL,
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
CREATE UNIQUE INDEX lineage_outbox_transaction_id_uidx ON blnk.lineage_outbox (transaction_id);
CREATE INDEX idx_lineage_outbox_transaction ON blnk.lineage_outbox (transaction_id);
CREATE INDEX idx_lineage_outbox_pending ON blnk.lineage_outbox (status, created_at) WHERE status = 'pending';
CREATE INDEX idx_lineage_outbox_failed ON blnk.lineage_outbox (status, created_at) WHERE status = 'failed';
CREATE INDEX idx_lineage_outbox_claim ON blnk.lineage_outbox (status, locked_until, attempts, created_at)
    WHERE status IN ('pending', 'processing');
