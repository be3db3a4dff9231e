#!/bin/sh
# Every C file is as clang-format-19 writes it, and no line is longer than 110 columns: comments it leaves as they are.
# No function has more than 70 lines, no file more than 1,000.
#
#   format.sh SOURCE_ROOT
set -eu
cd "$1"
files=$(find bench compiler ir json runtime tests -name '*.[ch]' | sort)

# shellcheck disable=SC2086 # a list of names without spaces
if LC_ALL=C.UTF-8 grep -nE '^.{111}' $files; then
    echo 'Broken: lines of at most 110 columns.' >&2
    exit 1
fi
# shellcheck disable=SC2046 # a list of names without spaces
long=$(awk 'FNR == 1 { start = 0 }
            /^[A-Za-z_].*\(/ { start = FNR; head = $0 }
            /^}/ && start { if (FNR - start >= 70) print FILENAME ":" start ": " head; start = 0 }
            FNR == 1001 { print FILENAME }' $(find bench compiler ir json runtime -name '*.[ch]'))
if [ -n "$long" ]; then
    printf 'Broken: functions of at most 70 lines, files of at most 1,000.\n%s\n' "$long" >&2
    exit 1
fi
if ! command -v clang-format-19 >/dev/null; then
    echo 'skipped: no clang-format-19, which ./dev test installs'
    exit 77
fi
# shellcheck disable=SC2086
clang-format-19 --dry-run --Werror $files
