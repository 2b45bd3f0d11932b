"""Which words may stand at the end of a command line that is being typed. Imports no torch."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli.arguments import OptionalFile

if TYPE_CHECKING:
    from glidepath.registry.describe.fields import Field
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan

Candidate = tuple[str, str]
"""A word and what it means, "" where that is not told."""


def candidates(words: Sequence[str]) -> list[Candidate]:
    """The words that may stand in place of the last of `words`, those behind the name of the program.

    A word that ends in "=" or "/" is to be gone on with. None where a file may stand, or nothing is known.
    """
    last = words[-1] if words else ""
    return [it for it in _Line(list(words[:-1]), last).candidates() if it[0].startswith(last)]


class _Line:
    """A command line. before: the whole words; last: what is being typed."""

    def __init__(self, before: list[str], last: str) -> None:
        self.before = before
        self.last = last

    def candidates(self) -> Iterable[Candidate]:
        """Of any beginning."""
        at = next((i for i, word in enumerate(self.before) if not word.startswith("-")), None)
        if at is None:
            return self.commands()
        parser = self.parser(self.before[at])
        return _Arguments(parser, self.before[at + 1 :], self.last, self).candidates() if parser else ()

    def commands(self) -> Iterator[Candidate]:
        """The commands, and the options in front of them."""
        from glidepath.registry.cli import COMMANDS

        if self.last.startswith("-"):
            yield from ((option, "") for option in ("--help", "--no-plugins", "--strict", "--version"))
            return
        yield from COMMANDS.items()
        yield from ((name, command.summary) for name, command in self.catalogue().commands().items())

    def parser(self, name: str) -> argparse.ArgumentParser | None:
        """The arguments of a command; of a plugin's those that its module gives as `parser()`."""
        from glidepath.registry.cli import COMMANDS, command_parser

        if name in COMMANDS:
            return command_parser(name)
        target = self.catalogue().command_source(name).item.target
        # A module that needs torch takes seconds to import; its arguments are not worth that at each key.
        torch = sys.modules.setdefault("torch", typing.cast(Any, None))
        try:
            own = getattr(import_module(target.partition(":")[0]), "parser", None)
        finally:
            if torch is None:
                del sys.modules["torch"]
        found = own() if callable(own) else None
        return found if isinstance(found, argparse.ArgumentParser) else None

    def catalogue(self) -> Catalogue:
        """What is installed."""
        from glidepath.registry.discovery.catalogue import load_catalogue

        return load_catalogue(no_plugins="--no-plugins" in self.before)


class _Arguments:
    """The arguments of one command. words: behind the command, without the last."""

    def __init__(self, parser: argparse.ArgumentParser, words: Sequence[str], last: str, line: _Line) -> None:
        self.last = last
        self.line = line
        self.options = parser._option_string_actions
        self.given: dict[str, str] = {}
        self.used: set[argparse.Action] = set()
        self.action: argparse.Action | None = None
        self.only_positional = False
        positional = [action for action in parser._actions if not action.option_strings]
        taken = 0
        for word in words:
            if self.action is not None:
                self.given[self.action.dest] = word
                self.action = None
            elif word == "--" and not self.only_positional:
                self.only_positional = True
            elif word.startswith("-") and word != "-" and not self.only_positional:
                self.option(word)
            elif taken < len(positional):
                self.given.setdefault(positional[taken].dest, word)
                taken += positional[taken].nargs not in ("*", "+")
        self.positional = positional[taken] if taken < len(positional) else None

    def option(self, word: str) -> None:
        """Take in an option, which may want the next word."""
        name, equals, value = word.partition("=")
        action = self.options.get(name)
        if action is None:
            return
        self.used.add(action)
        if equals:
            self.given[action.dest] = value
        elif action.nargs != 0 and not isinstance(action, OptionalFile):
            self.action = action

    def candidates(self) -> Iterator[Candidate]:
        """Of any beginning."""
        name, equals, _ = self.last.partition("=")
        if self.action is not None:
            yield from self.values(self.action)
        elif self.last.startswith("-") and not self.only_positional:
            if equals and name in self.options:
                values = _Value(self.last.partition("=")[2], self)
                yield from ((f"{name}={word}", about) for word, about in values.of(self.options[name]))
                return
            for option, action in self.options.items():
                again = isinstance(action, argparse._AppendAction) or action not in self.used
                if option.startswith("--") and again and action.help != argparse.SUPPRESS:
                    yield option, (action.help or "").partition(";")[0] % vars(action)
        elif self.positional is not None:
            yield from self.values(self.positional)

    def values(self, action: argparse.Action) -> Iterable[Candidate]:
        """What the argument takes."""
        return _Value(self.last, self).of(action)


