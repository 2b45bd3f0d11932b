"""`glidepath import`: a spec from the folder of a pipeline of diffusers, or from a single file."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core import GlidepathError
from glidepath.registry import (
    CommandParser,
    cached_repository,
    did_you_mean,
    positive_int,
    write_text,
    yaml_block,
)

if TYPE_CHECKING:
    from glidepath.plugins.diffusers.imported import Imported

_HUB = "hub:"

EPILOG = """\
Reads model_index.json and the configuration of each part, as data: no code of the folder is run. The spec
names the folder's files, and has the schedule, sampler, number of steps and guidance of its pipeline.
What is not known of the folder is told, and what is missing of it. hub:OWNER/NAME is what
`hf download OWNER/NAME` left in the cache; nothing is fetched.

A single file of safetensors, under the names of its authors' code (Stable Diffusion, SDXL, SD 3, Flux), is
known by its tensors. The spec is that of the preset of its family, whose parts read the file itself. What the
file lacks is left blank, and told: name it with --tokenizer, or give with --config a folder of diffusers of
the same model, also one without weights.

examples:
  glidepath import ./sdxl-base --out sdxl.yaml
  glidepath import sd_xl_base_1.0.safetensors --tokenizer ./tokenizer --out sdxl.yaml
  glidepath import hub:owner/name --out sdxl.yaml
  glidepath import ./sdxl-base --refiner ./sdxl-refiner --out sdxl.yaml
  glidepath sample "a castle at dusk" --spec sdxl.yaml --set sampler=dpmpp-2m --out castle.png
"""


def main(argv: Sequence[str]) -> int:
    """Write the spec, or print it.

    Raises:
        GlidepathError: the folder or file cannot be read or is not known, or the spec cannot be written.
    """
    arguments = parser().parse_args(argv)
    from glidepath.plugins.diffusers.absent import absent
    from glidepath.plugins.diffusers.imported import controlled, refined

    out: Path | None = arguments.out
    beside = Path.cwd() if out is None else out.absolute().parent
    controls = [_located(name, beside) for name in arguments.control]
    imported = controlled(_read(arguments.model, arguments, beside), controls)
    if arguments.refiner is not None:
        imported = refined(imported, _read(arguments.refiner, arguments, beside))
    text = yaml_block(imported.spec) + "\n"
    if out is None:
        print(text, end="", flush=True)
    else:
        if out.exists() and not arguments.overwrite:
            raise GlidepathError(f"{out} is there already; --overwrite replaces it")
        write_text(out, text)
        print(out, flush=True)  # before what is said of it on the other stream
    for note in imported.notes:
        print(f"  {note}", file=sys.stderr)
    for missing in absent(imported.spec, lambda name: _place(name, beside)):
        print(f"  missing: {missing}", file=sys.stderr)
    return 0


def _read(name: str, arguments: Namespace, beside: Path) -> Imported:
    """The spec of a folder or a file."""
    from glidepath.plugins.diffusers.imported import read_folder
    from glidepath.plugins.diffusers.single import read_file

    given, named = _located(name, beside)
    if not given.exists():
        beside_it = [it.name for it in given.parent.iterdir()] if given.parent.is_dir() else []
        meant = did_you_mean(given.name, beside_it)
        raise GlidepathError("; ".join(filter(None, [f"there is no folder or file {name}", meant])))
    if not given.is_file():
        return read_folder(given, named, steps=arguments.steps)
    return read_file(
        given,
        named,
        config=_located(arguments.config, beside) if arguments.config else None,
        tokenizer=_located(arguments.tokenizer, beside)[1] if arguments.tokenizer else None,
        steps=arguments.steps,
    )


def _located(name: str, beside: Path) -> tuple[Path, str]:
    """The file or folder of a name, and how a spec that lies in `beside` names it.

    Raises:
        GlidepathError: it is a repository of the hub that was not downloaded.
    """
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


def _place(name: str, beside: Path) -> Path:
    """Where a file is that a spec in `beside` names, as seen from here."""
    if not name.startswith(_HUB):
        return Path(os.path.relpath(beside / name))
    owner, repository, *below = name.removeprefix(_HUB).split("/")
    cached = cached_repository(f"{owner}/{repository}")
    return Path(name) if cached is None else cached.joinpath(*below)


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath import",
        description="Make a spec of the folder of a pipeline of diffusers, or of a single file.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "model",
        metavar="FOLDER|FILE",
        help="a folder with a model_index.json, hub:OWNER/NAME, or a file of safetensors",
    )
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
        metavar="FOLDER|FILE",
        help="of SDXL's refiner: a second stage, which goes on from the noise that the first leaves",
    )
    parser.add_argument(
        "--tokenizer", metavar="FOLDER", help="of a single file: the folder of CLIP's tokenizer"
    )
    parser.add_argument(
        "--config", metavar="FOLDER", help="of a single file: a folder of diffusers that has what it lacks"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    return parser
