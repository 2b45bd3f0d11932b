"""`glidepath convert`: safetensors and a spec from a checkpoint of GLIDE or of ADM."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from glidepath.core import GlidepathError
from glidepath.registry import CommandParser, add_plugin_switches, key_value, note_failures, open_catalogue

EPILOG = """\
Recognises the files that OpenAI published of GLIDE (base, upsample, inpaint, CLIP) and of ADM
(guided-diffusion: diffusion, upsampler, classifier), and those of the same architectures with other
hyperparameters, by the names and shapes of their tensors. Only tensors are read: no file can run code.

Beside each file it writes NAME.safetensors and NAME.yaml; with a base model and its upsampler, or with
a model and its classifier or CLIP, also a spec of both together. The two files of a CLIP make one.

examples:
  glidepath convert base.pt upsample.pt --vocabulary glide_text2im/tokenizer
  glidepath convert 64x64_diffusion.pt 64x64_classifier.pt --out adm
  glidepath convert clip_text_enc.pt clip_image_enc.pt
  glidepath convert ema_0.9999_100000.pt --set denoiser.image_size=32 --set denoiser.heads=4
"""


def main(argv: Sequence[str]) -> int:
    """Convert, and say what was made. Nothing is written unless everything can be.

    Raises:
        SpecError: what `--set` gives does not fit.
        GlidepathError: a file cannot be read, recognised or written.
    """
    arguments = parser().parse_args(argv)
    from glidepath.plugins.convert.checkpoint import read_checkpoints
    from glidepath.plugins.convert.conversion import Converter
    from glidepath.plugins.convert.settings import read_settings

    if arguments.vocabulary is not None and not arguments.vocabulary.is_dir():
        raise GlidepathError(f"--vocabulary {arguments.vocabulary}: there is no such folder")
    settings = read_settings(arguments.settings)
    catalogue = open_catalogue(arguments)
    note_failures(catalogue)
    checkpoints = read_checkpoints(arguments.paths, arguments.key)
    converter = Converter(
        catalogue=catalogue,
        out=arguments.out,
        vocabulary=arguments.vocabulary,
        settings=settings,
        command=shlex.join(["glidepath", "convert", *argv]),
    )
    conversions = converter.plan(checkpoints)
    written = [path for it in conversions for path in (it.weights, it.spec) if path is not None]
    _require_free(written, arguments.overwrite, {it.absolute() for it in arguments.paths})
    for it in conversions:
        it.write()
        for line in it.summary:
            print(line)
        if it.weights is not None:
            print(it.weights)
        print(it.spec, flush=True)  # before what is said of it on the other stream
        for note in it.notes:
            print(f"  {note}", file=sys.stderr)
    return 0


def _require_free(paths: Sequence[Path], overwrite: bool, read: set[Path]) -> None:
    twice = {path for path in paths if paths.count(path) > 1}
    if twice:
        names = ", ".join(map(str, sorted(twice)))
        raise GlidepathError(
            f"two of the files would become {names}; convert them one at a time, or rename one"
        )
    there = [path for path in paths if path.exists()]
    lost = [path for path in there if path.absolute() in read]
    if lost:
        raise GlidepathError(f"{lost[0]} is to be read and would be overwritten; choose another --out")
    if there and not overwrite:
        names = ", ".join(map(str, there))
        raise GlidepathError(f"there already: {names}; --overwrite replaces, --out FOLDER writes elsewhere")


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath convert",
        description="Make safetensors and a spec of a checkpoint of GLIDE or of ADM.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        type=Path,
        nargs="+",
        help="a checkpoint, .pt or .safetensors; one or several; all shards of one, or their .index.json",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where the files go (default: beside each checkpoint)"
    )
    parser.add_argument(
        "--vocabulary",
        type=Path,
        metavar="FOLDER",
        help="has encoder.json and vocab.bpe, or bpe_simple_vocab_16e6.txt.gz (default: beside the file)",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        type=key_value,
        dest="settings",
        action="append",
        default=[],
        help="what no tensor shows, such as denoiser.image_size=32 or denoiser.heads=4; may be repeated",
    )
    parser.add_argument(
        "--key",
        metavar="KEY",
        help="which of several networks in a file is meant: ema, model.state_dict, or a prefix of names",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    add_plugin_switches(parser)
    return parser
