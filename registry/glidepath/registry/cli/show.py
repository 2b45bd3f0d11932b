"""`glidepath show`: one part, with its parameters and how a spec names it; or a preset."""

from __future__ import annotations

import argparse
import inspect

import attrs

from glidepath.registry.cli.arguments import CommandParser
from glidepath.registry.cli.opening import add_json_argument, open_catalogue
from glidepath.registry.cli.printing import indent, note_failures, print_json, shorten, text_table
from glidepath.registry.describe.component import Preset
from glidepath.registry.describe.parameters import REQUIRED, Parameter, example, parameter_table, parameters
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.components import NotFound, Registered, Supplied
from glidepath.registry.text.problems import UsageError, did_you_mean
from glidepath.registry.text.yaml_text import yaml_text

EPILOG = """\
examples:
  glidepath show ddim
  glidepath show sampler/ddim
  glidepath show sampler/acme-diffusion/ddim
  glidepath show preset/adm-64
"""


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath show",
        description="One part: its parameters, where it comes from, and how a spec names it. Or one preset.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "name", metavar="NAME", help="a part: NAME, KIND/NAME, DISTRIBUTION/NAME or KIND/DISTRIBUTION/NAME"
    )
    add_json_argument(parser)
    parser.add_argument(
        "--markdown", action="store_true", help="print its parameters as a table of Markdown, for a README"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the part.

    Raises:
        UsageError: there is no such part, or several.
    """
    catalogue = open_catalogue(arguments)
    try:
        entry = _find(catalogue, arguments.name)
    except NotFound as unknown:
        raise UsageError(str(unknown)) from unknown
    if arguments.markdown and isinstance(entry, Registered):
        print(parameter_table(catalogue.config_class(entry)))
    elif isinstance(entry, Supplied):
        _show_preset(entry, as_json=arguments.json)
    else:
        _show_part(catalogue, entry, as_json=arguments.json)
    note_failures(catalogue)
    return 0


def _find(catalogue: Catalogue, name: str) -> Registered | Supplied[Preset]:
    kind, slash, rest = name.partition("/")
    if slash and kind == "preset":
        return catalogue.preset_source(rest)
    if slash and kind in catalogue.kinds:
        return catalogue.look_up(kind, rest)
    known: dict[str, Registered | Supplied[Preset]] = {}
    for entry in catalogue.components():
        known[f"{entry.component.kind}/{catalogue.spelling(entry)}"] = entry
    for spelling in catalogue.presets():
        known[f"preset/{spelling}"] = catalogue.preset_source(spelling)
    matches = [spelling for spelling, entry in known.items() if name in (_name(entry), entry.full_name)]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise NotFound(f"{len(matches)} parts are named {name!r}", "write which one is meant", matches)
    if name in (*catalogue.kinds, "preset"):
        raise NotFound(f"{name!r} is a kind of part", f"`glidepath list {name}` names those that there are")
    kinds = [*catalogue.kinds, "preset"] if slash else []
    near = did_you_mean(name, list(known)) if slash else ""
    near = near or did_you_mean(kind, kinds) or did_you_mean(name, [*known, *map(_name, known.values())])
    raise NotFound(f"no part is named {name!r}", near or "`glidepath list` names all parts")


def _name(found: Registered | Supplied[Preset]) -> str:
    return found.component.name if isinstance(found, Registered) else found.item.name


def _show_preset(preset: Supplied[Preset], *, as_json: bool) -> None:
    text = preset.item.file.read_text(encoding="utf-8")
    record = preset.record
    if as_json:
        print_json(
            {
                "kind": "preset",
                "name": preset.item.name,
                "summary": preset.item.summary,
                "distribution": record.distribution,
                "version": record.version,
                "plugin": record.name,
                "file": preset.item.file,
                "text": text,
            }
        )
        return
    print(f"preset {preset.item.name}: {preset.item.summary}\n")
    print(
        text_table(
            [
                ("from", f"{record.distribution} {record.version}, plugin {record.name}"),
                ("file", str(preset.item.file)),
            ]
        )
    )
    print(f"\n{text.rstrip()}")


def _show_part(catalogue: Catalogue, part: Registered, *, as_json: bool) -> None:
    component, kind = part.component, catalogue.kinds[part.component.kind]
    config = catalogue.config_class(part)
    described = parameters(config)
    names = {
        name: [catalogue.spelling(entry) for entry in catalogue.components(name)] for name in catalogue.kinds
    }
    spelling = catalogue.spelling(part)
    piece = example(kind, spelling, described, names)
    missing_extras = _unusable(catalogue, part)
    if as_json:
        print_json({**part_document(catalogue, part), "example": piece})
        return
    facts = [
        ("from", f"{part.distribution} {part.version}, plugin {part.plugin}"),
        ("file", part.file),
        ("built by", component.target),
        *(("needs", f"{extra.module} ({extra.install})") for extra in component.requires),
        *(("see", reference) for reference in component.references),
    ]
    print(f"{component.kind} {component.name}: {component.summary}")
    text = _docstring(config)
    if text and text != component.summary:
        print(f"\n{text}")
    if missing_extras:
        print(f"\nIt cannot be used here: {missing_extras}")
    print(f"\n{text_table(facts)}\n")
    if described:
        print("parameters:")
        print(indent(text_table([("NAME", "TYPE", "DEFAULT", "MEANING"), *map(_row, described)], wrap=True)))
    else:
        print("It has no parameters.")
    print(f"\nin a spec:\n{indent(piece)}")


def part_document(catalogue: Catalogue, part: Registered) -> dict[str, object]:
    """What is known of a part, as `glidepath show --json` prints it, but for the example.

    Raises:
        NotFound: its parameters cannot be read.
    """
    component = part.component
    return {
        "kind": component.kind,
        "name": component.name,
        "use": catalogue.spelling(part),
        "summary": component.summary,
        "distribution": part.distribution,
        "version": part.version,
        "plugin": part.plugin,
        "file": part.file,
        "target": component.target,
        "requires": [extra.module for extra in component.requires],
        "unusable": _unusable(catalogue, part),
        "references": list(component.references),
        "parameters": [_as_json(parameter) for parameter in parameters(catalogue.config_class(part))],
    }


def _unusable(catalogue: Catalogue, part: Registered) -> str:
    """Why a part cannot be used here; "" where it can."""
    try:
        catalogue.find(part.component.kind, part.full_name)
    except NotFound as unknown:
        return "; ".join(filter(None, (unknown.what, unknown.hint)))
    return ""


def _docstring(config: type | None) -> str:
    """The config's own docstring, not one that it inherits."""
    own = config.__dict__.get("__doc__") if config is not None else None
    return inspect.cleandoc(own) if own else ""


def _row(parameter: Parameter) -> tuple[str, str, str, str]:
    default = "required" if parameter.default is REQUIRED else yaml_text(parameter.default)
    return parameter.name, f"{parameter.type} {parameter.limits}".rstrip(), shorten(default), parameter.doc


def _as_json(parameter: Parameter) -> dict[str, object]:
    required = parameter.default is REQUIRED
    values = attrs.asdict(parameter, recurse=False)
    return {**values, "required": required, "default": None if required else parameter.default}
