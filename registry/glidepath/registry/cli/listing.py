"""`glidepath list`: the parts and presets that are installed."""

from __future__ import annotations

import argparse

from glidepath.registry.cli.arguments import CommandParser
from glidepath.registry.cli.opening import add_json_argument, open_catalogue
from glidepath.registry.cli.printing import note_failures, print_json, text_table
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import NotFound
from glidepath.registry.text.problems import UsageError, did_you_mean, with_names

EPILOG = """\
A name in the second column is what a spec writes behind `use:`. Where two plugins supply one name, both stand
here with the name of their distribution, and the spec must say which.

examples:
  glidepath list
  glidepath list sampler
  glidepath list preset --json
"""


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath list",
        description="The parts and presets that are installed.",
        epilog=EPILOG,
    )
    parser.add_argument("kind", metavar="KIND", nargs="?", help="only these: sampler, denoiser, ..., preset")
    add_json_argument(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the table.

    Raises:
        UsageError: there is no such kind.
    """
    catalogue = open_catalogue(arguments)
    kinds = [*catalogue.kinds, "preset"]
    if arguments.kind not in (None, *kinds):
        hint = did_you_mean(arguments.kind, kinds) or f"`glidepath show {arguments.kind}` shows a part"
        raise UsageError(with_names(f"there is no kind of part {arguments.kind!r}", hint, kinds))
    entries = [entry for entry in _entries(catalogue) if arguments.kind in (None, entry["kind"])]
    if arguments.json:
        print_json(entries)
        return 0
    if entries:
        rows = [
            (entry["kind"], entry["use"], f"{entry['distribution']} {entry['version']}", entry["summary"])
            for entry in entries
        ]
        print(text_table([("KIND", "NAME", "FROM", "SUMMARY"), *rows]))
    else:
        print(f"no {arguments.kind or 'part'} is installed")
    note_failures(catalogue)
    return 0


def _entries(catalogue: Catalogue) -> list[dict[str, str]]:
    try:
        default = catalogue.default_preset()
    except NotFound:
        default = ""
    entries = []
    for part in catalogue.components():
        component = part.component
        whose = (part.distribution, part.version, part.plugin, part.file)
        entries.append((component.kind, catalogue.spelling(part), component.name, *whose, component.summary))
    for spelling, preset in sorted(catalogue.presets().items()):
        record = catalogue.preset_source(spelling).record
        whose = (record.distribution, record.version, record.name, str(preset.file))
        summary = f"{preset.summary} (default)" if spelling == default else preset.summary
        entries.append(("preset", spelling, preset.name, *whose, summary))
    keys = ("kind", "use", "name", "distribution", "version", "plugin", "file", "summary")
    return [dict(zip(keys, entry, strict=True)) for entry in entries]
