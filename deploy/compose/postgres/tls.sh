#!/bin/sh
# A certificate for PostgreSQL, made once, with the database. It encrypts and proves nothing: nobody but the containers'
# own network gets here. For one that proves who answers, put yours in its place and Blnk's sslmode to verify-full.
set -eu
cd "$PGDATA"
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=postgres \
    -addext subjectAltName=DNS:postgres -keyout server.key -out server.crt 2>/dev/null
psql -X -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "ALTER SYSTEM SET ssl = on" \
    -c "ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1.2'"
