#!/bin/sh
# Every relative link in the documents leads to a file or folder that is there.
#
#   links.sh SOURCE_ROOT
set -eu
cd "$1"

passed=0 failed=0
for document in $(find . -name '*.md' -not -path './build*' -not -path './.git/*' | sort); do
    for link in $(grep -o '](\([^)#]*\)' "$document" | sed 's/^](//' | grep -v '^[a-z]*:' || true); do
        if [ -e "$(dirname "$document")/$link" ]; then
            passed=$((passed + 1))
        else
            echo "$document: no $link" >&2
            failed=$((failed + 1))
        fi
    done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
