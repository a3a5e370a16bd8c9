"""Servers on this machine that fail as servers and connections do, and what they serve."""

import contextlib
import hashlib
import http.server
import math
import re
import threading
import time

import numpy as np
import requests

CONTENT = np.random.default_rng(0).bytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "model.weights.h5"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.content` for any path; each test sets how."""

    def do_GET(self):
        server = self.server
        server.seen.append((self.path, self.headers.get("Range")))
        if server.statuses:
            self.send_response(server.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self._headers()
        end = server.cuts.pop(0) if server.cuts else len(body)
        for start in range(0, end, 50_000):
            if server.sent >= server.hold_at:
                server.released.wait(60)
                server.released.set()
            server.sent += self.wfile.write(body[start : min(start + 50_000, end)])
            time.sleep(server.pause)
        self.close_connection = True

    def _headers(self):
        content, wanted = self.server.content, self.headers.get("Range")
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        if wanted and self.server.ranges == "refused":
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return b""
        if wanted and self.server.ranges != "ignored":
            sent = start + 1 if self.server.ranges == "shifted" else start
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {sent}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
            sent = 0
        if self.server.declared:
            self.send_header("Content-Length", str(len(content) - sent))
        self.end_headers()
        return content[sent:]

    def log_message(self, *args):
        pass


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    """A proxy for plain http: the request line holds the whole URL."""

    def do_GET(self):
        self.server.seen.append(self.path)
        answer = requests.get(self.path, timeout=300, proxies={"http": ""})
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, handler=Handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.content = CONTENT
        self.statuses = []  # answered before anything is served
        self.cuts = []  # bytes of the body after which the connections are cut
        self.ranges = "honoured"
        self.declared = True  # whether a Content-Length is sent
        self.pause = 0.0  # seconds after each 50 kB
        self.hold_at = math.inf  # bytes of bodies after which they stand still for a minute
        self.released = threading.Event()  # ends that
        self.sent = 0  # bytes of bodies
        self.seen = []  # (path, Range header) of each request
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.url = f"{self.address}/v1/{NAME}"

    def handle_error(self, request, client_address):
        pass  # clients of these tests break off on purpose


@contextlib.contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


class RangeHandler(http.server.BaseHTTPRequestHandler):
    """Serves `server.content` for any path, in parts too, as GDAL asks for them."""

    def do_HEAD(self):
        self._headers()

    def do_GET(self):
        self.wfile.write(self._headers())

    def _headers(self):
        content, wanted = self.server.content, self.headers.get("Range")
        self.server.seen.append((self.path, wanted))
        first, last = 0, len(content) - 1
        if wanted:
            first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", wanted).groups())
            last = min(last, len(content) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        return content[first : last + 1]

    def log_message(self, *args):
        pass
