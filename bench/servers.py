"""What bench/compare measures: three members (or another number) of each kind of server, out of the same tools that the tests start
them with, and what a load costs them. Everything dies with the program that started it."""
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tools"))
from cluster import ROOT, Cluster, _die_with_parent, free_ports, quorate_binary, wait_for  # noqa: E402
from ensemble import Ensemble  # noqa: E402
from load import leader_of  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
TOOLS = os.path.join(ROOT, "build", "bench", "tools")  # the load generators, compiled


def build_tools(sources):
    """Compiles the load generators of that folder, and our own."""
    os.makedirs(TOOLS, exist_ok=True)
    for name, libraries in (("etcdload", ["-lnghttp2"]), ("zkraw", []), ("grpcrepl", ["-msse4.2", "-lnghttp2", "-lpthread"])):
        subprocess.run(["gcc", "-O2", "-w", "-o", os.path.join(TOOLS, name), os.path.join(sources, name + ".c"), *libraries], check=True)
    subprocess.run(["ninja", "-C", os.path.join(ROOT, "build"), "bench/bench_renew", "bench/bench_offer"], check=True, stdout=subprocess.DEVNULL)


class Server:
    """Members of one kind under the name that figures are kept by. A context manager: leaving it ends everything."""

    def __init__(self, label, tree):
        self.label, self.tree = label, tree  # the latter starts and stops the members

    def __enter__(self):
        self.tree.__enter__()
        return self

    def __exit__(self, *why):
        self.tree.__exit__(*why)

    def members(self):
        return self.tree.members

    def all(self):
        """Endpoints of all members."""
        return ",".join(m.endpoint for m in self.members())

    def leader(self):
        return wait_for(lambda: leader_of(self.tree), 30, "a leader")

    def processor_seconds(self):
        return sum(_processor_seconds(m.process.pid) for m in self.members() if m.alive())

    def memory_mb(self):
        """Of the largest member."""
        return max(_memory_kb(m.process.pid) for m in self.members()) / 1024

    def first_write(self, began, members=None):
        """Milliseconds from then until somebody acknowledged a write through one of the members."""
        at = os.path.join(self.tree.folder, "first")
        endpoints = ",".join(m.endpoint for m in members or self.members())
        subprocess.run([os.path.join(TOOLS, "etcdload"), "-e", endpoints, "-c", str(endpoints.count(":")), "-n", "6000", "-R", "200",
                        "-o", "put", "-1", at], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        return _stamp(at, began)

    def wait_saved(self):
        """None of our members saves its state."""
        def saves(member):
            with urllib.request.urlopen(f"http://{member.endpoint}/metrics", timeout=10) as page:
                return b"\nquorate_checkpoint_running 1" in page.read()
        wait_for(lambda: not any(map(saves, self.members())), 300, "no checkpoint is being made")

    def restart(self):
        """All members are killed at once and started again: milliseconds to the first write."""
        for member in self.members():
            member.process.send_signal(signal.SIGKILL)
        for member in self.members():
            member.process.wait()
        return self.cold()

    def cold(self):
        """Starts all members: milliseconds to the first write."""
        began = time.monotonic_ns()
        for member in self.members():
            member.start()
        return self.first_write(began)

    def lose_leader(self):
        """kill -9 of the leader: milliseconds to the next acknowledged write. It comes back afterwards."""
        leader = self.leader()
        rest = [m for m in self.members() if m is not leader]
        began = time.monotonic_ns()
        leader.process.send_signal(signal.SIGKILL)
        took = self.first_write(began, rest)
        leader.process.wait()
        leader.start()
        self.tree.wait_ready()
        return took


class ZooKeeper(Server):
    """ZooKeeper, or our door for its clients."""

    def members(self):
        return self.tree.servers

    def leader(self):
        return wait_for(self.tree.leader, 30, "a leader")

    sources = None

    def first_write(self, began, members=None):
        at = os.path.join(self.tree.folder, "first")
        endpoints = ",".join(m.endpoint for m in members or self.members())
        subprocess.run([os.path.join(self.sources, "zkfirst.py"), at, endpoints, f"/first{began}"], check=False, timeout=120)
        return _stamp(at, began)

    def cold(self):
        for server in self.members():
            server.write()
        return super().cold()


class Ceiling(Server):
    """The stand-in that has only the costs that cannot be avoided: a leader and two followers, no consensus. Clients speak to the leader."""

    class Member:
        def __init__(self, folder, port, *others):
            self.endpoint = f"127.0.0.1:{port}"
            os.makedirs(folder, exist_ok=True)
            words = ["leader", str(port), folder, *map(str, others)] if others else ["follower", str(port), folder]
            self.process = subprocess.Popen([os.path.join(TOOLS, "grpcrepl"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL, preexec_fn=_die_with_parent)

        def alive(self):
            return self.process.poll() is None

    def __init__(self, folder):
        super().__init__("ceiling", None)
        self.folder, self.running = folder, []

    def __enter__(self):
        ports = free_ports(3)
        for number in (1, 2):
            self.running.append(Ceiling.Member(os.path.join(self.folder, str(number)), ports[number]))
        wait_for(lambda: all(map(_listens, ports[1:])), 60, "the ceiling's followers")
        self.running.insert(0, Ceiling.Member(os.path.join(self.folder, "0"), ports[0], *ports[1:]))
        wait_for(lambda: _listens(ports[0]), 60, "the ceiling's leader")
        return self

    def __exit__(self, *why):
        for member in self.running:
            member.process.kill()
            member.process.wait()
        self.running = []

    def members(self):
        return self.running

    def all(self):
        return self.running[0].endpoint

    def leader(self):
        return self.running[0]


def etcd(count=3):
    return Server("etcd", Cluster("etcd", count, log_level="error"))


def quorate(count=3, flags=(), label="quorate"):
    return Server(label, Cluster("quorate", count, extra=list(flags), log_level="error"))


def zookeeper():
    return ZooKeeper("zookeeper", Ensemble("zookeeper", heap=""))


def quorate_zookeeper():
    return ZooKeeper("quorate", Ensemble("quorate"))


def load(server, program, *flags, overload=False):
    """Runs a load to its end: its figures by name, and cpu_us, what an operation cost all members together. overload: some may be refused."""
    before = server.processor_seconds()
    run = subprocess.run([os.path.join(TOOLS, program), *map(str, flags)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    found = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", run.stdout.decode())}
    if "ops" not in found or run.returncode != 0 and not overload:
        raise RuntimeError(f"{server.label}: {program} {flags}: status {run.returncode}: {run.stdout.decode()} {run.stderr.decode()[-500:]}")
    found["cpu_us"] = (server.processor_seconds() - before) * 1e6 / found["ops"]
    return found


def device_bytes(folder):
    """What the device under a folder has written since it was started; whoever else writes to it counts too. What /proc says of a process is
    no use: it counts whole folios of the page cache, of up to 256 KiB."""
    subprocess.run(["sync"], check=True)
    device = subprocess.run(["findmnt", "-no", "MAJ:MIN", "-T", folder], check=True, capture_output=True).stdout.decode().strip()
    with open(f"/sys/dev/block/{device}/stat", encoding="ascii") as file:
        return int(file.read().split()[6]) * 512


def about():
    """What was measured on what."""
    def said(*words):
        try:
            return subprocess.run(words, capture_output=True, check=False).stdout.decode().splitlines()[0].strip()
        except (OSError, IndexError):
            return "not here"
    with open("/proc/cpuinfo", encoding="ascii") as file:
        processor = re.search(r"model name\s*: (.*)", file.read())
    binary = quorate_binary()
    stripped = os.path.join(TOOLS, "stripped")
    subprocess.run(["strip", "-o", stripped, binary], check=True)
    linked = subprocess.run(["ldd", binary], check=True, capture_output=True).stdout.decode()
    return {
        "processor": processor.group(1) if processor else "unknown", "cores": os.cpu_count(),
        "memory": said("awk", "/MemTotal/ { printf \"%.0f GB\", $2 / 1e6 }", "/proc/meminfo"),
        "kernel": said("uname", "-sr"), "disk": said("findmnt", "-no", "FSTYPE", "-T", "/tmp"),
        "etcd": said("etcd", "--version"), "zookeeper": said("dpkg-query", "-W", "-f", "${Version}", "libzookeeper-java"),
        "java": said("dpkg-query", "-W", "-f", "${Version}", "openjdk-17-jre-headless"),
        "quorate": said("git", "-C", ROOT, "describe", "--always", "--dirty"),
        "binary_bytes": os.path.getsize(stripped), "libraries": re.findall(r"(lib\S+) =>", linked),
    }


def _processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


def _stamp(path, began):
    with open(path, encoding="ascii") as file:
        return (int(file.read()) - began) / 1e6


def _listens(port):
    with open("/proc/net/tcp", encoding="ascii") as file:
        return re.search(rf":{port:04X} 00000000:0000 0A", file.read()) is not None


__all__ = ["Ceiling", "ZooKeeper", "about", "build_tools", "device_bytes", "etcd", "load", "quorate", "quorate_zookeeper",
           "wait_for", "zookeeper"]
