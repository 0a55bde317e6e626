#!/bin/bash
# bench/zookeeper.sh TOOLS [ROUNDS] - three members, Debian's ZooKeeper and our door for its protocol side by side in one run,
# and the ratios: sets, gets and half of each with 1000 requests outstanding on 100 connections, sets one after the other,
# bytes on the disk, memory empty and with a million nodes.
#
# TOOLS is a folder with the load generators: build.sh, cluster.sh, measure.sh, zkraw.c and zkfirst.py. They are built into a
# temporary folder. Figures mean something only as ratios from one run on an otherwise idle machine. SCALE=2 doubles the
# requests; NODES (1000000) is how many nodes memory is measured with, 0 leaves it out; PORT (24000) is the first port used.
set -eu
[ $# -ge 1 ] || {
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
rounds=${2:-3} port=${PORT:-24000} nodes=${NODES:-1000000}
# shellcheck source=bench/rows.sh
. "$(dirname "$0")/rows.sh"
build_tool zkraw
load=$scratch/bin/zkraw
export DOOR=zookeeper # for node.sh

loaded() # NAME OPERATIONS LOAD-FLAG...
{
    local name=$1 operations=$((scale * $2))
    shift 2
    row "$name" "$operations" "$load" -e "$endpoints" -k 10000 "$@" -t "$operations"
}

one_round() # KIND PORT LABEL
{
    local before
    start_cluster "$@"
    note_memory "memory, empty"
    "$tools/zkfirst.py" "$scratch/first" "$endpoints" /bench
    "$load" -e "$endpoints" -c 3 -n 100 -t 10000 -k 10000 -o prep >/dev/null
    before=$(device_bytes)
    loaded "set" 100000 -c 100 -n 1000 -o set
    note "disk bytes a set" $((($(device_bytes) - before) / (100000 * scale)))
    loaded "get" 100000 -c 100 -n 1000 -o get
    loaded "set and get" 100000 -c 100 -n 1000 -o mix
    loaded "set, one at a time" 2000 -c 1 -n 1 -o set
    if [ "$nodes" -gt 0 ]; then
        row "create" "$nodes" "$load" -e "$endpoints" -c 10 -n 1000 -o create -S 10000 -V 64 -t "$nodes"
        note_memory "memory, $nodes nodes"
    fi
    stop_cluster
}

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds"
    one_round zookeeper "$port" zookeeper
    one_round "$here/node.sh" $((port + 400)) quorate
done
medians zookeeper quorate
