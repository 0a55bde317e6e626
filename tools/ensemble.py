"""Starts and stops servers for clients of ZooKeeper, each described by a zoo.cfg of its own: Debian's ZooKeeper, or ours.

Both kinds get the same files, which is the point. See cluster.py, whose rules for processes and ports hold here too.
"""
import os
import shutil
import signal
import socket
import subprocess
import tempfile

import cluster

JAVA = "/usr/share/java"


def classpath(*more):
    """Debian's jars; names of more of them without their folder and ending."""
    return ":".join(f"{JAVA}/{name}.jar" for name in ("zookeeper", "slf4j-api", "slf4j-simple", *more))


def missing(*more):
    """What is not installed here, or None."""
    for jar in classpath(*more).split(":"):
        if not os.path.exists(jar):
            return jar
    return None if shutil.which("java") else "java"


class Server:
    """One server process with its folder and ports. It may be killed and started again."""

    def __init__(self, ensemble, number, ports, role="participant"):
        self.ensemble, self.number, self.role = ensemble, number, role
        self.client, self.peer, self.election = ports
        self.folder = os.path.join(ensemble.folder, str(number))
        self.conf = os.path.join(self.folder, "zoo.cfg")
        self.log_path = os.path.join(self.folder, "log")
        self.process = None

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.client}"

    def write(self):
        os.makedirs(os.path.join(self.folder, "data"), exist_ok=True)
        with open(os.path.join(self.folder, "data", "myid"), "w", encoding="ascii") as file:
            file.write(f"{self.number}\n")
        with open(self.conf, "w", encoding="ascii") as file:
            file.write("\n".join([
                "tickTime=1000", "initLimit=10", "syncLimit=5", f"dataDir={self.folder}/data", f"clientPort={self.client}",
                "maxClientCnxns=0", "admin.enableServer=false", "4lw.commands.whitelist=*", "extendedTypesEnabled=true",
                *self.ensemble.lines, *self.ensemble.servers_lines(), ""]))

    @property
    def spec(self):
        """As `reconfig` takes it."""
        return f"server.{self.number}=127.0.0.1:{self.peer}:{self.election}:{self.role};127.0.0.1:{self.client}"

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.ensemble.command, self.conf], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=cluster._die_with_parent)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, sig=signal.SIGKILL):
        self.process.send_signal(sig)
        return self.process.wait(timeout=20)

    def word(self, letters):
        """The answer to a four-letter word; "" when there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.client), timeout=5) as link:
                link.sendall(letters.encode())
                pieces = []
                while piece := link.recv(65536):
                    pieces.append(piece)
                return b"".join(pieces).decode()
        except OSError:
            return ""

    def serves(self):
        return "Mode: " in self.word("srvr")


class Ensemble:
    """count servers; kind "quorate" or "zookeeper". A context manager: leaving it ends everything."""

    def __init__(self, kind, count=3, lines=(), heap="-Xmx128m", properties=()):
        """lines: of zoo.cfg, besides the usual ones; heap: what Java may use, "" for as much as it likes; properties: -D of Java's, which
        ours takes as well."""
        self.kind, self.lines = kind, list(lines)
        self.folder = tempfile.mkdtemp(prefix=f"quorate-test-{kind}.")
        self.command = [cluster.quorate_binary(), "zookeeper", *properties] if kind == "quorate" else [
            "java", *heap.split(), "-cp", classpath(), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *properties,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain"]
        ports = cluster.free_ports(3 * count)
        self.servers = [Server(self, i + 1, ports[3 * i:3 * i + 3]) for i in range(count)]

    def add(self, role="participant"):
        """One server more, which is described to itself alone and not started."""
        self.servers.append(Server(self, self.servers[-1].number + 1, cluster.free_ports(3), role))
        self.servers[-1].write()
        return self.servers[-1]

    def servers_lines(self):
        if len(self.servers) == 1:
            return []
        return [f"server.{s.number}=127.0.0.1:{s.peer}:{s.election}" + (":observer" if s.role == "observer" else "") for s in self.servers]

    @property
    def endpoints(self):
        return ",".join(server.endpoint for server in self.servers)

    def __enter__(self):
        try:
            for server in self.servers:
                server.write()
                server.start()
            self.wait_ready()
        except BaseException:
            self.show_logs()
            self.stop()
            raise
        return self

    def wait_ready(self, seconds=30):
        """Until every server serves."""
        for server in self.servers:
            cluster.wait_for(lambda server=server: self.look(server), seconds, f"{self.kind} {server.number} serves")

    def look(self, server):
        if not server.alive():
            raise RuntimeError(f"{self.kind} {server.number} ended with status {server.process.poll()}")
        return server.serves()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.show_logs()
        self.stop()

    def show_logs(self, lines=15):
        for server in self.servers:
            if os.path.exists(server.log_path):
                print(f"--- end of {self.kind} {server.number}'s log (alive: {server.alive()})")
                with open(server.log_path, encoding="utf-8", errors="replace") as file:
                    print("".join(file.readlines()[-lines:]), flush=True)

    def leader(self):
        return next((s for s in self.servers if s.alive() and "Mode: leader" in s.word("srvr")), None)

    def stop(self):
        for server in self.servers:
            if server.alive():
                server.process.terminate()
        for server in self.servers:
            if server.process is not None:
                try:
                    server.process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    server.process.kill()
                    server.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
