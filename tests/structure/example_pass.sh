#!/bin/sh
# The pass of docs/adding-an-operation.md as files that compile: the pass, and a table of passes with the line that the page adds.
#
#   example_pass.sh SOURCE_ROOT PASS.c PIPELINE.c
set -eu
page=$1/docs/adding-an-operation.md
declaration='ftc_pass_fn ftc_pass_undetach;'
line=$(grep '^    {"undetach", ' "$page")
{
    printf '#include "compiler/passes/passes.h"\n%s\n' "$declaration"
    awk '/^```/ { if (inside) exit; inside = found; next } inside; $0 == "<!-- example pass -->" { found = 1 }' "$page"
} >"$2"
# In front of the optimizer, that is behind differentiate.
awk -v declaration="$declaration" -v line="$line" '/^const ftc_pass ftc_passes/ { print declaration }
    /^    \{"optimizer", / { print line; added = 1 } { print } END { exit !added }' "$1/compiler/pipeline.c" >"$3"
