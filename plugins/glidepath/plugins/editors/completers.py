"""What may stand for an argument of a command: specs, kinds, parts, keys of a spec and their values.

An argument means the same in all commands that call it the same, so that its name decides. The functions are
completers as argcomplete calls them: they return words with what each means.
"""

from __future__ import annotations

import argparse
import os
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from glidepath.core import GlidepathError

if TYPE_CHECKING:
    from glidepath.registry import Catalogue, Field, Kind, Plan

_SPECS = (".yaml", ".yml")
_RECORDS = (*_SPECS, ".json", ".png")

Words = Mapping[str, str]
Completer = Callable[..., Words]


def add_completers(parser: argparse.ArgumentParser, catalogue: Catalogue) -> None:
    """Give each argument of a parser, and of its subcommands, what completes it."""
    by_name: Mapping[str, Completer] = {
        "spec": partial(_specs, catalogue, _SPECS),
        "a": partial(_specs, catalogue, _RECORDS),
        "b": partial(_specs, catalogue, _RECORDS),
        "kind": partial(_kinds, catalogue),
        "name": partial(_parts, catalogue),
        "overrides": partial(_overrides, catalogue),
        "device": _listed("auto", "cpu", "cuda", "mps"),
        "dtype": _listed("auto", "float32", "bfloat16", "float16"),
    }
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                add_completers(inner, catalogue)
        elif action.dest in by_name and action.choices is None:
            action.completer = by_name[action.dest]  # type: ignore[attr-defined]


def _listed(*words: str) -> Completer:
    return lambda **_: dict.fromkeys(words, "")


def _specs(catalogue: Catalogue, endings: Collection[str], prefix: str, **_: Any) -> Words:
    """Presets, folders, and the files that end so."""
    words = {name: preset.summary for name, preset in sorted(catalogue.presets().items())}
    folder = os.path.dirname(prefix)
    with suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = os.path.join(folder, entry.name)
            if entry.is_dir() and not entry.name.startswith("."):
                words[f"{path}/"] = ""
            elif entry.name.endswith(tuple(endings)):
                words[path] = ""
    return words


def _kinds(catalogue: Catalogue, **_: Any) -> Words:
    """Kinds of part, and `preset`."""
    kinds = {kind.name: kind.summary for kind in catalogue.kinds.values()}
    return {**kinds, "preset": "a spec that ships with a plugin"}


def _parts(catalogue: Catalogue, prefix: str, **_: Any) -> Words:
    """Parts and presets; with their kinds, once a kind is typed."""
    parts = {
        f"{entry.component.kind}/{catalogue.spelling(entry)}": entry.component.summary
        for entry in catalogue.components()
    }
    parts |= {f"preset/{name}": preset.summary for name, preset in catalogue.presets().items()}
    if "/" in prefix:
        return parts
    words = {name.partition("/")[2]: summary for name, summary in parts.items()}
    if prefix:
        words |= {f"{kind.name}/": kind.summary for kind in catalogue.kinds.values()}
    return words


def _overrides(
    catalogue: Catalogue,
    prefix: str,
    parser: argparse.ArgumentParser,
    parsed_args: argparse.Namespace,
    **_: Any,
) -> Words:
    """Keys of the spec on the line, or what one of them takes."""
    from glidepath.registry import make_plan, read_spec

    is_optional = any(action.dest == "spec" and action.option_strings for action in parser._actions)
    if not parsed_args.spec and not is_optional:
        return {}
    try:
        source = parsed_args.spec or catalogue.default_preset()
        keys = _Keys(catalogue, make_plan(read_spec(source, catalogue=catalogue), catalogue))
    except GlidepathError:
        return {}
    key, equals, _value = prefix.partition("=")
    if equals:
        return {f"{key}={word}": summary for word, summary in keys.values(key)}
    return {f"{name}=": summary for name, summary in keys.names()}


class _Keys:
    """What `--set` may change in a spec.

    slots: the kind of each slot, by dotted path; fields: each parameter, those of `runtime` too.
    """

    def __init__(self, catalogue: Catalogue, plan: Plan) -> None:
        from glidepath.registry import Runtime, fields

        self.catalogue = catalogue
        self.slots: dict[str, Kind] = {
            ".".join(filter(None, (stage.path, slot))): kind
            for stage in plan.pipelines().values()
            for slot, kind in catalogue.slots.items()
        }
        self.fields: dict[str, Field] = {
            f"{part.path}.{name}": field
            for part in plan.all_parts()
            if part.config is not None
            for name, field in fields(type(part.config)).items()
        }
        self.fields |= {f"runtime.{name}": field for name, field in fields(Runtime).items()}

    def names(self) -> Iterator[tuple[str, str]]:
        """Slots, parameters, and `weights`."""
        yield from ((path, kind.summary) for path, kind in self.slots.items())
        yield from ((path, field.doc) for path, field in self.fields.items())
        yield "weights", "a file of weights"

    def values(self, key: str) -> Iterator[tuple[str, str]]:
        """What one of them takes, where that can be listed."""
        slot, field = self.slots.get(key), self.fields.get(key)
        kind = slot.name if slot else field.slot.kind if field is not None and field.slot else ""
        if kind:
            for entry in self.catalogue.components(kind):
                yield self.catalogue.spelling(entry), entry.component.summary
        elif field is not None:
            yield from ((word, "") for word in _choices(field))


def _choices(field: Field) -> Iterator[str]:
    """The values of a parameter that has few."""
    from glidepath.registry import limits, yaml_text

    values: list[object] = []
    for hint in (field.hint, *typing.get_args(field.hint)):
        if typing.get_origin(hint) is typing.Literal:
            values += typing.get_args(hint)
        elif hint is bool:
            values += [True, False]
    for limit in limits(field.attribute.validator):
        values += limit.value if limit.ask == "one of" else ()
    yield from dict.fromkeys(map(yaml_text, values))
