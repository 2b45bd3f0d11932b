"""`glidepath plugins`: what is installed, what it supplies, what is wrong with it and what would help."""

from __future__ import annotations

import argparse

import attrs

from glidepath.registry.catalogue import Catalogue
from glidepath.registry.cli.common import (
    add_json_argument,
    indent,
    open_catalogue,
    print_json,
    table,
    version,
)
from glidepath.registry.component import API_VERSION
from glidepath.registry.discovery import PluginRecord, unreadable

EPILOG = """\
A plugin that fails costs nothing but what it would have supplied, unless `--strict` is given.
To keep one from being imported, name it, its distribution, or distribution/name:

  GLIDEPATH_DISABLE=acme glidepath plugins         all but acme
  GLIDEPATH_PLUGINS=glidepath,acme glidepath list  none but these
  glidepath plugins --no-plugins                   none but glidepath's own
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "plugins",
        description="The plugins that are installed, what they supply, and what is wrong with them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and every fault below it. With `--strict` a fault is an error, after the table."""
    strict, arguments.strict = arguments.strict, False
    catalogue = open_catalogue(arguments)
    others = unreadable()
    if arguments.json:
        records = [
            attrs.asdict(record) | {"stage": record.stage, "works": record.works}
            for record in catalogue.records
        ]
        unread = [{"file": file, "error": error} for file, error in others]
        print_json({"plugins": records, "warnings": catalogue.warnings, "unreadable": unread})
    else:
        print(_text(catalogue, others))
    if strict:
        catalogue.require_working()
    return 0


def _text(catalogue: Catalogue, others: tuple[tuple[str, str], ...]) -> str:
    blocks = [f"glidepath {version()}, interfaces {API_VERSION}"]
    if catalogue.records:
        rows = [
            (it.name or "-", it.distribution, it.version or "-", _status(it), _supplies(it))
            for it in catalogue.records
        ]
        blocks.append(table([("NAME", "DISTRIBUTION", "VERSION", "STATUS", "SUPPLIES"), *rows]))
    else:
        blocks.append(
            "no plugins are installed (is glidepath itself installed? `pip install -e .` in its folder)"
        )
    if catalogue.failures:
        blocks.append("faults:\n" + "\n".join(indent(_faults(record)) for record in catalogue.failures))
    doubles = [
        f"{entry.component.kind} {entry.full_name}"
        for entry in catalogue.components()
        if catalogue.spelling(entry) == entry.full_name
    ]
    if doubles:
        blocks.append("one name, several plugins; specs must write the whole:\n" + indent("\n".join(doubles)))
    warnings = [
        *catalogue.warnings,
        *(f"{record.title}: {warning}" for record in catalogue.records for warning in record.warnings),
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
    return "faults" if record.faults else "ok"


def _supplies(record: PluginRecord) -> str:
    """What a plugin supplies, by kind: "sampler ddim, ddpm; preset shapes"."""
    supplied: dict[str, list[str]] = {}
    for component in record.components:
        kind, _, name = component.partition("/")
        supplied.setdefault(kind, []).append(name)
    for what, names in (("kind", record.kinds), ("preset", record.presets), ("command", record.commands)):
        if names:
            supplied[what] = list(names)
    return "; ".join(f"{what} {', '.join(names)}" for what, names in supplied.items()) or "-"


def _faults(record: PluginRecord) -> str:
    lines = [record.title]
    for fault in record.faults:
        lines.append(f"  {fault.stage}: {fault.error}")
        lines += [f"    {line}" for line in (fault.where, fault.hint) if line]
    return "\n".join(lines)
