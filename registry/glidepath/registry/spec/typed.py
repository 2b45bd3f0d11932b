"""One parameter: from a piece of a spec to a value as its annotation has it, or to every problem in it.

Stricter than YAML and OmegaConf: text is text (`no`, 012 and 1.10 are not), a number in quotes is no number.
The entries of lists, unions and nested classes are typed one by one; each problem is found at its place.
A member of an enumeration is written by its name.
"""

from __future__ import annotations

import collections.abc
import enum
import sys
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs

from glidepath.registry.describe.parameters import Parameter, type_text
from glidepath.registry.text.named_files import locate
from glidepath.registry.text.problems import Problems, quoted
from glidepath.registry.text.scalars import BASE_60, BOOL, FLOAT, INT, NULL, OCTAL, resolve
from glidepath.registry.text.tree import (
    Broken,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    entries,
    join_path,
)
from glidepath.registry.text.yaml_text import yaml_text

FAILED: Any = object()
"""In place of a value that has a problem."""

_NONE = type(None)
_LISTS = (tuple, list, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)
_LARGEST = 3.4028234663852886e38  # of float32
_INFINITE = {".inf": float("inf"), "-.inf": float("-inf")}
_NUMBERS = (INT, FLOAT, OCTAL, BASE_60)


ReadsAsset = Callable[[str, Node, str], Path | None]


