"""The tasks of processes: a file holds all that a process needs, which reads no study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glidepath.plugins.studies.store.store import Store
from glidepath.plugins.studies.study.graph import Node, begins_with_weights, is_trained
from glidepath.plugins.studies.study.study import MetricPlan, Study
from glidepath.registry import part_tree

WEIGHTS, EMBEDDINGS = "weights.safetensors", "embeddings.safetensors"
MANIFEST = "manifest.json"


def order_of(
    nodes: Sequence[Node], study: Study, store: Store, *, no_plugins: bool = False
) -> dict[str, Any]:
    """The order for some nodes, to be worked off one after the other.

    Each step that is not of this order has its result in the store already.
    """
    folders = {node.key: store.next_attempt(node.key) for node in nodes}
    steps = [_step(node, study, store, folders) for node in nodes]
    return {"no_plugins": no_plugins, "threads": study.threads, "steps": steps}


def _step(node: Node, study: Study, store: Store, folders: Mapping[str, Path]) -> dict[str, Any]:
    before: dict[str, list[Path]] = {}
    for other in _all_before(node):
        before.setdefault(other.stage, []).append(_folder(other, store, folders))
    trained = before.get("train", [None])[0]
    step: dict[str, Any] = {
        "key": node.key,
        "stage": node.stage,
        "label": node.label,
        "attempt": str(folders[node.key].absolute()),
        "spec": spec_of(node, study, trained),
    }
    if node.seed is not None:
        step["seed"] = node.seed
    if node.stage == "train":
        step["work"] = str((store.node(node.key) / "work").absolute())
    if node.stage in ("embed", "sample", "measure"):
        step["prompts"] = prompts_of(node, study)
        step["per_prompt"] = study.data.per_prompt
        step["batch"] = study.data.batch
        step["negative"] = study.data.negative
    if node.stage == "sample" and node.batch is not None:
        step["samples"] = node.batch.samples(study.data.per_prompt)
        step["size"] = study.data.pixels
        if "embed" in before:
            step["embeddings"] = str(before["embed"][0] / EMBEDDINGS)
    if node.metric is not None:
        step["metric"] = metric_of(node.metric)
        step["whole_set"] = node.metric.whole_set
        step["drawn"] = [str(folder) for folder in before.get("sample", ())]
        step["drawn_seed"] = node.seed if node.seed is not None else node.upstream[-1].seed
    return step


def prompts_of(node: Node, study: Study) -> list[str]:
    """The prompts of a node, in the order of their images; of a metric that sees none, none."""
    drawn = [other for other in node.upstream if other.stage == "sample"]
    batches = [it.batch for it in ((node,) if node.batch is not None else drawn)]
    return [study.prompts[place] for batch in batches if batch is not None for place in batch.prompts]


def metric_of(metric: MetricPlan) -> Any:
    """A metric with every default written out."""
    return part_tree(metric.part)


def spec_of(node: Node, study: Study, trained: Path | None) -> dict[str, Any]:
    """The spec that a node runs: the arm's, with the seed of its training, or the weights that came of it."""
    tree = node.arm.tree()
    if node.stage == "train":
        tree["train"]["seed"] = node.seed
        if begins_with_weights(node.arm):
            return tree
    if study.trains:
        tree.pop("weights", None)
        for slot, part in tree.items():
            if is_trained(slot) and isinstance(part, dict):
                part.pop("weights", None)
    if trained is not None:
        tree["weights"] = str(trained / WEIGHTS)
    return tree


def _all_before(node: Node) -> list[Node]:
    """Each node whose result it takes, and whose result those take, once."""
    found: dict[str, Node] = {}
    for other in node.upstream:
        for it in (*_all_before(other), other):
            found[it.key] = it
    return list(found.values())


def _folder(node: Node, store: Store, folders: Mapping[str, Path]) -> Path:
    if node.key in folders:
        return folders[node.key].absolute()
    attempt = store.done(node.key)
    assert attempt is not None  # the driver starts what all of its upstream is done of
    return attempt.folder.absolute()
