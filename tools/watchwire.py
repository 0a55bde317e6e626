"""A watch stream by hand: WatchRequest and WatchResponse with their documented field numbers over python3-grpc."""
import os
import queue
import sys
import threading

import grpc

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from rawwire import field  # noqa: E402

OPTIONS = [("grpc.max_receive_message_length", -1)]
SIGNED = {"watch_id", "compact_revision", "revision"}
HEADER = {1: ("cluster_id", None), 2: ("member_id", None), 3: ("revision", None), 4: ("raft_term", None)}
KEY_VALUE = {1: ("key", bytes), 2: ("create_revision", None), 3: ("mod_revision", None), 4: ("version", None),
             5: ("value", bytes), 6: ("lease", None)}
EVENT = {1: ("type", None), 2: ("kv", KEY_VALUE), 3: ("prev_kv", KEY_VALUE)}
WATCH_RESPONSE = {1: ("header", HEADER), 2: ("watch_id", None), 3: ("created", None), 4: ("canceled", None),
                  5: ("compact_revision", None), 6: ("cancel_reason", bytes), 7: ("fragment", None), 11: ("events", EVENT)}


def decode(data, shape):
    """{name: value}; `events` is a list."""
    result, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        name, kind = shape[tag >> 3]
        value = number()
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
            value = decode(value, kind) if isinstance(kind, dict) else value.decode("latin-1")
        elif name in SIGNED and value >= 1 << 63:
            value -= 1 << 64
        if name == "events":
            result.setdefault(name, []).append(value)
        else:
            result[name] = value
    return result


def create(key, end=b"", start=0, watch_id=0, prev_kv=False, filters=(), fragment=False, progress_notify=False):
    inner = b"".join([field(1, key) if key else b"", field(2, end) if end else b"", field(3, start) if start else b"",
                      field(4, 1) if progress_notify else b"", b"".join(field(5, f) for f in filters),
                      field(6, 1) if prev_kv else b"", field(7, watch_id) if watch_id else b"",
                      field(8, 1) if fragment else b""])
    return field(1, inner)


def cancel(watch_id):
    return field(2, field(1, watch_id) if watch_id else b"")


def progress():
    return field(3, b"")


class Watch:
    """One stream. next() gives the next answer as a dict, {"end": status} at its end, None when nothing came in time."""

    def __init__(self, endpoint, metadata=()):
        self.channel = grpc.insecure_channel(endpoint, options=OPTIONS)
        self.requests = queue.Queue()
        self.answers = queue.Queue()
        call = self.channel.stream_stream("/etcdserverpb.Watch/Watch")
        self.call = call(iter(self.requests.get, None), metadata=metadata)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for answer in self.call:
                self.answers.put(decode(answer, WATCH_RESPONSE))
            self.answers.put({"end": "OK"})
        except grpc.RpcError as error:
            self.answers.put({"end": error.code().name, "text": error.details()})

    def send(self, request):
        self.requests.put(request)

    def next(self, timeout=5.0):
        try:
            return self.answers.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self):
        self.requests.put(None)
        self.call.cancel()
        self.channel.close()
