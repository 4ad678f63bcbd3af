"""A browser for the tests: Chromium, driven by ``drive.mjs``, and a server on loopback for made pages."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def missing() -> str | None:
    """Return what a browser test lacks here, and how to get it."""
    if CHROMIUM is None:
        return "no chromium on the PATH (Debian: apt-get install chromium)"
    if not (FOLDER / "node_modules" / "playwright-core").exists():
        return "no playwright-core (make setup)"
    return None


class Browser:
    """One browser; each act is a request to the process that drives it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, act: str, **given: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"act": act, **given}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"failed": "the browser ended"}')
        assert "failed" not in answer, f"{act}: {answer['failed']}"
        return answer["given"]


@contextmanager
def browser() -> Iterator[Browser]:
    process = subprocess.Popen(
        ["node", "drive.mjs"],  # noqa: S607 - the Node.js that the lab needs as well
        cwd=FOLDER,
        env={**os.environ, "CHROMIUM": CHROMIUM or ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Browser(process)
    finally:
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


class Shelf:
    """Pages under a path each, with the headers that they go out with."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.pages: dict[str, tuple[Mapping[str, str], bytes]] = {}

    def put(self, name: str, html: str, headers: Mapping[str, str]) -> str:
        """Put a page there and return its address."""
        path = f"/{name.replace(' ', '-')}"
        self.pages[path] = (headers, html.encode())
        return f"{self.root}{path}"


@contextmanager
def shelf() -> Iterator[Shelf]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers, body = pages.pages.get(self.path.partition("?")[0], ({}, b""))
            self.send_response(200 if body else 404)
            for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pages = Shelf(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield pages
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
