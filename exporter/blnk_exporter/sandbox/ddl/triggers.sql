-- The triggers that both releases have.

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

-- Whoever writes BLNK_RUN_RECONCILIATION into a balance's meta_data has it computed anew from its transactions.
CREATE FUNCTION blnk.reconcile_balance_from_transactions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.meta_data ->> 'BLNK_RUN_RECONCILIATION' = 'SOURCE' THEN
        SELECT coalesce(sum(precise_amount) FILTER (WHERE source = NEW.balance_id), 0),
               coalesce(sum(precise_amount) FILTER (WHERE destination = NEW.balance_id), 0)
        INTO NEW.debit_balance, NEW.credit_balance
        FROM blnk.transactions WHERE status = 'APPLIED' AND NEW.balance_id IN (source, destination);
        NEW.balance := NEW.credit_balance - NEW.debit_balance;
        NEW.meta_data := NEW.meta_data - 'BLNK_RUN_RECONCILIATION';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reconcile_balance_trigger BEFORE UPDATE ON blnk.balances
    FOR EACH ROW EXECUTE FUNCTION blnk.reconcile_balance_from_transactions();

-- What is unknown counts as changed.
CREATE FUNCTION blnk.prevent_snapshot_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (to_jsonb(OLD) - 'meta_data' = to_jsonb(NEW) - 'meta_data' AND OLD.last_tx_id IS NOT NULL
        AND OLD.meta_data IS DISTINCT FROM NEW.meta_data) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'snapshots of balances are append-only: only meta_data may change';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER prevent_snapshot_update_trigger BEFORE UPDATE ON blnk.balance_snapshots
    FOR EACH ROW EXECUTE FUNCTION blnk.prevent_snapshot_update();
