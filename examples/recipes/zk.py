"""What the recipes share: a connection, a place in a row, and a command that may run only while the session is sure."""
import os
import signal
import subprocess
import sys
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import NodeExistsError


def arguments(doc, least, most=None):
    """What stands behind the program's name, or its usage and status 2."""
    words = sys.argv[1:]
    if len(words) < least or (most is not None and len(words) > most):
        print(doc, file=sys.stderr)
        sys.exit(2)
    return words


def connect(hosts, timeout=4.0):
    client = KazooClient(hosts=hosts, timeout=timeout)
    client.start()
    return client


def ensure(client, path):
    """The node and its parents are there; whoever came first made them."""
    try:
        client.create(path, makepath=True)
    except NodeExistsError:
        pass


def say(*words):
    print(*words, flush=True)


def wait_until(client, attempt):
    """Calls attempt(watch) until it gives something other than None. `watch` is to be left with what it looked at: the next
    attempt comes when that has changed, or when the session was away."""
    stirred = threading.Event()

    def stir(_):
        stirred.set()
    client.add_listener(stir)
    try:
        while True:
            stirred.clear()
            value = client.retry(attempt, stir)
            if value is not None:
                return value
            stirred.wait()
    finally:
        client.remove_listener(stir)


def number(name):
    """Of a sequence node."""
    return int(name[-10:])


def stand_in_row(client, folder, kind, must_wait_for=lambda name: True, value=b""):
    """A node at the end of the row, which goes with this session; returns once none that it has to wait for stands before it. Each
    looks at the one right before it, so that a change wakes one and not all."""
    ensure(client, folder)
    mine = client.create(f"{folder}/{kind}-", value, ephemeral=True, sequence=True).rsplit("/", 1)[1]

    def attempt(watch):
        while True:
            names = client.get_children(folder)
            if mine not in names:
                sys.exit("the session has ended, and with it the place in the row")
            before = [name for name in names if number(name) < number(mine) and must_wait_for(name)]
            if not before:
                return mine
            if client.exists(f"{folder}/{max(before, key=number)}", watch=watch):
                return None
    wait_until(client, attempt)
    token = client.get(f"{folder}/{mine}")[1].czxid
    return mine, token


def run_while_sure(client, command, token):
    """Runs the command with its fencing token in TOKEN. When the session is in doubt the command is killed at once: somebody
    else may hold what it holds soon. That is not enough for a store that must never see an old writer; it has to compare tokens."""
    child = subprocess.Popen(command, env={**os.environ, "TOKEN": str(token)})

    def doubt(state):
        if state != KazooState.CONNECTED:
            child.send_signal(signal.SIGKILL)
    client.add_listener(doubt)
    status = child.wait()
    client.remove_listener(doubt)
    return status if status >= 0 else 128 - status
