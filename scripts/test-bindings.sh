#!/usr/bin/env bash
# Tests C or C++ against the library as `make install` would install it, under target/stage; and Python with the
# wheel as it is built, in target/venv.
#
# Usage: scripts/test-bindings.sh c|cpp|python
set -euo pipefail
cd "$(dirname "$0")/.."
stage=$PWD/target/stage
case ${1:-} in c | cpp) PREFIX=$stage PROFILE=dev scripts/install.sh ;; esac

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
    python)
        venv=$PWD/target/venv
        [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
        export PATH=$venv/bin:$PATH
        pip install --quiet --disable-pip-version-check --requirement bindings/python/requirements.txt
        rm -rf target/wheels
        (cd bindings/python && maturin build --quiet --profile dev --locked --out ../../target/wheels)
        pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels/*.whl
        # Both run, and either failure fails the tier.
        failed=0
        python -m pytest -q -p no:cacheprovider bindings/python/tests || failed=1
        rm -rf target/python && mkdir -p target/python
        python bindings/python/tests/conformance.py target/python tests/conformance/*.script || failed=1
        exit "$failed"
        ;;
    *)
        echo "usage: scripts/test-bindings.sh c|cpp|python" >&2
        exit 2
        ;;
esac
