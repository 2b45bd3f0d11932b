"""A value of a spec changed in its text, so that the rest stays as it was written, comments too."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import yaml

from glidepath.core import GlidepathError
from glidepath.registry import yaml_block, yaml_text

REMOVED = object()
"""In place of a value: what stands there is taken out, so that what the spec extends holds."""

_STEP = re.compile(r"([A-Za-z0-9_-]+)|\[(\d{1,4})\]")
_PATH = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+|\[\d{1,4}\])*")


def steps(path: str) -> list[str | int]:
    """The keys and places that a dotted path goes through: "guidance[0].scale".

    Raises:
        GlidepathError: it is no such path.
    """
    if not _PATH.fullmatch(path):
        raise GlidepathError(f"{path!r} is no place in a spec, such as sampler.steps or guidance[0].scale")
    return [int(place) if place else key for key, place in _STEP.findall(path)]


def edited(text: str, path: str, value: Any, whole: Mapping[str, Any]) -> str:
    """The text of a spec with another value at a dotted path.

    value: plain, or `REMOVED`. whole: the spec with what it extends; a list is written whole, because it
    replaces that of another spec.

    Raises:
        GlidepathError: the text is no mapping of YAML, or the path leads through a plain value.
    """
    keys = steps(path)
    before = _loaded(text)
    after = copy.deepcopy(before)
    _put(after, keys, value, whole)
    candidates = (
        _in_place(text, keys, value),
        _beside(text, keys, value),
        _section(text, str(keys[0]), after),
    )
    return next((new for new in candidates if new is not None and _reads(new, after)), _written(after))


def _loaded(text: str) -> dict[str, Any]:
    try:
        if any(isinstance(it, yaml.AliasEvent) for it in yaml.parse(text, yaml.SafeLoader)):
            raise GlidepathError("the text has aliases (*NAME), which the form does not: mend it there first")
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise GlidepathError("the text is no YAML yet: mend it there first") from error
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise GlidepathError("the text is no mapping of names to values yet: mend it there first")
    return data


def _reads(text: str, data: Mapping[str, Any]) -> bool:
    try:
        return bool((yaml.safe_load(text) or {}) == data)
    except (yaml.YAMLError, ValueError):
        return False


def _written(data: Mapping[str, Any]) -> str:
    return yaml_block(data) + "\n" if data else ""


def _put(data: dict[str, Any], keys: list[str | int], value: Any, whole: Any) -> None:
    """Set, or take out, a value in plain data."""
    here: Any = data
    for index, key in enumerate(keys):
        rest = keys[index + 1 :]
        inherited = _at(whole, keys[: index + 1])
        if isinstance(here, list):
            if not isinstance(key, int) or key > len(here):
                raise GlidepathError(f"a list has no place {key!r}")
            if not rest and value is REMOVED:
                del here[key : key + 1]
                return
            if key == len(here):
                here.append(None)
        elif isinstance(key, int):
            raise GlidepathError(f"there is no list that has a place [{key}]")
        if not rest:
            if value is not REMOVED:
                here[key] = value
            elif isinstance(here, dict):
                here.pop(key, None)
                _drop_empty(data, keys[:-1])
            return
        inner = here[key] if isinstance(key, int) else here.get(key)
        if value is REMOVED and inner is None and not isinstance(rest[0], int):
            return
        if isinstance(rest[0], int) and not isinstance(inner, list):
            inner = _listed(inner if inner is not None else inherited)
        elif inner is None:
            inner = {}
        elif isinstance(inner, str) and isinstance(rest[0], str):
            inner = {"use": inner}  # the short form of a part
        elif not isinstance(inner, dict | list):
            raise GlidepathError(f"{key} is a plain value, and has no {rest[0]}")
        here[key] = inner
        here = inner


def _listed(value: Any) -> list[Any]:
    return copy.deepcopy(value) if isinstance(value, list) else [] if value is None else [value]


def _drop_empty(data: dict[str, Any], keys: list[str | int]) -> None:
    """Take out a mapping that says nothing any more."""
    if keys and all(isinstance(key, str) for key in keys) and _at(data, keys) == {}:
        outer: Any = _at(data, keys[:-1])
        del outer[keys[-1]]
        _drop_empty(data, keys[:-1])


def _at(data: Any, keys: list[str | int]) -> Any:
    for key in keys:
        try:
            data = data[key]
        except (LookupError, TypeError):
            return None
    return data


def _node(text: str, keys: list[str | int]) -> yaml.Node | None:
    node = yaml.compose(text, yaml.SafeLoader)
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            node = next((inner for name, inner in node.value if name.value == key), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
        else:
            return None
    return node


def _in_place(text: str, keys: list[str | int], value: Any) -> str | None:
    """The text with one plain value in the place of another."""
    if value is REMOVED or isinstance(value, dict | list):
        return None
    node = _node(text, keys)
    if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
        return None
    start, end = node.start_mark.index, node.end_mark.index
    space = " " if start == end else ""  # "key:" alone is null
    return text[:start] + space + yaml_text(value) + text[end:]


def _beside(text: str, keys: list[str | int], value: Any) -> str | None:
    """The text with a plain value as the last of a mapping that is there, or without one of its values."""
    node = _node(text, keys[:-1])
    if not isinstance(node, yaml.MappingNode) or not node.value:
        return None
    names = [name.value for name, _ in node.value]
    if value is REMOVED:
        return _without(text, node, names.index(keys[-1])) if keys[-1] in names else None
    if isinstance(value, dict | list) or keys[-1] in names:
        return None
    first, last = node.value[0][0], node.value[-1][1]
    end, new = last.end_mark.index, f"{keys[-1]}: {yaml_text(value)}"
    if node.flow_style:
        return f"{text[:end]}, {new}{text[end:]}"
    if not isinstance(last, yaml.ScalarNode) and not last.flow_style:
        return None  # its end is told as that of the comments after it
    line = text.find("\n", end)
    end = len(text) if line < 0 else line
    return f"{text[:end]}\n{' ' * first.start_mark.column}{new}{text[end:]}"


def _without(text: str, node: yaml.MappingNode, index: int) -> str | None:
    """The text without one of a mapping's values. The comment beside it goes with it, where it has a line."""
    name, value = node.value[index]
    start, end = name.start_mark.index, value.end_mark.index
    if not node.flow_style:
        start, line = text.rfind("\n", 0, start) + 1, text.find("\n", end)
        return text[:start] + (text[line + 1 :] if line >= 0 else "")
    if index:
        start = node.value[index - 1][1].end_mark.index
    elif len(node.value) > 1:
        end = node.value[1][0].start_mark.index
    return text[:start] + text[end:]


def _section(text: str, key: str, after: Mapping[str, Any]) -> str | None:
    """The text with one key of the top written anew."""
    node = yaml.compose(text, yaml.SafeLoader)
    written = yaml_block({key: after[key]}) + "\n" if key in after else ""
    if node is None:
        return text + ("" if not text or text.endswith("\n") else "\n") + written
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        return None
    starts = [name.start_mark.index for name, _ in node.value] + [len(text)]
    for index, (name, _) in enumerate(node.value):
        if name.value == key:
            kept = _tail(text[starts[index] : starts[index + 1]])
            return text[: starts[index]] + written + kept + text[starts[index + 1] :]
    return text.rstrip("\n") + "\n" + written


def _tail(region: str) -> str:
    """The empty lines and comments at the end of a section, which belong to what follows."""
    lines = region.splitlines(keepends=True)
    end = len(lines)
    while end > 1 and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    return "".join(lines[end:])
