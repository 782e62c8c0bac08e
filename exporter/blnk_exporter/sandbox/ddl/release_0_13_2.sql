-- What release 0.13.2 has beyond the common tables.

ALTER TABLE blnk.transactions ADD COLUMN rate double precision DEFAULT 1;
ALTER TABLE blnk.balances ADD COLUMN currency_multiplier numeric NOT NULL DEFAULT 1;

CREATE INDEX idx_transactions_reference ON blnk.transactions (reference);
CREATE INDEX blnk_transactions_currency_created_at_idx ON blnk.transactions (currency, created_at DESC);

-- Compares with <>, so a change from or to NULL passes, and does not look at the precise amount: as weak as the original.
CREATE FUNCTION blnk.prevent_transaction_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.transaction_id <> NEW.transaction_id
        OR OLD.source <> NEW.source
        OR OLD.destination <> NEW.destination
        OR OLD.reference <> NEW.reference
        OR OLD.amount <> NEW.amount
        OR OLD.currency <> NEW.currency
        OR OLD.status <> NEW.status
        OR OLD.hash <> NEW.hash
        OR OLD.created_at <> NEW.created_at
    THEN
        RAISE EXCEPTION 'transactions are append-only: only meta_data may change';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER prevent_transaction_update_trigger BEFORE UPDATE ON blnk.transactions
    FOR EACH ROW EXECUTE FUNCTION blnk.prevent_transaction_update();
