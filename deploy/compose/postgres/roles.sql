-- Blnk's role: it owns its database and nothing else. Run with the database, as the superuser, and again after a change
-- of its password.
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
-- What follows holds a password, which must not be kept there.
SET pg_stat_statements.track = none;
\set password `cat /run/secrets/blnk_postgres_password`
SELECT 'CREATE ROLE blnk' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'blnk') \gexec
ALTER ROLE blnk LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';
ALTER DATABASE blnk OWNER TO blnk;
REVOKE ALL ON DATABASE blnk FROM PUBLIC;
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
