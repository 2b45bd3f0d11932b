"""A server on a port: its address, its end, what is told where it cannot start."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from glidepath.core import GlidepathError
from glidepath.registry import MissingExtra, fresh_token, guarded, is_local, serve

PROGRAM = """
import asyncio
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from glidepath.registry import guarded, serve
async def drip():
    while not stopped:
        yield b"."
        await asyncio.sleep(0.01)

stopped = []
routes = [
    Route("/", lambda _: PlainTextResponse("hello")),
    Route("/stream", lambda _: StreamingResponse(drip())),
]
serve(guarded(routes), open_browser=False, on_stop=lambda: stopped.append(1))
print("ended")
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_server_prints_its_address_answers_and_ends_in_good_order(ending: signal.Signals) -> None:
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: extra [page]")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], text=True, **pipes) as server:  # type: ignore[call-overload]
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert answer.read() == b"hello"
                assert "server" not in answer.headers
            with urllib.request.urlopen(f"{address}stream", timeout=20) as stream:
                assert stream.read(1) == b"."
                server.send_signal(ending)
                rest, told = server.communicate(timeout=20)
        finally:
            server.kill()
    assert told == ""
    if ending == signal.SIGINT:
        assert (server.returncode, rest) == (0, "ended\n")
    else:
        assert server.returncode == -signal.SIGTERM


def test_a_port_that_is_in_use_is_told() -> None:
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: extra [page]")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(GlidepathError, match=f"nothing can listen at 127.0.0.1, port {port}: .*in use"):
            serve(None, port=port, open_browser=False)


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(MissingExtra, match=r"pages need starlette.*'glidepath-diffusion\[page\]'"):
        guarded([])
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match=r"pages need uvicorn.*'glidepath-diffusion\[page\]'"):
        serve(None)


def test_a_server_that_others_reach_has_a_token() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.3.4.5"):
        assert is_local(host)
        assert fresh_token(host) == ""
    for host in ("0.0.0.0", "::", "192.168.0.4", "lab.example"):
        assert not is_local(host)
        assert len(fresh_token(host)) >= 24
    assert fresh_token("0.0.0.0") != fresh_token("0.0.0.0")
