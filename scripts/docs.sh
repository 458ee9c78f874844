#!/usr/bin/env bash
# Builds docs/ as a book into target/book; a warning is an error.
#
# Usage: scripts/docs.sh [--test]
#
# --test prints the counts that scripts/tally.sh reads, and SKIPPED where mkdocs cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/target/venv
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement scripts/docs-requirements.txt; then
    echo "SKIPPED the book: mkdocs cannot be installed in target/venv" >&2
    [ "${1:-}" = --test ] && exit 0
    exit 1
fi
# Builds the tree in a folder and says nothing where all is well. Not --quiet, which makes warnings unseen and harmless.
book() {
    (cd "$1" && PYTHONDONTWRITEBYTECODE=1 "$venv/bin/mkdocs" build --strict 2>&1) > target/docs.log || {
        grep -v '^INFO' target/docs.log
        return 1
    }
}

rm -rf target/book
book .
pages=$(find target/book -name '*.html' ! -name 404.html ! -name search.html | wc -l)
chapters=$(grep -c '^  - .*\.md$' mkdocs.yml)
if [ "$pages" -ne "$chapters" ]; then
    echo "docs: the book has $pages pages, mkdocs.yml $chapters" >&2
    exit 1
fi
if [ "${1:-}" = --test ]; then
    # Planted: what must not get through.
    planted=target/book-planted
    while IFS='|' read -r line complaint; do
        rm -rf "$planted" && mkdir -p "$planted/examples" "$planted/scripts"
        cp -r mkdocs.yml docs "$planted/" && cp examples/README.md "$planted/examples/"
        cp scripts/book.py "$planted/scripts/"
        printf '\n%b\n' "$line" >> "$planted/docs/CONCEPTS.md"
        if found=$(book "$planted"); then
            echo "docs: the book was built with a planted mistake: $line" >&2
            exit 1
        fi
        grep -qF "$complaint" <<< "$found" || { echo "docs: $line: $found" >&2; exit 1; }
    done << 'PLANTED'
[a](NOWHERE.md)|NOWHERE.md
[a](CLI.md#nowhere)|nowhere
A list:\n- one\n- two|a list without an empty line above it
PLANTED
    echo "2 passed, 0 failed, 0 skipped"
else
    echo "target/book/index.html"
fi
