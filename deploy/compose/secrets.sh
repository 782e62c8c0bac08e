#!/bin/sh
# Makes what is missing in ./secrets, or in $SECRETS; what is there stays. Needs openssl.
# Compose mounts each file into the containers that need it, whose users do not exist on this machine: the files can be
# read by all and written by their owner, and the directory is closed to all others.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
secrets=${SECRETS:-$here/secrets}
umask 077
mkdir -p "$secrets"
chmod 700 "$secrets"
cd "$secrets"

keep() { # keep NAME: standard input becomes that file, unless it is there
    if [ -s "$1" ]; then cat >/dev/null; else
        cat >"$1.new"
        chmod 0644 "$1.new"
        mv "$1.new" "$1"
        echo "made $secrets/$1"
    fi
}

# blnk_secret_key is the master key of Blnk's API. What was tokenized under blnk_tokenization_secret is lost without it.
for name in blnk_secret_key blnk_tokenization_secret; do
    openssl rand -hex 16 | keep $name
done
for name in postgres_password blnk_postgres_password redis_password exporter_postgres_password exporter_redis_password \
    blnk_metrics_token grafana_admin_password; do
    openssl rand -hex 24 | keep $name
done
# Yours to fill in, with receivers in ../alertmanager/alertmanager.yml.
for name in slack_url pagerduty_key smtp_password dead_mans_switch_token; do
    printf 'http://localhost/replace-me\n' | keep $name
done

printf '{
  "project_name": "Blnk",
  "data_source": {"dns": "postgres://blnk:%s@postgres:5432/blnk?sslmode=require"},
  "redis": {"dns": "redis://:%s@redis:6379"},
  "server": {"secret_key": "%s", "metrics_bearer_token": "%s"},
  "tokenization_secret": "%s"
}
' "$(cat blnk_postgres_password)" "$(cat redis_password)" "$(cat blnk_secret_key)" "$(cat blnk_metrics_token)" \
    "$(cat blnk_tokenization_secret)" | keep blnk.json

sha256() { printf %s "$1" | openssl dgst -sha256 -r | cut -d ' ' -f 1; }
{
    echo "user default on #$(sha256 "$(cat redis_password)") ~* &* +@all -flushall -flushdb"
    grep '^user ' "$here/../redis/exporter.acl" | sed "s/PASSWORD_SHA256/$(sha256 "$(cat exporter_redis_password)")/"
} | keep redis_users

receivers=$here/../alertmanager/alertmanager.yml
if ! grep -q '^ *[a-z]*_configs:' "$receivers"; then
    echo "note: no alert is sent to anyone until $receivers names receivers" >&2
fi
