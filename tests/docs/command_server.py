"""Runs `glidepath` in forks of a process that has imported torch, so that no command waits for it.

Only packages of others are imported beforehand: each command imports glidepath and its plugins afresh.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SETTINGS = {
    "PYTHONUNBUFFERED": "1",
    "COLUMNS": "110",
    "TQDM_DISABLE": "1",
    "CUDA_VISIBLE_DEVICES": "",  # what the pages say of numbers is said of a CPU
}
# every optimizer imports torch._dynamo, in two seconds; studies and judgements the last two, in two more
_IMPORTED = ("torch", "torch._dynamo", "numpy", "omegaconf", "PIL.Image", "safetensors.torch")
_IMPORTED += ("scipy.stats", "matplotlib.figure")

_CLIENT = """\
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(ADDRESS)
    socket.send_fds(server, [b"-"], [0, 1, 2])
    call = {"argv": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ)}
    server.sendall(json.dumps(call).encode())
    server.shutdown(socket.SHUT_WR)
    status = server.recv(1)
sys.exit(status[0] if status else 1)
"""


@contextlib.contextmanager
def command_server() -> Iterator[str]:
    """The source of a program that has the server run `glidepath` with its arguments, streams and folder."""
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder, "socket"))
        with subprocess.Popen(
            [sys.executable, __file__, address],
            env=os.environ | SETTINGS,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as server:
            assert server.stdout is not None
            try:
                assert server.stdout.readline() == b"ready\n"
                yield f"#!{sys.executable} -IS\nADDRESS = {address!r}\n{_CLIENT}"
            finally:
                os.killpg(server.pid, signal.SIGKILL)


def _serve(address: str) -> int:
    """Answer calls until killed; returns, in a process of its own, the status of a command."""
    for name in _IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection:
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        call = json.loads(b"".join(iter(lambda: connection.recv(2**16), b"")))
        command = os.fork()
        if command:
            for stream in streams:
                os.close(stream)
            status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
            connection.sendall(bytes([status % 256]))
            os._exit(0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.argv = call["argv"]
    sys.path[0:1] = os.environ["PYTHONPATH"].split(os.pathsep)
    from glidepath.registry.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1]))
