"""`glidepath data`: what a spec's dataset holds, before it is trained on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core import GlidepathError
from glidepath.registry import (
    CommandParser,
    add_json_argument,
    add_plugin_switches,
    add_spec_arguments,
    natural_int,
    note_failures,
    open_plan,
    positive_int,
    print_json,
    read_lines,
    require_writable,
    write_text,
    write_whole,
)

if TYPE_CHECKING:
    from glidepath.plugins.train.data.dataset import CaptionedDataset

_TOGETHER = 8

EPILOG = """\
Every picture is read once: those that are damaged, that are there twice or look alike, and how long
captions are against what the text encoder reads.

examples:
  glidepath data my.yaml
  glidepath data my.yaml --sheet pictures.png --count 64
  glidepath data my.yaml --words words.txt
"""


def main(argv: Sequence[str]) -> int:
    """Tell what a dataset holds. Returns 0, or 1 where pictures cannot be read.

    Raises:
        SpecError: the spec has problems.
        GlidepathError: it has no dataset, or this cannot be read, or a file cannot be written.
    """
    arguments = parser().parse_args(argv)
    catalogue, plan = open_plan(arguments)
    note_failures(catalogue)
    if "data" not in plan.parts:
        raise GlidepathError(f"{arguments.spec} has no dataset (`data`)")
    for file in filter(None, (arguments.sheet, arguments.words)):
        require_writable(file)
    words = _words(arguments.words)

    import attrs

    from glidepath.plugins.train.data.report import report_on, told
    from glidepath.registry import build_parts

    slots = [slot for slot in ("data", "text_encoder") if slot in plan.parts]
    parts: dict[str, Any] = dict(build_parts(plan, slots, catalogue, load=False))
    report = report_on(parts["data"], parts.get("text_encoder"), arguments.seed, _shown)
    if arguments.json:
        print_json(attrs.asdict(report))
    else:
        print("\n".join(told(report)))
    if arguments.sheet is not None:
        _write_sheet(parts["data"], arguments.sheet, arguments.seed, arguments.count)
    if arguments.words is not None:
        write_text(arguments.words, "".join(f"{word}\n" for word in [*words, *sorted(report.unknown)]))
    for file in filter(None, (arguments.sheet, arguments.words)):
        if not arguments.json:
            print(file)
    return 1 if report.damaged else 0


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath data", description="Tell what a spec's dataset holds.", epilog=EPILOG
    )
    add_spec_arguments(parser)
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="also write some pictures, as they are trained on, as a PNG",
    )
    parser.add_argument(
        "--words",
        type=Path,
        metavar="FILE",
        help="also add the words that the text encoder does not know to a file, one a line; a "
        "tokenizer `words` reads it as `file`",
    )
    parser.add_argument("--count", type=positive_int, default=32, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=natural_int, default=0, help="which of them (default: %(default)s)")
    add_json_argument(parser)
    add_plugin_switches(parser)
    return parser


def _write_sheet(dataset: CaptionedDataset, path: Path, seed: int, count: int) -> None:
    from glidepath.plugins.train.data.sheet import contact_sheet

    images: list[Any] = []
    captions: list[str] = []
    for step in range(-(-count // _TOGETHER)):  # a batch has one size, and the next may have another
        batch, said = dataset.batch(seed, step, _TOGETHER)
        images += batch
        captions += said
    sheet = contact_sheet(images[:count], captions[:count])
    write_whole(path, lambda partial: sheet.save(partial, format="PNG"))


def _words(path: Path | None) -> list[str]:
    """Those that a file has, which stay before what is added: their ids stay."""
    try:
        return read_lines(path) if path is not None and path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise GlidepathError(f"cannot add words to {path}: {error}") from error


def _shown(items: Iterable[Any], what: str) -> Iterable[Any]:
    from tqdm import tqdm

    shown: Iterable[Any] = tqdm(
        items, what, leave=False, delay=2, mininterval=0.1 if sys.stderr.isatty() else 60.0
    )
    return shown
