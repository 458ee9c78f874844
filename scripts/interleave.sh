#!/usr/bin/env bash
# Builds the engine with locks that a scheduler steps through, and runs tests/interleave.rs on it.
#
# Usage: scripts/interleave.sh [WORDS OF THE TEST PROGRAM]
#        scripts/interleave.sh --no-run
set -euo pipefail
cd "$(dirname "$0")/.."

# A folder of its own: the library it makes has the name of the one that is shipped.
export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0
build=(--locked --target-dir target/interleave --no-default-features --features interleave --test interleave)
if [ "${1-}" = --no-run ]; then
    exec cargo test --no-run "${build[@]}"
fi
exec cargo test "${build[@]}" -- "$@"
