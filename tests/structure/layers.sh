#!/bin/sh
# Who may know whom: what the folders include, and what only one of them may do.
#
#   layers.sh SOURCE_ROOT
set -u
cd "$1" || exit 1

passed=0 failed=0
check() { # RULE LINES: the lines are those that break the rule
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        printf 'Broken: %s.\n%s\n' "$1" "$2" >&2
        failed=$((failed + 1))
    fi
}

sources() { # FOLDER: its C files
    find "$1" -name '*.[ch]' | sort
}

own_includes() { # FILE...: of files of this repository, as FILE:LINE:#include "…"
    grep -n '^ *# *include "' "$@" /dev/null
}

system_includes() {
    grep -n '^ *# *include <' "$@" /dev/null
}

code() { # EXPRESSION FILE...: lines that match, but for comments
    grep -nE "$@" /dev/null | grep -vE '^[^:]*:[0-9]+: *//'
}

missing() { # the paths on standard input that are no files
    while read -r path; do [ -f "$path" ] || echo "$path"; done
}

# The file names of this repository have no spaces.
ir=$(sources ir)
compiler=$(sources compiler | grep -vE '^compiler/(driver|api)/')
runtime=$(sources runtime)
base=$(sources ir/base)
json=$(sources json)
library="$ir $json $compiler $runtime"
everything="$library $(sources compiler/driver) $(sources compiler/api) $(sources tests) $(sources bench)"

# shellcheck disable=SC2086 # lists of files
{
    check 'include paths start at the root of the repository' \
        "$(own_includes $everything | sed 's/^.*#include "\([^"]*\)".*$/\1/' | sort -u | missing)"
    check 'ir/base/, which every room may include, knows ir/base/ only' "$(own_includes $base | grep -v '"ir/base/')"
    check 'ir/ knows ir/ only' "$(own_includes $ir | grep -v '"ir/')"
    libc='<(assert|ctype|errno|float|inttypes|limits|math|setjmp|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|time|unistd)\.h>'
    check 'ir/ needs libc only' "$(system_includes $ir | grep -vE "$libc")"
    check 'json/ knows json/ and ir/base/ only' "$(own_includes $json | grep -vE '"(json|ir/base)/')"
    check 'of ir/, runtime/ knows the ABI of the step and ir/base/; of compiler/, nothing' \
        "$(own_includes $runtime | grep -vE '"(runtime/|json/|ir/base/|ir/step_abi\.h)')"
    check 'compiler/ knows ir/, json/ and compiler/ without driver and api' \
        "$(own_includes $compiler | grep -vE '"(ir/|json/|compiler/((passes|emit|codegen|eager)/)?[a-z_]+\.h)')"
    check 'only codegen/ and emit/ of compiler/ know LLVM' \
        "$(system_includes $everything | grep '<llvm' |
            grep -vE '^compiler/(codegen|emit)/')"
    check 'what an operation is stands in ir/ops: no switch over operations and no table of them elsewhere' \
        "$(code 'case FTC_OP_[a-z]|\[FTC_OP_[a-z]' $library $(sources compiler/driver) $(sources compiler/api) |
            grep -v '^ir/ops/')"
    check 'compiler/ asks for classes and traits (ir/op.h), never which operation a node is; rules name operations in patterns' \
        "$(code '[=!]= *FTC_OP_[a-z]|FTC_OP_[a-z_]+ *[=!]=|\<(is|has|count|find)_[a-z_]*\([^()]*FTC_OP_[a-z]' \
            $(sources compiler))"
    check 'JSON is parsed in json/ alone: cJSON keeps the place of an error in a variable that all threads share' \
        "$(code 'cJSON_(Parse|GetErrorPtr)' $library $(sources compiler/driver) $(sources compiler/api) |
            grep -v '^json/')"
    check 'memory is asked for in ir/base/ alone, which knows what to do when there is none (a plugin has its own)' \
        "$(code '\<(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strn?dup|v?asprintf|open_memstream) *\(' \
            $library $(sources compiler/driver) $(sources compiler/api) | grep -vE '^(ir/base|runtime/mpi)/')"
    check 'runtime/ never prints' \
        "$(code '\<(v?printf|puts|putchar|perror) *\(|\<v?f(printf|puts|putc) *\([^;]*\<(stdout|stderr)\>' $runtime)"
    check 'only the driver ends the process' "$(code '\<_?exit *\(' $library)"
}

echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
