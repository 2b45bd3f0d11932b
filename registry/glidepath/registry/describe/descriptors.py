"""Whether what a plugin's hooks return can be used. Every problem is said, not the first only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from glidepath.registry.describe.commands import BUILTIN_COMMANDS
from glidepath.registry.describe.component import RESERVED, Command, Component, Extra, Kind, Preset
from glidepath.registry.describe.fields import SECTIONS
from glidepath.registry.describe.kinds import MODEL_SLOTS, RESERVED_KINDS
from glidepath.registry.text.problems import did_you_mean

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def component_problems(component: object, kinds: Collection[str], absent: Sequence[str] = ()) -> list[str]:
    """What is wrong with an item of `components()`; nothing, when it is sound.

    kinds: the known ones. absent: the plugins that did not load, any of which may add another.
    """
    if not isinstance(component, Component):
        return [f"{component!r} is not a Component"]
    return [f"component {component.name!r}: {problem}" for problem in _component(component, kinds, absent)]


def _component(component: Component, kinds: Collection[str], absent: Sequence[str]) -> Iterator[str]:
    if not _is(_NAME, component.name):
        yield _bad_name("name", component.name)
    if not isinstance(component.kind, str) or component.kind not in kinds:
        hint = did_you_mean(str(component.kind), kinds) or f"there are {', '.join(sorted(kinds))}"
        if absent:
            hint += f"; others may come from the {' or the '.join(absent)}, which did not load"
        yield f"no kind is named {component.kind!r}; {hint}"
    if not _is(_TARGET, component.target):
        yield f"target {component.target!r} is not of the form 'package.module:Class'"
    if isinstance(component.config, str):
        if not _is(_TARGET, component.config):
            yield f"config {component.config!r} is not of the form 'package.module:Class'"
    elif component.config is not None and not _is_attrs_class(component.config):
        yield f"config {component.config!r} is not an attrs class, nor a string that names one"
    else:
        for name in RESERVED:
            if component.config is not None and name in attrs.fields_dict(component.config):
                yield f"a parameter cannot be named {name!r}, a key of every part; rename it"
    if not isinstance(component.summary, str) or not component.summary.strip():
        yield "summary is missing"
    for name in ("provides", "needs", "check"):
        if not callable(getattr(component, name)):
            yield f"{name} {getattr(component, name)!r} is not a function of the config"
    if not _is_list_of(Extra, component.requires):
        yield f"requires {component.requires!r} is not a list of Extra"
    if not _is_list_of(str, component.references):
        yield f"references {component.references!r} is not a list of strings"
    for name, given in (("example", component.example), ("neutral", component.neutral or {})):
        if name == "example" and (callable(given) or (isinstance(given, str) and given.strip())):
            continue
        if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
            yield f"{name} {given!r} is not a mapping of parameters to values"


def kind_problems(kind: object) -> list[str]:
    """What is wrong with an item of `kinds()`."""
    if not isinstance(kind, Kind):
        return [f"{kind!r} is not a Kind"]
    problems = []
    if not _is(_WORD, kind.name):
        problems.append(f"name {kind.name!r} is not a lower-case word (letters, digits, underscores)")
    elif kind.name in RESERVED_KINDS:
        problems.append(f"the name {kind.name!r} is taken by glidepath")
    if kind.slot != "" and not _is(_WORD, kind.slot):
        problems.append(f"slot {kind.slot!r} is not a lower-case word (letters, digits, underscores)")
    elif kind.slot in SECTIONS:
        problems.append(f"the slot {kind.slot!r} is taken by glidepath")
    if not _is(_TARGET, kind.interface):
        problems.append(f"interface {kind.interface!r} is not of the form 'package.module:Class'")
    if not _is_list_of(str, kind.instead_of):
        problems.append(f"instead_of {kind.instead_of!r} is not a list of slots")
    elif kind.instead_of and (lacks := [slot for slot in MODEL_SLOTS if slot not in kind.instead_of]):
        problems.append(f"instead_of leaves out {', '.join(lacks)}, which diffuse beside a denoiser")
    if kind.template is not None and not (isinstance(kind.template, Path) and kind.template.is_dir()):
        problems.append(f"template {kind.template!r} is not the path of a folder")
    return [f"kind {kind.name!r}: {problem}" for problem in problems]


def preset_problems(preset: object) -> list[str]:
    """What is wrong with an item of `presets()`."""
    if not isinstance(preset, Preset):
        return [f"{preset!r} is not a Preset"]
    problems = []
    if not _is(_NAME, preset.name):
        problems.append(_bad_name("name", preset.name))
    if not isinstance(preset.file, Path):
        problems.append(f"file {preset.file!r} is not a pathlib.Path")
    elif not preset.file.is_file():
        problems.append(f"there is no file {preset.file}")
    return [f"preset {preset.name!r}: {problem}" for problem in problems]


def command_problems(command: object) -> list[str]:
    """What is wrong with an item of `commands()`."""
    if not isinstance(command, Command):
        return [f"{command!r} is not a Command"]
    problems = []
    if not _is(_NAME, command.name):
        problems.append(_bad_name("name", command.name))
    elif command.name in BUILTIN_COMMANDS:
        problems.append("glidepath has a command of this name")
    if not _is(_TARGET, command.target):
        problems.append(f"target {command.target!r} is not of the form 'package.module:function'")
    return [f"command {command.name!r}: {problem}" for problem in problems]


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_list_of(what: type, value: object) -> bool:
    return (
        isinstance(value, Iterable)
        and not isinstance(value, str)
        and all(isinstance(item, what) for item in value)
    )


def _is_attrs_class(value: object) -> bool:
    return isinstance(value, type) and attrs.has(value)


def _bad_name(what: str, name: object) -> str:
    return f"{what} {name!r} is not of lower-case letters, digits, hyphens and dots, a letter or digit first"
