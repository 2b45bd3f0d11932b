"""`glidepath import`: a spec from the folder of a pipeline of diffusers."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from glidepath.core import GlidepathError
from glidepath.registry import CommandParser, cached_repository, positive_int, write_text, yaml_block

_HUB = "hub:"

EPILOG = """\
Reads model_index.json and the configuration of each part, as data: no code of the folder is run. The spec
names the folder's files, and has the schedule, sampler, number of steps and guidance of its pipeline.
What is not known of the folder is told. hub:OWNER/NAME is what `hf download OWNER/NAME` left in the cache;
nothing is fetched.

examples:
  glidepath import ./sdxl-base --out sdxl.yaml
  glidepath import hub:owner/name --out sdxl.yaml
  glidepath import ./sdxl-base --refiner ./sdxl-refiner --out sdxl.yaml
  glidepath sample "a castle at dusk" --spec sdxl.yaml --set sampler=dpmpp-2m --out castle.png
"""


def main(argv: Sequence[str]) -> int:
    """Write the spec, or print it.

    Raises:
        GlidepathError: the folder cannot be read or is not known, or the spec cannot be written.
    """
    arguments = parser().parse_args(argv)
    from glidepath.plugins.diffusers.imported import read_folder, refined

    out: Path | None = arguments.out
    beside = Path.cwd() if out is None else out.absolute().parent
    controls = [_located(name, beside) for name in arguments.control]
    folder, prefix = _located(arguments.folder, beside)
    imported = read_folder(folder, prefix, steps=arguments.steps, controls=controls)
    if arguments.refiner is not None:
        refiner = read_folder(*_located(arguments.refiner, beside), steps=arguments.steps)
        imported = refined(imported, refiner)
    text = yaml_block(imported.spec) + "\n"
    if out is None:
        print(text, end="")
    else:
        if out.exists() and not arguments.overwrite:
            raise GlidepathError(f"{out} is there already; --overwrite replaces it")
        write_text(out, text)
        print(out, flush=True)  # before what is said of it on the other stream
    for note in imported.notes:
        print(f"  {note}", file=sys.stderr)
    return 0


def _located(name: str, beside: Path) -> tuple[Path, str]:
    """The folder of a name, and how a spec that lies in `beside` names it.

    Raises:
        GlidepathError: it is a file, or a repository of the hub that was not downloaded.
    """
    if Path(name).is_file():
        raise GlidepathError(
            f"{name} is a file, and what is imported is a folder with a model_index.json. Of a file of "
            "Stable Diffusion diffusers makes one: "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER); of SDXL, "
            "StableDiffusionXLPipeline does"
        )
    if not name.startswith(_HUB):
        return Path(name), Path(os.path.relpath(Path(name).absolute(), beside)).as_posix()
    repository = name.removeprefix(_HUB)
    cached = cached_repository(repository)
    if cached is None:
        raise GlidepathError(
            f"{name} is not in the cache of huggingface_hub here; get it first: "
            f"hf download {shlex.quote(repository)}"
        )
    return cached, name


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath import",
        description="Make a spec of the folder of a pipeline of diffusers.",
        epilog=EPILOG,
    )
    parser.add_argument("folder", metavar="FOLDER", help="has a model_index.json; or hub:OWNER/NAME")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the spec goes (default: it is printed)"
    )
    parser.add_argument(
        "--control",
        metavar="FOLDER",
        action="append",
        default=[],
        help="a ControlNet that it is to follow; several may be given",
    )
    parser.add_argument(
        "--steps", metavar="N", type=positive_int, help="how many (default: as its pipeline has it)"
    )
    parser.add_argument(
        "--refiner",
        metavar="FOLDER",
        help="of SDXL's refiner: a second stage, which goes on from the noise that the first leaves",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    return parser
