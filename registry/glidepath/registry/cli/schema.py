"""`glidepath schema`: a JSON Schema of specs, for editors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from glidepath.registry.cli.common import note_failures, open_catalogue
from glidepath.registry.files.writing import write_text

EPILOG = """\
An editor with a YAML language server completes parts, parameters and presets with it, shows what they mean,
and marks what cannot be. Write it again when plugins are installed or removed. The first line of a spec may
name it:

  # yaml-language-server: $schema=glidepath.schema.json

examples:
  glidepath schema --out glidepath.schema.json
  glidepath schema --no-plugins
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "schema",
        description="A JSON Schema of specs (draft 7), with a branch for each installed part.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there instead of printing it")


def run(arguments: argparse.Namespace) -> int:
    """Print the schema, or write it and say where."""
    from glidepath.registry.cli.json_schema import spec_schema

    catalogue = open_catalogue(arguments)
    text = json.dumps(spec_schema(catalogue), indent=1, ensure_ascii=False)
    if arguments.out is None:
        print(text)
    else:
        write_text(arguments.out, text + "\n")
        print(arguments.out)
    note_failures(catalogue)
    return 0
