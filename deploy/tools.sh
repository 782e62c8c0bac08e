#!/bin/sh
# Fetches Debian's prometheus (with promtool) for the tests into .venv/debian, where it is missing. Installs nothing
# on the machine and starts no service; without it the tests that need it are skipped and say so.
set -u
cd "$(dirname "$0")/.."
target=.venv/debian
PATH="$PWD/$target/usr/bin:$PATH"
command -v promtool >/dev/null && command -v prometheus >/dev/null && exit 0

mkdir -p "$target"
fetch() { (cd "$target" && apt-get download prometheus >/dev/null 2>&1 && dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb); }
if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    echo "fetching Debian's prometheus for promtool"
    fetch || { [ "$(id -u)" = 0 ] && apt-get -qq update >/dev/null 2>&1 && fetch; }
fi
command -v promtool >/dev/null ||
    echo "promtool was not found and cannot be fetched here; install Debian's package prometheus to run the tests that need it." >&2
exit 0
