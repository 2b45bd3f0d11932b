"""The spec of a training run, as a file that samples with the trained weights and resumes the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from glidepath.plugins.train.run import WEIGHTS
from glidepath.plugins.train.trainable import TRAINED
from glidepath.registry import yaml_text
from glidepath.registry.plan.resolved import resolved_tree
from glidepath.registry.spec.requirements import PluginsSection

if TYPE_CHECKING:
    from glidepath.registry import Plan

SPEC = "spec.yaml"


def training_tree(plan: Plan) -> dict[str, Any]:
    """The plan's tree without weights of what is trained, with absolute paths: it holds in any folder."""
    tree = resolved_tree(plan.parts, plan.runtime, None, PluginsSection(), str)
    if "plugins" in plan.tree:
        tree["plugins"] = plan.tree["plugins"]
    for slot in TRAINED:
        tree.get(slot, {}).pop("weights", None)
    return tree


def spec_text(tree: Mapping[str, Any], command: str, *, with_weights: bool = True) -> str:
    """YAML of a tree, with the weights that training will write beside it if they are the spec's."""
    whole = {**tree, "weights": WEIGHTS} if with_weights else tree
    lines = [f"# Written by: {' '.join(command.split())}", *_block(whole, "")]
    return "\n".join(lines) + "\n"


def _block(mapping: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{yaml_text(key)}:"
            yield from _block(value, indent + "  ")
        else:
            yield f"{indent}{yaml_text(key)}: {yaml_text(value)}"
