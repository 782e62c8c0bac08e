-- What release 0.13.2 has beyond the common tables.

ALTER TABLE blnk.transactions ADD COLUMN rate double precision DEFAULT 1;
ALTER TABLE blnk.balances ADD COLUMN currency_multiplier numeric NOT NULL, ADD COLUMN modification_ref text;

CREATE INDEX idx_transactions_reference ON blnk.transactions (reference);
CREATE INDEX blnk_transactions_currency_created_at_idx ON blnk.transactions (currency, created_at DESC);

-- Asks whether all is equal, which NULL is to nothing: a row with NULL in one of these columns cannot be changed at all,
-- and the precise amount of any other can, as in the original.
CREATE FUNCTION blnk.prevent_transaction_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (
        OLD.transaction_id = NEW.transaction_id
        AND OLD.source = NEW.source
        AND OLD.destination = NEW.destination
        AND OLD.description = NEW.description
        AND OLD.reference = NEW.reference
        AND OLD.amount = NEW.amount
        AND OLD.currency = NEW.currency
        AND OLD.status = NEW.status
        AND OLD.hash = NEW.hash
        AND OLD.created_at = NEW.created_at
        AND OLD.scheduled_for = NEW.scheduled_for
    ) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'transactions are append-only: only meta_data may change';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER prevent_transaction_update_trigger BEFORE UPDATE ON blnk.transactions
    FOR EACH ROW EXECUTE FUNCTION blnk.prevent_transaction_update();
