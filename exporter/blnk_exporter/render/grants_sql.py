"""The parts of the script of grants, texts only: SQL for PostgreSQL 15 to 18 that may be run again and again."""

HEAD = r"""-- What the Blnk exporter may do in PostgreSQL (15 to 18): read what its collectors tell of, nothing else.
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
-- With pg_read_all_stats come the texts of others' statements, which the exporter does not ask for; there is no less.

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

TAIL = """
COMMIT;
"""
