#!/usr/bin/env bash
# Tests C or C++ against the library as `make install` would install it, under target/stage; Python with the wheel
# as it is built, in target/venv; and Java with the jar as it is built, under target/java.
#
# Usage: scripts/test-bindings.sh c|cpp|python|java
set -euo pipefail
cd "$(dirname "$0")/.."
stage=$PWD/target/stage
# The stores of the scripts; the path of a socket has at most 107 bytes.
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mkdir "$room"/{here,tcp,unix}
# In `make test`, what the next tier needs is compiled while the tests of this one, which mostly wait, run.
ahead() { [ -z "${AHEAD-}" ] || "$@" > target/ahead.log 2>&1 & }
case ${1:-} in c | cpp) PREFIX=$stage PROFILE=dev scripts/install.sh ;; esac

case ${1:-} in
    c)
        work=$PWD/target/c
        rm -rf "$work" && mkdir -p "$work"
        flags=$(PKG_CONFIG_PATH=$stage/lib/pkgconfig pkg-config --cflags --libs repliq)
        # shellcheck disable=SC2086 # Flags are words.
        cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -pedantic -O1 -g \
            bindings/c/tests/conformance.c -o "$work/conformance" $flags "-Wl,-rpath,$stage/lib"
        scripts=(tests/conformance/*.script tests/conformance/server/*.script)
        "$work/conformance" "$room/here" "${scripts[@]}"
        for way in tcp unix; do
            "$work/conformance" -r "$way" "$room/$way" "${scripts[@]}"
        done
        ;;
    cpp)
        cmake -S bindings/cpp -B target/cpp -DCMAKE_PREFIX_PATH="$stage" > target/cpp.log || {
            cat target/cpp.log; exit 1; }
        cmake --build target/cpp -j 2
        ctest --test-dir target/cpp --output-on-failure -j 2
        # Each script was a test of its own; together they are:
        awk -F': ' '/^conformance cpp/ { split($2, said, /[ ,]+/); scripts[$1] += said[1]; steps[$1] += said[3] }
            END { for (way in scripts) print way ": " scripts[way] " scripts, " steps[way] " steps" }' \
            target/cpp/Testing/Temporary/LastTest.log | sort
        ;;
    python)
        venv=$PWD/target/venv
        [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
        export PATH=$venv/bin:$PATH
        pip install --quiet --disable-pip-version-check --requirement bindings/python/requirements.txt
        rm -rf target/wheels
        (cd bindings/python && maturin build --quiet --profile dev --locked --out ../../target/wheels)
        pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels/*.whl
        # With planted panics, for one test.
        rm -rf target/python-sabotage && mkdir -p target/python-sabotage
        cargo build --quiet --locked --package repliq-python --features sabotage
        cp -r bindings/python/python/repliq target/python-sabotage/
        cp target/debug/lib_repliq.so target/python-sabotage/repliq/_repliq.abi3.so
        # A test loads the shared library beside the wheel, and others talk to a server.
        cargo build --quiet --locked --lib --bin repliq
        ahead cargo build --locked --package repliq-java
        # Both run, and either failure fails the tier.
        failed=0
        python -m pytest -q -p no:cacheprovider bindings/python/tests || failed=1
        scripts=(tests/conformance/*.script tests/conformance/server/*.script)
        python bindings/python/tests/conformance.py "$room/here" "${scripts[@]}" || failed=1
        for way in tcp unix; do
            python bindings/python/tests/conformance.py -r "$way" "$room/$way" "${scripts[@]}" || failed=1
        done
        exit "$failed"
        ;;
    java)
        native=$PWD/target/java/native
        # With planted panics, for one test; what is built next replaces it.
        mkdir -p target/java/sabotage
        cargo build --quiet --locked --package repliq-java --features sabotage
        cp target/debug/librepliq_jni.so target/java/sabotage/
        cargo build --quiet --locked --package repliq-java
        # Some tests talk to a server.
        cargo build --quiet --locked --bin repliq
        mkdir -p "$native"
        strip --strip-debug -o "$native/librepliq_jni.so" target/debug/librepliq_jni.so
        ahead cargo test --locked --no-run
        failed=0
        mvn --batch-mode --no-transfer-progress --file bindings/java "-Dnative.directory=$native" test 2>&1 \
            | tee target/java.log || failed=1
        scripts=(tests/conformance/*.script tests/conformance/server/*.script)
        conformance() {
            java -Xcheck:jni -cp target/java/classes:target/java/test-classes repliq.conformance.Conformance "$@" \
                "${scripts[@]}" 2>&1 | tee -a target/java.log || failed=1
        }
        conformance "$room/here"
        for way in tcp unix; do
            conformance -r "$way" "$room/$way"
        done
        # The tutorials, for the tests that let all languages talk to each other.
        jar=$(echo "$PWD"/target/java/repliq-*.jar)
        tutorials=(examples/*/java/*.java)
        if [ -f "${tutorials[0]}" ]; then
            javac --release 11 -Xlint:all,-try -Werror -d target/java/examples -cp "$jar" "${tutorials[@]}" || failed=1
            echo "$jar:$PWD/target/java/examples" > target/java/examples.classpath
        fi
        # The JVM checks each call of the native library, prints what is wrong, and goes on.
        if grep -nE 'in native method|JNI local refs|Warning: SIG' target/java.log; then
            echo "the JVM warned about the native library, see above" >&2
            failed=1
        fi
        exit "$failed"
        ;;
    *)
        echo "usage: scripts/test-bindings.sh c|cpp|python|java" >&2
        exit 2
        ;;
esac
