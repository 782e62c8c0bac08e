-- What the Blnk exporter may read in PostgreSQL (15 to 18), and no more of Blnk's tables.
--
-- Printed by `blnk-exporter grants postgres` for the collectors: server, workers, queues, redis, postgres, tables,
-- statements, ledger, books, catalog, host.
--
-- A superuser runs it in Blnk's database, as often as needed, and again after every migration of Blnk: what is new
-- comes without rights. Columns and roles that no collector needs any more are taken back.
--
--     psql -X -v ON_ERROR_STOP=1 -d "blnk" -f exporter_role.sql
--
-- It sets no password; psql asks for one with: \password "blnk_exporter"
-- Replicas have all of this from their primary. Where a service grants nobody the roles below, pg_monitor holds them.
--
-- A holder of the login's password can do more than the exporter does. Its sessions are read-only and have time limits
-- by default, but a session can switch that off. The login can:
--
--   * create temporary tables and large objects; send NOTIFY; take advisory locks; export snapshots
--   * keep a transaction open on the tables that it may read: ALTER TABLE, and every session behind it, then waits
--   * read the catalog and every setting, and the texts of other sessions' statements (pg_read_all_stats)
--   * read the whole of transactions.meta_data, in which Blnk writes why it rejected a transaction. To grant a function
--     that returns that alone: blnk-exporter grants postgres --rejection-reasons function
--
-- PostgreSQL lets every login do the first two. Temporary tables alone can be taken away, from all roles that the right
-- is not granted to by name. Check first whether other applications in this database need them:
--
--     REVOKE TEMP ON DATABASE "blnk" FROM PUBLIC;
--
-- With row-level security on Blnk's tables the role also needs a policy on each of them that shows it all rows, because
-- the exporter refuses to count a part:
--
--     CREATE POLICY exporter ON blnk.transactions FOR SELECT TO "blnk_exporter" USING (true);

BEGIN;

DO $grants$
BEGIN
    IF current_database() <> 'blnk' THEN
        RAISE EXCEPTION 'this is the database %, and these grants are for %', current_database(), 'blnk';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'blnk_exporter') THEN
        CREATE ROLE "blnk_exporter";
    END IF;
    -- Blnk could not live under what follows.
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = 'blnk_exporter')
       OR EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('blnk')
                                         AND pg_has_role('blnk_exporter', relowner, 'MEMBER')) THEN
        RAISE EXCEPTION '% is a superuser or has the rights of the owner of Blnk''s tables', 'blnk_exporter'
            USING HINT = 'The exporter needs a role of its own: set postgres.user.';
    END IF;
END
$grants$;

-- Attributes that a role which was there before may have.
DO $grants$
DECLARE
    taken text := (SELECT string_agg(name, ', ')
                   FROM pg_roles, LATERAL (VALUES
                       (rolcreatedb, 'CREATEDB'), (rolcreaterole, 'CREATEROLE'),
                       (rolreplication, 'REPLICATION'), (rolbypassrls, 'BYPASSRLS')) a(has, name)
                   WHERE rolname = 'blnk_exporter' AND has);
BEGIN
    IF taken IS NOT NULL THEN
        ALTER ROLE "blnk_exporter" NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
        RAISE NOTICE 'taken from %: %', 'blnk_exporter', taken;
    END IF;
END
$grants$;

-- An exporter keeps one connection and opens a second one for long work; the rest is for a restart and a look by hand.
ALTER ROLE "blnk_exporter" LOGIN INHERIT CONNECTION LIMIT 5;
-- The exporter sets these itself, in each session; here they hold for whoever else uses its login.
ALTER ROLE "blnk_exporter" SET default_transaction_read_only = on;
ALTER ROLE "blnk_exporter" SET statement_timeout = 5000;
ALTER ROLE "blnk_exporter" SET idle_in_transaction_session_timeout = 5000;
ALTER ROLE "blnk_exporter" SET lock_timeout = 200;
GRANT CONNECT ON DATABASE "blnk" TO "blnk_exporter";

-- postgres: connections, activity, horizon, autovacuum, standby_count, standbys, replica; statements: totals
DO $grants$
BEGIN
    EXECUTE format('GRANT pg_read_all_stats TO %I', 'blnk_exporter')
        || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE' ELSE '' END;
