#!/bin/sh
# Every relative link in the documents leads to a file or folder that is there, and to a heading that it has.
#
#   links.sh SOURCE_ROOT
set -eu
cd "$1"

anchors() { # FILE: those of its headings, as GitHub makes them
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

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
    for link in $(grep -o ']([^):]*#[^)]*)' "$document" | sed 's/^](//; s/)$//' || true); do
        file=${link%%#*}
        target=${file:+$(dirname "$document")/$file}
        if anchors "${target:-$document}" | grep -qxF -- "${link#*#}"; then
            passed=$((passed + 1))
        else
            echo "$document: no heading $link" >&2
            failed=$((failed + 1))
        fi
    done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
