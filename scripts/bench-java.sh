#!/usr/bin/env bash
# Measures what Java costs over Rust, and compares the jar's classes with Chronicle Queue and rocksdbjni.
#
# Usage: [PROFILE=release|dev] scripts/bench-java.sh [DIR [calls|stores]]
#
# DIR (target/bench) is on the disk to be measured. Builds the native library; prints one line a measurement, see
# bindings/java/bench/Speed.java. Exit status 1 where a bound did not hold.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${PROFILE:-release}
built=target/${profile/dev/debug}
dir=${1:-target/bench}/java
out=target/java-bench
rm -rf "$dir" "$out/classes" && mkdir -p "$dir" "$out/classes"
mvn --quiet --batch-mode --file bindings/java/bench/pom.xml dependency:build-classpath \
    "-Dmdep.outputFile=$PWD/$out/classpath"
cargo build --locked --profile "$profile" --quiet --package repliq-java
cargo build --locked --profile "$profile" --quiet --example rate
path=$out/classes:$(cat "$out/classpath")
find bindings/java/src/main/java bindings/java/bench -name '*.java' -print0 \
    | xargs -0 javac --release 17 -nowarn -d "$out/classes" -cp "$path"
# What Chronicle Queue asks for; garbage of one thread needs no collector that works on many.
flags=(-XX:+UseSerialGC -Xmx1g -Dchronicle.analytics.disable=true "-Drepliq.native.path=$built/librepliq_jni.so"
    --add-exports=java.base/jdk.internal.ref=ALL-UNNAMED --add-exports=java.base/sun.nio.ch=ALL-UNNAMED
    --add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED --add-exports=jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED
    --add-opens=jdk.compiler/com.sun.tools.javac=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED
    --add-opens=java.base/java.lang.reflect=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED
    --add-opens=java.base/java.util=ALL-UNNAMED)
java "${flags[@]}" -cp "$path" repliq.Speed "$dir" "$built/examples/rate" "${@:2}"
rm -rf "$dir"
