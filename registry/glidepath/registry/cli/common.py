"""What several commands do alike: opening the catalogue and a spec, and printing."""

from __future__ import annotations

import argparse
import contextlib
import sys
import textwrap
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from glidepath.registry.cli.arguments import Parser
from glidepath.registry.cli.telling import warn_once
from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
from glidepath.registry.discovery.scan import DISTRIBUTION

if TYPE_CHECKING:
    from glidepath.registry.plan.plan import Plan
    from glidepath.registry.spec.spec import Spec
    from glidepath.registry.text.problems import Problem

WIDTH = 118
"""How wide tables that wrap are, in characters."""


def open_catalogue(
    arguments: argparse.Namespace, *, allow: Collection[str] | None = None, deny: Collection[str] = ()
) -> Catalogue:
    """The catalogue under the command's `--no-plugins` and `--strict`. Warns of a switch that names nothing.

    Raises:
        PluginFailures: a plugin fails, and the command is strict.
    """
    # What a plugin prints while it is imported must not end up in a --json document.
    with contextlib.redirect_stdout(sys.stderr):
        catalogue = load_catalogue(no_plugins=arguments.no_plugins, allow=allow, deny=deny)
    for warning in catalogue.warnings:
        warn_once(warning)
    if arguments.strict:
        catalogue.require_working()
    return catalogue


def add_spec_arguments(parser: argparse.ArgumentParser, *, training: bool = False) -> None:
    """SPEC and what changes its reading. training: as of `guesses.meaning`."""
    parser.add_argument("spec", metavar="SPEC", help="a YAML file, or the name of a preset")
    add_spec_options(parser, training=training)


def add_spec_options(parser: argparse.ArgumentParser, *, training: bool = False) -> None:
    """What changes the reading of a spec: `--set`, `--allow-env`. training: as of `guesses.meaning`."""
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help="change a value, such as sampler.steps=50 or guidance[0].scale=3; may be repeated",
    )
    parser.add_argument(
        "--allow-env", action="store_true", help="let the spec read environment variables: ${oc.env:NAME}"
    )
    if isinstance(parser, Parser):
        parser.meaning = partial(_meaning, parser, training)


def _meaning(parser: argparse.ArgumentParser, training: bool, option: str, value: str) -> str:
    from glidepath.registry.cli.guesses import meaning

    return meaning(option, value, parser._option_string_actions, training=training)


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def open_spec(arguments: argparse.Namespace) -> tuple[Catalogue, Spec]:
    """The spec that a command was given, and the catalogue under that spec's `plugins` section.

    Raises:
        SpecError: the spec has faults.
        PluginFailures: a plugin fails, and the command is strict.
    """
    from glidepath.registry.spec.spec import plugin_switches, read_spec

    switches = plugin_switches(arguments.spec, arguments.overrides)
    catalogue = open_catalogue(arguments, allow=switches.allow, deny=switches.deny)
    spec = read_spec(arguments.spec, arguments.overrides, catalogue=catalogue, allow_env=arguments.allow_env)
    return catalogue, spec


def heed_warnings(plan: Plan, arguments: argparse.Namespace) -> None:
    """Say on the standard error what of a plan's spec is to go.

    Raises:
        SpecError: something is, and the command is strict.
    """
    from glidepath.registry.text.problems import SpecError

    if plan.warnings and arguments.strict:
        raise SpecError(plan.warnings)
    for problem in plan.warnings:
        warn_once(problem.render())


def doubts(plan: Plan, catalogue: Catalogue) -> list[Problem]:
    """What of a right plan will not make the images that are meant: other training, and what is not there."""
    from glidepath.registry.plan.missing_files import lacking
    from glidepath.registry.plan.training_mismatch import trained_otherwise

    return [*trained_otherwise(plan, catalogue), *lacking(plan, catalogue)]


def version() -> str:
    """Our own version, "unknown" when glidepath runs from a source tree without being installed."""
    from glidepath.registry.discovery.scan import installed_version

    return installed_version(DISTRIBUTION) or "unknown"


def table(rows: Iterable[Sequence[str]], *, wrap: bool = False) -> str:
    """Rows as text, columns aligned.

    wrap: break the last column into lines, of 40 characters at least.
    """
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    before = sum(width + 2 for width in widths[:-1])
    room = max(40, WIDTH - before)
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        pieces = [" ".join(row[-1].splitlines()).strip()]
        if wrap:
            pieces = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
        lines.append("  ".join([*cells, pieces[0]]).rstrip())
        lines += [" " * before + piece for piece in pieces[1:]]
    return "\n".join(lines)


def shorten(text: str, width: int = 60) -> str:
    """A text that fits into a cell of a table."""
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def indent(text: str, by: int = 2) -> str:
    """Every line moved to the right."""
    return "\n".join(" " * by + line if line else line for line in text.splitlines())


def print_json(document: object) -> None:
    """One JSON document on the standard output."""
    import json

    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def note_failures(catalogue: Catalogue) -> None:
    """Say on the standard error that something that is installed does not work, if so."""
    count = len(catalogue.failures)
    if count:
        plugins = "1 plugin has faults" if count == 1 else f"{count} plugins have faults"
        named = [f"{it.title}: {it.stage}: {shorten(it.error)}" for it in catalogue.failures]
        note = "\n    ".join([f"glidepath: note: {plugins}; `glidepath plugins` tells more", *named])
        print(note, file=sys.stderr)
