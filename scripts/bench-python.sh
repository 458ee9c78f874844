#!/usr/bin/env bash
# Measures what Python costs over Rust, and compares the wheel with py-lmdb, persist-queue and diskcache.
#
# Usage: scripts/bench-python.sh [DIR]
#
# DIR (target/bench) is on the disk to be measured. Builds a release wheel in an environment of its own; prints one
# line a measurement, see bindings/python/bench/speed.py. Exit status 1 where a bound did not hold.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${1:-target/bench}/python
venv=$PWD/target/venv-bench
rm -rf "$dir" && mkdir -p "$dir"
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
export PATH=$venv/bin:$PATH
pip install --quiet --disable-pip-version-check --requirement bindings/python/bench/requirements.txt
rm -rf target/wheels-bench
(cd bindings/python && maturin build --quiet --release --locked --out ../../target/wheels-bench)
pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels-bench/*.whl
cargo build --locked --release --quiet --no-default-features --example rate
python bindings/python/bench/speed.py "$dir" target/release/examples/rate
rm -rf "$dir"
