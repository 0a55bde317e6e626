"""doc/performance.md and its curves, out of the figures that bench/compare keeps: medians of all rounds."""
import json
import os
import statistics
import subprocess

NAMES = {"etcd": "etcd", "zookeeper": "ZooKeeper", "quorate": "Quorate", "ceiling": "ceiling"}
COLOURS = {"etcd": "#4477aa", "zookeeper": "#ccaa22", "quorate": "#cc3311", "ceiling": "#888888"}

# What is aimed at, by row: of our rate to theirs, of our rate to the ceiling's, microseconds of all members, milliseconds of p99.
RATES = [
    ("put, 1000 clients, leader", {"ratio": 8, "ceiling": 0.5, "cpu": 14, "p99": 25}),
    ("put, all members", {"ratio": 8, "cpu": 14, "p99": 25}),
    ("put, 100 clients", {"ratio": 5}),
    ("put, 100 clients, all", {"ratio": 5}),
    ("put, 1 client", {"p50": 1.25}),
    ("linearizable get, leader", {"ratio": 4, "ceiling": 0.6, "cpu": 7}),
    ("linearizable get, fresh", {"ratio": 4}),
    ("linearizable get, all", {"ratio": 4}),
    ("serializable get, all", {}),
    ("a tenth puts", {"ratio": 8}),
    ("put, 1000 watchers", {"ratio": 3}),
    ("renewals of 1000 leases", {"ratio": 10}),
    ("set, 1000 outstanding", {"ratio": 4}),
    ("get, 1000 outstanding", {"ratio": 2}),
    ("set and get", {}),
    ("set, one at a time", {}),
]
# Figures of which less is better: unit, format, and the most that is aimed at, as a figure or as a share of theirs.
SINGLES = [
    ("memory, empty", "mb", "%.1f MB", 8, None),
    ("memory, a million keys", "mb", "%.0f MB", 180, None),
    ("restart, a million keys", "ms", "%.0f ms", 900, None),
    ("cold start", "ms", "%.0f ms", 120, None),
    ("leader killed", "ms", "%.0f ms", None, 1),
    ("disk bytes a put", "bytes", "%.0f B", 1200, None),
    ("memory, empty (ZooKeeper)", "mb", "%.1f MB", None, None),
    ("memory, a million nodes", "mb", "%.0f MB", None, 0.25),
    ("cold start (ZooKeeper)", "ms", "%.0f ms", None, 1),
    ("leader killed (ZooKeeper)", "ms", "%.0f ms", None, 1),
    ("disk bytes a set", "bytes", "%.0f B", None, None),
]


def as_lines(kept):
    """JSON with a line for each measure, so that a change of it can be read."""
    lines = ",\n".join(json.dumps(measure) for measure in kept["measures"])
    return f'{{"about": {json.dumps(kept["about"])},\n"measures": [\n{lines}\n]}}\n'


class Figures:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
        self.about, self.measures = kept["about"], kept["measures"]

    def values(self, row, server, field, x=None):
        return [m[field] for m in self.measures if m["row"] == row and m["server"] == server and m.get("x") == x and m.get(field) is not None]

    def median(self, row, server, field, x=None):
        found = self.values(row, server, field, x)
        return statistics.median(found) if found else None

    def theirs(self, row):
        return next((s for s in ("etcd", "zookeeper") if any(m["row"] == row and m["server"] == s for m in self.measures)), None)

    def curve(self, part, server, field):
        """Points (x, median). Offered rates differ from round to round; the n-th of a round is the n-th of another."""
        columns = {}
        mine = [m for m in self.measures if m["part"] == part and m["server"] == server and "x" in m]
        if part == "offered":
            steps = max((sum(1 for _ in group) for group in _rounds(mine)), default=0)
            for at, measure in enumerate(mine):
                columns.setdefault(at % max(steps, 1), []).append((measure["x"], measure[field]))
        else:
            for measure in mine:
                columns.setdefault(measure["x"], []).append((measure["x"], measure[field]))
        return [tuple(statistics.median(values) for values in zip(*points)) for _, points in sorted(columns.items())]


def _rounds(measures):
    """Groups whose x rises."""
    group = []
    for measure in measures:
        if group and measure["x"] <= group[-1]["x"]:
            yield group
            group = []
        group.append(measure)
    if group:
        yield group


def _number(value, form="%.1f"):
    return "" if value is None else form % value


def _judged(figure, good):
    return f"**{figure}**" if good else f"{figure} (missed)"


