"""An HTTP and an SMTP server on this machine, which keep what they are given."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from glidepath.core import Event, Subject
from glidepath.plugins.alerts.configs import Condition, WebhookConfig
from glidepath.plugins.alerts.webhook import WebhookAlert


class Posts:
    """What came to a webhook: (seconds since the epoch, JSON); the first `refuse` are answered with 503."""

    def __init__(self, refuse: int = 0) -> None:
        self.refuse = refuse
        self.tried = 0
        self.taken: list[tuple[float, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def wait(self, holds: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        """The first that holds, waited for."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _, message in list(self.taken):
                if holds(message):
                    return message
            time.sleep(0.05)
        raise AssertionError(f"not told within {seconds} seconds; told was {self.taken}")


@contextmanager
def webhook(refuse: int = 0) -> Iterator[Posts]:
    posts = Posts(refuse)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.tried += 1
            if posts.refuse >= posts.tried:
                self.send_response(503)
            else:
                posts.taken.append((time.time(), json.loads(body)))
                posts.headers.append(dict(self.headers))
                self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        posts.url = f"http://127.0.0.1:{server.server_address[1]}/hook-s3cr3t"
        try:
            yield posts
        finally:
            server.shutdown()


@contextmanager
def alerted(posts: Posts, folder: Path, *more: Condition) -> Iterator[WebhookAlert]:
    """An alert as a run has it without being told more, whose process is there: what is told is told at once.

    more: conditions that it tells of too.
    """
    alert = WebhookAlert(WebhookConfig(tell=(*WebhookConfig().tell, "started", *more)))
    alert.open(Subject(kind="run", name="runs/x", folder=folder))
    try:
        alert.tell(Event(name="started"))
        posts.wait(lambda it: it["condition"] == "started", 120)
        yield alert
    finally:
        alert.close(5.0)


@contextmanager
def smtp() -> Iterator[tuple[int, list[str]]]:
    """The port, and the letters that came: RFC 5321 as far as a client without login goes."""
    letters: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in iter(self.rfile.readline, b""):
                word = line[:4].upper()
                if word in (b"EHLO", b"HELO"):
                    self.wfile.write(b"250 here\r\n")
                elif word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (text := self.rfile.readline()) != b".\r\n":
                        lines.append(text.decode())
                    letters.append("".join(lines))
                    self.wfile.write(b"250 taken\r\n")
                elif word == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 fine\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], letters
        finally:
            server.shutdown()
