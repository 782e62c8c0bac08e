#!/bin/sh
# Pins every package, with hashes, for Python 3.11 to 3.14: runtime, with the sandbox, with the tests' tools.
set -eu
cd "$(dirname "$0")/.."
compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
        --no-annotate --output-file "requirements/$1.txt" $2
}
compile dev "pyproject.toml requirements/build.in --extra dev"
compile demo "pyproject.toml requirements/build.in --extra demo --constraint requirements/dev.txt"
compile runtime "pyproject.toml --constraint requirements/dev.txt"
compile build "requirements/build.in --constraint requirements/dev.txt"
compile ci "requirements/ci.in"
