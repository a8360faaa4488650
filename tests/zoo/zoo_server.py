"""A web server on this machine that can be told to misbehave, and the archives that it serves."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = {
    "model/pipeline.config": b"model { ssd { num_classes: 90 } }\n",
    "model/checkpoint/ckpt-0.index": b"index",
    "model/checkpoint/ckpt-0.data-00000-of-00001": bytes(range(256)) * 200,
}


def member(name: str, **fields) -> tarfile.TarInfo:
    """A tar member of any kind, e.g. `type=tarfile.SYMTYPE, linkname="/etc"`."""
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def targz(files: dict[str, bytes] = MODEL, extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    """A .tar.gz of the files, then the extra members as they are, without content."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            tar.addfile(member(name, size=len(content)), io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    # Stored, not compressed: a body of useful length from small content, and the same bytes each time.
    return gzip.compress(raw.getvalue(), compresslevel=0, mtime=0)


class Server(ThreadingHTTPServer):
    """Serves `body` at every path; each entry of `script` spoils one request, in order.

    Entries: an int (that HTTP status), ("cut", n) (the connection ends after n bytes of the body),
    ("stall", n) (nothing more comes after n bytes), ("lie", n) (n bytes too many are promised) or None.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.script, self.requests = targz(), [], []
        self.ranges, self.circles, self.etag, self.lengthless = True, False, '"1"', False
        self.released = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def starts(self) -> list[int]:
        """The first byte that each request asked for."""
        return [int(re.search(r"\d+", asked)[0]) if asked else 0 for _, asked in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        fault = server.script.pop(0) if server.script else None
        self.close_connection = True
        if server.circles:
            self._head(302, {"Location": self.path, "Content-Length": "0"})
        elif isinstance(fault, int):
            self._head(fault, {"Content-Length": "0"})
        else:
            self._body(fault or ("whole", 0))

    def _body(self, fault: tuple[str, int]):
        body, (kind, count) = self.server.body, fault
        start = self._start()
        if start >= len(body):
            self._head(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
            return
        length = len(body) - start + (count if kind == "lie" else 0)
        headers = {} if self.server.lengthless else {"Content-Length": str(length)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        if self.server.etag:
            headers["ETag"] = self.server.etag
        self._head(206 if start else 200, headers)
        self.wfile.write(body[start : start + count] if kind in ("cut", "stall") else body[start:])
        if kind == "stall":
            self.wfile.flush()
            self.server.released.wait(20)

    def _start(self) -> int:
        asked = self.headers.get("Range")
        stale = self.headers.get("If-Range") not in (None, self.server.etag)
        return 0 if asked is None or stale or not self.server.ranges else int(re.search(r"\d+", asked)[0])

    def _head(self, status: int, headers: dict[str, str]):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
