#!/bin/sh
# One seed is one run, in whatever way it was built: compares the trace hashes of two builds.
#   test/sim/hashes.sh BUILD BUILD [SEEDS]
set -u
seeds=${3:-1-100}
one=$(mktemp) two=$(mktemp)
trap 'rm -f "$one" "$two"' EXIT
"$1/test/sim/simulate" --seeds "$seeds" --hashes | grep '^hash ' | sort >"$one"
"$2/test/sim/simulate" --seeds "$seeds" --hashes | grep '^hash ' | sort >"$two"
if [ -s "$one" ] && cmp -s "$one" "$two"; then
    echo "$(wc -l <"$one") seeds have the same trace hashes in $1 and $2"
else
    echo "trace hashes differ:"
    diff "$one" "$two" | head -n 10
    exit 1
fi
