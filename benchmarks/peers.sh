#!/bin/sh
# Fetches the exporters to compare with: Debian's into .venv/debian, where they are missing, and asynq's own, which is
# built with Go into .venv/go. Installs nothing on the machine; a peer that cannot be had is left out and told.
set -u
cd "$(dirname "$0")/.."
target=.venv/debian
PATH="$PWD/$target/usr/bin:$PATH"

fetch() { (cd "$target" && apt-get download "$1" >/dev/null 2>&1 && dpkg -x "$1"_*.deb . && rm -f "$1"_*.deb); }
mkdir -p "$target"
for package in prometheus-redis-exporter prometheus-postgres-exporter prometheus-node-exporter; do
    command -v "$package" >/dev/null && continue
    if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
        echo "fetching Debian's $package"
        fetch "$package" || { [ "$(id -u)" = 0 ] && apt-get -qq update >/dev/null 2>&1 && fetch "$package"; }
    fi
    command -v "$package" >/dev/null || echo "$package was not found and cannot be fetched here: it is left out." >&2
done

if command -v go >/dev/null && [ ! -x .venv/go/asynq-exporter ]; then
    echo "building asynq's own exporter"
    mkdir -p .venv/go
    (cd benchmarks/asynq && go build -o ../../.venv/go/asynq-exporter .) >/dev/null 2>&1
fi
[ -x .venv/go/asynq-exporter ] || echo "asynq's own exporter takes Go to build, and cannot be built here: it is left out." >&2
exit 0
