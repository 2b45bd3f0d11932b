"""The addresses of the page: its files, and what it asks for as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from glidepath.core import GlidepathError
from glidepath.plugins.page.jobs import TooMany
from glidepath.plugins.page.seldom import Seldom
from glidepath.plugins.page.state import Desk
from glidepath.registry import guarded, needed

MOST_BYTES = 24 * 2**20
"""Of one request, its pictures in base64 among it."""

STATIC = Path(__file__).parent / "static"
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def application(desk: Desk, *, token: str = "", hosts: frozenset[str] | set[str] = frozenset()) -> Any:
    """The application of ASGI that answers for a desk.

    Raises:
        MissingExtra: starlette is not installed.
    """
    needed("starlette", "pages", extra="page")
    return guarded(
        _routes(desk),
        token=token,
        hosts=hosts,
        most_bytes=MOST_BYTES,
        lifespan=_lifespan(desk),
    )


def _lifespan(desk: Desk) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        desk.start()
        try:
            yield
        finally:
            desk.close()

    return lifespan


def _routes(desk: Desk) -> list[Any]:
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in _KINDS}

    def static(request: Any) -> Any:
        name = request.path_params.get("name", "index.html")
        if name not in files:
            return Response("there is no such file", 404)
        return Response(files[name], media_type=_KINDS[Path(name).suffix])

    def image(request: Any) -> Any:
        file = desk.history.file(request.path_params["name"])
        headers = {"cache-control": "private, max-age=31536000, immutable"}
        if "download" in request.query_params:
            headers["content-disposition"] = f'attachment; filename="{file.name}"'
        return Response(file.read_bytes(), media_type="image/png", headers=headers)

    def frame(request: Any) -> Any:
        given = request.path_params
        data = desk.frame(given["id"], given["index"], given["what"])
        kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
        return Response(data, media_type=kind, headers={"cache-control": "private, max-age=3600"})

    def sheet(request: Any) -> Any:
        given = request.path_params
        kind = "study" if request.url.path.startswith("/studies/") else "run"
        return Response(desk.work.sheet(kind, given["name"], given["file"]), media_type="image/png")

    def report(request: Any) -> Any:
        # what is in it is a study's: it runs nothing, and asks nothing of this server
        rules = (
            "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
        )
        headers = {"content-security-policy": rules}
        return Response(
            desk.work.report(request.path_params["name"]), media_type="text/html", headers=headers
        )

    async def events(_request: Any) -> Any:
        return StreamingResponse(
            desk.news.watch(), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    return [
        Route("/", static),
        Route("/static/{name}", static),
        _asking("/api/begin", lambda _: desk.begin(), "GET"),
        _asking("/api/check", desk.check),
        _asking("/api/edit", desk.edit),
        _asking("/api/fits", desk.fits),
        _asking("/api/plan", desk.plan),
        _asking("/api/make", desk.make),
        _asking("/api/noise", desk.noise),
        _asking("/api/compare", desk.compare),
        _asking("/api/measure", desk.measure),
        _asking("/api/study", desk.study),
        _asking("/api/restore", desk.restore),
        _asking("/api/replay", desk.replay),
        _asking("/api/jobs/{id}", lambda data: desk.cancel(data["id"]), "DELETE"),
        _asking(
            "/api/images",
            lambda data: {"images": desk.history.listed(data.get("before", ""), data.get("find", ""))},
            "GET",
        ),
        _watched("/api/studies", desk.work.answers["study"]),
        _watched("/api/runs", desk.work.answers["run"]),
        _asking("/api/studies/stop", lambda data: desk.work.stop("study", str(data.get("name")))),
        _asking("/api/runs/stop", lambda data: desk.work.stop("run", str(data.get("name")))),
        _asking(
            "/api/studies/begin", lambda data: desk.work.begin(str(data.get("name")), str(data.get("what")))
        ),
        Route("/studies/{name:path}/report", report),
        Route("/studies/{name:path}/grids/{file}", sheet),
        Route("/runs/{name:path}/sheets/{file}", sheet),
        Route("/api/events", events),
        Route("/api/jobs/{id}/{index:int}/{what}", frame),
        Route("/images/{name}", image),
    ]


def _asking(path: str, answer: Callable[[Mapping[str, Any]], Mapping[str, Any]], method: str = "POST") -> Any:
    """A route whose answer is JSON: of a JSON object, or of what stands in its address."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def endpoint(request: Any) -> Any:
        if method == "POST":
            data = _json(request.headers.get("content-type", ""), await request.body())
        else:
            data = {**request.query_params, **request.path_params}
        try:
            return JSONResponse(await run_in_threadpool(answer, data))
        except TooMany as error:
            return JSONResponse({"problem": str(error)}, 429)
        except RecursionError as error:
            raise GlidepathError("what is asked is nested too deep") from error

    return Route(path, endpoint, methods=[method])


def _watched(path: str, seldom: Seldom) -> Any:
    """A route whose answer is the same for all: what was sent already is not sent again."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response
    from starlette.routing import Route

    async def endpoint(request: Any) -> Any:
        answer = seldom.known() or await run_in_threadpool(seldom.latest)
        headers = {"etag": answer.tag, "cache-control": "private, no-cache"}
        if request.headers.get("if-none-match") == answer.tag:
            return Response(status_code=304, headers=headers)
        status = 400 if answer.problem else 200
        return Response(answer.body, status, headers, media_type="application/json")

    return Route(path, endpoint)


def _json(kind: str, body: bytes) -> Mapping[str, Any]:
    """What a JSON object holds. The kind of content is asked for: a form of another site cannot send it."""
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise GlidepathError("what is asked is JSON: content-type: application/json")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise GlidepathError(f"what is asked is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise GlidepathError("what is asked is a JSON object")
    return data