class _Value:
    """The value of one argument, as far as it is typed."""

    def __init__(self, typed: str, arguments: _Arguments) -> None:
        self.typed = typed
        self.arguments = arguments

    def of(self, action: argparse.Action) -> Iterable[Candidate]:
        """By the argument's choices; else by its name, which means the same in all commands."""
        if action.choices is not None:
            return [(str(choice), "") for choice in action.choices]
        by_name: Mapping[str, Callable[[], Iterable[Candidate]]] = {
            "spec": self.specs,
            "a": self.specs,
            "b": self.specs,
            "kind": self.kinds,
            "name": self.parts,
            "overrides": self.overrides,
            "device": lambda: [(name, "") for name in ("auto", "cpu", "cuda", "mps")],
            "dtype": lambda: [(name, "") for name in ("auto", "float32", "bfloat16", "float16")],
        }
        return by_name.get(action.dest, tuple)()

    @property
    def catalogue(self) -> Catalogue:
        return self.arguments.line.catalogue()

    def specs(self) -> Iterator[Candidate]:
        """Presets, and files that may be specs."""
        yield from ((name, preset.summary) for name, preset in sorted(self.catalogue.presets().items()))
        endings = (".yaml", ".yml", ".json", ".png") if "a" in self.arguments_of_diff() else (".yaml", ".yml")
        head = os.path.dirname(self.typed)
        with contextlib.suppress(OSError), os.scandir(head or ".") as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = os.path.join(head, entry.name)
                if entry.is_dir() and not entry.name.startswith("."):
                    yield f"{name}/", ""
                elif entry.name.endswith(endings):
                    yield name, ""

    def arguments_of_diff(self) -> set[str]:
        """The names of the positional arguments seen so far, and of the one that is typed."""
        positional = self.arguments.positional
        return {*self.arguments.given, *([positional.dest] if positional is not None else [])}

    def kinds(self) -> Iterator[Candidate]:
        """Kinds of part, and `preset`."""
        yield from ((kind.name, kind.summary) for kind in self.catalogue.kinds.values())
        yield "preset", "a spec that ships with a plugin"

    def parts(self) -> Iterator[Candidate]:
        """Parts and presets; with their kinds, once a kind is typed."""
        catalogue = self.catalogue
        with_kind = "/" in self.typed
        for it in catalogue.components():
            name = catalogue.spelling(it)
            yield (f"{it.component.kind}/{name}" if with_kind else name), it.component.summary
        for name, preset in catalogue.presets().items():
            yield (f"preset/{name}" if with_kind else name), preset.summary
        if not with_kind and self.typed:
            yield from ((f"{kind.name}/", kind.summary) for kind in catalogue.kinds.values())

    def overrides(self) -> Iterable[Candidate]:
        """Keys of the spec that the command reads, or what one of them takes."""
        key, equals, _ = self.typed.partition("=")
        keys = _Keys(self.catalogue, self.plan())
        if equals:
            return [(f"{key}={word}", about) for word, about in keys.values(key)]
        return [(f"{name}=", about) for name, about in keys.names()]

    def plan(self) -> Plan:
        """The plan of the spec on the command line. Raises what reading it raises."""
        from glidepath.registry.plan.planner import make_plan
        from glidepath.registry.spec.spec import read_spec

        source = self.arguments.given.get("spec") or self.default_spec()
        return make_plan(read_spec(source, catalogue=self.catalogue), self.catalogue)

    def default_spec(self) -> str:
        action = self.arguments.options.get("--spec")
        if action is None or not isinstance(action.default, str):
            raise GlidepathError("no spec is named yet")
        return action.default


class _Keys:
    """What `--set` may change in a spec.

    slots: the kind of each slot, by dotted path; fields: each parameter, those of `runtime` too.
    """

    def __init__(self, catalogue: Catalogue, plan: Plan) -> None:
        from glidepath.registry.describe.fields import fields
        from glidepath.registry.plan.parts import Runtime
        from glidepath.registry.text.tree import join

        self.catalogue = catalogue
        self.slots = {
            join(stage.path, slot): kind
            for stage in plan.pipelines().values()
            for slot, kind in catalogue.slots.items()
        }
        self.fields = {
            join(part.path, name): field
            for part in plan.all_parts()
            if part.config is not None
            for name, field in fields(type(part.config)).items()
        }
        self.fields |= {f"runtime.{name}": field for name, field in fields(Runtime).items()}

    def names(self) -> Iterator[Candidate]:
        """Slots, parameters, and `weights`."""
        yield from ((path, kind.summary) for path, kind in self.slots.items())
        yield from ((path, _about(field)) for path, field in self.fields.items())
        yield "weights", "a file of weights"

    def values(self, key: str) -> Iterator[Candidate]:
        """What one of them takes, where that can be listed."""
        slot, field = self.slots.get(key), self.fields.get(key)
        kind = slot.name if slot else field.slot.kind if field is not None and field.slot else ""
        if kind:
            for it in self.catalogue.components(kind):
                yield self.catalogue.spelling(it), it.component.summary
        elif field is not None:
            yield from ((word, "") for word in _choices(field))


def _about(field: Field) -> str:
    from glidepath.registry.describe.component import DOC

    return str(field.attribute.metadata.get(DOC, ""))


def _choices(field: Field) -> Iterator[str]:
    """The values of a parameter that has few."""
    from glidepath.registry.describe.parameters import limits
    from glidepath.registry.text.yaml_text import yaml_text

    found: list[object] = []
    for hint in (field.hint, *typing.get_args(field.hint)):
        if typing.get_origin(hint) is typing.Literal:
            found += typing.get_args(hint)
        elif hint is bool:
            found += [True, False]
    for limit in limits(field.attribute.validator):
        found += limit.value if limit.ask == "one of" else ()
    yield from dict.fromkeys(yaml_text(value) for value in found)
