"""`glidepath plugins`: what is installed, what it supplies, what is wrong with it and what would help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import attrs

from glidepath.registry.cli.arguments import CommandParser
from glidepath.registry.cli.opening import add_json_argument, open_catalogue
from glidepath.registry.cli.printing import indent, print_json, text_table
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.diagnosis import examine
from glidepath.registry.discovery.plugin_record import PluginFailures, PluginProblem, PluginRecord
from glidepath.registry.discovery.scan import own_version, unreadable

EPILOG = """\
A plugin that fails costs nothing but what it would have supplied, unless `--strict` is given: this command
ends with status 0 where plugins have problems, and with 1 under `--strict`.
To keep one from being imported, name it, its distribution, or distribution/name:

  GLIDEPATH_DISABLE=acme glidepath plugins                   all but acme
  GLIDEPATH_PLUGINS=glidepath-diffusion,acme glidepath list  none but these
  glidepath plugins --no-plugins                             none but glidepath's own
"""


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath plugins",
        description="The plugins that are installed, what they supply, and what is wrong with them.",
        epilog=EPILOG,
    )
    add_json_argument(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and every problem below it. With `--strict` a problem is an error, after the table."""
    strict, arguments.strict = arguments.strict, False
    catalogue = open_catalogue(arguments)
    records = examine(catalogue)
    others = unreadable()
    if arguments.json:
        documents = [
            attrs.asdict(record) | {"stage": record.stage, "works": record.works} for record in records
        ]
        unread = [{"file": file, "error": error} for file, error in others]
        print_json({"plugins": documents, "warnings": catalogue.warnings, "unreadable": unread})
    else:
        print(_text(catalogue, records, others))
    if strict and (failing := [record for record in records if record.problems]):
        raise PluginFailures(failing)
    return 0


def _text(catalogue: Catalogue, records: Sequence[PluginRecord], others: Sequence[tuple[str, str]]) -> str:
    blocks = [f"glidepath {own_version()}"]
    if records:
        rows = [
            (
                record.name or "-",
                record.distribution,
                record.version or "-",
                _status(record),
                _supplies(record),
            )
            for record in records
        ]
        blocks.append(text_table([("NAME", "DISTRIBUTION", "VERSION", "STATUS", "SUPPLIES"), *rows]))
    else:
        blocks.append(
            "no plugins are installed (is glidepath itself installed? `pip install -e .` in its folder)"
        )
    for title, field in (("problems", "problems"), ("parts that cannot be used here", "missing_extras")):
        failing = [(record, getattr(record, field)) for record in records if getattr(record, field)]
        if failing:
            blocks.append(f"{title}:\n" + "\n".join(indent(_problems_text(*entry)) for entry in failing))
    doubles = [
        f"{entry.component.kind} {entry.full_name} ({entry.distribution} {entry.version})"
        for entry in catalogue.components()
        if catalogue.spelling(entry) == entry.full_name
    ]
    if doubles:
        blocks.append("one name, several plugins; specs must write the whole:\n" + indent("\n".join(doubles)))
    warnings = [
        *catalogue.warnings,
        *(f"{record.title}: {warning}" for record in records for warning in record.warnings),
        *(f"{file} cannot be read, and may hide a plugin: {error}" for file, error in others),
    ]
    if warnings:
        blocks.append("warnings:\n" + indent("\n".join(warnings)))
    return "\n\n".join(blocks)


def _status(record: PluginRecord) -> str:
    if record.disabled:
        return f"disabled by {record.disabled}"
    if not record.works:
        return f"failed ({record.stage})"
    return "problems" if record.problems else "ok"


def _supplies(record: PluginRecord) -> str:
    """What a plugin supplies, by kind: "sampler ddim, ddpm; preset small"."""
    supplied: dict[str, list[str]] = {}
    for component in record.components:
        kind, _, name = component.partition("/")
        supplied.setdefault(kind, []).append(name)
    for what, names in (("kind", record.kinds), ("preset", record.presets), ("command", record.commands)):
        if names:
            supplied[what] = list(names)
    return "; ".join(f"{what} {', '.join(names)}" for what, names in supplied.items()) or "-"


def _problems_text(record: PluginRecord, problems: Sequence[PluginProblem]) -> str:
    lines = [record.title]
    for problem in problems:
        lines.append(f"  {problem.stage}: {problem.error}")
        lines += [f"    {line}" for line in (problem.where, problem.hint) if line]
    return "\n".join(lines)
