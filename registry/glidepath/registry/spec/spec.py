"""A spec: what a file or a mapping says, with what it extends and what overrides change; and its places."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.spec.config import read_section
from glidepath.registry.spec.interpolate import interpolate
from glidepath.registry.spec.layers import Layers, SpecSource
from glidepath.registry.spec.overrides import Override, apply, as_overrides, override_source
from glidepath.registry.spec.positions import Schema
from glidepath.registry.spec.requirements import PluginsSection
from glidepath.registry.text.problems import Place, Problem, Problems, SpecError
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import MAX_DEPTH, MAX_NODES, MappingNode, join_path, node_value, walk
from glidepath.registry.text.yaml_tree import Unreadable

if TYPE_CHECKING:
    from omegaconf import DictConfig


@attrs.frozen(eq=False, slots=False)
class Spec:
    """A spec as it was read. Whether its parts exist and fit is for `make_plan` to say.

    name: a path, "preset NAME", "mapping", or what a text came with; of layers, that of the last.
    folder: what its own relative paths are relative to, None for a text without one.
    root: the tree, every value with its place.
    files: the names of what it was read from, itself first.
    lent: where an interpolated value is from, by the place of the interpolation.
    problems: what is wrong with its text, its layers, its overrides and its interpolations.
        `make_plan` raises them together with those of the parts.
    complete: whether all of its layers could be read, so that what is missing is really missing.
    """

    name: str
    folder: Path | None
    root: MappingNode = attrs.field(repr=False)
    files: tuple[str, ...]
    lent: Mapping[Place, Place] = attrs.field(repr=False)
    problems: tuple[Problem, ...] = ()
    complete: bool = True

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The values as dicts, lists, text, numbers, truth values and None, as YAML reads them."""
        values: dict[str, Any] = node_value(self.root)
        return values

    @cached_property
    def config(self) -> DictConfig:
        """The same as an OmegaConf config: merged, resolved, read-only. `OmegaConf.to_yaml` of it is a spec.

        Relative paths in it are still relative to where each was written; `Plan.tree` is the spec for another
        folder.
        """
        from omegaconf import OmegaConf  # most commands do without, and each start would pay for it

        config = OmegaConf.create(self.tree)
        OmegaConf.set_readonly(config, True)
        return config

    @cached_property
    def places(self) -> Mapping[str, Place]:
        """Where each value was written, by dotted path: "sampler.steps", "guidance[0].scale"."""
        return {path: node.place for path, node in walk(self.root) if path}

    @cached_property
    def keys(self) -> Mapping[str, Place]:
        """Where the key of each value was written, by dotted path; entries of a list have none."""
        return {
            join_path(path, key): entry.key
            for path, node in walk(self.root)
            if isinstance(node, MappingNode)
            for key, entry in node.items.items()
        }

    @cached_property
    def folders(self) -> Mapping[str, Path | None]:
        """What a relative path in each value is relative to, by dotted path."""
        return {path: node.source.folder for path, node in walk(self.root) if path}


def read_spec(
    source: SpecSource,
    overrides: Sequence[str | Override] = (),
    *,
    catalogue: Catalogue,
    allow_env: bool = False,
    untrusted: bool = False,
) -> Spec:
    """A spec, with overrides applied.

    source: the name of a preset or of a file, a path, a mapping, or a `DictConfig`, such as Hydra composes;
        or a list of these, later ones on top. Relative paths in a mapping are relative to the current
        directory; its places are "mapping" (in a list "mapping 2") and the dotted path.
    overrides: "path=value", applied in order; an `Override` has a name for messages.
    allow_env: `${oc.env:NAME}` may read the environment.
    untrusted: the file came from a stranger: it extends nothing, and names no file outside its folder.

    Raises:
        SpecError: nothing of it can be read. Lesser problems are `Spec.problems`.
    """
    _require_source(source)
    return _Reading(catalogue, overrides, allow_env).spec(lambda layers: layers.read(source, not untrusted))


