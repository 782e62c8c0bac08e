#!/bin/sh
# Fetches Debian's prometheus (with promtool) and prometheus-alertmanager (with amtool) into .venv/debian, where they are
# missing. Installs nothing on the machine and starts no service; without them the tests that need them are skipped and
# say so.
set -u
cd "$(dirname "$0")/.."
target=.venv/debian
PATH="$PWD/$target/usr/bin:$PATH"
have() { for program; do command -v "$program" >/dev/null || return 1; done; }
missing=
have prometheus promtool || missing="prometheus"
have prometheus-alertmanager amtool || missing="$missing prometheus-alertmanager"
[ -n "$missing" ] || exit 0

mkdir -p "$target"
# shellcheck disable=SC2086  # a list of names
fetch() {
    (cd "$target" && apt-get download $missing >/dev/null 2>&1 &&
        for package in $missing; do dpkg -x "$package"_*.deb . && rm -f "$package"_*.deb; done && relocate)
}
# Debian's Alertmanager reads its own templates from a fixed place. As many bytes make it one below the directory that
# it is started in.
relocate() {
    program=usr/bin/prometheus-alertmanager
    [ ! -f $program ] || LC_ALL=C sed -i 's#/usr/share/prometheus/alertmanager#usr/share/prometheus/alertmanager/#g' $program
}
if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    echo "fetching Debian's $missing"
    fetch || { [ "$(id -u)" = 0 ] && apt-get -qq update >/dev/null 2>&1 && fetch; }
fi
have prometheus promtool prometheus-alertmanager amtool || echo "Debian's packages $missing were not found and cannot be \
fetched here; install them to run the tests that need them." >&2
exit 0
