"""YAML text to a tree in which every value knows where it was written.

Built from parser events, within limits and without recursion, so that no text can exhaust the stack, the
memory or the reader's patience. No tag makes an object: a tree holds text, numbers, truth values, lists and
mappings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import yaml

from glidepath.registry.text.problems import Place, Problems, quoted
from glidepath.registry.text.scalars import BASE_60, BOOL, FLOAT, INT, NULL, OCTAL, TEXT, resolve
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import (
    MAX_DEPTH,
    MAX_NODES,
    Broken,
    Entry,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    join_path,
)

MAX_BYTES = 1 << 19

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML 1.1 does not allow in a text, lone surrogates included; a BOM is taken off before.
_NOT_YAML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = {
    f"{_TAG}null": (NULL,),
    f"{_TAG}bool": (BOOL,),
    f"{_TAG}int": (INT, OCTAL, BASE_60),
    f"{_TAG}float": (FLOAT, INT, BASE_60),
}
_OF_FILES = {
    yaml.AnchorToken: "names what follows",
    yaml.DocumentStartToken: "begins a document",
    yaml.DocumentEndToken: "ends a document",
}
_CORE_TAGS = ("!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq")

_HINTS = {
    "mapping values are not allowed": "a text with ': ' in it needs quotes; a key starts a line of its own",
    "found character that cannot": "indent with spaces, not tabs; text that starts with @ or ` needs quotes",
    "found character '\\t'": "indent with spaces, not tabs",
    "found a tab character": "indent with spaces, not tabs",
    "found unexpected end of stream": "is a quote or a bracket left open?",
    "did not find expected key": "check the indentation, and that each key has ': ' after it",
    "did not find expected '-' indicator": "check the indentation of the list",
    "did not find expected ',' or": "is a comma missing, or a bracket left open?",
    "did not find expected <document start>": "nothing may follow the spec's value",
    "could not find expected ':'": "a key needs ': ' after it",
    "did not find expected node content": "is a bracket left open, or a value missing?",
}


class Unreadable(Exception):
    """Nothing can be made of the text; why is among the problems."""


def read_tree(source: Source, problems: Problems) -> Node | None:
    """The tree of a text, None when the text is empty.

    Problems that leave a tree behind (a duplicate key, a tag) are added to `problems`.

    Raises:
        Unreadable: a syntax error or a limit, added to `problems`.
    """
    return _Builder(source, problems).build()


@attrs.define(eq=False)
class _Frame:
    """A list or mapping whose end has not come yet."""

    place: Place
    is_mapping: bool
    anchor: str | None
    flow: bool
    items: list[Node] = attrs.Factory(list)
    entries: dict[str, Entry] = attrs.Factory(dict)
    merged: list[Node] = attrs.Factory(list)
    key: Scalar | Broken | None = None
    refused: bool = False


class _Builder:
    def __init__(self, source: Source, problems: Problems) -> None:
        self.source = source
        self.problems = problems
        self.stack: list[_Frame] = []
        self.anchors: dict[str, Node | None] = {}
        self.root: Node | None = None
        self.count = 0

    def stop(self, what: str, place: Place, hint: str = "") -> Unreadable:
        self.problems.add(what, place, hint=hint)
        return Unreadable()

    def build(self) -> Node | None:
        documents = 0
        for event in self.events():
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.stop("a second document starts here; a spec is one", self.mark(event))
            elif isinstance(event, yaml.NodeEvent):
                self.count += 1
                if self.count > MAX_NODES:
                    raise self.stop(
                        f"the spec has more than {MAX_NODES:,} values",
                        self.mark(event),
                        "put large data in a file of its own",
                    )
                self.node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.end()
        if self.source.override:
            self.require_values_alone()
        return self.root

    def require_values_alone(self) -> None:
        """Refuse what YAML has for files, and would take silently out of a value written in one line."""
        text, end = self.source.text[self.source.skip :], 0
        for token in yaml.scan(text, Loader=_Loader):
            start = text.find("#", end, token.start_mark.index)
            what = "begins a comment" if start >= 0 else _OF_FILES.get(type(token), "")
            if what:
                place = self.source.at(self.source.skip + (start if start >= 0 else token.start_mark.index))
                raise self.stop(f"this {what} in YAML", place, "write a text that holds it in quotes")
            end = token.end_mark.index

    def events(self) -> Iterator[yaml.Event]:
        text = self.source.text
        if match := _NOT_YAML.search(text, self.source.skip):
            hint = 'write it as an escape in double quotes, such as "\\x07"'
            if "\ud800" <= match[0] <= "\udfff":  # so Python shows bytes of a name that are no UTF-8
                hint = "give the file or folder a name in UTF-8"
            raise self.stop("this character may not stand in YAML", self.source.at(match.start()), hint)
        if match := _DIRECTIVE.search(text, self.source.skip):
            what = "YAML directives are not accepted, and no other line may start with %"
            raise self.stop(what, self.source.at(match.start()))
        events = yaml.parse(text[self.source.skip :], Loader=_Loader)
        while True:
            try:
                event = next(events)
            except StopIteration:
                return
            except yaml.MarkedYAMLError as error:
                raise self.syntax_error(error) from None
            except Exception as error:  # the parser's own limits, such as "\UFFFFFFFF" in the pure Python one
                raise self.stop(f"YAML: {error}", self.source.at(self.source.skip)) from None
            yield event

    def syntax_error(self, error: yaml.MarkedYAMLError) -> Unreadable:
        problem = str(error.problem).replace(" in this context", " here")
        what, mark, start = f"YAML: {problem}", error.problem_mark, error.context_mark
        if error.context and error.context != "while scanning for the next token":
            what += f" {error.context}"
            if start and mark and start.line != mark.line:
                what += f" that starts at line {start.line + 1}"
        hint = next((hint for start, hint in _HINTS.items() if problem.startswith(start)), "")
        mark = mark or start
        place = self.source.place(mark.line, mark.column)
        if problem.startswith("did not find expected ',' or") and "${" in place.text:
            hint = 'inside brackets an interpolation needs quotes, such as "${text_encoder.width}"'
        return self.stop(what, place, hint)

    def problem(
        self,
        what: str,
        place: Place,
        hint: str = "",
        allowed: Iterable[str] = (),
        near: tuple[str, Iterable[str]] | None = None,
    ) -> None:
        """Report what is wrong with what is being read."""
        path = ""
        for frame in self.stack:
            if not frame.is_mapping:
                path += f"[{len(frame.items)}]"
            elif isinstance(frame.key, Scalar):
                path = join_path(path, frame.key.text)
        self.problems.add(what, place, path, hint, allowed, near)

    def mark(self, event: yaml.Event) -> Place:
        return self.source.place(event.start_mark.line, event.start_mark.column)

    def node(self, event: yaml.NodeEvent) -> None:
        place = self.mark(event)
        if isinstance(event, yaml.AliasEvent):
            self.alias(event, place)
        elif isinstance(event, yaml.ScalarEvent):
            node = self.scalar(event, place)
            if event.anchor:
                self.anchors[event.anchor] = node
            self.put(node, plain_scalar=event.implicit[0])
        else:
            if len(self.stack) >= MAX_DEPTH:
                raise self.stop(f"the spec is nested more than {MAX_DEPTH} levels deep", place)
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            frame = _Frame(place, is_mapping, event.anchor, bool(event.flow_style))
            if event.tag not in (None, "!", f"{_TAG}{'map' if is_mapping else 'seq'}"):
                self.refuse_tag(event.tag, place)
                frame.refused = True
            if event.anchor:
                self.anchors[event.anchor] = None
            self.stack.append(frame)

    def alias(self, event: yaml.AliasEvent, place: Place) -> None:
        if event.anchor not in self.anchors:
            near = (event.anchor, list(self.anchors))
            self.problem(f"there is no anchor &{event.anchor} before this", place, near=near)
            self.put(Broken(place, self.source))
            return
        node = self.anchors[event.anchor]
        if node is None:
            self.problem(f"&{event.anchor} contains itself", place)
            node = Broken(place, self.source)
        self.put(node)

    def refuse_tag(self, tag: str, place: Place) -> None:
        name = f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag
        hint = "a spec is data: write the value without a tag"
        self.problem(f"the tag {quoted(name)} is not accepted here", place, hint, _CORE_TAGS)

    def scalar(self, event: yaml.ScalarEvent, place: Place) -> Scalar | Broken:
        text: str = event.value
        if event.tag in (None, "!"):
            value, rule = resolve(text) if event.implicit[0] and event.tag is None else (text, TEXT)
            return Scalar(text, value, rule, place, self.source)
        if event.tag == f"{_TAG}str":
            return Scalar(text, text, TEXT, place, self.source)
        if event.tag not in _SCALAR_TAGS:
            self.refuse_tag(event.tag, place)
            return Broken(place, self.source)
        value, rule = resolve(text)
        if rule not in _SCALAR_TAGS[event.tag]:
            self.problem(f"{quoted(text)} is not what the tag !!{event.tag.removeprefix(_TAG)} says", place)
            return Broken(place, self.source)
        return Scalar(text, value, rule, place, self.source)

    def put(self, node: Node, plain_scalar: bool = False) -> None:
        """Add a finished node to what it stands in."""
        if node.size > MAX_NODES:
            raise self.stop(f"aliases make the spec larger than {MAX_NODES:,} values", node.place)
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if not frame.is_mapping:
            frame.items.append(node)
        elif frame.key is None:
            frame.key = self.key(node, plain_scalar)
        else:
            self.entry(frame, frame.key, node)
            frame.key = None

    def key(self, node: Node, plain_scalar: bool) -> Scalar | Broken:
        if isinstance(node, Scalar) and node.is_text:
            # a quoted "<<" is a key like any other; the rule tells them apart
            return attrs.evolve(node, rule="merge") if plain_scalar and node.text == "<<" else node
        if isinstance(node, Scalar):
            hint = f'write it in quotes: "{node.text}"' if node.text else "a key is missing before the colon"
            if self.stack[-1].flow:
                hint += "; in { } a comma ends a value, so a text with commas needs quotes"
            self.problem(
                f"a key is text, and {quoted(node.text)} is {describe_node(node)} in YAML", node.place, hint
            )
        elif not isinstance(node, Broken):
            self.problem(f"a key is text, and this is {describe_node(node)}", node.place)
        return Broken(node.place, self.source)

    def entry(self, frame: _Frame, key: Scalar | Broken, node: Node) -> None:
        if isinstance(key, Broken):
            return
        if key.rule == "merge":
            frame.merged.append(node)
        elif key.text in frame.entries:
            first = frame.entries[key.text].key
            self.problem(
                f"the key {quoted(key.text)} is written twice", key.place, f"it is first written at {first}"
            )
        else:
            frame.entries[key.text] = Entry(key.place, node)

    def end(self) -> None:
        frame = self.stack.pop()
        node: Node
        if frame.refused:
            node = Broken(frame.place, self.source)
        elif frame.is_mapping:
            for merged in frame.merged:
                self.merge(frame, merged)
            node = MappingNode(frame.entries, frame.place, self.source)
        else:
            node = ListNode(tuple(frame.items), frame.place, self.source)
        if node.depth + len(self.stack) > MAX_DEPTH:
            raise self.stop(f"the spec is nested more than {MAX_DEPTH} levels deep", node.place)
        if frame.anchor:
            self.anchors[frame.anchor] = node
        self.put(node)

    def merge(self, frame: _Frame, merged: Node) -> None:
        """`<<: *base`: the entries of another mapping, or of several, for keys that are not written here."""
        mappings = merged.items if isinstance(merged, ListNode) else (merged,)
        for mapping in mappings:
            if isinstance(mapping, MappingNode):
                for key, entry in mapping.items.items():
                    frame.entries.setdefault(key, entry)
            elif not isinstance(mapping, Broken):
                what = f"<< takes a mapping or a list of mappings, and this is {describe_node(mapping)}"
                self.problem(what, mapping.place)
