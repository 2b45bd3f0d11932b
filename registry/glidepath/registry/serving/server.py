"""A server on a port of this machine, until it is interrupted."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from glidepath.core.errors import GlidepathError
from glidepath.registry.discovery.extras import needed


def is_local(host: str) -> bool:
    """Whether only programs of this machine reach a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def fresh_token(host: str) -> str:
    """A new token for a server that listens at `host`; "" where only this machine reaches it."""
    return "" if is_local(host) else secrets.token_urlsafe(24)


def address_of(host: str, port: int, name: str = "") -> str:
    """The address of a server that listens at `host`, as it is printed. name: of this machine, if any."""
    shown = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):
        shown = socket.gethostname()
    return f"http://{name or shown}:{port}/"


def serve(
    app: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str = "",
    open_browser: bool = True,
    on_stop: Callable[[], None] = lambda: None,
    name: str = "",
    pages: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Serve an application until SIGINT or SIGTERM. Its address is printed first, on a line of its own.

    name: of this machine, in what is printed (default: that of the host). pages: paths
    whose whole addresses are printed after it, by what stands before each.
    app: of ASGI, such as `guarded` makes. port: 0 for one that is free. token: part of the address that is
    printed and opened. open_browser: open the address in the browser of this machine, if it has one.
    on_stop: called when it is told to stop; answers without an end, such as streams of events, end there.

    Raises:
        MissingExtra: uvicorn is not installed.
        GlidepathError: the port is in use, or is not for this user.
    """
    uvicorn = needed("uvicorn", "pages", extra="page")
    with _listening(host, port) as listening:
        base = address_of(host, listening.getsockname()[1], name)
        address = base + (f"?token={token}" if token else "")
        links = [f"  {title}  {base}{path.removeprefix('/')}" for title, path in pages.items()]
        print("\n".join([address, *links]), flush=True)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=256,
            timeout_graceful_shutdown=1,
            lifespan="on",
            ws="none",
        )
        if open_browser:
            # a browser that runs in the terminal would wait for a server that waits for it
            threading.Thread(target=_open, args=(address,), daemon=True).start()
        server = uvicorn.Server(config)
        stop = server.handle_exit

        def handle_exit(number: int, frame: Any) -> None:
            on_stop()
            stop(number, frame)

        server.handle_exit = handle_exit
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GlidepathError(f"nothing can listen at {host}, port {port}: {reason}") from error


def _open(address: str) -> None:
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(address)
