"""Starts and stops members of a cluster on loopback, for the tests that look at the store from outside.

Two kinds of server behind one face: Debian's etcd, and ours (whose flags are the same, that is the point). Every child dies
with the test that started it, however that one ends: the kernel is asked to kill it when its parent goes away.
"""
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def quorate_binary():
    """The binary under test: $QUORATE, else build/quorate."""
    return os.environ.get("QUORATE", os.path.join(ROOT, "build", "quorate"))


def free_ports(count):
    """Ports on loopback that nobody uses now, below the range that the kernel hands out to clients; of $TEST_PORTS, FROM-TO, so that
    tests that run side by side keep out of each other's way."""
    low, high = map(int, (os.environ.get("TEST_PORTS") or "12000-30000").split("-"))
    ports, held = [], []
    while len(ports) < count:
        port = random.randint(low, high)
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
            continue
        held.append(probe)
        ports.append(port)
    for probe in held:
        probe.close()
    return ports


def wait_for(condition, seconds, what):
    """Polls until condition() gives something true and returns that; a deadline is a failure with a name."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Member:
    """One server process with its folder and ports. It may be killed and started again."""

    def __init__(self, cluster, name, client, peer):
        self.cluster, self.name, self.client, self.peer = cluster, name, client, peer
        self.folder = os.path.join(cluster.folder, name)
        self.log_path = os.path.join(cluster.folder, name + ".log")
        self.process = None
        self.environment = {}  # more variables than the cluster's
        self.extra = []  # more flags
        self.command = None  # another program than the cluster's
        self.joins = False  # comes to a running cluster

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.client}"

    def flags(self):
        return [
            "--name", self.name, "--data-dir", self.folder,
            "--listen-client-urls", f"http://127.0.0.1:{self.client}",
            "--advertise-client-urls", f"http://127.0.0.1:{self.client}",
            "--listen-peer-urls", f"http://127.0.0.1:{self.peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{self.peer}",
            "--initial-cluster", ",".join(f"{m.name}=http://127.0.0.1:{m.peer}" for m in self.cluster.members),
            "--initial-cluster-token", self.cluster.token,
            "--initial-cluster-state", "existing" if self.joins else "new",
            "--log-level", self.cluster.log_level, "--logger", "zap", "--log-outputs", "stderr",
        ] + self.cluster.extra + self.extra

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen((self.command or self.cluster.command) + self.flags(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=_die_with_parent,
                                            env={**self.cluster.environment, **self.environment})

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, sig=signal.SIGKILL):
        self.process.send_signal(sig)
        return self.process.wait(timeout=20)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def rss_kb(self, field="VmRSS"):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        return 0


class Cluster:
    """count members named m1, m2, ...; kind "quorate" or "etcd". A context manager: leaving it ends everything."""

    def __init__(self, kind, count=3, extra=None, log_level="warn", folder=None):
        self.kind, self.extra, self.log_level = kind, list(extra or []), log_level
        if kind == "quorate" and os.environ.get("TEST_ENGINE"):
            self.extra += ["--engine", os.environ["TEST_ENGINE"]]  # any test of real members, on another engine
        self.keep_folder = folder is not None
        self.folder = folder or tempfile.mkdtemp(prefix=f"quorate-test-{kind}.")
        self.token = "test-" + os.path.basename(self.folder)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        self.command = [quorate_binary(), "serve"] if kind == "quorate" else ["etcd"]
        ports = free_ports(2 * count)
        self.members = [Member(self, f"m{i + 1}", ports[2 * i], ports[2 * i + 1]) for i in range(count)]

    def joiner(self, name):
        """One member more, which is not started: it is to join the running cluster."""
        client, peer = free_ports(2)
        member = Member(self, name, client, peer)
        member.joins = True
        self.members.append(member)
        return member

    def __enter__(self):
        try:
            for member in self.members:
                member.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.show_logs()
        self.stop()

    def show_logs(self, lines=15):
        for member in self.members:
            if os.path.exists(member.log_path):
                print(f"--- end of {self.kind} {member.name}'s log (alive: {member.alive()})")
                print("\n".join(member.log().splitlines()[-lines:]))

    def wait_ready(self, seconds=30):
        """Until every member answers a linearizable read."""
        def ready(member):
            if not member.alive():
                raise RuntimeError(f"{self.kind} {member.name} ended with status {member.process.poll()}")
            try:
                return self.etcdctl(member, "get", "ready", "--command-timeout=1s", timeout=5).returncode == 0
            except subprocess.TimeoutExpired:  # a client that hangs at a member that is just starting
                return False
        for member in self.members:
            wait_for(lambda member=member: ready(member), seconds, f"{self.kind} {member.name} answers")

    def wait_level(self, seconds=30):
        """Until all members of ours are at the feature level that they know. A new cluster is at it once all know each other, which may
        be after the first answer; leases come with one."""
        def levels():
            told = subprocess.run([quorate_binary(), "status", "--endpoints", ",".join(m.endpoint for m in self.members), "-o", "json"],
                                  capture_output=True, timeout=60, check=False).stdout
            said = [m.get("member_status", {}) for m in json.loads(told)["members"]] if told else [{}]
            return all(one.get("feature_level", 0) == one.get("feature_level_knows", -1) for one in said)
        if self.kind == "quorate":
            wait_for(levels, seconds, "all members are at the newest feature level")

    def etcdctl(self, member, *arguments, stdin=b"", timeout=20):
        """Runs Debian's etcdctl against one member, or against all when member is None."""
        endpoints = member.endpoint if member else ",".join(m.endpoint for m in self.members)
        environment = {**self.environment, "ETCDCTL_API": "3"}
        return subprocess.run(["etcdctl", "--endpoints", endpoints, *arguments], input=stdin, capture_output=True,
                              timeout=timeout, env=environment, check=False)

    def stop(self):
        for member in self.members:
            if member.alive():
                member.process.terminate()
        for member in self.members:
            if member.process is not None:
                try:
                    member.process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    member.process.kill()
                    member.process.wait()
        if not self.keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class Verdicts:
    """Counts cases and prints one line for each: "ok GROUP: NAME", or "not ok GROUP: NAME" and what was seen."""

    def __init__(self, group):
        self.group, self.passed, self.failed = group, 0, 0

    def case(self, name, good, seen=""):
        if good:
            self.passed += 1
            print(f"ok {self.group}: {name}", flush=True)
        else:
            self.failed += 1
            print(f"not ok {self.group}: {name}", flush=True)
            for line in str(seen).splitlines():
                print("    " + line, flush=True)
        return good

    def status(self):
        return 1 if self.failed or not self.passed else 0
