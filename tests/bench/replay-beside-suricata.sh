#!/bin/sh
# Replays captures through tidegate and through Suricata, in turn, and prints a table with ratios.
#
# usage: tests/bench/replay-beside-suricata.sh PEER [RULES] [CAPTURES] [ROUNDS]
#
# PEER is a folder with Suricata in it: debootstrap --variant=minbase --include=suricata,iproute2 trixie PEER
# Both read the same files with one thread and write EVE; the load, timed on one capture of a few packets, is taken off.
# Needs root (chroot, bind mounts) and the package `time`.
set -eu

peer=${1:?usage: $0 PEER [RULES] [CAPTURES] [ROUNDS]}
here=$(cd "$(dirname "$0")/../.." && pwd)
data=${TIDEGATE_TESTDATA:-$here/../shared/testdata}
rules=$(realpath "${2:-$data/rules/et-bench-31k.rules}")
captures=$(realpath "${3:-$data/traffic/pcaps}")
rounds=${4:-5}
ours=$here/target/release/tidegate
[ -x "$ours" ] || { echo "$ours is missing: cargo build --release" >&2; exit 1; }
[ -x "$peer/usr/bin/suricata" ] || { echo "$peer holds no Suricata: see the head of this file" >&2; exit 1; }

work=$(mktemp -d)
clean() {
    umount "$peer/bench/captures" "$peer/bench/one" 2>/dev/null || true
    rm -rf "$work" "$peer/bench"
}
trap clean EXIT INT TERM
mkdir -p "$work/one" "$work/out" "$peer/bench/captures" "$peer/bench/one" "$peer/bench/out"
# The smallest capture: what remains of a run over it is the load.
smallest=$(find "$captures" -type f -size +0 -printf '%s %p\n' | sort -n | sed -n '1s/^[0-9]* //p')
cp "$smallest" "$work/one/"
cp "$rules" "$peer/bench/bench.rules"
mount --bind "$captures" "$peer/bench/captures"
mount --bind "$work/one" "$peer/bench/one"

# Seconds of wall clock, of processor time, and KiB of memory.
ours() { /usr/bin/time -o "$work/time" -f '%e %U %S %M' "$ours" replay -r "$1" -S "$rules" -l "$work/out" -k none >/dev/null 2>&1; }
peers() {
    /usr/bin/time -o "$work/time" -f '%e %U %S %M' chroot "$peer" suricata -c /etc/suricata/suricata.yaml \
        -S /bench/bench.rules -r "$1" -l /bench/out --runmode single -k none >"$work/log" 2>&1
}
run() {
    name=$1
    rm -rf "$work/out"/* "$peer/bench/out"/*
    "$2" "$3" || { echo "$name failed" >&2; exit 1; }
    read -r wall user system memory <"$work/time"
    echo "$name $wall $user $system $memory" >>"$work/figures"
}

for round in $(seq "$rounds"); do
    run ours-load ours "$work/one"
    run ours-all ours "$captures"
    run peer-load peers /bench/one
    run peer-all peers /bench/captures
    echo "round $round of $rounds" >&2
done

awk '
function median(name, field,    n, i, j, t, list) {
    n = 0
    for (i = 1; i <= count[name]; i++) list[++n] = figure[name, i, field]
    for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j - 1]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return list[int((n + 1) / 2)]
}
{
    count[$1]++
    figure[$1, count[$1], 1] = $2; figure[$1, count[$1], 2] = $3 + $4; figure[$1, count[$1], 3] = $5 / 1024
}
function row(what, field, name,    o, p) {
    o = median("ours-" name, field); p = median("peer-" name, field)
    printf "%-34s %9.2f %9.2f %8.2f\n", what, o, p, p / o
}
function rest(what, field,    o, p) {
    o = median("ours-all", field) - median("ours-load", field); p = median("peer-all", field) - median("peer-load", field)
    printf "%-34s %9.2f %9.2f %8.2f\n", what, o, p, (o > 0 ? p / o : 0)
}
END {
    printf "%-34s %9s %9s %8s\n", "medians of " count["ours-all"] " rounds", "tidegate", "suricata", "ratio"
    row("load, seconds", 1, "load"); row("load, MiB at most", 3, "load")
    rest("captures, seconds", 1); rest("captures, processor seconds", 2)
    row("captures and load, MiB at most", 3, "all")
}' "$work/figures"
