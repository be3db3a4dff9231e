#!/bin/sh
# The examples in docs/adding-an-operation.md are complete: the model compiles, the C text too, in its place.
#
#   examples.sh SOURCE_ROOT FTC COMPILER [FLAG...]
set -u
ftc=$(realpath "$2")
cd "$1" || exit 1
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

example() { # NAME: the fenced block behind <!-- example NAME -->
    awk -v marker="<!-- example $1 -->" '/^```/ { if (inside) exit; inside = found; next }
        inside; $0 == marker { found = 1 }' docs/adding-an-operation.md
}

passed=0 failed=0
holds() { # WHAT COMMAND...
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "docs/adding-an-operation.md: the example of a $what does not compile" >&2
        failed=$((failed + 1))
    fi
}

example model >"$work/example.ir"
{ cat ir/ops/map.c && example block; } >"$work/map.c"
example pass >"$work/pass.c"
# The declaration that the text says to add.
{ echo '#include "compiler/passes/passes.h"' && echo 'ftc_pass_fn ftc_pass_undetach;' && cat "$work/pass.c"; } >"$work/whole.c"

holds model "$ftc" compile "$work/example.ir" -o "$work/example.ftc"
holds primitive grep -q ftc_op_info_softplus "$work/map.c"
holds primitive "$@" -I. -fsyntax-only "$work/map.c"
holds pass grep -q ftc_pass_undetach "$work/pass.c"
holds pass "$@" -I. -fsyntax-only "$work/whole.c"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