def rate_lines(figures):
    for row, aims in RATES:
        theirs, ours = figures.theirs(row), figures.median(row, "quorate", "rate")
        if ours is None or theirs is None:
            continue
        rate, ceiling = figures.median(row, theirs, "rate"), figures.median(row, "ceiling", "rate")
        cpu = {s: figures.median(row, s, "cpu_us") for s in (theirs, "quorate", "ceiling")}
        late = {s: figures.median(row, s, "p99_ms") for s in (theirs, "quorate")}
        half = {s: figures.median(row, s, "p50_ms") for s in (theirs, "quorate", "ceiling")}
        verdicts = []
        if "ratio" in aims:
            verdicts.append(_judged(f"{aims['ratio']} x", ours >= aims["ratio"] * rate))
        if "ceiling" in aims and ceiling:
            verdicts.append(_judged(f"{aims['ceiling']:.0%} of the ceiling", ours >= aims["ceiling"] * ceiling))
        if "cpu" in aims:
            verdicts.append(_judged(f"{aims['cpu']} us", cpu["quorate"] <= aims["cpu"]))
        if "p99" in aims:
            verdicts.append(_judged(f"p99 {aims['p99']} ms", late["quorate"] <= aims["p99"]))
        if "p50" in aims and half["ceiling"]:
            verdicts.append(_judged(f"p50 {aims['p50']} x the ceiling's", half["quorate"] <= aims["p50"] * half["ceiling"]))
        yield (f"| {row} | {rate:,.0f} | {ours:,.0f} | {ours / rate:.1f} | {_number(ours / ceiling * 100 if ceiling else None, '%.0f %%')} "
               f"| {cpu[theirs]:.1f} : {cpu['quorate']:.1f}{_number(cpu['ceiling'], ' : %.1f')} "
               f"| {half[theirs]:.2f} : {half['quorate']:.2f}{_number(half['ceiling'], ' : %.2f')} "
               f"| {late[theirs]:.1f} : {late['quorate']:.1f} | {', '.join(verdicts)} |")


def single_lines(figures):
    for row, field, form, most, share in SINGLES:
        theirs, ours = figures.theirs(row), figures.median(row, "quorate", field)
        if ours is None or theirs is None:
            continue
        rival = figures.median(row, theirs, field)
        aim = most if most is not None else share * rival if share else None
        verdict = "" if aim is None else _judged(form % most if most is not None else f"{form % aim}, {share:g} of theirs", ours <= aim)
        yield f"| {row} | {form % rival} | {form % ours} | {rival / ours:.1f} | {verdict} |"


def engine_lines(figures):
    for clients in ("1000 clients", "100 clients", "1 client"):
        row = f"put, {clients}, engines"
        raft, paxos = ([figures.median(row, engine, field) for field in ("rate", "cpu_us", "p50_ms", "p99_ms")] for engine in ("raft", "paxos"))
        if raft[0] is not None and paxos[0] is not None:
            yield (f"| put, {clients} | {raft[0]:,.0f} | {paxos[0]:,.0f} | {paxos[0] / raft[0]:.2f} | {raft[1]:.1f} : {paxos[1]:.1f} "
                   f"| {raft[2]:.2f} : {paxos[2]:.2f} | {raft[3]:.1f} : {paxos[3]:.1f} |")


def spread_lines(figures):
    """How far the rounds of the rows lie apart."""
    for row, _ in RATES:
        for server in ("etcd", "zookeeper", "quorate", "ceiling"):
            values = figures.values(row, server, "rate")
            if len(values) > 1:
                yield f"| {row} | {NAMES[server]} | {len(values)} | {min(values):,.0f} | {statistics.median(values):,.0f} | {max(values):,.0f} |"


def plot(path, title, across, up, curves, logarithmic="xy"):
    """curves: by server, points; a file in SVG."""
    curves = {server: points for server, points in curves.items() if points}
    if not curves:
        return False
    lines = ['set terminal svg size 760,440 font "sans-serif,13" background "white"', f'set output "{path}"', f'set title "{title}"',
             f'set xlabel "{across}"', f'set ylabel "{up}"', "set key left top", 'set grid linecolor "#dddddd"', "set format '%.10g'"]
    if logarithmic:
        lines.append(f"set logscale {logarithmic}")
    lines.append("plot " + ", ".join(f"'-' with linespoints pointtype 7 pointsize 0.5 linewidth 2 linecolor rgb '{COLOURS[server]}' title '{NAMES[server]}'"
                                     for server in curves))
    for points in curves.values():
        lines += [f"{x} {y}" for x, y in points] + ["e"]
    subprocess.run(["gnuplot"], input="\n".join(lines).encode(), check=True)
    return True


