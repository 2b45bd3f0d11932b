"""A spec and what it and its stages extend, read from files and presets and merged into one tree."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.describe.fields import Level
from glidepath.registry.discovery.components import NotFound
from glidepath.registry.files.hub_cache import cached_repository
from glidepath.registry.files.reading import open_file
from glidepath.registry.spec.merge import merge
from glidepath.registry.spec.positions import Schema
from glidepath.registry.text.named_files import is_there, meant_file
from glidepath.registry.text.problems import Place, Problems, did_you_mean, quoted
from glidepath.registry.text.scalars import NULL
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import (
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
from glidepath.registry.text.yaml_tree import MAX_BYTES, Unreadable, read_tree

Layer = str | Path | Mapping[str, Any]
SpecSource = Layer | Sequence[Layer]
"""A spec: a preset, a file, a mapping or an OmegaConf config; or a list of these, as layers."""

_MOST_FILES = 100
_HUB = "hub:"
_TENSORS = ".safetensors"
_PNG = b"\x89PNG\r\n\x1a\n"


@attrs.frozen
class _Origin:
    """Where a text comes from. key: the same for two names of one file. distribution: as of `Source`."""

    name: str
    file: Path
    key: str
    distribution: str = ""


class Layers:
    """Reads a spec's own text and all that it extends.

    bases: what a stranger's text may extend, by the names that it has for it; None: nothing.
    complete: False once a layer could not be read: what is missing may have been in it.
    """

    def __init__(
        self, schema: Schema, problems: Problems, bases: Mapping[str, str | Path] | None = None
    ) -> None:
        self.complete = True
        self._bases = bases
        self._schema = schema
        self._problems = problems
        self._open: list[_Origin] = []
        self._path = "extends"
        self._parsed: dict[tuple[str, str], MappingNode] = {}
        self._files = 0
        self._size = 0

    def read(self, source: SpecSource, trusted: bool = True) -> MappingNode:
        """A spec, or several as layers, later ones on top, each on what it extends itself.

        One that is not trusted is a file or a mapping, and extends nothing.

        Raises:
            Unreadable: it cannot be read; why is among the problems.
        """
        if isinstance(source, str | os.PathLike | Mapping):
            return self._one(source, "mapping", trusted)
        merged: Node | None = None
        for number, named in enumerate(source, 1):
            try:
                layer = self._one(named, f"mapping {number}", trusted)
            except Unreadable:
                continue
            merged = layer if merged is None else merge(merged, layer, self._schema, Level.SPEC)
        if not isinstance(merged, MappingNode):
            raise Unreadable
        return merged

    def _one(self, source: Layer, name: str, trusted: bool) -> MappingNode:
        if not isinstance(source, Mapping):
            return self._from_name(source, trusted)
        from glidepath.registry.text.mappings import mapping_tree  # most specs are files

        self._problems.files.append(name)
        home = Source(name, Path(), "", trusted=trusted)
        root = self._mapping(mapping_tree(source, home, self._problems))
        return self._extend(root) if trusted else self._alone(root)

    def _from_name(self, name: str | Path, trusted: bool) -> MappingNode:
        here = Place(str(name))
        origin = self._find(str(name), Path(), here, is_file=isinstance(name, Path) or not trusted)
        if trusted:
            return self._read(origin, here)
        return self._alone(self._parse(attrs.evolve(self._load(origin, here), trusted=False)))

    def from_text(self, source: Source) -> MappingNode:
        """The spec in a text. Raises as `read` does."""
        self._problems.files.append(source.name)
        root = self._parse(self._bounded(source))
        return self._extend(root) if source.trusted or self._bases is not None else self._alone(root)

    def from_tree(self, root: MappingNode) -> MappingNode:
        """A spec that stands inside another file, on what its `extends` names. Raises as `read` does."""
        return self._extend(root)

    def _alone(self, root: MappingNode) -> MappingNode:
        for path, node in (("", root), *_stages(root).items()):
            if entry := node.items.get("extends"):
                self.complete = False
                what = "a spec that came with an image or a checkpoint extends nothing"
                hint = "such a spec holds all of its values"
                self._problems.add(what, entry.key, join_path(path, "extends"), hint)
        whole = {path: _without(stage, "extends") for path, stage in _stages(root).items()}
        return _without(_with_stages(root, whole), "extends")

    def _bounded(self, source: Source) -> Source:
        if len(source.text) > MAX_BYTES:
            raise self._stop(f"{source.name} is longer than {MAX_BYTES:,} characters", Place(source.name))
        return source

    def _find(self, name: str, folder: Path, place: Place, is_file: bool = False, own: str = "") -> _Origin:
        """What a name stands for: a file when it looks like one, a preset otherwise.

        own: the distribution that the name ships with, and so does a file that it names.
        """
        self._files += 1
        if self._files > _MOST_FILES:
            raise self._stop(f"the spec extends more than {_MOST_FILES} files", place)
        file = folder / name
        if name.startswith(_HUB) and not is_file:
            cached = cached_repository(name.removeprefix(_HUB))
            if cached is None:
                hint = f"get it first: hf download {shlex.quote(name.removeprefix(_HUB))}"
                raise self._stop(f"{name} is not in the cache of huggingface_hub here", place, hint)
            return _Origin(name, cached, str(cached), own)
        if not is_file and not name.startswith((".", "/")) and not name.endswith((".yaml", ".yml", _TENSORS)):
            try:
                supplied = self._schema.catalogue.preset_source(name, own)
                preset = supplied.item.file
                return _Origin(f"preset {name}", preset, str(preset), supplied.record.distribution)
            except NotFound as unknown:
                if not is_there(file) and not os.path.isdir(file):
                    hints = unknown.hint, meant_file(file)
                    hint = next(filter(None, hints[::-1] if file.suffix else hints), "")
                    if "=" in name:
                        hint = f"it is no layer but an override: overrides=[{name!r}]"
                    hint = hint or "the name of a file ends in .yaml or .yml"
                    raise self._stop(unknown.what, place, hint, unknown.allowed) from None
        try:
            return _Origin(os.path.normpath(file), file, os.path.realpath(file), own)
        except (OSError, ValueError) as error:
            raise self._stop(f"{quoted(name)} is not the name of a file: {error}", place) from None

    def _read(self, origin: _Origin, place: Place) -> MappingNode:
        """A file with what it extends. place: what names it."""
        if any(origin.key == other.key for other in self._open):
            ring = " -> ".join([*(other.name for other in self._open), origin.name])
            raise self._stop("extends leads in a circle", place, ring)
        key = (origin.key, origin.distribution)
        if key not in self._parsed:
            is_foreign = os.path.isdir(origin.file) or (
                origin.file.suffix == _TENSORS and is_there(origin.file)
            )
            self._parsed[key] = (
                self._told(origin, place) if is_foreign else self._parse(self._load(origin, place))
            )
        root = self._parsed[key]
        self._size += root.size
        if self._size > MAX_NODES:
            raise self._stop(f"what the spec extends has more than {MAX_NODES:,} values", place)
        self._open.append(origin)
        try:
            return self._extend(root)
        finally:
            self._open.pop()

    def _told(self, origin: _Origin, place: Place) -> MappingNode:
        """The spec of a folder, or of a file of weights, as the plugin says that knows what is in it."""
        try:
            told = self._schema.catalogue.call_hook("spec_of", path=origin.file)
        except GlidepathError as error:
            raise self._stop(f"{origin.name} cannot be read as a spec: {error}", place) from error
        if len(told) != 1:
            this = "a folder" if os.path.isdir(origin.file) else "a file of weights"
            what = f"{origin.name} is {this}, and {len(told) or 'no'} installed plugins know what is in it"
            raise self._stop(what, place, "a spec is a preset, a file, or a folder that a plugin can read")
        from glidepath.registry.text.mappings import mapping_tree  # most specs are files

        self._problems.files.append(origin.name)
        folder = origin.file if os.path.isdir(origin.file) else origin.file.parent
        return self._mapping(mapping_tree(told[0], Source(origin.name, folder, ""), self._problems))

    def _load(self, origin: _Origin, place: Place) -> Source:
        try:
            path = self._path if place.line else ""
            source = load_file(origin.name, origin.file, place, self._problems, path)
        except Unreadable:
            self.complete = False
            raise
        return attrs.evolve(source, distribution=origin.distribution)

    def _parse(self, source: Source) -> MappingNode:
        try:
            node = read_tree(source, self._problems)
        except Unreadable:
            self.complete = False
            raise
        if node is None or (isinstance(node, Scalar) and node.rule == NULL):
            return MappingNode({}, source.place(0, 0), source)
        return self._mapping(node)

    def _mapping(self, node: Node) -> MappingNode:
        if isinstance(node, MappingNode):
            return node
        if isinstance(node, Broken):
            raise Unreadable
        self.complete = False
        hint = "such as 'sampler: ddim', one part to a line"
        self._problems.add(f"a spec is a mapping, and this is {describe_node(node)}", node.place, hint=hint)
        raise Unreadable

    def _extend(self, root: MappingNode) -> MappingNode:
        """A spec on what it extends. Each of its stages is a spec too."""
        stages = {path: self._on_base(stage, path) for path, stage in _stages(root).items()}
        return self._on_base(_with_stages(root, stages), "")

    def _on_base(self, own: MappingNode, path: str) -> MappingNode:
        """The spec or the stage at `path` on what it extends.

        A stage takes from there what samples: where it runs is for its cascade to say, and it is not trained.
        """
        outer, self._path = self._path, join_path(path, "extends")
        base: Node | None = None
        for name in self._extended(own.get("extends")):
            try:
                layer = self._read(self._named(name), name.place)
            except Unreadable:
                continue
            if path:
                kinds = self._schema.catalogue.slots.items()
                layer = _without(layer, "runtime", *(slot for slot, kind in kinds if not kind.sampling))
            base = layer if base is None else merge(base, layer, self._schema, Level.SPEC)
        self._path = outer
        own = _without(own, "extends")
        merged = own if base is None else merge(base, own, self._schema, Level.SPEC)
        assert isinstance(merged, MappingNode)
        return merged

    def _named(self, name: Scalar) -> _Origin:
        """What a text extends by a name."""
        if name.source.trusted:
            folder = name.source.folder or Path()
            return self._find(name.text, folder, name.place, own=name.source.distribution)
        bases = self._bases or {}
        if name.text not in bases:
            what = f"there is no spec {quoted(name.text)} that this one may extend"
            raise self._stop(what, name.place, did_you_mean(name.text, bases), tuple(bases))
        base = bases[name.text]
        return self._find(str(base), Path(), name.place, is_file=isinstance(base, Path))

    def _extended(self, node: Node | None) -> list[Scalar]:
        names = []
        for item in node.items if isinstance(node, ListNode) else () if node is None else (node,):
            if isinstance(item, Scalar) and item.is_text and "${" not in item.text:
                names.append(item)
            elif isinstance(item, Broken) or (isinstance(item, Scalar) and item.rule == NULL):
                continue
            else:
                self.complete = False
                what = (
                    "extends takes the name of a preset, a file or folder next to this one, or a list of them"
                )
                self._problems.add(what, item.place, self._path, allowed=self._schema.catalogue.presets())
        return names

    def _stop(self, what: str, place: Place, hint: str = "", allowed: tuple[str, ...] = ()) -> Unreadable:
        self.complete = False
        self._problems.add(what, place, self._path if place.line else "", hint, allowed)
        return Unreadable()


def load_file(name: str, file: Path, place: Place, problems: Problems, path: str = "") -> Source:
    """The text of a file. name: as messages call it. place, path: of what names it.

    Raises:
        Unreadable: it is not there, too large, no file or no text; which, is among the problems.
    """

    def stop(what: str, hint: str = "") -> Unreadable:
        problems.add(what, place, path, hint)
        return Unreadable()

    try:
        with open_file(file) as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise stop(f"there is no file {name}", meant_file(file)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise stop(f"{name} cannot be read: {reason}") from None
    if data.startswith(_PNG):
        hint = f"if glidepath made it, `glidepath replay {shlex.quote(name)}` makes it again"
        raise stop(f"{name} is a PNG image and no spec", hint)
    if len(data) > MAX_BYTES:
        raise stop(f"{name} is larger than {MAX_BYTES:,} bytes", "a spec is a page or two of text")
    problems.files.append(name)
    try:
        return Source(name, file.parent, data.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        whole = Source(name, None, data.decode("utf-8", "replace"))
        where = whole.at(len(data[: error.start].decode("utf-8")))
        problems.add(f"{name} is not UTF-8", where, hint="save it as UTF-8")
        raise Unreadable from None


def _without(root: MappingNode, *keys: str) -> MappingNode:
    items = {key: entry for key, entry in root.items.items() if key not in keys}
    return MappingNode(items, root.place, root.source)


def _stages(root: MappingNode) -> dict[str, MappingNode]:
    """The stages of a spec that are mappings, by dotted path."""
    stages = root.get("stages")
    items = stages.items if isinstance(stages, MappingNode) else {}
    return {
        join_path("stages", name): entry.node
        for name, entry in items.items()
        if isinstance(entry.node, MappingNode)
    }


def _with_stages(root: MappingNode, stages: Mapping[str, MappingNode]) -> MappingNode:
    """The spec with other stages in the place of its own."""
    entry = root.items.get("stages")
    if not stages or entry is None or not isinstance(entry.node, MappingNode):
        return root
    items = {
        name: Entry(stage.key, stages.get(join_path("stages", name), stage.node))
        for name, stage in entry.node.items.items()
    }
    node = MappingNode(items, entry.node.place, entry.node.source)
    return MappingNode({**root.items, "stages": Entry(entry.key, node)}, root.place, root.source)
