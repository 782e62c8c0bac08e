-- The password of the exporter's role, which exporter_role.sql has made.
SET pg_stat_statements.track = none;
\set password `cat /run/secrets/exporter_postgres_password`
ALTER ROLE blnk_exporter PASSWORD :'password';