PLOTS = (
    ("clients-rate.svg", "clients", "rate", "Puts over the number of clients", "clients", "puts a second", "xy"),
    ("clients-p99.svg", "clients", "p99_ms", "99th percentile of puts over the number of clients", "clients", "milliseconds", "xy"),
    ("offered-p50.svg", "offered", "p50_ms", "Median latency over the offered rate (open loop)", "puts offered a second", "milliseconds", "xy"),
    ("offered-p99.svg", "offered", "p99_ms", "99th percentile over the offered rate (open loop)", "puts offered a second", "milliseconds", "xy"),
    ("keys.svg", "keys", "rate", "Puts over the number of keys in the store", "keys", "puts a second", "x"),
    ("members.svg", "members", "rate", "Puts over the number of members, all on two cores", "members", "puts a second", "y"),
)


def curve_lines(figures):
    for _, part, field, title, across, up, _ in PLOTS:
        servers = [s for s in NAMES if figures.curve(part, s, field)]
        if not servers:
            continue
        yield f"\n{title}:\n"
        for server in servers:
            points = ", ".join(f"{x:,.0f}: {y:,.0f}" if y >= 100 else f"{x:,.0f}: {y:.2f}" for x, y in figures.curve(part, server, field))
            yield f"- {NAMES[server]} ({across}: {up}): {points}"


PAGE = """# Performance beside etcd and ZooKeeper

Written by `bench/compare` from `doc/performance/figures.json`; do not edit. Where the time goes and what was tried: `doc/design/performance.md`.

Three members and their clients share {cores} cores ({processor}, {memory}, {kernel}, {disk}). etcd is Debian's ({etcd}), with `--log-level error`, its
fastest; ZooKeeper is Debian's ({zookeeper}, Java {java}); Quorate is {quorate}. All run with their default settings otherwise, sync before they acknowledge, and
were started afresh for each part of each round, in alternation. The ceiling is a stand-in with only the costs that cannot be avoided: gRPC, a checksummed log on
three disks, a hash table; no consensus, no versions, no history. Keys have 8 bytes, values 256 unless said. Clients are one process on 100
connections. All figures are medians of the rounds (last table). Only ratios mean something elsewhere.

## Rates

CPU is that of all members for each operation, in microseconds; latencies in milliseconds; theirs : ours (: the ceiling's). What is aimed at is bold where it is reached.

| load | theirs /s | ours /s | ratio | of the ceiling | CPU | p50 | p99 | aim |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rates}

## Single figures

| figure | theirs | ours | theirs to ours | aim |
| --- | --- | --- | --- | --- |
{singles}

The program, stripped, has {binary:.2f} MB (etcd 21.5 MB, aim 2 MB), and is linked with {libraries}.

## Engines

`serve --engine paxos` beside the default engine, through the leader; latencies in milliseconds.

| load | Raft /s | Multi-Paxos /s | ratio | CPU, us | p50 | p99 |
| --- | --- | --- | --- | --- | --- | --- |
{engines}

## Curves

{plots}
{curves}

## What these figures do not say

- etcd 3.4 copies a buffer on each read that earlier puts have swollen: its reads after puts say little about a current etcd, whose reads are about 1.5 times
  those of a fresh 3.4; hence the row "fresh".
- There is no row of transactions: those of etcd 3.4 are slow, and no measure for a current one.
- The members' CPU and the clients' come out of the same cores: a server that needs less leaves its clients more. CPU for each operation is the steadier figure.
- A closed loop (the tables, the curves over clients) hides stalls; the open loop counts from when a request was due.
- The stand-in keeps a hash table of fixed room and no history, and its clients all speak to its leader.
- Bytes on the disk are those of the device, files in memory and zeros of new log files included.

## Rounds

| load | server | rounds | least /s | median | most |
| --- | --- | --- | --- | --- | --- |
{spread}
"""


def write(kept, folder):
    figures = Figures(kept)
    made = os.path.join(folder, "performance")
    os.makedirs(made, exist_ok=True)
    plots = []
    for name, part, field, title, across, up, logarithmic in PLOTS:
        curves = {server: figures.curve(part, server, field) for server in NAMES}
        if plot(os.path.join(made, name), title, across, up, curves, logarithmic):
            plots.append(f"![{title}](performance/{name})")
    about = figures.about
    text = PAGE.format(rates="\n".join(rate_lines(figures)), singles="\n".join(single_lines(figures)), plots="\n\n".join(plots),
                       curves="\n".join(curve_lines(figures)), spread="\n".join(spread_lines(figures)), engines="\n".join(engine_lines(figures)), binary=about["binary_bytes"] / 1e6,
                       libraries=", ".join(about["libraries"]), **{k: v for k, v in about.items() if k not in ("libraries", "binary_bytes")})
    with open(os.path.join(folder, "performance.md"), "w", encoding="utf-8") as file:
        file.write(text)
