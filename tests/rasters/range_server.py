"""An HTTP server of ranges, run as a process of its own: ``python range_server.py FOLDER`` prints its port.

It is no thread of the test, since GDAL may ask it while it holds Python's lock. ``/-/log`` says what was asked for.
"""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
SENT: dict[str, int] = {}
MISSING: list[str] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = FOLDER / self.path.lstrip("/")
        headers: dict[str, str] = {"Accept-Ranges": "bytes"}
        status = 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if self.path == "/-/log":
            part = json.dumps({"sent": SENT, "missing": MISSING}).encode()
        elif not path.is_file():
            MISSING.append(self.path)
            status, part = 404, b""
        else:
            part = path.read_bytes()
            if asked:
                first, last = int(asked[1]), min(int(asked[2] or len(part) - 1), len(part) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(part)}"
                status, part = 206, part[first : last + 1]
            if body:
                SENT[path.name] = SENT.get(path.name, 0) + len(part)
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(part))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(part)

    def log_message(self, *args: Any) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