def parse_spec(
    text: str,
    name: str,
    overrides: Sequence[str | Override] = (),
    *,
    catalogue: Catalogue,
    folder: Path | None = None,
    beside: Path | None = None,
    allow_env: bool = False,
    untrusted: bool = False,
    bases: Mapping[str, str | Path] | None = None,
) -> Spec:
    """The spec in a text.

    name: what places call the text.
    folder: what its relative paths are relative to; None: it may name no file.
    beside: a second folder, for files that are not in the first; there the bare name will do.
    bases: what an untrusted text may extend all the same: presets by name and files by path, under the names
        that it has for them. These are trusted. None: nothing.
    The rest is as for `read_spec`.

    Raises:
        SpecError: as for `read_spec`.
    """
    source = Source(name, folder, text.removeprefix("\ufeff"), trusted=not untrusted, beside=beside)
    return _Reading(catalogue, overrides, allow_env, bases).spec(lambda layers: layers.from_text(source))


def plugin_switches(source: SpecSource, overrides: Sequence[str | Override] = ()) -> PluginsSection:
    """What a spec says of plugins, for `load_catalogue`: read before any plugin loads.

    Presets come from plugins, so what those extend is not looked into. Nothing is raised over a faulty spec:
    `read_spec` reports it, and `make_plan` holds every part against these switches again.

    Raises:
        SpecError: the source names no spec, or the overrides are no list of texts.
    """
    _require_source(source)
    catalogue, problems = Catalogue(), Problems()
    reading = _Reading(catalogue, overrides, allow_env=False)
    try:
        root = reading.settle(Layers(reading.schema, reading.problems).read(source))
    except Unreadable:
        return PluginsSection()
    return read_section(root, "plugins", PluginsSection, problems) or PluginsSection()


def _require_source(source: object) -> None:
    """Refuse what names no spec, in a call that a type checker has not looked at."""
    layers: list[object] = [source]
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        layers = list(source)
    odd = [layer for layer in layers if not isinstance(layer, str | os.PathLike | Mapping)]
    if odd or not layers:
        this = f"this is of type {type(odd[0]).__name__}" if odd else "this list is empty"
        what = f"a spec is a text, a path, a mapping or a list of these, and {this}"
        hint = "a text is the name of a preset or of a file; `parse_spec` reads the text of a spec itself"
        raise SpecError([Problem(what=what, hint=hint)])


class _Reading:
    """One reading of one spec."""

    def __init__(
        self,
        catalogue: Catalogue,
        overrides: Sequence[str | Override],
        allow_env: bool,
        bases: Mapping[str, str | Path] | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.overrides = as_overrides(overrides)
        self.allow_env = allow_env
        self.bases = bases
        self.problems = Problems()
        self.schema = Schema(catalogue)

    def spec(self, read: Callable[[Layers], MappingNode]) -> Spec:
        layers = Layers(self.schema, self.problems, self.bases)
        try:
            root = self.settle(read(layers))
        except Unreadable:
            raise self.problems.error() from None
        files, lent = tuple(self.problems.files), dict(self.problems.lent)
        problems = tuple(self.problems.sorted())
        return Spec(root.source.name, root.source.folder, root, files, lent, problems, layers.complete)

    def settle(self, root: MappingNode) -> MappingNode:
        """A merged tree with overrides and interpolations applied."""
        for number, override in enumerate(self.overrides, 1):
            source = override_source(number, override)
            self.problems.files.append(source.name)
            drop = isinstance(override, Override) and override.drop_unknown
            root = apply(root, source, self.schema, self.problems, drop_unknown=drop)
        if root.depth > MAX_DEPTH or root.size > MAX_NODES:
            what = f"the spec has more than {MAX_DEPTH} levels or {MAX_NODES:,} values"
            self.problems.add(what, root.place)
            raise Unreadable
        return interpolate(root, self.problems, self.allow_env)
