"""From the record of an image back to what was asked for: a short spec, prompts, seed, pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from glidepath.core import GlidepathError
from glidepath.plugins.page.specs import Specs
from glidepath.registry import Manifest, SpecError, canonical_json, image_in, yaml_block

Tree = Mapping[str, Any]


class Restorer:
    """Makes specs of records. It knows what the bases of specs stand for."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs
        self._trees: dict[str, Tree | None] = {}

    def restore(self, data: bytes, name: str) -> dict[str, Any]:
        """What the file of an image says was asked for, as `read_asked` takes it. name: of the file.

        Raises:
            GlidepathError: it carries no record, or a damaged one.
        """
        _, manifest, _ = image_in(data, name)
        images = manifest.images
        assert images is not None  # `image_in` saw to it
        first = images.keys[0]
        prompts = list(dict.fromkeys(key.prompt for key in images.keys))
        lost = [it for it, carried in images.pictures.items() if carried.png is None]
        if lost:
            raise GlidepathError(f"{name} was made from a picture that it does not carry: {', '.join(lost)}")
        pictures = {it: f"data:image/png;base64,{carried.png}" for it, carried in images.pictures.items()}
        return {
            "text": self.text(manifest),
            "prompts": prompts,
            "negative": first.negative,
            "texts": dict(first.texts),
            "seed": first.seed,
            "first": first.sample,
            "count": max(1, len(images.keys) // len(prompts)),
            "labels": list(dict.fromkeys(key.label for key in images.keys if key.label is not None)),
            "size": list(images.size) if images.size else None,
            "strength": images.strength,
            "pictures": pictures,
        }

    def text(self, manifest: Manifest) -> str:
        """The spec of a record, on the base that it differs least from, where there is one."""
        wanted = json.loads(canonical_json(manifest.spec))
        short = min(
            (text for base in self._specs.bases if (text := self._on(base, wanted)) is not None),
            key=len,
            default=None,
        )
        return short if short is not None else yaml_block(wanted) + "\n"

    def _on(self, base: str, wanted: Tree) -> str | None:
        """The spec as what it changes in a base; None where it has little in common with it."""
        tree = self._tree(base)
        if tree is None or self._model(tree) != self._model(wanted):
            return None
        changed = dict(_changes(tree, wanted))
        text = yaml_block({"extends": base, **changed}) + "\n"
        try:
            stands_for = json.loads(canonical_json(self._specs.plan(text).portable_tree()))
        except SpecError:
            return None
        return text if stands_for == wanted else None

    def _model(self, tree: Tree) -> Any:
        """What is compared first: what makes x, or the names of the stages."""
        stages = tree.get("stages")
        if isinstance(stages, dict):
            return list(stages)
        parts = {slot: tree.get(slot) for slot in self._specs.models}
        return {slot: part.get("use") for slot, part in parts.items() if isinstance(part, dict)}

    def _tree(self, base: str) -> Tree | None:
        if base not in self._trees:
            try:
                plan = self._specs.plan(yaml_block({"extends": base}) + "\n")
                self._trees[base] = json.loads(canonical_json(plan.portable_tree()))
            except SpecError:
                self._trees[base] = None
        return self._trees[base]


def _changes(base: Tree, wanted: Tree) -> Iterator[tuple[str, Any]]:
    """What a spec says to become another: of mappings of one `use` what differs, of all else the whole."""
    for key in dict.fromkeys([*base, *wanted]):
        old, new = base.get(key), wanted.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and old.get("use") == new.get("use"):
            yield key, dict(_changes(old, new))
        else:
            yield key, new
