#!/bin/bash
# bench/compare.sh TOOLS [ROUNDS] - puts and linearizable gets of 1000 clients on 100 connections, three members, etcd and
# ours side by side in one run, and the ratios. Debian's etcd runs with --log-level error, which is its fastest.
#
# TOOLS is a folder with the load generators: build.sh, cluster.sh, measure.sh and etcdload.c. They are built into a
# temporary folder. Figures mean something only as ratios from one run on an otherwise idle machine. SCALE=2 doubles the
# requests; PORT (23400) is the first port used.
set -eu
[ $# -ge 1 ] || {
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
tools=$(cd "$1" && pwd) rounds=${2:-3} scale=${SCALE:-1} port=${PORT:-23400}
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
cluster=
clean_up() {
    [ -z "$cluster" ] || "$tools/cluster.sh" stop "$cluster" || true
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$tools/build.sh" "$scratch/bin" >"$scratch/build.log" 2>&1 || [ -x "$scratch/bin/etcdload" ] || {
    cat "$scratch/build.log" >&2
    exit 1
}
load=$scratch/bin/etcdload rows=$scratch/rows

one_round() # KIND PORT LABEL [SERVER-FLAG...]
{
    local kind=$1 first=$2 label=$3 leads=0 endpoints leader deadline=$((SECONDS + 30))
    shift 3
    cluster=$scratch/$label
    rm -rf "$cluster"
    "$tools/cluster.sh" start "$kind" 3 "$cluster" "$first" "$@"
    until leads=$("$tools/cluster.sh" leader "$cluster") && [ "$leads" != 0 ]; do
        [ $SECONDS -lt $deadline ] || {
            echo "$label: no leader within 30 s" >&2
            tail -n 5 "$cluster"/n*/log >&2
            exit 1
        }
        sleep 0.1
    done
    endpoints=$("$tools/cluster.sh" endpoints "$cluster")
    leader=$(cut -d, -f"$leads" <<<"$endpoints")
    row() # NAME OPERATIONS LOAD-FLAG...
    {
        local name=$1 operations=$((scale * $2))
        shift 2
        "$tools/measure.sh" "$label $name" "$cluster" "$operations" "$load" "$@" -t "$operations" | tee -a "$rows"
    }
    row "put, leader" 60000 -e "$leader" -c 100 -n 1000 -o put -r
    row "put, all members" 60000 -e "$endpoints" -c 100 -n 1000 -o put -r
    row "get, leader" 60000 -e "$leader" -c 100 -n 1000 -o get -r
    row "get, all members" 60000 -e "$endpoints" -c 100 -n 1000 -o get -r
    "$tools/cluster.sh" stop "$cluster"
    rm -rf "$cluster"
    cluster=
}

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds"
    one_round etcd "$port" etcd --log-level error
    one_round "$here/node.sh" $((port + 300)) quorate
done

echo
awk '
{
    server = $1; name = $0
    sub(/^[a-z]+ /, "", name); sub(/  +.*/, "", name)
    match($0, /[0-9]+\/s/); rate[server, name] = rate[server, name] " " substr($0, RSTART, RLENGTH - 2)
    if (match($0, /= [0-9.]+ s  client/)) cpu[server, name] = cpu[server, name] " " substr($0, RSTART + 2, RLENGTH - 11)
    if (!(name in seen)) { seen[name] = 1; order[++names] = name }
}
function median(list,    part, n, i, j, t) {
    n = split(list, part, " ")
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (part[j] + 0 < part[i] + 0) { t = part[i]; part[i] = part[j]; part[j] = t }
    return part[int((n + 1) / 2)] + 0
}
END {
    printf "%-20s %12s %12s %8s   %s\n", "medians", "etcd /s", "quorate /s", "ratio", "server CPU per operation, etcd : quorate"
    for (i = 1; i <= names; i++) {
        name = order[i]; e = median(rate["etcd", name]); q = median(rate["quorate", name])
        a = median(cpu["etcd", name]); b = median(cpu["quorate", name])
        printf "%-20s %12d %12d %7.2fx   %.1f us : %.1f us\n", name, e, q, (e > 0 ? q / e : 0), a * 10, b * 10
    }
}' "$rows"
