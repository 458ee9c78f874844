#!/usr/bin/env bash
# Installs what the peers of the bench need, and builds them into target/bench.
#
# Usage: bench/setup.sh first|all
#
# `first` are the peers of `make bench`, `all` those of `make bench-all`. A peer that cannot be had says why and is left
# out: the tables name it. Servers are installed, never started.
set -euo pipefail
cd "$(dirname "$0")/.."
which=${1:?first or all}
out=$PWD/target/bench
mkdir -p "$out/c" "$out/go" "$out/java/classes"

missed() {
    echo "bench: $1" >&2
}

# packages COMMAND_OR_HEADER PACKAGE…: asks Debian for what is not there.
packages() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" > /dev/null || [ -e "/usr/include/$1" ] || missing+=("$2")
        shift 2
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    echo "bench: installing ${missing[*]}" >&2
    "${as_root[@]}" apt-get update -qq
    # An installed server would start at once where the system lets it; RUNLEVEL=1 tells its scripts not to.
    "${as_root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" > /dev/null
}

pictures() {
    [ -x "$out/venv/bin/pip" ] || python3 -m venv "$out/venv"
    "$out/venv/bin/pip" install --quiet --disable-pip-version-check --requirement bench/requirements.txt
}

# newer FILE SOURCE…: whether the file was built after its sources.
newer() {
    local file=$1
    shift
    [ -e "$file" ] || return 1
    [ -z "$(find "$@" -newer "$file" -type f -print -quit)" ]
}

in_c() {
    local name=$1 library=$2
    newer "$out/c/$name" bench/peers/c && return
    cc -std=gnu11 -O2 -Wall -Wextra -Werror -o "$out/c/$name" "bench/peers/c/$name.c" "-l$library" -lpthread
}

in_rust() {
    cargo build --locked --release --quiet --manifest-path bench/peers/rust/Cargo.toml --target-dir "$out/rust"
}

in_java() {
    newer "$out/java/classpath" bench/peers/java/pom.xml || mvn --quiet --batch-mode --file bench/peers/java/pom.xml \
        dependency:build-classpath "-Dmdep.outputFile=$out/java/classpath"
    newer "$out/java/classes/contest/Contest.class" bench/peers/java && return
    javac --release 17 -nowarn -proc:none -d "$out/java/classes" -cp "$(cat "$out/java/classpath")" \
        bench/peers/java/contest/*.java
}

in_go() {
    command -v go > /dev/null || { missed "go is missing, which builds the NATS server"; return 1; }
    newer "$out/go/nats-server" bench/peers/go && return
    (cd bench/peers/go && go build -o "$out/go/nats-contest" ./contest \
        && go build -o "$out/go/nats-server" github.com/nats-io/nats-server/v2)
}

pictures || missed "no pictures: matplotlib cannot be installed"
packages cc build-essential javac default-jdk-headless mvn maven lmdb.h liblmdb-dev sqlite3.h libsqlite3-dev \
    hiredis/hiredis.h libhiredis-dev redis-server redis-server db.h libdb5.3-dev rocksdb/c.h librocksdb-dev \
    || missed "Debian's packages cannot be installed"
[ "$which" = first ] || packages rabbitmq-server rabbitmq-server || missed "no RabbitMQ"
in_c lmdb lmdb || missed "no LMDB"
in_c sqlite sqlite3 || missed "no SQLite"
in_c redis hiredis && in_c redis_sessions hiredis || missed "no Redis"
in_c berkeleydb db || missed "no Berkeley DB"
in_c rocksdb rocksdb || missed "no RocksDB"
in_rust || missed "no raft-engine, okaywal and redb"
in_java || missed "no Chronicle Queue, Aeron, Kafka, Artemis and the client of RabbitMQ"
in_go || missed "no NATS"
