"""A YAML file of a plugin's own sections: parameters, parts and specs in it, each problem at its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from glidepath.registry.describe.fields import Slot
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.part_planner import PartPlanner
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.spec.config import read_section
from glidepath.registry.spec.layers import Layers, load_file
from glidepath.registry.spec.overrides import Override, apply, as_overrides, override_source
from glidepath.registry.spec.positions import Schema
from glidepath.registry.text.problems import Place, Problems
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import (
    Broken,
    Entry,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    node_of,
    node_value,
    present,
)
from glidepath.registry.text.yaml_tree import Unreadable, read_tree

T = TypeVar("T")

_DEFAULT = Place("default")


@attrs.frozen(eq=False)
class Document:
    """A file of sections, as `read_document` reads it.

    A method that finds something wrong adds it to `problems` and returns None; `raise_problems` raises all of
    them at once. A plugin adds its own there too: `problems.add("...", document.place(path), path)`.

    file, text: as it was read. root: its tree, overrides applied; every value knows its place.
    """

    file: Path
    text: str = attrs.field(repr=False)
    root: MappingNode = attrs.field(repr=False)
    problems: Problems = attrs.field(repr=False)
    catalogue: Catalogue = attrs.field(repr=False)
    _of_specs: Mapping[str, Sequence[Source]] = attrs.field(repr=False)

    def raise_problems(self) -> None:
        """Raise `SpecError` with all problems that were found, if there are any."""
        if len(self.problems):
            raise self.problems.error()

    def node(self, path: str) -> Node | None:
        """What is written at a dotted path, None for nothing and for null."""
        node: Node | None = self.root
        for key in path.split("."):
            node = node.get(key) if isinstance(node, MappingNode) else None
        return present(node)

    def place(self, path: str) -> Place:
        """Where a value is written, or the nearest thing around it."""
        node: Node = self.root
        for key in path.split("."):
            node = (node.get(key) if isinstance(node, MappingNode) else None) or node
        return node.place

    def value(self, path: str) -> Any:
        """What is written at a dotted path, as dicts, lists and YAML's scalars; None for nothing."""
        node = self.node(path)
        return None if node is None else node_value(node)

    def section(self, key: str, config: type[T]) -> T | None:
        """A section of plain parameters, as an object of an attrs class; its defaults where it is absent."""
        return read_section(self.root, key, config, self.problems)

    def part(self, node: Node | None, kind: str, path: str, default: str = "") -> PartPlan | None:
        """The plan of a part that stands at `path`. Whether it fits other parts is not looked at.

        default: the part where nothing is written, and where a mapping does not say which it is.
        """
        if default and node is None:
            node = node_of(default, _DEFAULT, self.root.source)
        if default and isinstance(node, MappingNode) and "use" not in node.items:
            use = Entry(node.place, node_of(default, _DEFAULT, self.root.source))
            node = MappingNode({"use": use, **node.items}, node.place, node.source)
        if node is None:
            self.problems.add(f"{path} needs a {kind}", self.place(path), path)
            return None
        part = PartPlanner(self.catalogue, self.problems).position(node, Slot(kind), path)
        return part if isinstance(part, PartPlan) else None

    def spec(self, key: str, *, without: str = "", extends: Node | None = None) -> MappingNode | None:
        """The spec that a section names or holds, on what it extends, overrides applied; `${...}` as written.

        without: the name of an override to leave out. extends: what it extends instead of what it says.
        """
        node = self.node(key)
        if isinstance(node, Scalar) and node.is_text:
            node = MappingNode({"extends": Entry(self.root.items[key].key, node)}, node.place, node.source)
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                this = "nothing" if node is None else describe_node(node)
                what = f"{key} takes the name of a spec, or a spec, and this is {this}"
                self.problems.add(what, self.place(key), key)
            return None
        if extends is not None:
            items = {**node.items, "extends": Entry(extends.place, extends)}
            node = MappingNode(items, node.place, node.source)
        schema = Schema(self.catalogue)
        layers = Layers(schema, self.problems)
        try:
            root = layers.from_tree(node)
        except Unreadable:
            return None
        for source in self._of_specs.get(key, ()):
            if source.name != without:
                root = apply(root, source, schema, self.problems)
        return root if layers.complete else None

    def spec_overrides(self, key: str) -> Sequence[str]:
        """The names of the overrides that change the spec in a section."""
        return [source.name for source in self._of_specs.get(key, ())]


def read_document(
    file: str | Path,
    keys: Sequence[str],
    overrides: Sequence[str | Override] = (),
    *,
    catalogue: Catalogue,
    specs: Sequence[str] = (),
) -> Document:
    """A YAML file with sections of a plugin's own.

    keys: of its sections; another one is a problem.
    overrides: "path=value", applied in order.
    specs: the keys whose sections are specs. An override that reaches into one ("base.sampler.steps=5")
        changes the spec as it is on what it extends.

    Raises:
        SpecError: nothing of it can be read. Lesser problems are in `Document.problems`.
    """
    name = str(file)
    problems = Problems()
    schema = Schema(catalogue)
    of_specs: dict[str, list[Source]] = {}
    try:
        source = load_file(name, Path(file), Place(name), problems)
        root = read_tree(source, problems) or MappingNode({}, source.place(0, 0), source)
        if not isinstance(root, MappingNode):
            if not isinstance(root, Broken):
                what = f"a file of sections is a mapping, and this is {describe_node(root)}"
                problems.add(what, root.place, allowed=keys)
            raise Unreadable
    except Unreadable:
        raise problems.error() from None
    for number, override in enumerate(as_overrides(overrides), 1):
        change = override_source(number, override)
        problems.files.append(change.name)
        section, dot, rest = change.text.partition(".")
        if dot and section in specs:
            inner = attrs.evolve(change, text=rest, skip=rest.find("=") + 1)
            of_specs.setdefault(section, []).append(inner)
        else:
            root = apply(root, change, schema, problems, position=None)
    _check_keys(root, keys, problems)
    return Document(Path(file), source.text, root, problems, catalogue, of_specs)


def _check_keys(root: MappingNode, keys: Iterable[str], problems: Problems) -> None:
    known = tuple(keys)
    for key, entry in root.items.items():
        if key not in known:
            problems.add(f"there is no section {key!r}", entry.key, key, allowed=known, near=(key, known))
