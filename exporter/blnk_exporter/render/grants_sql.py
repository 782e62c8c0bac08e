"""The parts of the script of grants, texts only: SQL for PostgreSQL 15 to 18 that may be run again and again."""

HEAD = r"""-- What the Blnk exporter may read in PostgreSQL (15 to 18), and no more of Blnk's tables.
--
{collectors}
--
-- A superuser runs it in Blnk's database, as often as needed, and again after every migration of Blnk: what is new
-- comes without rights. Columns and roles that no collector needs any more are taken back.
--
--     psql -X -v ON_ERROR_STOP=1 -d {database} -f exporter_role.sql
--
-- It sets no password; psql asks for one with: \password {role}
-- Replicas have all of this from their primary. Where a service grants nobody the roles below, pg_monitor holds them.
--
-- A holder of the login's password can do more than the exporter does. Its sessions are read-only and have time limits
-- by default, but a session can switch that off. The login can:
--
--   * create temporary tables and large objects; send NOTIFY; take advisory locks; export snapshots
--   * keep a transaction open on the tables that it may read: ALTER TABLE, and every session behind it, then waits
--   * read the catalog and every setting, and the texts of other sessions' statements (pg_read_all_stats)
{meta_data}--
-- PostgreSQL lets every login do the first two. Temporary tables alone can be taken away, from all roles that the right
-- is not granted to by name. Check first whether other applications in this database need them:
--
--     REVOKE TEMP ON DATABASE {database} FROM PUBLIC;
--
-- With row-level security on Blnk's tables the role also needs a policy on each of them that shows it all rows, because
-- the exporter refuses to count a part:
--
--     CREATE POLICY exporter ON blnk.transactions FOR SELECT TO {role} USING (true);

BEGIN;

DO $grants$
BEGIN
    IF current_database() <> {database_text} THEN
        RAISE EXCEPTION 'this is the database %, and these grants are for %', current_database(), {database_text};
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {role_text}) THEN
        CREATE ROLE {role};
    END IF;
    -- Blnk could not live under what follows.
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = {role_text})
       OR EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('blnk')
                                         AND pg_has_role({role_text}, relowner, 'MEMBER')) THEN
        RAISE EXCEPTION '% is a superuser or has the rights of the owner of Blnk''s tables', {role_text}
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
                   WHERE rolname = {role_text} AND has);
BEGIN
    IF taken IS NOT NULL THEN
        ALTER ROLE {role} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
        RAISE NOTICE 'taken from %: %', {role_text}, taken;
    END IF;
END
$grants$;

-- An exporter keeps one connection and opens a second one for long work; the rest is for a restart and a look by hand.
ALTER ROLE {role} LOGIN INHERIT CONNECTION LIMIT 5;
-- The exporter sets these itself, in each session; here they hold for whoever else uses its login.
ALTER ROLE {role} SET default_transaction_read_only = on;
ALTER ROLE {role} SET statement_timeout = {milliseconds};
ALTER ROLE {role} SET idle_in_transaction_session_timeout = {milliseconds};
ALTER ROLE {role} SET lock_timeout = 200;
GRANT CONNECT ON DATABASE {database} TO {role};
"""

# Since 16 a membership says by itself whether it is inherited, and keeps that where it is granted again without a word.
MEMBER = """
{why}
DO $grants$
BEGIN
    EXECUTE format('GRANT {member} TO %I', {role_text})
        || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE' ELSE '' END;
END
$grants$;
"""

NO_MEMBER = """
REVOKE {member} FROM {role};
"""

LEDGER = """
-- Nothing of Blnk's tables but the columns that follow.
REVOKE ALL ON ALL TABLES IN SCHEMA blnk FROM {role};
REVOKE ALL ON SCHEMA blnk FROM {role};
"""

