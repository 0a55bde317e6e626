"""The load of the tests with real processes: clients that write all the while and log what they were promised."""
import json
import os
import signal
import subprocess

from cluster import _die_with_parent, quorate_binary, wait_for

CLIENTS, WINDOW, FILLER = 4, 32, 64


class Load:
    """The clients and what they were promised."""

    def __init__(self, cluster, rate):
        self.processes, self.logs = [], []
        program = os.environ.get("CRASHLOAD", os.path.join(os.path.dirname(quorate_binary()), "test", "crash", "crashload"))
        endpoints = [m.endpoint for m in cluster.members]
        for number in range(CLIENTS):
            log = os.path.join(cluster.folder, f"load{number}.log")
            turned = endpoints[number % 3:] + endpoints[:number % 3]
            self.logs.append(log)
            self.processes.append(subprocess.Popen(
                [program, f"c{number}", str(rate // CLIENTS), str(WINDOW), log, *turned], stdin=subprocess.DEVNULL,
                preexec_fn=_die_with_parent))

    def acknowledged(self):
        """How many lines the logs have; every line is of nearly the same size, so the exact number is counted."""
        count = 0
        for log in self.logs:
            if os.path.exists(log):
                with open(log, "rb") as file:
                    count += file.read().count(b"\n")
        return count

    def wait_for_more(self, more, seconds, what):
        goal = self.acknowledged() + more
        wait_for(lambda: self.acknowledged() >= goal, seconds, f"{more} more acknowledged writes {what}")

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def promises(self):
        """key -> (value, attempts, revision, milliseconds) of every acknowledged write."""
        result = {}
        for number, log in enumerate(self.logs):
            with open(log, encoding="ascii") as file:
                for line in file:
                    n, attempts, revision, at = map(int, line.split())
                    key, value = f"crash/c{number}/{n:010}", f"c{number} wrote {n:010} " + "0" * FILLER
                    assert key not in result, f"{key} was acknowledged twice"
                    result[key] = (value, attempts, revision, at)
        return result


def leader_of(cluster):
    answer = cluster.etcdctl(None, "endpoint", "status", "-w", "json", "--command-timeout=2s")
    try:
        for status in json.loads(answer.stdout):
            if status["Status"].get("leader") == status["Status"]["header"]["member_id"]:
                return next(m for m in cluster.members if m.endpoint == status["Endpoint"])
    except (ValueError, KeyError, StopIteration):
        pass
    return None


def contents(cluster, member, *options):
    """key -> value, of everything that the load has written, as this member answers it."""
    answer = cluster.etcdctl(member, "get", "crash/", "--prefix", "--command-timeout=60s", *options, timeout=90)
    if answer.returncode != 0:
        return answer.stderr.decode()[-500:]
    lines = answer.stdout.decode().split("\n")
    return dict(zip(lines[0:-1:2], lines[1::2]))
