"""`glidepath replay`: make an image again from what it carries."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli.arguments import CommandParser, positive_int
from glidepath.registry.cli.opening import add_device_options, device_overrides, open_catalogue
from glidepath.registry.files.writing import free_place, require_writable
from glidepath.registry.records.filenames import IMAGES, numbered
from glidepath.registry.text.named_files import models_folders

EPILOG = """\
Reads the spec, seed and prompts that the PNG carries, and the pictures that it started from, assembles
the same pipeline and makes the same image, or the same film. Says what is not as it was (versions,
weights and other files, torch, device), and how far the new image is from the old one. The exit status is
0 if they are equal pixel for pixel, 1 if not. Files are looked for below the current directory, then beside
the image, and by what is in them in folders of models.

examples:
  glidepath replay images/a-red-apple-3d-seed0.png
  glidepath replay images/a-red-apple-3d-seed0.png --weights runs/mine/weights.safetensors
  glidepath replay a-castle-at-dusk-seed0.png --models ~/models
"""


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath replay",
        description="Make an image again from what it carries.",
        epilog=EPILOG,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE.png", help="a PNG that `glidepath sample` wrote")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where the new PNG goes; a file that is there is replaced (default: IMAGE-replay.png, or "
        "IMAGE-replay-2.png and so on where that is there: beside an image in the current directory or its "
        "images/, and in images/ for one from elsewhere)",
    )
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        action="append",
        default=[],
        help="a folder of models, in which what it was made from is found by name and content; may be "
        "repeated (default: those of GLIDEPATH_MODELS)",
    )
    parser.add_argument(
        "--batch",
        type=positive_int,
        metavar="N",
        help="images made at once (default: as the image says it was made, else 8)",
    )
    add_device_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Make the image again, write it, and say how far it is from the old one. Raises as `replay` does."""
    from glidepath.registry.records.images import save_png
    from glidepath.registry.records.replay import replay

    weights = arguments.weights
    if weights is not None and ":" not in weights and not Path(weights).exists():
        raise GlidepathError(f"--weights {weights}: there is no such file")
    for folder in arguments.models or ():
        if not folder.is_dir():
            raise GlidepathError(f"--models {folder}: there is no such folder")
    require_writable(arguments.out or next(_names(arguments.image)))
    made_again = replay(
        arguments.image,
        open_catalogue(arguments),
        device_overrides(arguments),
        batch=arguments.batch,
        models=arguments.models or models_folders(),
        on_change=lambda change: print(f"differs: {change.sentence()}", file=sys.stderr),
    )
    with nullcontext(arguments.out) if arguments.out else free_place(_names(arguments.image)) as out:
        save_png(made_again.picture, out, made_again.carried)
    print(out)
    print(made_again.difference or "the same image, pixel for pixel")
    if made_again.difference and made_again.cause:
        print(made_again.cause, file=sys.stderr)
    return 1 if made_again.difference else 0


def _names(image: Path) -> Iterator[Path]:
    """IMAGE-replay.png, then with -2, -3, ...: an earlier replay is kept.

    It is written where `sample` writes. The folder of an image from elsewhere may be no place for others: one
    of results, say, which stay as they came out.
    """
    ours = {Path().resolve(), IMAGES.resolve()}
    folder = image.parent if image.parent.resolve() in ours else IMAGES
    return numbered(folder / f"{image.stem}-replay.png")
