#!/bin/sh
# Usage: embed.sh OUT.c FILE.ir... — writes the library's texts as the C array ftc_library_files (ir/lang/elaborate.h).
set -eu
out=$1
shift
{
    printf '#include "ir/lang/elaborate.h"\n\nconst ftc_library_file ftc_library_files[] = {\n'
    for file in "$@"; do
        printf '    {"std/%s",\n' "$(basename "$file")"
        sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/     "/' -e 's/$/\\n"/' "$file"
        printf '    },\n'
    done
    printf '    {0},\n};\n'
} >"$out"
