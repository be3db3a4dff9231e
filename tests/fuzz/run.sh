#!/bin/bash
# Runs every fuzz target on its corpus and on inputs made from it, always the same ones (-seed).
#
#   tests/fuzz/run.sh PROGRAMS RUNS MODELS [TARGET...]
#
# PROGRAMS is the folder with fuzz_*, RUNS how many inputs a parser gets, MODELS those that compile. An input that fails is left
# as PROGRAMS/TARGET-crash-…: PROGRAMS/fuzz_TARGET FILE runs it again. FTC_FUZZ_KEEP=DIR keeps what the corpora grow to.
set -uo pipefail
programs=$1 runs=$2 models=$3
shift 3
corpora=$(dirname "$0")/corpus
[ $# -gt 0 ] || set -- $(ls "$corpora")
grown=${FTC_FUZZ_KEEP:-$(mktemp -d)}
[ -n "${FTC_FUZZ_KEEP:-}" ] || trap 'rm -rf "$grown"' EXIT

fuzz() { # TARGET: into $grown/TARGET.log, the last line of which says what came of it; the status of the program
    local target=$1 n=$runs longest=4096 status=0 log=$grown/$1.log
    mkdir -p "$grown/$target"
    case $target in
    model | graph) n=$models longest=1024 ;;
    artifact | manifest) longest=16384 ;; # cut off, a whole one would be refused at once
    esac
    # Parsers are to answer at once (-timeout, in seconds) and in little memory.
    "$programs/fuzz_$target" -runs="$n" -seed=1 -max_len=$longest -timeout=60 -rss_limit_mb=2560 -close_fd_mask=1 -print_final_stats=1 \
        -dict="$(dirname "$0")/words.dict" -artifact_prefix="$programs/$target-" "$grown/$target" "$corpora/$target" >"$log" 2>&1 || status=$?
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, coverage $(grep -o 'cov: [0-9]*' "$log" | tail -n 1), status $status" >>"$log"
    return $status
}

# As many at a time as there are processors; those that compile take longest and come first.
declare -A process
for target in $(printf '%s\n' "$@" | grep -xE 'graph|model') $(printf '%s\n' "$@" | grep -vxE 'graph|model'); do
    while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
    fuzz "$target" &
    process[$target]=$!
done
passed=0 failed=0
for target; do
    lines=1
    if wait "${process[$target]}"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)) lines=60
    fi
    tail -n $lines "$grown/$target.log"
done
printf '%d passed, %d failed, 0 skipped\n' $passed $failed
((failed == 0 && passed > 0))
