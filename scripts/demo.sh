#!/usr/bin/env bash
# The main job on real input: a public registry goes from one root queue to two servers, while a server and the
# sender are killed and the other server is put back to an old copy; then the proof, by sequence and bytes.
#
# Usage: [DEMO_FILE=FILE.csv] [DEMO_DIR=DIR] scripts/demo.sh
#
# DEMO_FILE is another CSV file, whose first line names the columns and whose second column is the key. DEMO_DIR keeps
# the stores; a temporary directory is used and removed otherwise. Exit status 1 when anything differs.
set -euo pipefail
cd "$(dirname "$0")/.."

job=100
started=$SECONDS
say() { printf '%3ds  %s\n' $((SECONDS - started)) "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }

# ---- the input

registry=/usr/share/ieee-data
if [ -n "${DEMO_FILE:-}" ]; then
    files=("$DEMO_FILE")
else
    if [ ! -e $registry/oui.csv ]; then
        say "installing the package ieee-data"
        as_root=()
        [ "$(id -u)" -eq 0 ] || as_root=(sudo)
        "${as_root[@]}" apt-get update -qq
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            ieee-data > /dev/null
    fi
    files=($registry/iab.csv $registry/mam.csv $registry/oui.csv $registry/oui36.csv)
fi
for file in "${files[@]}"; do
    [ -r "$file" ] || fail "cannot read $file"
done

say "building"
cargo build --locked --release --quiet --bin repliq
repliq=$PWD/target/release/repliq

# ---- the place, and what is left behind

if [ -n "${DEMO_DIR:-}" ]; then
    work=$DEMO_DIR
    mkdir -p "$work"
    [ -z "$(ls -A "$work")" ] || fail "$work is not empty"
else
    work=$(mktemp -d)
fi
declare -A pid=() port=([a]=0 [b]=0)

# Ends what is still running, by the number it was started under.
leave() {
    local name
    for name in "${!pid[@]}"; do
        kill -KILL "${pid[$name]}" 2> /dev/null || true
    done
    wait 2> /dev/null || true
    [ -n "${DEMO_DIR:-}" ] || rm -rf "$work"
}
trap leave EXIT

# What must arrive: the files without their titles, byte for byte.
for file in "${files[@]}"; do
    # A last line without an end gets one.
    tail -n +2 "$file" | sed -e '$a\'
done > "$work/expected"

# ---- servers and sender

umask 077
for name in a b; do
    head -c 18 /dev/urandom | base64 > "$work/$name.password"
    "$repliq" user add "$work/$name.users" demo --right replicate,browse:'*' --password-file "$work/$name.password"
done

url() { echo "repliq://demo@127.0.0.1:${port[$1]}"; }

# serve NAME: starts a server; a port it had before is the one it gets again.
serve() {
    local line
    : > "$work/$1.log"
    "$repliq" serve "$work/$1" --plain --log-level warn --users-file "$work/$1.users" --listen "127.0.0.1:${port[$1]}" \
        > "$work/$1.log" &
    pid[$1]=$!
    until line=$(grep 'listening on' "$work/$1.log"); do
        kill -0 "${pid[$1]}" 2> /dev/null || fail "server $1 did not start"
        sleep 0.02
    done
    port[$1]=${line##*:}
}

# send QUEUE [RATE]: puts what is not yet in the root queue, in jobs, and replicates it meanwhile.
send() {
    "$repliq" replicate "$work/sender" "$1" "${files[@]}" --csv --key-column 2 --batch $job --resume \
        ${2:+--rate "$2"} --plain --until-caught-up \
        --target a="$(url a)" --target-password a="$work/a.password" \
        --target b="$(url b)" --target-password b="$work/b.password" > "$work/sender.log" &
    pid[sender]=$!
}

# stop NAME SIGNAL STATUS: ends a process and looks how it ended.
stop() {
    local status=0
    kill "-$2" "${pid[$1]}"
    wait "${pid[$1]}" 2> /dev/null || status=$?
    unset "pid[$1]"
    [ "$status" -eq "$3" ] || fail "$1 ended with $status after $2, not with $3"
}

next_sequence() { sed -n "s/.*\"name\":\"$1\".*\"next_sequence\":\([0-9]*\).*/\1/p"; }

# How many there are: a record may have line breaks in it.
"$repliq" put "$work/counted" all "${files[@]}" --csv --key-column 2 --batch 1000 > /dev/null
all=$(($("$repliq" queue ls "$work/counted" --json | next_sequence all) - 1))
rm -rf "$work/counted"

# count NAME QUEUE: messages a server has taken.
count() {
    local next
    next=$("$repliq" queue ls "$(url "$1")" --plain --password-file "$work/$1.password" --json \
        | next_sequence "$2")
    echo $((${next:-1} - 1))
}

# reach NAME PERCENT: waits until a server has that share.
reach() {
    local until=$((SECONDS + 60))
    while [ "$(count "$1" registry)" -lt $((all * $2 / 100)) ]; do
        [ $SECONDS -lt $until ] || fail "server $1 has not come to $2 % within a minute"
        kill -0 "${pid[sender]}" 2> /dev/null || fail "the sender ended before $2 %"
        sleep 0.02
    done
}

# ---- the story

rate=$((all / 8 + 1))
serve a
serve b
say "two servers listen on ports ${port[a]} and ${port[b]}; $all records to send in jobs of $job"
send registry $rate

reach b 20
stop b TERM 0
cp -a "$work/b" "$work/b.copy"
old=$("$repliq" queue ls "$work/b" --json | next_sequence registry)
serve b
say "server b was stopped for a copy of its directory, with $((old - 1)) records"

reach a 40
stop a KILL 137
say "server a was killed"

reach b 55
stop sender KILL 137
say "the sender was killed, with $(count b registry) records at server b"

serve a
send registry $rate
say "server a and the sender run again"

reach a 75
stop b TERM 0
rm -rf "$work/b"
cp -a "$work/b.copy" "$work/b"
serve b
say "server b is back at its copy with $((old - 1)) records"

wait "${pid[sender]}" || fail "the sender failed: see above"
unset "pid[sender]"
say "the sender says that both have everything"

# Undisturbed and as fast as it goes, for the figure.
begun=$(date +%s.%N)
send again
wait "${pid[sender]}" || fail "the sender failed: see above"
unset "pid[sender]"
ended=$(date +%s.%N)

# ---- the proof

read_all() {
    "$repliq" get "$(url "$1")" "$2" --browse --plain --password-file "$work/$1.password" --format "$3"
}

end='\r\n'
head -n 1 "${files[0]}" | grep -q $'\r' || end='\n'
wrong=0
printf '\n%-8s %-10s %9s %6s %10s  %-16s %s\n' server queue records jobs bytes sha256 proof
for name in a b; do
    for queue in registry again; do
        proof=yes
        read_all $name $queue "%s$end" > "$work/got"
        cmp -s "$work/expected" "$work/got" || proof="BYTES DIFFER"
        # Sequences without a gap from 1; each job in one piece, and full but for the last one.
        read -r records jobs order < <(read_all $name $queue '%o %x\n' | awk -v job=$job '
            $1 != NR { order = "SEQUENCE" }
            $2 != last { if (NR > 1 && held != job || $2 in seen) order = "JOB"; jobs++; held = 0 }
            { last = $2; seen[$2] = 1; held++ }
            END { print NR, jobs + 0, order ? order : "whole" }')
        [ "$order" = whole ] || proof="$order TORN"
        [ "$proof" = yes ] || wrong=1
        printf '%-8s %-10s %9d %6d %10d  %-16s %s\n' $name $queue "$records" "$jobs" "$(wc -c < "$work/got")" \
            "$(sha256sum < "$work/got" | cut -c 1-16)" "$proof"
    done
done
printf '%-8s %-10s %9s %6s %10d  %-16s\n' files "" "" "" "$(wc -c < "$work/expected")" \
    "$(sha256sum < "$work/expected" | cut -c 1-16)"
if [ -z "${DEMO_FILE:-}" ] && [ "$records" -ne 46524 ]; then
    echo "demo: the registry of the package has 46524 records, not $records"
    [ "$(dpkg-query -W -f '${Version}' ieee-data)" != 20220827.1 ] || wrong=1
fi

stop a TERM 0
stop b TERM 0
for store in sender a b; do
    "$repliq" verify "$work/$store" --no-progress > /dev/null || { echo "demo: $store does not verify"; wrong=1; }
done
awk -v records="$records" -v begun="$begun" -v ended="$ended" -v bytes="$(wc -c < "$work/expected")" 'BEGIN {
    seconds = ended - begun
    printf "\n%d records to two servers in %.2f s, both durable: %.0f records/s, %.1f MB/s to each\n",
        records, seconds, records / seconds, bytes / seconds / 1e6 }'
if [ $wrong -ne 0 ]; then
    echo "demo: something differs" >&2
    exit 1
fi
say "both servers hold every record once, in order, and no job is torn"
