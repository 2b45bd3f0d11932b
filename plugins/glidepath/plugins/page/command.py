"""`glidepath page`: a page in the browser."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from glidepath.core import GlidepathError
from glidepath.registry import (
    CommandParser,
    UsageError,
    add_plugin_switches,
    fresh_token,
    natural_int,
    open_catalogue,
    serve,
    yaml_block,
)

PORT = 8440

EPILOG = """\
The page is for you, on this machine: nothing else reaches it, and it asks nothing of other hosts. With
--host it listens elsewhere; its address then has a token, and whoever has the address can use your machine.

examples:
  glidepath page
  glidepath page --spec my.yaml --out images/tuesday
  glidepath page --host 0.0.0.0 --port 8000 --allow-host lab.example
"""


def main(argv: Sequence[str]) -> int:
    """Serve the page until it is interrupted; returns 0.

    Raises:
        GlidepathError: a spec is not there or has problems, --out can be no folder, the port is in use, or
            the extra `page` is not installed.
    """
    arguments = parser().parse_args(argv)
    for file in arguments.specs:
        if not file.is_file():
            raise GlidepathError(f"--spec {file}: there is no such file")
    names = [file.name for file in arguments.specs]
    if len(set(names)) < len(names):
        raise UsageError("two files of --spec have one name; the page knows them by it")

    _require_folder(arguments.out)
    from glidepath.plugins.page.routes import application
    from glidepath.plugins.page.state import Desk

    desk = Desk(
        open_catalogue(arguments),
        files=arguments.specs,
        out=arguments.out,
        studies=arguments.studies,
        runs=arguments.runs,
        no_plugins=arguments.no_plugins,
    )
    for name in desk.specs.files:
        desk.specs.plan(yaml_block({"extends": name}))
    token = fresh_token(arguments.host)
    app = application(desk, token=token, hosts=set(arguments.hosts))
    serve(
        app,
        host=arguments.host,
        port=arguments.port,
        token=token,
        open_browser=not arguments.no_browser,
        on_stop=desk.news.close,
    )
    return 0


def _require_folder(out: Path) -> None:
    """Refuse what cannot be a folder of images, before anything is made for it."""
    there = next(it for it in (out.absolute(), *out.absolute().parents) if it.exists() or it.is_symlink())
    if not there.is_dir():
        raise GlidepathError(f"--out {out}: {there} is no folder; name one, and images are written into it")
    if not os.access(there, os.W_OK | os.X_OK):
        raise GlidepathError(f"--out {out}: nothing can be written into {there}")


def parser() -> argparse.ArgumentParser:
    """Its arguments. Completion in shells asks for them."""
    parser = CommandParser(
        prog="glidepath page",
        description="Mix parts, make images and compare them on a page in the browser.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--spec",
        dest="specs",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a spec of yours that those of the page may extend; may be repeated",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("images"),
        metavar="DIR",
        help="where images go (default: %(default)s)",
    )
    for name, default in (("studies", Path("runs/studies")), ("runs", Path("runs"))):
        parser.add_argument(
            f"--{name}",
            type=Path,
            default=default,
            metavar="DIR",
            help=f"the folder of {name} (default: %(default)s)",
        )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument(
        "--port", type=natural_int, default=PORT, help="0 for one that is free (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-host",
        dest="hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which the page is opened, beside localhost and addresses of digits; may be repeated",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    add_plugin_switches(parser)
    return parser
