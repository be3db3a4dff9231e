#!/bin/sh
# Every header compiles alone, and twice.
#
#   headers.sh SOURCE_ROOT COMPILER [FLAG...]
set -eu
root=$1
shift
cd "$root"

passed=0 failed=0
for header in $(find ir json compiler runtime tests bench -name '*.h' | sort); do
    if printf '#include "%s"\n#include "%s"\n' "$header" "$header" | "$@" -I. -x c -fsyntax-only -; then
        passed=$((passed + 1))
    else
        echo "$header does not compile alone" >&2
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
