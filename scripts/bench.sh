#!/usr/bin/env bash
# Measures us and the peers in turn, in one run; see docs/BENCHMARKS.md.
#
# Usage: scripts/bench.sh [first|all] [OPTION…]     options go to bench/run.py, whose --help names them
#        scripts/bench.sh test                      the tests of the bench itself
#
# QUESTION=NAME,… picks questions, DIR a directory on the disk to be measured (target/bench/room), ROUNDS their rounds.
# The tables are printed, and go with one picture a question to target/bench/out. Exit status 1 where a goal was not held.
set -euo pipefail
cd "$(dirname "$0")/.."
which=${1:-first}
[ $# -eq 0 ] || shift

venv=$PWD/target/bench/venv
if [ "$which" = test ]; then
    [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement bench/requirements.txt
    exec "$venv/bin/python" -m pytest -q -p no:cacheprovider bench/tests "$@"
fi

echo "bench: building" >&2
cargo build --locked --release --quiet --no-default-features --features capi --lib --example contest --example call
scripts/bench-call.sh build target/bench/calls
bench/setup.sh "$which"
python=python3
[ -x "$venv/bin/python" ] && python=$venv/bin/python
words=()
[ "$which" = all ] && words+=(--all)
[ -n "${QUESTION:-}" ] && words+=(--question "$QUESTION")
[ -n "${ROUNDS:-}" ] && words+=(--rounds "$ROUNDS")
[ -n "${DIR:-}" ] && words+=(--dir "$DIR")
exec "$python" bench/run.py "${words[@]}" "$@"
