#!/bin/bash
# bench/compare.sh TOOLS [ROUNDS] - three members, etcd and ours side by side in one run, and the ratios: puts and
# linearizable gets of 1000 clients on 100 connections, 100 clients, one client, a tenth of puts, 1000 watchers, bytes on the
# disk, memory empty and with a million keys, the time from a start of all members to the first acknowledged write, with a
# million keys and with none. Debian's etcd runs with --log-level error, which is its fastest.
#
# TOOLS is a folder with the load generators: build.sh, cluster.sh, measure.sh, startup.sh and etcdload.c. They are built into
# a temporary folder. Figures mean something only as ratios from one run on an otherwise idle machine. SCALE=2 doubles the
# requests; KEYS (1000000) is how many keys memory and restart are measured with, 0 leaves them out; PORT (23400) is the
# first port used.
set -eu
[ $# -ge 1 ] || {
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
rounds=${2:-3} port=${PORT:-23400} keys=${KEYS:-1000000}
# shellcheck source=bench/rows.sh
. "$(dirname "$0")/rows.sh"
build_tool etcdload
load=$scratch/bin/etcdload

loaded() # NAME OPERATIONS LOAD-FLAG...
{
    local name=$1 operations=$((scale * $2))
    shift 2
    row "$name" "$operations" "$load" "$@" -t "$operations"
}

first_write() # FROM-NS
{
    timeout 120 "$load" -e "$endpoints" -c 3 -n 6000 -R 200 -o put -1 "$scratch/first" >/dev/null 2>&1 || true
    echo $((($(cat "$scratch/first") - $1) / 1000000))
}

now_ns() {
    python3 -c 'import time; print(time.monotonic_ns())'
}

rates() {
    local before
    note_memory "memory, empty"
    loaded "put, leader" 60000 -e "$leader" -c 100 -n 1000 -o put -r
    before=$(device_bytes)
    loaded "put, all members" 60000 -e "$endpoints" -c 100 -n 1000 -o put -r
    note "disk bytes a put" $((($(device_bytes) - before) / (60000 * scale)))
    loaded "put, 100 clients" 30000 -e "$endpoints" -c 100 -n 100 -o put -r
    loaded "put, 1 client" 2000 -e "$leader" -c 1 -n 1 -o put -r
    loaded "get, leader" 60000 -e "$leader" -c 100 -n 1000 -o get -r
    loaded "get, all members" 60000 -e "$endpoints" -c 100 -n 1000 -o get -r
    loaded "get, serializable" 60000 -e "$endpoints" -c 100 -n 1000 -o sget -r
    loaded "a tenth puts" 30000 -e "$endpoints" -c 100 -n 1000 -o mix -w 10 -r
    row "put, 1000 watchers" 0 "$load" -e "$endpoints" -c 100 -n 1 -o watch -W 1000 -t $((300 * scale))
}

grown() {
    local began i
    loaded "put, fill" $((keys / scale)) -e "$endpoints" -c 100 -n 1000 -o put -k "$keys" -V 64
    note_memory "memory, $keys keys"
    for i in 1 2 3; do "$tools/cluster.sh" kill "$cluster" "$i"; done
    began=$(now_ns)
    for i in 1 2 3; do "$tools/cluster.sh" restart "$cluster" "$i"; done
    note "restart, ms" "$(first_write "$began")"
}

one_round() # KIND PORT LABEL [SERVER-FLAG...]
{
    start_cluster "$@"
    rates
    stop_cluster
    if [ "$keys" -gt 0 ]; then
        start_cluster "$@"
        grown
        stop_cluster
    fi
    note "cold start, ms" "$(ETCDLOAD=$load "$tools/startup.sh" "$1" 3 "$scratch/cold" "$2" 3 | sed 's/.*median=//; s/ .*//')"
    rm -rf "$scratch/cold"
}

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds"
    one_round etcd "$port" etcd --log-level error
    one_round "$here/node.sh" $((port + 300)) quorate
done
medians etcd quorate
