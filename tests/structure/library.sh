#!/bin/sh
# libftc as others get it: its header, what it shows, what `meson install` makes, the example of docs/c-api.md.
#
#   library.sh SOURCE_ROOT BUILD_ROOT LIBRARY COMPILER [FLAG...]
set -u
root=$1 build=$2 library=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

passed=0 failed=0
holds() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        echo "libftc: $what:" >&2
        cat "$work/log" >&2
        failed=$((failed + 1))
    fi
}

# The functions that the header declares, and those that the library shows.
declared() {
    grep -vE '^ *//|^typedef .*\(' "$root/compiler/api/ftc.h" | grep -o '\<ftc_[a-z_]*(' | tr -d '(' | sort
}
shown() {
    nm -D --defined-only "$library" | awk '$2 == "T" { print $3 }' | sort
}

warnings='-Wall -Wextra -pedantic-errors -Werror -fsyntax-only'
printf '#include <ftc.h>\n' >"$work/include.c"
for standard in c99 c11 c17; do
    # shellcheck disable=SC2086 # a list
    holds "ftc.h as $standard" "$@" -std=$standard $warnings -I "$root/compiler/api" "$work/include.c"
done
if command -v c++ >/dev/null; then
    # shellcheck disable=SC2086
    holds 'ftc.h as C++' c++ -x c++ -std=c++11 $warnings -I "$root/compiler/api" "$work/include.c"
else
    echo 'skipped: no C++ compiler'
fi

declared >"$work/declared"
shown >"$work/shown"
holds 'ftc.h declares what libftc shows' diff "$work/declared" "$work/shown"

# As after `meson install`, but below a folder of our own. What the loop prints last is how many of 8 texts it got right.
holds 'meson install' env DESTDIR="$work/installed" meson install -C "$build" --no-rebuild --quiet
header=$(find "$work/installed" -name ftc.h)
prefix=${header%/include/ftc.h}
PKG_CONFIG_PATH=$(dirname "$(find "$work/installed" -name ftc.pc)")
export PKG_CONFIG_PATH
package() { # OPTION...: of ftc.pc, as if it were installed where it lies
    pkg-config --define-variable=prefix="$prefix" "$@" ftc
}
LD_LIBRARY_PATH=$(package --variable=libdir)
export LD_LIBRARY_PATH
models=$(package --variable=models)
for example in loop two-texts; do
    # shellcheck disable=SC2046 # a list
    holds "docs/examples/$example.c with pkg-config" "$@" -std=c99 -Wall -Wextra -pedantic-errors -Werror \
        "$root/docs/examples/$example.c" $(package --cflags --libs) -o "$work/$example"
done
holds 'docs/examples/loop.c on an installed model' "$work/loop" "$models/mlp.ir" "$models/data/tokenizer" "$work/output"
cp "$work/log" "$work/printed"
holds 'docs/examples/loop.c learns' grep -qx '8 of 8 correct' "$work/printed"
holds 'docs/examples/loop.c saves' test -s "$work/output/model.safetensors" -a -s "$work/output/vocab.txt"
holds 'docs/examples/two-texts.c on its model' "$work/two-texts" "$root/docs/examples/two-texts.ir" "$models/data/tokenizer"
cp "$work/log" "$work/printed"
sed 's/^/    /' "$work/printed" >"$work/wanted"
grep -xFf "$work/wanted" "$root/docs/c-api.md" >"$work/shown_prints"
holds 'docs/c-api.md shows what two-texts.c prints' diff "$work/wanted" "$work/shown_prints"
# What stands in docs/c-api.md between fences.
awk '/^```/ { inside = !inside; next } inside' "$root/docs/c-api.md" >"$work/fenced"
holds 'docs/c-api.md shows docs/examples/' sh -c 'cd "$1/docs/examples" && cat loop.c two-texts.ir two-texts.c | diff "$2" -' \
    sh "$root" "$work/fenced"
holds 'the installed command' "$prefix/bin/ftc" compile "$models/mlp.ir" -o "$work/mlp.ftc"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
