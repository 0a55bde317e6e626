"""Bytes of HTTP/2, gRPC and protobuf written by hand, right or wrong, for the tests that misbehave on purpose."""
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8


def frame(kind, flags, stream, payload=b"", length=None):
    """One frame; a wrong length may be claimed."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def hpack_integer(value, prefix, first=0):
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out) + bytes([value])


def hpack(pairs, index=False):
    """Literal header fields, no Huffman code; with index they enter the dynamic table."""
    out = b""
    for name, value in pairs:
        out += b"\x40" if index else b"\x00"
        for text in (name, value):
            raw = text if isinstance(text, bytes) else text.encode()
            out += hpack_integer(len(raw), 7) + raw
    return out


def grpc_headers(path, extra=()):
    return hpack([(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
                  ("content-type", "application/grpc"), ("te", "trailers"), *extra])


def grpc_message(message, length=None, flag=0):
    return struct.pack(">BI", flag, len(message) if length is None else length) + message


def grpc_call(stream, path, message, window=16384):
    """HEADERS and DATA of a whole unary call."""
    body = grpc_message(message)
    out = frame(HEADERS, END_HEADERS, stream, grpc_headers(path))
    pieces = [body[i:i + window] for i in range(0, len(body), window)] or [b""]
    for number, piece in enumerate(pieces):
        out += frame(DATA, END_STREAM if number == len(pieces) - 1 else 0, stream, piece)
    return out


def opening():
    return PREFACE + frame(SETTINGS, 0, 0)


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    """A protobuf field: bytes and text as length-delimited, numbers as varint."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def nested_txn(depth):
    """Txn{success: RequestOp{request_txn: Txn{...}}}, depth levels of it."""
    parts, size = [], 0
    for _ in range(depth):
        inner = varint(4 << 3 | 2) + varint(size)      # RequestOp.request_txn
        outer = varint(2 << 3 | 2) + varint(size + len(inner))  # TxnRequest.success
        parts.append(outer + inner)
        size += len(outer) + len(inner)
    return b"".join(reversed(parts))


def connect(port, timeout=5.0):
    connection = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send_all(connection, data):
    """Sends as much as the other side takes; False when it has closed."""
    try:
        connection.sendall(data)
        return True
    except OSError:
        return False


def frames_of(connection, wanted, timeout=5.0):
    """Reads frames until wanted(kind, flags, stream, payload) is true, the other side closes, or time is up."""
    buffer, seen = b"", []
    connection.settimeout(timeout)
    try:
        while True:
            while len(buffer) >= 9:
                size = int.from_bytes(buffer[:3], "big")
                if len(buffer) < 9 + size:
                    break
                kind, flags = buffer[3], buffer[4]
                stream = int.from_bytes(buffer[5:9], "big") & 0x7fffffff
                payload, buffer = buffer[9:9 + size], buffer[9 + size:]
                seen.append((kind, flags, stream, payload))
                if wanted(kind, flags, stream, payload):
                    return seen, True
            data = connection.recv(65536)
            if not data:
                return seen, False
            buffer += data
    except OSError:
        return seen, False