@attrs.frozen
class Typing:
    """How the value of a parameter is typed.

    name: the parameter. annotation: the whole of it, as messages show it. about: what it means.
    nested: reads an object of a class that is not a part: (class, node, path, name,
        problems) -> object or `FAILED`.
    asset: reads a path of a parameter that is an asset, as of `ConfigReader`; None for any other parameter.
    """

    name: str
    annotation: Any
    about: Parameter | None
    problems: Problems
    nested: Callable[[type[Any], MappingNode, str, str, Problems], Any]
    asset: ReadsAsset | None = None

    def value(self, node: Node, hint: Any, path: str) -> Any:
        """`node` as `hint` has it, the annotation or the part that applies; `FAILED` after a problem."""
        origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
        if isinstance(node, Broken):
            return FAILED
        if origin is typing.Annotated:
            return self.value(node, arguments[0], path)
        if origin in (typing.Union, types.UnionType):
            return self._union(node, arguments, path)
        if origin in (Any, object):
            return self._anything(node)
        if origin in _LISTS:
            return self._list(node, origin, arguments, path)
        if origin in _MAPPINGS:
            return self._mapping(node, arguments, path)
        if isinstance(hint, type) and attrs.has(hint):
            return (
                self.nested(hint, node, path, self.name, self.problems)
                if isinstance(node, MappingNode)
                else self._wrong(node, path)
            )
        if origin is Path and self.asset is not None and isinstance(node, MappingNode):
            return self.asset(self.name, node, path) or FAILED
        if not isinstance(node, Scalar):
            return self._wrong(node, path)
        if origin in (None, _NONE):
            return None if node.rule == NULL else self._wrong(node, path)
        if origin in (str, Path):
            return self._text(node, origin, path)
        if origin in (int, float) and node.rule in (OCTAL, BASE_60):
            return self._odd_number(node, path)
        if origin is bool:
            return node.value if node.rule == BOOL else self._wrong(node, path, allowed=("true", "false"))
        if origin is int:
            return node.value if node.rule == INT else self._wrong(node, path)
        if origin is float:
            return self._float(node, path)
        return self._literal(node, hint, path) if origin is typing.Literal else self._leaf(node, hint, path)

    def _union(self, node: Node, members: tuple[Any, ...], path: str) -> Any:
        """The first member that takes the value, the narrowest before the wider."""
        rest = [member for member in members if member is not _NONE]
        if len(rest) < len(members) and isinstance(node, Scalar) and node.rule == NULL:
            return None
        fitting = rest if len(rest) == 1 else [member for member in rest if _fits(node, member)]
        if not fitting and int in rest and isinstance(node, Scalar) and node.rule == FLOAT:
            return self._wrong(node, path)
        # a number is not taken for text while a member takes numbers, even where any word is text
        fitting = sorted(
            fitting or [member for member in rest if _fits(node, member, _is_lenient(node))], key=_width
        )
        for member in fitting[:-1]:
            attempt = Problems()
            value = attrs.evolve(self, problems=attempt).value(node, member, path)
            if not len(attempt):
                return value
        if fitting:
            return self.value(node, fitting[-1], path)
        if isinstance(node, Scalar):
            if not node.is_text and any(_takes_text(member, node.text) for member in rest):
                return self._trap(node, path)
            if node.is_text and any(_choices(member) for member in rest):
                return self._no_choice(node, rest, path)
        return self._wrong(node, path)

    def _anything(self, node: Node) -> Any:
        if isinstance(node, MappingNode):
            values = {key: self._anything(entry.node) for key, entry in node.items.items()}
            return _unless_failed(values, values.values())
        if isinstance(node, ListNode):
            items = [self._anything(item) for item in node.items]
            return _unless_failed(items, items)
        return node.value if isinstance(node, Scalar) else FAILED

    def _list(self, node: Node, origin: Any, arguments: tuple[Any, ...], path: str) -> Any:
        """A list, or a tuple where the annotation says tuple or Sequence."""
        if not isinstance(node, ListNode):
            hint = ""
            if isinstance(node, Scalar) and node.text:
                hint = "write []" if node.value is None else f"write [{node.text}]"
            return self._wrong(node, path, hint)
        hints: Iterable[Any] = [arguments[0] if arguments else Any] * len(node.items)
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            hints = arguments
            if len(node.items) != len(arguments):
                what = f"{self.name} takes {entries(len(arguments))}, and this has {len(node.items)}"
                self._problem(what, node, path, _about(self.about) or type_text(self.annotation))
                return FAILED
        values = [
            self.value(item, hint, f"{path}[{index}]")
            for index, (item, hint) in enumerate(zip(node.items, hints, strict=True))
        ]
        return _unless_failed(values if origin is list else tuple(values), values)

    def _mapping(self, node: Node, arguments: tuple[Any, ...], path: str) -> Any:
        if not isinstance(node, MappingNode):
            return self._wrong(node, path)
        hint = arguments[1] if arguments else Any
        values = {
            key: self.value(entry.node, hint, join_path(path, key)) for key, entry in node.items.items()
        }
        return _unless_failed(values, values.values())

    def _text(self, node: Scalar, hint: Any, path: str) -> Any:
        if not node.is_text and not _is_lenient(node):
            return self._trap(node, path)
        if hint is Path and self.asset is not None:
            return self.asset(self.name, node, path) or FAILED
        if hint is Path:
            return locate(node, path, self.problems) or FAILED
        return node.text

    def _float(self, node: Scalar, path: str) -> Any:
        """A number that float32 holds; `.inf` where that means something, in quotes too, as in JSON."""
        unbounded = self.about is not None and self.about.unbounded
        value = _INFINITE.get(node.text, node.value) if unbounded else node.value
        if not isinstance(value, int | float) or node.rule == BOOL:
            return self._wrong(node, path)
        if abs(value) <= _LARGEST or (unbounded and value in _INFINITE.values()):
            return float(value)
        finite = abs(value) <= sys.float_info.max
        why = f"float32 cannot hold: it ends at {_LARGEST:.2g}" if finite else "nothing can be computed with"
        self._problem(f"{self.name} is {node.text}, which {why}", node, path, _about(self.about))
        return FAILED

    def _literal(self, node: Scalar, hint: Any, path: str) -> Any:
        options = typing.get_args(hint)
        for option in options:
            if type(option) is type(node.value) and option == node.value:
                return option
        if node.text not in options:
            return self._no_choice(node, [hint], path)
        return node.text if _is_lenient(node) else self._trap(node, path)

    def _leaf(self, node: Scalar, hint: Any, path: str) -> Any:
        """A member of an enumeration; YAML has no other types."""
        names = _choices(hint)
        if node.text in names and not node.is_text and not _is_lenient(node):
            return self._trap(node, path)
        if node.text in names:
            return hint[node.text]
        if names:
            return self._no_choice(node, [hint], path)
        self._problem(f"{self.name} is {type_text(self.annotation)}, which no spec can write", node, path)
        return FAILED

    def _no_choice(self, node: Scalar, members: Iterable[Any], path: str) -> Any:
        allowed = [word for member in members for word in _choices(member) or _words(member)]
        what = f"{self.name} cannot be {quoted(node.text) if node.is_text else node.text or 'null'}"
        self._problem(what, node, path, _about(self.about), allowed, (node.text, allowed))
        return FAILED

    def _trap(self, node: Scalar, path: str) -> Any:
        """Text is meant, and YAML makes something else of it."""
        if node.rule == NULL:
            return self._wrong(node, path)
        reading = {
            BOOL: f"the truth value {yaml_text(node.value)}",
            OCTAL: f"an octal number, {node.value}",
            BASE_60: f"a number in base 60, {node.value}",
        }.get(node.rule, f"the number {yaml_text(node.value)}")
        what = f"{self.name} takes text, and {node.text} without quotes is {reading} in YAML"
        self._problem(what, node, path, f'write it in quotes: "{node.text}"')
        return FAILED

    def _odd_number(self, node: Scalar, path: str) -> Any:
        if node.rule == OCTAL:
            reading, hint = (
                "octal",
                f"write {node.text.lstrip('+-0_') or 0}, or {node.value} if octal is meant",
            )
        else:
            reading, hint = "a number in base 60", f"write {node.value}, if that is meant"
        self._problem(
            f"{self.name}: {node.text} is {reading} in YAML, which is {node.value}", node, path, hint
        )
        return FAILED

    def _wrong(self, node: Node, path: str, hint: str = "", allowed: Iterable[str] = ()) -> Any:
        """The value is of another type."""
        takes, this = type_text(self.annotation), f"this is {describe_node(node)}"
        if isinstance(node, Scalar) and node.text:
            this = f"{quoted(node.text) if node.is_text else node.text} is {describe_node(node)}"
            if node.is_text and resolve(node.text)[1] in (INT, FLOAT):
                hint = hint or f"write it without quotes: {node.text}"
            elif (whole := _whole(node)) is not None and _takes_int(self.annotation):
                hint = hint or f"write {whole}"
                takes, this = "a whole number", f"{node.text} is written as a fraction"
        self._problem(
            f"{self.name} takes {takes}, and {this}", node, path, hint or _about(self.about), allowed
        )
        return FAILED

    def _problem(
        self,
        what: str,
        node: Node,
        path: str,
        hint: str = "",
        allowed: Iterable[str] = (),
        near: tuple[str, Iterable[str]] | None = None,
    ) -> None:
        self.problems.add(what, node.place, path, hint, allowed, near)


