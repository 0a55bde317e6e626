#!/bin/bash
# bench/node.sh I N DIR PORT [FLAG...] - execs member I of N of a cluster on loopback in the foreground; client port of
# member i: PORT+i-1, peer port: PORT+100+i-1. The form in which load generators that start clusters expect a server.
# DOOR=zookeeper in the environment: ZooKeeper's protocol on the client port, etcd's on PORT+200+i-1.
set -eu
i=$1 n=$2 dir=$3 port=$4
shift 4
cluster=
for ((j = 1; j <= n; j++)); do
    cluster="$cluster${cluster:+,}n$j=http://127.0.0.1:$((port + 100 + j - 1))"
done
etcd=$((port + i - 1))
if [ "${DOOR:-}" = zookeeper ]; then
    set -- --zookeeper-listen-urls "http://127.0.0.1:$etcd" "$@"
    etcd=$((etcd + 200))
fi
here=$(cd "$(dirname "$0")/.." && pwd)
exec "${QUORATE:-$here/build/quorate}" serve --name "n$i" --data-dir "$dir/data" \
    --listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
    --listen-peer-urls "http://127.0.0.1:$((port + 100 + i - 1))" \
    --initial-advertise-peer-urls "http://127.0.0.1:$((port + 100 + i - 1))" \
    --initial-cluster "$cluster" --initial-cluster-state new --initial-cluster-token "b$port" --log-level error "$@"
