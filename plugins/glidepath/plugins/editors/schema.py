"""`glidepath schema`: a JSON Schema of specs, for editors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from glidepath.registry import CommandParser, add_plugin_switches, note_failures, open_catalogue, write_text

EPILOG = """\
An editor with a YAML language server completes parts, parameters and presets with it, shows what they mean,
and marks what cannot be. Write it again when plugins are installed or removed. The first line of a spec may
name it:

  # yaml-language-server: $schema=glidepath.schema.json

examples:
  glidepath schema --out glidepath.schema.json
  glidepath schema --no-plugins
"""


def main(argv: Sequence[str]) -> int:
    """Print the schema, or write it and say where."""
    arguments = parser().parse_args(argv)
    from glidepath.plugins.editors.json_schema import spec_schema

    catalogue = open_catalogue(arguments)
    text = json.dumps(spec_schema(catalogue), indent=1, ensure_ascii=False)
    if arguments.out is None:
        print(text)
    else:
        write_text(arguments.out, text + "\n")
        print(arguments.out)
    note_failures(catalogue)
    return 0


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath schema",
        description="A JSON Schema of specs (draft 7), with a branch for each installed part.",
        epilog=EPILOG,
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there instead of printing it")
    add_plugin_switches(parser)
    return parser
