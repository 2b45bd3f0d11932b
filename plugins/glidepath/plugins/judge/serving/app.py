"""The server for raters: a page, what it asks for, and nothing else."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from glidepath.plugins.judge.protocol.folder import Judgement
from glidepath.plugins.judge.serving.desk import Desk, NotNow, Unknown
from glidepath.registry import guarded, needed

MOST_BYTES: Final = 1000
"""Of an answer."""

_STATIC: Final = {
    "rate.html": "text/html; charset=utf-8",
    "rate.js": "text/javascript; charset=utf-8",
    "rate.css": "text/css; charset=utf-8",
}

_PROBLEM: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Judging pictures</title>
<p>{}</p>
</html>
"""


def application(judgement: Judgement, *, hosts: Collection[str] = ()) -> Any:
    """An ASGI application. Raters come by their links; nobody else sees more than that there is a server.

    hosts: names of this machine beside its addresses.

    Raises:
        MissingExtra: starlette is not installed.
        GlidepathError: the judgement is damaged.
    """
    needed("starlette", "pages", extra="page")
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    desk = Desk(judgement)
    files = {name: (Path(__file__).parent / name).read_bytes() for name in _STATIC}

    def file(name: str) -> Callable[[Any], Any]:
        return lambda _request: Response(files[name], media_type=_STATIC[name])

    def start(_request: Any) -> Any:
        return PlainTextResponse("Pictures are judged here. Open the link that you were given.\n")

    def told(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Unknown as error:
            return JSONResponse({"problem": str(error)}, 404)

    def opened(request: Any) -> Any:
        try:
            desk.state(request.path_params["link"])
        except Unknown as error:
            page = _PROBLEM.format(html.escape(str(error)))
            return Response(page, 404, media_type=_STATIC["rate.html"])
        return file("rate.html")(request)

    def task(request: Any) -> Any:
        return told(lambda: JSONResponse(desk.state(request.path_params["link"])))

    def picture(request: Any) -> Any:
        link, name = request.path_params["link"], request.path_params["name"]
        headers = {"cache-control": "private, max-age=3600"}
        return told(lambda: Response(desk.picture(link, name), media_type="image/png", headers=headers))

    async def answer(request: Any) -> Any:
        link, body = request.path_params["link"], await request.body()

        def work() -> Any:
            try:
                said = json.loads(body)
            except (ValueError, RecursionError):
                said = None
            try:
                return JSONResponse(desk.record(link, said))
            except NotNow as error:
                return JSONResponse({"problem": str(error), "state": desk.state(link)}, 409)

        return await run_in_threadpool(told, work)

    routes = [
        Route("/", start),
        Route("/rate.js", file("rate.js")),
        Route("/rate.css", file("rate.css")),
        Route("/r/{link:str}", opened),
        Route("/r/{link:str}/task", task),
        Route("/r/{link:str}/answer", answer, methods=["POST"]),
        Route("/r/{link:str}/p/{name:str}", picture),
    ]
    return guarded(routes, hosts=hosts, most_bytes=MOST_BYTES)