COLUMNS = """GRANT USAGE ON SCHEMA blnk TO {role};

DO $grants$
DECLARE
    wanted record;
    present text;
    absent text;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
{rows}
        ) AS needs (relation, columns)
    LOOP
        SELECT string_agg(quote_ident(name), ', ') FILTER (WHERE attname IS NOT NULL),
               string_agg(name, ', ') FILTER (WHERE attname IS NULL)
        INTO present, absent
        FROM unnest(wanted.columns) AS name
        LEFT JOIN pg_attribute ON attrelid = to_regclass('blnk.' || quote_ident(wanted.relation)) AND attname = name
                                  AND attnum > 0 AND NOT attisdropped;
        IF present IS NOT NULL THEN
            EXECUTE format('GRANT SELECT (%s) ON blnk.%I TO %I', present, wanted.relation, {role_text});
        END IF;
        IF absent IS NOT NULL THEN
            RAISE NOTICE 'this release of Blnk has no % in blnk.%', absent, wanted.relation;
        END IF;
    END LOOP;
END
$grants$;
"""

EXTENSION = """
{why}
DO $grants$
DECLARE
    home text := (SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
                  WHERE extname = {extension});
BEGIN
    IF home IS NULL THEN
        RAISE NOTICE 'the extension % is not in this database', {extension};
    ELSE
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', home, {role_text});
    END IF;
END
$grants$;
"""

META_DATA = """\
--   * read the whole of transactions.meta_data, in which Blnk writes why it rejected a transaction. To grant a function
--     that returns that alone: blnk-exporter grants postgres --rejection-reasons function
"""
NO_META_DATA = """\
--   * read why a transaction was rejected, as one of a few words; nothing else of transactions.meta_data. With row-level
--     security on blnk.transactions the owner of that function, blnk_exporter_reasons, needs a policy as well
"""

FUNCTION = """
-- {why}
-- In place of the column transactions.meta_data a function that returns one key of it, as one of a few words. It runs
-- with the rights of a role that cannot log in and may read two columns.
DO $grants$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'blnk_exporter_reasons') THEN
        CREATE ROLE blnk_exporter_reasons NOLOGIN;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'blnk_exporter_reasons'
               AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls OR rolcanlogin))
       OR EXISTS (SELECT FROM pg_auth_members WHERE member = 'blnk_exporter_reasons'::regrole) THEN
        RAISE EXCEPTION 'the role blnk_exporter_reasons must not log in and must have no attribute and no membership';
    END IF;
END
$grants$;
CREATE SCHEMA IF NOT EXISTS blnk_exporter;
ALTER SCHEMA blnk_exporter OWNER TO CURRENT_USER;
REVOKE ALL ON SCHEMA blnk_exporter FROM PUBLIC;
GRANT USAGE ON SCHEMA blnk_exporter TO {role};
GRANT USAGE ON SCHEMA blnk TO blnk_exporter_reasons;
GRANT SELECT (id, meta_data) ON blnk.transactions TO blnk_exporter_reasons;
CREATE OR REPLACE FUNCTION {function}(transaction bigint) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $function$
    {body}
    $function$;
ALTER FUNCTION {function}(bigint) OWNER TO blnk_exporter_reasons;
REVOKE ALL ON FUNCTION {function}(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {function}(bigint) TO {role};
"""

NO_FUNCTION = """
DROP FUNCTION IF EXISTS {function}(bigint);
DO $grants$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'blnk_exporter_reasons')
       AND to_regclass('blnk.transactions') IS NOT NULL THEN
        REVOKE ALL ON blnk.transactions FROM blnk_exporter_reasons;
        REVOKE USAGE ON SCHEMA blnk FROM blnk_exporter_reasons;
    END IF;
END
$grants$;
"""

TAIL = """
-- Other memberships of the role are left as they are, and named.
DO $grants$
DECLARE
    further text := (SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname)
                     FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
                     WHERE m.member = (SELECT oid FROM pg_roles WHERE rolname = {role_text})
                           AND r.rolname <> ALL (ARRAY[{members}]::text[]));
BEGIN
    IF further IS NOT NULL THEN
        RAISE NOTICE '% is also a member of %; revoke what it does not need', {role_text}, further;
    END IF;
END
$grants$;

COMMIT;
"""
