#!/usr/bin/env bash
# Measures what this library promises about speed, each row beside its floor of the same moment, and prints a table.
#
# Usage: scripts/bench.sh [DIR]
#
# DIR is a directory on the disk to measure, target/bench by default. ROUNDS (5) is how often a row is measured; the
# row with the middle ratio is printed. A row that compares with a peer is measured in turn with it. Exit status 1
# when a bound is missed.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${1:-target/bench}
rounds=${ROUNDS:-5}
mkdir -p "$dir"

echo "bench: building" >&2
cargo build --locked --release --quiet --bin repliq
cargo build --locked --release --quiet --manifest-path bench/peers/Cargo.toml --target-dir target/peers
repliq=target/release/repliq
peer=target/peers/release/peer-raft-engine
missed=0

# value NAME < object: the number of a field.
value() {
    sed -n "s/.*\"$1\":\(-\{0,1\}[0-9.e+]*\).*/\1/p"
}

# calculate EXPRESSION
calculate() {
    awk "BEGIN { printf \"%.4f\", $1 }"
}

# middle: the line with the middle first word.
middle() {
    sort -g | awk '{ line[NR] = $0 } END { print line[int((NR + 1) / 2)] }'
}

# row NAME FIGURES RATIO BOUND: BOUND is `<= N`, `>= N` or nothing.
row() {
    local held=""
    if [ -n "$4" ]; then
        held=yes
        if [ "$(calculate "($3 $4)")" != 1.0000 ]; then
            held=NO
            missed=1
        fi
    fi
    printf '%-34s %-46s %8.3f  %-8s %s\n' "$1" "$2" "$3" "$4" "$held"
}


# floor_of and own take the two rows of a run apart.
own() { grep -v '"name":"floor"'; }
floor_of() { grep '"name":"floor"'; }

printf '%-34s %-46s %8s  %-8s %s\n' what figures ratio bound held

# One commit after the other: the middle time against the floor's middle time, call by call in turn.
for ((round = 0; round < rounds; round++)); do
    run=$("$repliq" bench commit --count 5000 --dir "$dir" --json --no-progress)
    us=$(own <<< "$run" | value p50_us)
    floor=$(floor_of <<< "$run" | value p50_us)
    echo "$(calculate "$us / $floor") ${us} us, floor ${floor} us"
done | middle > "$dir/row"
read -r ratio figures < "$dir/row"
row "commit, 1 thread: p50 / floor" "$figures" "$ratio" "<= 1.15"

# Sixteen threads: syncs a commit, and the rate in turn with the peer.
for ((round = 0; round < rounds; round++)); do
    run=$("$repliq" bench commit --threads 16 --count 80000 --dir "$dir" --json --no-progress | own)
    rm -rf "$dir/peer"
    other=$("$peer" --threads 16 --count 80000 --dir "$dir/peer")
    rm -rf "$dir/peer"
    rate=$(value rate_per_s <<< "$run")
    theirs=$(value rate_per_s <<< "$other")
    syncs=$(calculate "$(value syncs <<< "$run") / $(value messages <<< "$run")")
    echo "$(calculate "$rate / $theirs") $syncs ${rate}/s, raft-engine ${theirs}/s"
done > "$dir/rounds"
read -r ratio syncs figures < <(middle < "$dir/rounds")
row "commit, 16 threads: / raft-engine" "$figures" "$ratio" ">= 1"
row "commit, 16 threads: syncs a commit" "" "$syncs" "<= 0.13"

# Five hundred and twelve in flight: the rate against the raw sync rate.
for ((round = 0; round < rounds; round++)); do
    run=$("$repliq" bench commit --in-flight 512 --count 500000 --dir "$dir" --json --no-progress)
    rate=$(own <<< "$run" | value rate_per_s)
    floor=$(floor_of <<< "$run" | value rate_per_s)
    echo "$(calculate "$rate / $floor") ${rate} ${rate}/s, raw syncs ${floor}/s"
done | middle > "$dir/row"
read -r ratio pipelined figures < "$dir/row"
row "commit, 512 in flight: / raw syncs" "$figures" "$ratio" ">= 30"

# Replication to one server, both durable: the rate against the one above, in turn.
for ((round = 0; round < rounds; round++)); do
    alone=$("$repliq" bench commit --in-flight 512 --count 300000 --dir "$dir" --json --no-progress \
        | own | value rate_per_s)
    rate=$("$repliq" bench replicate --in-flight 512 --count 300000 --dir "$dir" --json --no-progress \
        | own | value rate_per_s)
    echo "$(calculate "$rate / $alone") ${rate}/s, alone ${alone}/s"
done | middle > "$dir/row"
read -r ratio figures < "$dir/row"
row "replicate, 512 in flight: / alone" "$figures" "$ratio" ">= 0.5"

# No bounds yet: printed so that a change is seen.
for name in transaction drain scan open; do
    run=$("$repliq" bench "$name" --dir "$dir" --json --no-progress)
    rate=$(own <<< "$run" | value rate_per_s)
    floor=$(floor_of <<< "$run" | value rate_per_s)
    row "$name: / floor" "${rate}/s, floor ${floor}/s" "$(calculate "$rate / $floor")" ""
done
rm -f "$dir/row" "$dir/rounds"
exit "$missed"
