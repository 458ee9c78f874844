#!/usr/bin/env bash
# Sums what the runners of a log counted. The last line is `N passed, N failed, N skipped`.
#
# Usage: scripts/tally.sh LOG [SKIPPED]
#
# Fails when a test or a tier failed, when nothing ran, and when the number of skipped tests is not the one in
# tests/skipped, or SKIPPED where given: a test must not fall silent unseen.
#
# Lines understood, each at the beginning of a line:
#     == TIER                                   a tier begins
#     == TIER failed                            it ended with an error
#     test result: ok. 3 passed; 0 failed; 1 ignored; …               cargo
#     100% tests passed, 0 tests failed out of 5                      ctest; skipped ones count as passed
#      3/5 Test #3: name ……***Skipped                                 ctest
#     1 failed, 3 passed, 1 skipped in 2.50s                          pytest; errors count as failed
#     [INFO] Tests run: 5, Failures: 1, Errors: 0, Skipped: 1         Maven; the lines of its classes say more
#     3 passed, 0 failed, 1 skipped                                   any other runner
#     SKIPPED why                               a test that returned early
# A tier skipped as many tests as its runners counted, or as it printed SKIPPED lines, whichever is more: some
# runners know of no skipping, count the test as passed, and the line is all there is.
set -euo pipefail
committed=${2-$(cat "$(dirname "$0")/../tests/skipped")}

awk -v committed="$committed" '
    function close_tier() {
        if (lines > skipped) {
            passed -= (lines - skipped < passed) ? lines - skipped : passed
            skipped = lines
        }
        passed_all += passed; failed_all += failed; skipped_all += skipped
        passed = failed = skipped = lines = 0
    }
    { gsub(/\033\[[0-9;]*m/, ""); sub(/\r$/, "") }
    /^== [^ ]+ failed$/ { if (!failed) failed = 1; broken = broken " " $2; next }
    /^== [^ ]+$/ { close_tier(); next }
    /^test result: / {
        for (i = 3; i < NF; i++) {
            if ($(i + 1) == "passed;") passed += $i
            if ($(i + 1) == "failed;") failed += $i
            if ($(i + 1) == "ignored;") skipped += $i
        }
        next
    }
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: .*\*\*\*Skipped/ { skipped++; passed--; next }
    /^[0-9]+% tests passed, [0-9]+ tests? failed out of [0-9]+/ {
        failed += $4; passed += $NF - $4
        next
    }
    /^([0-9]+ [a-z]+, )*[0-9]+ [a-z]+ in [0-9.]+s( \([0-9:]+\))?$/ {
        for (i = 1; $i != "in"; i += 2) {
            if ($(i + 1) ~ /^passed/) passed += $i
            if ($(i + 1) ~ /^(failed|errors?)/) failed += $i
            if ($(i + 1) ~ /^skipped/) skipped += $i
        }
        next
    }
    /^\[[A-Z]+\] Tests run: [0-9]+, Failures: [0-9]+, Errors: [0-9]+, Skipped: [0-9]+$/ {
        passed += $4 - $6 - $8 - $10; failed += $6 + $8; skipped += $10
        next
    }
    /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { passed += $1; failed += $3; skipped += $5; next }
    /^SKIPPED / { lines++; reasons = reasons $0 "\n" }
    END {
        close_tier()
        print ""
        printf "%s", reasons
        if (broken) print "failed:" broken
        if (skipped_all != committed)
            print "expected " committed " skipped tests (tests/skipped): mend them, or commit the number and say why"
        if (passed_all == 0) print "no test passed"
        print passed_all + 0 " passed, " failed_all + 0 " failed, " skipped_all + 0 " skipped"
        exit failed_all > 0 || skipped_all != committed || passed_all == 0
    }
' "$1"
