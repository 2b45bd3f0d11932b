"""Who may ask a server what: hosts, origins, a token, sizes; and the headers of every answer."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from glidepath.core.errors import GlidepathError
from glidepath.registry.discovery.extras import needed

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

MOST_BYTES = 1 << 20

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""What every answer says, unless it says otherwise itself: scripts and styles are files of the server."""


def guarded(
    routes: Sequence[Any],
    *,
    token: str = "",
    hosts: Collection[str] = (),
    most_bytes: int = MOST_BYTES,
    lifespan: Callable[[Any], Any] | None = None,
) -> App:
    """An application of starlette's routes behind these rules.

    - The name in the header Host is an address of digits, "localhost", that of this machine, or one of
      `hosts`: the name of a stranger's site that points here ("DNS rebinding") is refused with 421.
    - What a page of another site asks is refused with 403, but for opening a page by a link.
    - Where there is a token, it is asked for: in the address (`?token=`), which then stands in a cookie of
      this server alone, or as `Authorization: Bearer`. Without it: 401.
    - A body of more than `most_bytes` is refused with 413, also where its length is not said before.
    - Every answer has `HEADERS`. A `GlidepathError` is an answer with 400 and {"problem": its text}.

    hosts: names without a port. lifespan: as of starlette.

    Raises:
        MissingExtra: starlette is not installed.
    """
    applications = needed("starlette.applications", "pages", extra="page")
    json_response = needed("starlette.responses", "pages", extra="page").JSONResponse

    async def told(_request: Any, error: Exception) -> Any:
        return json_response({"problem": str(error)}, 413 if isinstance(error, _TooMuch) else 400)

    inner = applications.Starlette(
        routes=list(routes), lifespan=lifespan, exception_handlers={GlidepathError: told}
    )
    names = frozenset(host.lower() for host in ("localhost", socket.gethostname(), *hosts))
    return _Guard(inner, token, names, most_bytes)


class _TooMuch(GlidepathError):
    """More was sent than is taken."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most:,} bytes were sent")


class _Guard:
    """An ASGI application around another."""

    def __init__(self, app: Any, token: str, hosts: frozenset[str], most_bytes: int) -> None:
        self._app, self._token, self._hosts, self._most = app, token, hosts, most_bytes
        self._cookie = f"glidepath-{hashlib.sha256(token.encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        asked = _Asked(scope)
        answer = _Answer(send)
        refusal = self._refusal(asked)
        if refusal is not None:
            await answer.refuse(*refusal)
        elif self._token and asked.token:
            rest = urlencode([(key, value) for key, value in asked.query if key != "token"])
            cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            place = "/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else "")
            await answer.redirect(place, cookie)
        else:
            await self._app(scope, _bounded(receive, self._most), answer)

    def _refusal(self, asked: _Asked) -> tuple[int, str] | None:
        """The status and the reason of what is not answered."""
        if not self._is_ours(asked.host):
            return 421, f"this server does not answer to the name {asked.host!r}"
        if asked.of_another_site():
            return 403, "a page of another site may ask nothing here"
        if self._token and not self._knows(asked):
            return 401, "open the address that was printed where the server was started: it has the token"
        if asked.length > self._most:
            return 413, str(_TooMuch(self._most))
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host in self._hosts
        return True

    def _knows(self, asked: _Asked) -> bool:
        given = (asked.token, asked.cookie(self._cookie), asked.bearer)
        return any(hmac.compare_digest(it.encode(), self._token.encode()) for it in given if it)


class _Asked:
    """What is known of a request before its body."""

    def __init__(self, scope: Message) -> None:
        self._headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        self._safe = scope["method"] in ("GET", "HEAD")
        self.authority = self._headers.get("host", "").lower()
        self.query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        self.token = dict(self.query).get("token", "") if self._safe else ""
        self.bearer = self._headers.get("authorization", "").removeprefix("Bearer ")
        length = self._headers.get("content-length", "0")
        self.length = int(length) if length.isdecimal() and len(length) < 20 else 0

    @property
    def host(self) -> str:
        """The name of the header Host, without its port."""
        try:
            return urlsplit(f"//{self.authority}").hostname or ""
        except ValueError:
            return ""

    def of_another_site(self) -> bool:
        """Whether a browser says that a page from elsewhere asks; a link from elsewhere may open a page."""
        site = self._headers.get("sec-fetch-site", "none")
        opens = self._safe and self._headers.get("sec-fetch-mode") == "navigate"
        if site not in ("none", "same-origin") and not opens:
            return True
        origin = self._headers.get("origin")
        return origin is not None and origin.lower().partition("://")[2] != self.authority

    def cookie(self, name: str) -> str:
        """The value of a cookie, "" without it."""
        try:
            found = SimpleCookie(self._headers.get("cookie", "")).get(name)
        except CookieError:
            return ""
        return found.value if found else ""


class _Answer:
    """Sends, with `HEADERS`."""

    def __init__(self, send: Any) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            named = {name.lower() for name, _ in given}
            more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": given + [it for it in more if it[0] not in named]}
        await self._send(message)

    async def refuse(self, status: int, reason: str) -> None:
        body = json.dumps({"problem": reason}).encode()
        await self._whole(status, [(b"content-type", b"application/json")], body)

    async def redirect(self, place: str, cookie: str) -> None:
        headers = [(b"location", place.encode("latin-1", "replace")), (b"set-cookie", cookie.encode())]
        await self._whole(303, headers, b"")

    async def _whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self({"type": "http.response.body", "body": body})


def _bounded(receive: Any, most: int) -> Any:
    """What is received, until it is too much."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message: Message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > most:
                raise _TooMuch(most)
        return message

    return bounded
