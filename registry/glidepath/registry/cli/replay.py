"""`glidepath replay`: make an image again from what it carries."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli.arguments import CommandParser, positive_int
from glidepath.registry.cli.drawing import draw, film_strips
from glidepath.registry.cli.filenames import IMAGES, numbered
from glidepath.registry.cli.opening import add_device_options, device_overrides, open_catalogue
from glidepath.registry.files.writing import free_place, require_writable

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan
    from glidepath.registry.records.manifest import Manifest

EPILOG = """\
Reads the spec, seed and prompts that the PNG carries, and the pictures that it started from, assembles
the same pipeline and makes the same image, or the same film. Says what is not as it was (versions,
weights, torch, device), and how far the new image is from the old one. The exit status is 0 if they are
equal pixel for pixel, 1 if not. Files of weights are looked for below the current directory, then beside
the image.

examples:
  glidepath replay images/a-green-star-seed0.png
  glidepath replay images/a-green-star-seed0.png --weights runs/mine/weights.safetensors
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
        "--batch",
        type=positive_int,
        metavar="N",
        help="images made at once (default: as the image says it was made, else 8)",
    )
    add_device_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Make the image again and compare.

    Raises:
        ImageError: the file carries no manifest.
        GlidepathError: a file of weights is not there.
        GlidepathError: it does not carry a picture that its image started from: that was too large.
        SpecError: its spec does not hold here; a part may not be installed.
        GlidepathError: the parts cannot be built.
    """
    import attrs

    from glidepath.registry.plan.planner import make_plan
    from glidepath.registry.records.differences import changes
    from glidepath.registry.records.images import grid, save_png
    from glidepath.registry.records.manifest import read_image
    from glidepath.registry.spec.spec import parse_spec
    from glidepath.registry.text.canonical_json import canonical_json

    old, then, is_film = read_image(arguments.image)
    images = then.images
    assert images is not None
    inputs = images.inputs()
    catalogue = open_catalogue(arguments)
    spec = parse_spec(
        canonical_json(then.spec, indent=2),
        str(arguments.image),
        device_overrides(arguments),
        catalogue=catalogue,
        untrusted=True,
        folder=Path(),
        beside=arguments.image.parent,
    )
    plan = make_plan(spec, catalogue)
    _require_weights(plan, then, arguments, catalogue)

    from glidepath.registry.assembly.build import build_pipeline
    from glidepath.registry.assembly.error_notes import naming_the_part
    from glidepath.registry.records.recording import describe_images

    film: list[list[Tensor]] | None = [] if is_film else None
    drawn_together = images.batch or images.keys
    require_writable(arguments.out or next(_names(arguments.image)))
    with naming_the_part(plan), _as_many_threads(then):
        pipeline = build_pipeline(plan, catalogue)
        now = describe_images(plan, pipeline, catalogue, attrs.evolve(images, pictures=inputs.carried()))
        differences = [change for change in changes(then, now) if change.section != "spec"]
        for change in differences:
            print(f"differs: {change.sentence()}", file=sys.stderr)
        size = arguments.batch or len(images.batch) or 8
        drawn = [image for some in draw(pipeline, drawn_together, size, inputs, film) for image in some]
    if images.batch:
        places = [drawn_together.index(key) for key in images.keys]
        drawn = [drawn[place] for place in places]
        film = None if film is None else [film[place] for place in places]
    new = grid(drawn, images.columns, images.scale) if film is None else film_strips(film, images.scale)
    with nullcontext(arguments.out) if arguments.out else free_place(_names(arguments.image)) as out:
        save_png(new, out, {"film": now.to_json()} if is_film else now.to_json())
    print(out)
    equal = _compare(old, new)
    if not equal and not differences and old.size == new.size:
        print(_why_else(then, arguments), file=sys.stderr)
    return 0 if equal else 1


def _names(image: Path) -> Iterator[Path]:
    """IMAGE-replay.png, then with -2, -3, ...: an earlier replay is kept.

    It is written where `sample` writes. The folder of an image from elsewhere may be no place for others: one
    of results, say, which stay as they came out.
    """
    ours = {Path().resolve(), IMAGES.resolve()}
    folder = image.parent if image.parent.resolve() in ours else IMAGES
    return numbered(folder / f"{image.stem}-replay.png")


def _require_weights(plan: Plan, then: Manifest, arguments: argparse.Namespace, catalogue: Catalogue) -> None:
    for path, address in plan.missing_weights(catalogue).items():
        if not path and arguments.weights is not None:
            raise GlidepathError(f"--weights {arguments.weights}: there is no such file")
        name = Path(address.value).name if address.scheme == "file" else str(address)
        hash_ = then.weights.get(path)
        whose = f" of {path}" if path else ""
        raise GlidepathError(
            f"{arguments.image} was made with weights{whose} from {name}"
            f"{f' (sha256 {hash_})' if hash_ else ''}, which is neither below the current directory nor "
            f"beside the image: {'put it there' if path else 'name it with --weights FILE'}"
        )


@contextmanager
def _as_many_threads(then: Manifest) -> Iterator[None]:
    """Within, torch computes with as many threads as when the image was made, where it says."""
    import torch

    recorded, before = then.environment.get("threads", ""), torch.get_num_threads()
    threads = int(recorded) if recorded.isdecimal() and len(recorded) <= 3 else before
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _why_else(then: Manifest, arguments: argparse.Namespace) -> str:
    """Why an image differs where nothing that it carries does."""
    reasons = ["some part of the pipeline is not deterministic: its seed does not decide it"]
    images = then.images
    if arguments.batch is not None or (images is not None and len(images.keys) > 1 and not images.batch):
        reasons.append("images were made in batches of another size, and so were rounded otherwise")
    if "threads" not in then.environment:
        reasons.append("it was made with another number of threads, which it does not tell")
    return f"nothing else differs: {'; or '.join(reasons)}"


def _compare(old: Image, new: Image) -> bool:
    """Say how far two images are from each other; whether they are equal."""
    import numpy as np

    if old.size != new.size:
        print(f"the image differs: it was {old.size[0]}x{old.size[1]}, and is {new.size[0]}x{new.size[1]}")
        return False
    distance = np.abs(np.asarray(old, dtype=np.int16) - np.asarray(new, dtype=np.int16))
    if not distance.any():
        print("the same image, pixel for pixel")
        return True
    share = float((distance > 0).any(-1).mean())
    print(f"the image differs in {share:.1%} of its pixels, by {distance.max()} of 255 at most")
    return False
