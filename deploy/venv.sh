#!/bin/sh
# Makes .venv with this project and the locked packages of requirements/$1.txt; needs Python 3.11 or newer.
set -eu
cd "$(dirname "$0")/.."

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# An environment whose creation was interrupted has no pip yet.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    python=
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
        if command -v "$candidate" >/dev/null && suits "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "Python 3.11 or newer is needed and none was found; name one with PYTHON=/path/to/python3." >&2
        exit 1
    fi
    echo "creating .venv with $("$python" --version)"
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        rm -rf .venv
        # Debian keeps the venv module in a package of its own.
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "installing python3-venv"
            apt-get -qq update >/dev/null 2>&1 || true
            DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null 2>&1 || true
        fi
        "$python" -m venv .venv || { rm -rf .venv; echo "Python's venv module is missing; install python3-venv." >&2; exit 1; }
    fi
fi

echo "installing the locked packages (requirements/$1.txt)"
pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore .venv/bin/python -m pip install --quiet"
$pip --require-hashes -r "requirements/$1.txt"
$pip --no-deps --no-build-isolation --editable .
