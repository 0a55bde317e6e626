# shellcheck shell=bash disable=SC2034
# bench/rows.sh - what compare.sh and zookeeper.sh share; to be sourced, with the tools' folder as $1. Rows are collected in
# $rows as measure.sh prints them, "SERVER ROW  figures"; single figures ("note") stand in $notes as "SERVER|NAME|FIGURE".
tools=$(cd "$1" && pwd) scale=${SCALE:-1}
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
rows=$scratch/rows notes=$scratch/notes cluster='' label=''
: >"$notes"
clean_up() {
    [ -z "$cluster" ] || "$tools/cluster.sh" stop "$cluster" || true
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

build_tool() # NAME
{
    [ -x "$scratch/bin/$1" ] || "$tools/build.sh" "$scratch/bin" >"$scratch/build.log" 2>&1 || [ -x "$scratch/bin/$1" ] || {
        cat "$scratch/build.log" >&2
        exit 1
    }
}

start_cluster() # KIND PORT LABEL [SERVER-FLAG...]
{
    local kind=$1 first=$2 deadline=$((SECONDS + 30))
    label=$3
    shift 3
    cluster=$scratch/$label
    rm -rf "$cluster"
    "$tools/cluster.sh" start "$kind" 3 "$cluster" "$first" "$@"
    endpoints=$("$tools/cluster.sh" endpoints "$cluster")
    until leads=$("$tools/cluster.sh" leader "$cluster") && [ "$leads" != 0 ]; do
        [ $SECONDS -lt $deadline ] || {
            echo "$label: no leader within 30 s" >&2
            tail -n 5 "$cluster"/n*/log >&2
            exit 1
        }
        sleep 0.1
    done
    leader=$(cut -d, -f"$leads" <<<"$endpoints")
}

stop_cluster() {
    "$tools/cluster.sh" stop "$cluster"
    rm -rf "$cluster"
    cluster=
}

row() # NAME OPERATIONS COMMAND...
{
    local name=$1 operations=$2
    shift 2
    "$tools/measure.sh" "$label $name" "$cluster" "$operations" "$@" | tee -a "$rows"
}

note() # NAME FIGURE
{
    echo "$label $1: $2"
    echo "$label|$1|$2" >>"$notes"
}

note_memory() # NAME - of the largest member
{
    note "$1, MB" "$("$tools/cluster.sh" stat "$cluster" | awk '$3 > most { most = $3 } END { printf "%.1f", most / 1024 }')"
}

# Bytes that the device under the scratch folder has written since it was started; whoever else writes to it counts too. What
# /proc says of a process (measure.sh's column) is no use: it counts whole folios of the page cache, of up to 256 KiB.
device_bytes() {
    local device
    sync
    device=$(findmnt -no MAJ:MIN -T "$scratch" | tr -d " ")
    awk '{ printf "%.0f", $7 * 512 }' "/sys/dev/block/$device/stat" 2>/dev/null || echo 0
}

medians() # THEIRS OURS
{
    echo
    awk -v theirs="$1" -v ours="$2" '
    function median(list,    part, n, i, j, t) {
        n = split(list, part, " ")
        for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (part[j] + 0 < part[i] + 0) { t = part[i]; part[i] = part[j]; part[j] = t }
        return part[int((n + 1) / 2)] + 0
    }
    function remember(name, list, order) { if (!((order, name) in seen)) { seen[order, name] = 1; list[++count[order]] = name } }
    FILENAME ~ /notes$/ { split($0, part, "|"); remember(part[2], singles, "n"); figure[part[1], part[2]] = figure[part[1], part[2]] " " part[3]; next }
    {
        server = $1; name = $0
        sub(/^[a-z]+ /, "", name); sub(/  +.*/, "", name)
        match($0, /[0-9]+\/s/); rate[server, name] = rate[server, name] " " substr($0, RSTART, RLENGTH - 2)
        if (match($0, /p99 +[0-9.]+/)) tail[server, name] = tail[server, name] " " substr($0, RSTART + 4, RLENGTH - 4)
        if (match($0, /= [0-9.]+ s  client/)) cpu[server, name] = cpu[server, name] " " substr($0, RSTART + 2, RLENGTH - 11)
        remember(name, measured, "m")
    }
    END {
        printf "%-26s %10s %10s %7s   %-24s %s\n", "medians", theirs " /s", ours " /s", "ratio", "CPU an operation", "p99"
        for (i = 1; i <= count["m"]; i++) {
            name = measured[i]; e = median(rate[theirs, name]); q = median(rate[ours, name])
            cost = sprintf("%.1f us : %.1f us", median(cpu[theirs, name]) * 10, median(cpu[ours, name]) * 10)
            printf "%-26s %10d %10d %6.2fx   %-24s %.2f ms : %.2f ms\n", name, e, q, (e > 0 ? q / e : 0), cost, median(tail[theirs, name]), median(tail[ours, name])
        }
        for (i = 1; i <= count["n"]; i++) {
            name = singles[i]; e = median(figure[theirs, name]); q = median(figure[ours, name])
            printf "%-26s %10.1f %10.1f %6.2fx\n", name, e, q, (e > 0 ? q / e : 0)
        }
    }' "$rows" "$notes"
}
