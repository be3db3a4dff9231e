#!/bin/sh
# Usage: embed.sh OUT.c FILE.ir... — writes texts as the C array ftc_library_files (ir/lang/elaborate.h), by names such as
# std/math.ir.
set -eu
out=$1
shift
{
    printf '#include "ir/lang/elaborate.h"\n\nconst ftc_library_file ftc_library_files[] = {\n'
    for file in "$@"; do
        printf '    {"%s/%s",\n' "$(basename "$(dirname "$file")")" "$(basename "$file")"
        sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/     "/' -e 's/$/\\n"/' "$file"
        printf '    },\n'
    done
    printf '    {0},\n};\n'
} >"$out"
