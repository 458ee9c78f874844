#!/usr/bin/env bash
# Tests C or C++ against the library as `make install` would install it, under target/stage.
#
# Usage: scripts/test-bindings.sh c|cpp
set -euo pipefail
cd "$(dirname "$0")/.."
stage=$PWD/target/stage
PREFIX=$stage PROFILE=dev scripts/install.sh

case ${1:-} in
    c)
        work=$PWD/target/c
        rm -rf "$work" && mkdir -p "$work/stores"
        flags=$(PKG_CONFIG_PATH=$stage/lib/pkgconfig pkg-config --cflags --libs repliq)
        # shellcheck disable=SC2086 # Flags are words.
        cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -pedantic -O1 -g \
            bindings/c/tests/conformance.c -o "$work/conformance" $flags "-Wl,-rpath,$stage/lib"
        "$work/conformance" "$work/stores" tests/conformance/*.script
        ;;
    cpp)
        cmake -S bindings/cpp -B target/cpp -DCMAKE_PREFIX_PATH="$stage" > target/cpp.log || {
            cat target/cpp.log; exit 1; }
        cmake --build target/cpp -j 2
        ctest --test-dir target/cpp --output-on-failure -j 2
        rm -rf target/cpp/all && mkdir -p target/cpp/all
        target/cpp/conformance_17 target/cpp/all tests/conformance/*.script | grep '^conformance'
        ;;
    *)
        echo "usage: scripts/test-bindings.sh c|cpp" >&2
        exit 2
        ;;
esac
