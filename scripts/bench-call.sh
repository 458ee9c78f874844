#!/usr/bin/env bash
# Measures what a call of the C ABI costs over the same call of Rust.
#
# Usage: scripts/bench-call.sh [DIR]
#        scripts/bench-call.sh build OUT     only builds: the program of C into OUT, and call of Rust
#
# Runs bindings/c/bench/call.c and call.rs in turn, ROUNDS (5) times, and prints the middle of each as
# `name=NAME c_ns=N rust_ns=N difference_ns=N`, one call a line. Exit status 1 when a difference is above 10 ns.
set -euo pipefail
cd "$(dirname "$0")/.."

build() {
    cargo build --locked --release --quiet --no-default-features --features capi --lib --example call
    mkdir -p "$1/lib"
    ln -sf "$PWD/target/release/librepliq.so" "$1/lib/librepliq.so"
    ln -sf "$PWD/target/release/librepliq.so" "$1/lib/librepliq.so.0"
    cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -pedantic -O2 -Iinclude bindings/c/bench/call.c \
        -o "$1/call" -L"$1/lib" -lrepliq -lpthread -Wl,-rpath,"$(cd "$1/lib" && pwd)"
}

if [ "${1:-}" = build ]; then
    build "$2"
    exit
fi
dir=${1:-target/bench}/call
rounds=${ROUNDS:-5}
rm -rf "$dir" && mkdir -p "$dir"
build "$dir"

for ((round = 0; round < rounds; round++)); do
    "$dir/call" "$dir/c$round" | sed 's/^/c /'
    target/release/examples/call "$dir/rust$round" | sed 's/^/rust /'
    rm -rf "$dir/c$round" "$dir/rust$round"
done | sort -k2,2 -k1,1 -k3,3g | awk -v middle=$(((rounds + 1) / 2)) '
    { seen[$2 $1]++ }
    seen[$2 $1] == middle { ns[$2, $1] = $3; names[$2] }
    END {
        for (name in names) {
            more = ns[name, "c"] - ns[name, "rust"]
            printf "name=%s c_ns=%.1f rust_ns=%.1f difference_ns=%.1f\n", name, ns[name, "c"], ns[name, "rust"], more
            missed = missed || more > 10
        }
        exit missed
    }'
rm -rf "$dir"