END
$grants$;

-- postgres: pending_restart
DO $grants$
BEGIN
    EXECUTE format('GRANT pg_read_all_settings TO %I', 'blnk_exporter')
        || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE' ELSE '' END;
END
$grants$;

-- Nothing of Blnk's tables but the columns that follow.
REVOKE ALL ON ALL TABLES IN SCHEMA blnk FROM "blnk_exporter";
REVOKE ALL ON SCHEMA blnk FROM "blnk_exporter";
GRANT USAGE ON SCHEMA blnk TO "blnk_exporter";

DO $grants$
DECLARE
    wanted record;
    present text;
    absent text;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            -- ledger: transactions, rejection_reasons, journal, history, open_transactions, currencies, chain; catalog:
            -- ids
            ('transactions', ARRAY['id', 'status', 'currency', 'transaction_id', 'parent_transaction', 'reference',
                'created_at', 'scheduled_for', 'precise_amount', 'meta_data', 'chain_seq', 'chain_hash',
                'chain_prev_hash']),
            -- ledger: chain
            ('chain_state', ARRAY['chain_key', 'last_seq', 'head_hash', 'updated_at']),
            -- ledger: journal; catalog: ids
            ('transaction_journal', ARRAY['id', 'action_type', 'transaction_id', 'timestamp']),
            -- ledger: lineage, lineage_age
            ('lineage_outbox', ARRAY['status', 'created_at', 'locked_until']),
            -- ledger: reconciliations, reconciliation_age
            ('reconciliations', ARRAY['id', 'status', 'started_at']),
            -- ledger: api_keys, api_key_expiry
            ('api_keys', ARRAY['is_revoked', 'expires_at', 'last_used_at']),
            -- books: everything; catalog: ids
            ('balances', ARRAY['currency', 'balance', 'credit_balance', 'debit_balance', 'inflight_balance',
                'inflight_credit_balance', 'inflight_debit_balance', 'id']),
            -- books: ledger_age; catalog: migrations
            ('gorp_migrations', ARRAY['id', 'applied_at'])
        ) AS needs (relation, columns)
    LOOP
        SELECT string_agg(quote_ident(name), ', ') FILTER (WHERE attname IS NOT NULL),
               string_agg(name, ', ') FILTER (WHERE attname IS NULL)
        INTO present, absent
        FROM unnest(wanted.columns) AS name
        LEFT JOIN pg_attribute ON attrelid = to_regclass('blnk.' || quote_ident(wanted.relation)) AND attname = name
                                  AND attnum > 0 AND NOT attisdropped;
        IF present IS NOT NULL THEN
            EXECUTE format('GRANT SELECT (%s) ON blnk.%I TO %I', present, wanted.relation, 'blnk_exporter');
        END IF;
        IF absent IS NOT NULL THEN
            RAISE NOTICE 'this release of Blnk has no % in blnk.%', absent, wanted.relation;
        END IF;
    END LOOP;
END
$grants$;

-- statements: totals
DO $grants$
DECLARE
    home text := (SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
                  WHERE extname = 'pg_stat_statements');
BEGIN
    IF home IS NULL THEN
        RAISE NOTICE 'the extension % is not in this database', 'pg_stat_statements';
    ELSE
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', home, 'blnk_exporter');
    END IF;
END
$grants$;

DROP FUNCTION IF EXISTS blnk_exporter.rejection_reason(bigint);
DO $grants$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'blnk_exporter_reasons')
       AND to_regclass('blnk.transactions') IS NOT NULL THEN
        REVOKE ALL ON blnk.transactions FROM blnk_exporter_reasons;
        REVOKE USAGE ON SCHEMA blnk FROM blnk_exporter_reasons;
    END IF;
END
$grants$;

-- Other memberships of the role are left as they are, and named.
DO $grants$
DECLARE
    further text := (SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname)
                     FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
                     WHERE m.member = (SELECT oid FROM pg_roles WHERE rolname = 'blnk_exporter')
                           AND r.rolname <> ALL (ARRAY['pg_read_all_stats', 'pg_read_all_settings']::text[]));
BEGIN
    IF further IS NOT NULL THEN
        RAISE NOTICE '% is also a member of %; revoke what it does not need', 'blnk_exporter', further;
    END IF;
END
$grants$;

COMMIT;
