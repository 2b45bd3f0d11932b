"""`glidepath diff`: what differs between two specs, locks or images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli.arguments import CommandParser
from glidepath.registry.cli.opening import add_json_argument, open_plan
from glidepath.registry.cli.printing import print_error, print_json
from glidepath.registry.text.problems import SpecError

if TYPE_CHECKING:
    from glidepath.registry.records.differences import Change
    from glidepath.registry.records.manifest import Manifest

EPILOG = """\
Each of A and B is a spec (a file or a preset), a lock (.json), or an image that `glidepath sample` wrote
(.png). Specs are compared as they resolve here, with every default; weights by what is in them, not by their
names; what only one of A and B tells is not compared. The exit status is 0 if they are equal, 1 if they
differ, 2 if one cannot be read.

examples:
  glidepath diff glide-base glide-upsample
  glidepath diff my.yaml my.lock.json
  glidepath diff images/one.png images/two.png --json
"""

_TITLES = {
    "distributions": "distributions",
    "requires": "what distributions require",
    "code": "files of distributions (sha256)",
    "files": "files that parameters name (sha256)",
    "weights": "weights (sha256)",
    "environment": "environment",
    "images": "images",
}
_NONE = {"weights": "of the whole spec"}


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath diff",
        description="What differs between two specs, locks or images, part by part.",
        epilog=EPILOG,
    )
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a spec, a preset, a lock or an image")
    parser.add_argument(
        "--allow-env", action="store_true", help="let specs read environment variables: ${oc.env:NAME}"
    )
    add_json_argument(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print what differs. Returns 0 for nothing, 1 for something, 2 after an error, which it tells.

    Raises:
        SpecError: a spec has problems.
    """
    from glidepath.registry.records.differences import changes

    try:
        (a, a_sort), (b, b_sort) = (_manifest(name, arguments) for name in (arguments.a, arguments.b))
        differences = changes(a, b)
    except SpecError:
        raise
    except GlidepathError as error:
        print_error(error)
        return 2
    if arguments.json:
        sides = {"a": {"name": arguments.a, "sort": a_sort}, "b": {"name": arguments.b, "sort": b_sort}}
        print_json(
            {**sides, "equal": not differences, "changes": [_as_json(change) for change in differences]}
        )
    elif differences:
        print(_text(differences))
    else:
        print("no difference")
    return int(bool(differences))


def _manifest(name: str, arguments: argparse.Namespace) -> tuple[Manifest, str]:
    """The manifest of a spec, a lock or an image, and which of them it is."""
    path = Path(name)
    if path.suffix.lower() == ".png":
        from glidepath.registry.records.manifest import read_image

        return read_image(path)[1], "image"
    if path.suffix.lower() == ".json":
        from glidepath.registry.records.lock import read_lock

        return read_lock(path), "lock"
    from glidepath.registry.records.recording import describe_plan

    catalogue, plan = open_plan(argparse.Namespace(**{"spec": name, "overrides": [], **vars(arguments)}))
    return describe_plan(plan, catalogue), "spec"


def _as_json(change: Change) -> dict[str, Any]:
    """A change as plain values; a side that has no value lacks its key."""
    from glidepath.registry.records.differences import ABSENT

    values = {"was": change.was, "now": change.now}
    there = {name: value for name, value in values.items() if value is not ABSENT}
    return {"section": change.section, "path": change.path, **there}


def _text(differences: list[Change]) -> str:
    from glidepath.registry.records.differences import shown

    lines: list[str] = []
    title = ""
    for change in differences:
        head, name = _place(change)
        if head != title:
            lines.append(head)
            title = head
        was, now = shown(change.was), shown(change.now)
        lines.append(f"  {name}: {was} -> {now}" if name else f"  {was} -> {now}")
    return "\n".join(lines)


def _place(change: Change) -> tuple[str, str]:
    """Under which title a change stands, and under which name there."""
    if change.section != "spec":
        return _TITLES[change.section], change.path or _NONE.get(change.section, "")
    words = change.path.split(".")
    depth = 3 if words[0] == "stages" else 1
    return ".".join(words[:depth]), ".".join(words[depth:])
