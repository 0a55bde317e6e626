#!/bin/sh
# Is the simulator able to see? Plants each bug of src/core/bugs.h in turn and prints the first failing seed and the rule
# that was broken. A bug that is not found, or a failure without a bug, is an error.
#   test/sim/planted.sh BUILD [SEEDS]     BUILD: a folder set up with -Dplanted_bugs=true; SEEDS: default 1-1000
set -u
program=$1/test/sim/simulate
seeds=${2:-1-1000}
missed=0
if ! "$program" --seeds 1-50 >/dev/null; then
    echo "a failure without any bug: $program --seeds 1-50"
    missed=1
fi
for bug in $("$program" --bug list | awk '$1 !~ /^\(/ { print $1 }'); do
    found=$("$program" --seeds "$seeds" --bug "$bug" --first | sed -n 's/^FAILED //p' | head -n 1)
    if [ -z "$found" ]; then
        missed=1
        found="NOT FOUND in seeds $seeds"
    fi
    printf '%-28s %s\n' "$bug" "$found"
done
exit $missed
