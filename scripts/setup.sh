#!/usr/bin/env bash
# Installs what the tests need and this machine lacks. Does nothing, and asks nobody, where all is there.
set -euo pipefail

if ! command -v cargo > /dev/null; then
    echo "setup: cargo is missing; install Rust with rustup, then run this again" >&2
    exit 1
fi
for component in rustfmt clippy; do
    if ! cargo "${component/rust/}" --version > /dev/null 2>&1; then
        rustup component add "$component"
    fi
done

# What only the superuser needs may be where others do not look.
export PATH="$PATH:/usr/sbin:/sbin"

# One line a tool: the command that proves it is there, and the Debian package that brings it.
missing=()
while read -r tool package; do
    command -v "$tool" > /dev/null || missing+=("$package")
done << 'TOOLS'
cc build-essential
c++ build-essential
cmake cmake
pkg-config pkg-config
openssl openssl
valgrind valgrind
strace strace
mkfs.ext4 e2fsprogs
python3 python3
javac default-jdk-headless
mvn maven
TOOLS

# Debian ships Python without what makes virtual environments.
python3 -c 'import ensurepip, venv' > /dev/null 2>&1 || missing+=(python3-venv)

if [ "${#missing[@]}" -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}"
fi