def _about(parameter: Parameter | None) -> str:
    """What a parameter means, where it says so."""
    return f"{parameter.name}: {parameter.doc}" if parameter and parameter.doc else ""


def _is_lenient(node: Node) -> bool:
    """On the command line nobody quotes twice: any word is text for a field that takes text."""
    return isinstance(node, Scalar) and node.source.override and node.rule != NULL


def _whole(node: Node) -> int | None:
    """The whole number that a float without a fraction is, as 10.0 and 1e1 are in YAML."""
    value = node.value if isinstance(node, Scalar) and node.rule == FLOAT else None
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _takes_int(annotation: Any) -> bool:
    """Whether a whole number, or a list of them, is what an annotation is for, or one of what it is for."""
    return annotation is int or any(map(_takes_int, typing.get_args(annotation)))


def _fits(node: Node, member: Any, lenient: bool = False) -> bool:
    """Whether a member of a union is for values of this sort. lenient: any word is text."""
    origin = typing.get_origin(member) or member
    if origin is typing.Annotated:
        return _fits(node, typing.get_args(member)[0], lenient)
    if origin in (Any, object):
        return True
    if isinstance(node, ListNode):
        return origin in _LISTS
    if isinstance(node, MappingNode):
        return origin in _MAPPINGS or (isinstance(origin, type) and attrs.has(origin))
    if not isinstance(node, Scalar):
        return False
    if origin in (str, Path):
        return node.is_text or lenient
    rules = {bool: (BOOL,), int: (INT, OCTAL, BASE_60), float: _NUMBERS}.get(origin)
    if rules is not None:
        return node.rule in rules
    return node.text in _choices(member) and (node.is_text or node.rule in _NUMBERS or lenient)


def _width(member: Any) -> int:
    """The rank in which a member of a union is tried: choices before text, int before float."""
    origin = typing.get_origin(member) or member
    return {bool: 1, int: 2, float: 3, Path: 4, str: 4, Any: 5, object: 5}.get(origin, 0)


def _choices(hint: Any) -> list[str]:
    """The values of a Literal or an enumeration as a spec writes them."""
    if typing.get_origin(hint) is typing.Literal:
        return [value if isinstance(value, str) else yaml_text(value) for value in typing.get_args(hint)]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [member.name for member in hint]
    return []


def _words(hint: Any) -> list[str]:
    return ["true", "false"] if hint is bool else [type_text(hint)]


def _takes_text(hint: Any, text: str) -> bool:
    return hint in (str, Path) or text in _choices(hint)


def _unless_failed(value: Any, pieces: Iterable[Any]) -> Any:
    return FAILED if any(piece is FAILED for piece in pieces) else value
