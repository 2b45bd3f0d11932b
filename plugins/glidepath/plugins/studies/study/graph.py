"""The stages of a study as a graph: train -> embed -> sample -> measure. Equal keys are one node.

Prompts are embedded, drawn and judged in batches, each a node, so that a new prompt runs by itself. A metric
that judges all images of a trial at once is one node for all of its batches.

A node's key is the digest of everything that decides its result: the parts that its stage reads, the keys of
the nodes before it, the code, the seeds, the precision. Parts enter a key by their own digests, so that a key
costs little; the preimage of a key writes them out again.

A slot that no stage declares goes into the keys of all stages: it may matter to any of them, and a key
without it would take an old result for a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from glidepath.plugins.studies.study.arms import ArmPlan
from glidepath.plugins.studies.study.batches import Batch, make_batches
from glidepath.plugins.studies.study.cache_keys import CORE, core_digest, described, digest, weights_digest
from glidepath.plugins.studies.study.study import MetricPlan, Study
from glidepath.registry import DISTRIBUTION, PIPELINE_SLOTS, Catalogue, PartPlan, fields

Stage = Literal["train", "embed", "sample", "measure"]

STAGES: tuple[Stage, ...] = ("train", "embed", "sample", "measure")

READS: Mapping[Stage, tuple[str, ...]] = {
    "train": ("schedule", "text_encoder", "conditioners", "adapters", "denoiser", "codec", "data", "train"),
    "embed": ("text_encoder", "adapters"),
    "sample": PIPELINE_SLOTS,
    "measure": ("data",),
}
"""The slots that each stage reads. A metric may say what it reads; one that judges each image reads none."""

VERSIONS: Mapping[Stage, int] = {"train": 1, "embed": 2, "sample": 2, "measure": 1}
"""Raised where the code of a stage changes what it makes."""

_DECLARED = frozenset(slot for slots in READS.values() for slot in slots)

_NOT_TRAINED = frozenset(PIPELINE_SLOTS) - frozenset(READS["train"])
"""Slots, and kinds of parts inside a generator, that training reads nothing of: sampler, guidance."""


def is_trained(slot: str) -> bool:
    """Whether training makes the weights of a slot: of a denoiser, a text encoder, a generator."""
    return slot in ("denoiser", "text_encoder") or slot not in _DECLARED


@attrs.frozen(eq=False)
class Node:
    """A piece of work with one result.

    upstream: the nodes whose results it takes. arm: the first that has it. seed: of its role, None for none.
    metric: of a `measure`. batch: the prompts of an `embed`, a `sample`, or of a metric that judges each by
    itself; part: which batch that is, for a person, where there are several.
    preimage: what its key is the digest of.
    """

    key: str
    stage: Stage
    upstream: tuple[Node, ...]
    arm: ArmPlan
    seed: int | None
    metric: MetricPlan | None
    preimage: Mapping[str, Any]
    batch: Batch | None = None
    part: str = ""

    @property
    def reads(self) -> Mapping[str, str]:
        """What it reads of the spec, by the slot: digests."""
        return self.preimage.reads if isinstance(self.preimage, _Preimage) else {}

    @property
    def label(self) -> str:
        """For a person."""
        of = "" if self.seed is None else f" seed {self.seed}"
        metric = f" {self.metric.label}" if self.metric else ""
        return f"{self.stage} {self.arm.name}{of}{metric}{self.part}"


@attrs.frozen
class TrialNodes:
    """One arm with one pair of seeds, by their places in the study's lists; training seed 0 where none is.

    nodes: keys by stage, one for each batch or one in all; those of `measure` by "measure LABEL". A model
        without text has no `embed`.
    """

    arm: str
    train: int
    sample: int
    nodes: Mapping[str, tuple[str, ...]]

    @property
    def keys(self) -> list[str]:
        """Of all of its nodes, stage by stage."""
        return [key for keys in self.nodes.values() for key in keys]


@attrs.frozen(eq=False)
class Graph:
    """All nodes by key, each after those before it; what each trial is made of; the batches of prompts."""

    nodes: Mapping[str, Node]
    trials: Sequence[TrialNodes]
    batches: Sequence[Batch]

    def counts(self) -> dict[Stage, int]:
        """How many nodes each stage has."""
        stages = [node.stage for node in self.nodes.values()]
        return {stage: stages.count(stage) for stage in STAGES}

    def with_keys(self, instead: Mapping[str, str]) -> Graph:
        """The graph with other keys in the place of some: results that were found under these."""
        nodes = {
            instead.get(key, key): attrs.evolve(node, key=instead.get(key, key))
            for key, node in self.nodes.items()
        }
        trials = [
            attrs.evolve(
                trial,
                nodes={
                    step: tuple(instead.get(key, key) for key in keys) for step, keys in trial.nodes.items()
                },
            )
            for trial in self.trials
        ]
        return Graph(nodes, trials, self.batches)


def build_graph(
    study: Study,
    catalogue: Catalogue,
    *,
    runtime: Mapping[str, str],
    earlier: Iterable[Mapping[str, int]] = (),
) -> Graph:
    """The graph of a study.

    runtime: the kind of device and the precision that "auto" stands for here, as `resolved_runtime` finds
        them; a result on a GPU is not one on a processor.
    earlier: the batches of earlier runs, as `make_batches` takes them.
    """
    batches = make_batches(study.prompts, max(1, study.data.batch // study.data.per_prompt), earlier)
    return _Building(study, catalogue, runtime, batches).graph()


class _Building:
    def __init__(
        self, study: Study, catalogue: Catalogue, runtime: Mapping[str, str], batches: Sequence[Batch]
    ) -> None:
        self.study, self.catalogue, self.runtime, self.batches = study, catalogue, dict(runtime), batches
        self.nodes: dict[str, Node] = {}
        self.described: dict[str, Any] = {}
        self._digests: dict[tuple[int, bool, bool], str] = {}
        self._commons: dict[int, dict[str, Any]] = {}
        self._runtimes: dict[int, str] = {}
        self._files: dict[int, Mapping[str, str]] = {}
        version = next((it.version for it in catalogue.records if it.distribution == DISTRIBUTION), "")
        self._core = {CORE: {"version": version, "source": core_digest()}}

    def graph(self) -> Graph:
        trials = []
        for train in range(max(1, len(self.study.train_seeds))):
            for sample in range(len(self.study.sample_seeds)):
                for arm in self.study.arms:
                    trials.append(self._trial(arm, train, sample))
        return Graph(self.nodes, trials, self.batches)

    def _trial(self, arm: ArmPlan, train: int, sample: int) -> TrialNodes:
        nodes: dict[str, list[Node]] = {}
        trained = (self._train(arm, train),) if self.study.trains else ()
        if trained:
            nodes["train"] = list(trained)
        texts = any("text_encoder" in parts for parts in arm.pipelines.values())
        seed = self.study.sample_seeds[sample]
        for batch in self.batches:
            # by the batches that they are drawn in, whose size decides how a network rounds
            inputs = {"prompts": self._prompts(batch), "runtime": self._runtime(arm)}
            before: tuple[Node, ...] = trained
            if texts:
                embedded = self._node("embed", arm, trained, inputs=inputs, batch=batch)
                before = (*trained, embedded)
                nodes.setdefault("embed", []).append(embedded)
            inputs["prompts"] = self._prompts(batch, at=True)
            drawn = self._node("sample", arm, before, seed=seed, inputs=inputs, batch=batch)
            nodes.setdefault("sample", []).append(drawn)
        for metric in self.study.metrics:
            nodes[f"measure {metric.label}"] = self._measure(arm, trained, nodes["sample"], metric, seed)
        keys = {name: tuple(node.key for node in found) for name, found in nodes.items()}
        return TrialNodes(arm.name, train, sample, keys)

    def _train(self, arm: ArmPlan, index: int) -> Node:
        return self._node(
            "train", arm, (), seed=self.study.train_seeds[index], inputs={"runtime": self._runtime(arm)}
        )

    def _measure(
        self, arm: ArmPlan, trained: tuple[Node, ...], drawn: Sequence[Node], metric: MetricPlan, seed: int
    ) -> list[Node]:
        """The nodes of a metric: one for each batch, one for all images, or one that sees no image."""
        inputs: dict[str, Any] = {"metric": self._digest(metric.part)}
        if metric.reads is not None:
            inputs |= {"runtime": self._runtime(arm)}
            return [self._node("measure", arm, trained, inputs=inputs, seed=seed, metric=metric)]
        if metric.whole_set:
            return [self._node("measure", arm, tuple(drawn), inputs=inputs, metric=metric)]
        return [
            self._node("measure", arm, (node,), inputs=inputs, metric=metric, batch=node.batch)
            for node in drawn
        ]

    def _prompts(self, batch: Batch, *, at: bool = False) -> str:
        """The digest of what is drawn of a batch; at: with where its noise is, and the size of its images."""
        data = self.study.data
        whole: list[Any] = [[self.study.prompts[it] for it in batch.prompts], data.per_prompt, data.batch]
        if data.negative is not None:
            whole.append({"negative": data.negative})
        if at and batch.at != tuple(range(len(batch.at))):
            whole.append(list(batch.at))
        return digest([*whole, data.size] if at and data.size else whole)

    def _runtime(self, arm: ArmPlan) -> str:
        key = id(arm.plan)
        if key not in self._runtimes:
            runtime = {**attrs.asdict(arm.plan.runtime), **self._resolved(arm)}
            if runtime["device"] != "cuda":
                runtime["threads"] = self.study.threads
            self._runtimes[key] = self._keep(runtime)
        return self._runtimes[key]

    def _resolved(self, arm: ArmPlan) -> dict[str, str]:
        """What "auto" stands for; the number of a device does not matter."""
        runtime = arm.plan.runtime
        device = self.runtime["device"] if runtime.device == "auto" else runtime.device.partition(":")[0]
        if runtime.dtype != "auto":
            return {"device": device, "dtype": runtime.dtype}
        return {"device": device, "dtype": self.runtime["dtype"] if device == "cuda" else "float32"}

    def _node(
        self,
        stage: Stage,
        arm: ArmPlan,
        upstream: tuple[Node, ...],
        *,
        inputs: Mapping[str, Any],
        seed: int | None = None,
        metric: MetricPlan | None = None,
        batch: Batch | None = None,
    ) -> Node:
        slots = READS[stage] if metric is None or metric.reads is None else metric.reads
        asks_networks = stage != "measure" or (metric is not None and metric.reads is not None)
        whole = {
            "stage": stage,
            "version": VERSIONS[stage],
            # what judges image by image is given images and texts alone
            "reads": {} if stage == "measure" and batch else self._reads(stage, slots, asks_networks, arm),
            "upstream": upstream_keys(upstream),
            **inputs,
        }
        if seed is not None:
            whole["seed"] = seed
        if asks_networks:
            whole["code"] = self._core
        key = digest(whole)
        if key not in self.nodes:
            part = self._part(batch) if batch is not None else ""
            full = self._full(whole)
            self.nodes[key] = Node(key, stage, upstream, arm, seed, metric, full, batch, part)
        return self.nodes[key]

    def _part(self, batch: Batch) -> str:
        number = self.batches.index(batch) + 1
        return f" batch {number}" if len(self.batches) > 1 else ""

    def _reads(
        self, stage: Stage, slots: tuple[str, ...], asks_networks: bool, arm: ArmPlan
    ) -> dict[str, str]:
        """What a stage reads of an arm, by digest."""
        cached = self._commons.setdefault(id(arm), {})
        key = f"reads {stage} {slots}"
        if key not in cached:
            cached[key] = dict(self._read(stage, slots, asks_networks, arm))
        found: dict[str, str] = cached[key]
        return found

    def _read(
        self, stage: Stage, slots: tuple[str, ...], asks_networks: bool, arm: ArmPlan
    ) -> Iterator[tuple[str, str]]:
        made_here = self.study.trains and not (stage == "train" and begins_with_weights(arm))
        for name, parts in arm.pipelines.items():
            for slot, part in parts.items():
                if slot in slots or slot not in _DECLARED:
                    path = f"stages.{name}.{slot}" if name else slot
                    trains = stage == "train" and slot not in _DECLARED
                    without = made_here and is_trained(slot)
                    yield path, self._digest(part, without_weights=without, trains=trains)
        if asks_networks and not made_here:
            yield from self._weights(arm).items()
        if arm.plan.stages:
            yield "stages", self._keep(list(arm.plan.stages))

    def _weights(self, arm: ArmPlan) -> Mapping[str, str]:
        """The files of weights that belong to no single part, by digest."""
        plan = arm.plan
        if id(plan) not in self._files:
            self._files[id(plan)] = {
                f"{one.path}.weights" if one.path else "weights": weights_digest(one.weights, self.catalogue)
                for one in (plan, *plan.stages.values())
                if one.weights is not None
            }
        return self._files[id(plan)]

    def _digest(
        self, part: PartPlan | tuple[PartPlan, ...], *, without_weights: bool = False, trains: bool = False
    ) -> str:
        """The digest of a part; a seed of training is the study's, and so are weights that it trains.

        trains: leave out what is inside the part and has nothing to do with its training.
        """
        key = (id(part), without_weights, trains)
        if key not in self._digests:
            found = described(part, self.catalogue)
            if isinstance(part, PartPlan) and part.registered.component.kind == "trainer":
                found["spec"].pop("seed", None)
            if without_weights:
                found["spec"].pop("weights", None)
            if trains and isinstance(part, PartPlan) and part.config is not None:
                for name, field in fields(type(part.config)).items():
                    if field.slot is not None and field.slot.kind in _NOT_TRAINED:
                        found["spec"].pop(name)
            self._digests[key] = self._keep(found)
        return self._digests[key]

    def _keep(self, value: Any) -> str:
        name = digest(value)
        self.described.setdefault(name, value)
        return name

    def _full(self, whole: Mapping[str, Any]) -> Mapping[str, Any]:
        return _Preimage(whole, self.described)


class _Preimage(Mapping[str, Any]):
    """A preimage whose digests are written out when it is looked into."""

    def __init__(self, whole: Mapping[str, Any], described: Mapping[str, Any]) -> None:
        self._whole, self._described = whole, described

    @property
    def reads(self) -> Mapping[str, str]:
        """The digests of what is read."""
        found: Mapping[str, str] = self._whole["reads"]
        return found

    def __getitem__(self, key: str) -> Any:
        value = self._whole[key]
        if key == "reads":
            return {slot: self._described.get(name, name) for slot, name in value.items()}
        return self._described.get(value, value) if isinstance(value, str) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


def upstream_keys(upstream: Sequence[Node]) -> dict[str, str | list[str]]:
    """The keys of the nodes before one, by stage: one, or a list."""
    found: dict[str, list[str]] = {}
    for node in upstream:
        found.setdefault(node.stage, []).append(node.key)
    return {stage: keys[0] if len(keys) == 1 else keys for stage, keys in found.items()}


def begins_with_weights(arm: ArmPlan) -> bool:
    """Whether training goes on from the weights that the spec names."""
    part = arm.parts.get("train")
    return isinstance(part, PartPlan) and bool(getattr(part.config, "init_from_weights", False))


def resolved_runtime(study: Study) -> dict[str, str]:
    """What "auto" stands for on this machine. Imports torch only where an arm asks."""
    if all(arm.plan.runtime.device not in ("auto", "cuda") for arm in study.arms):
        return {"device": "cpu", "dtype": "float32"}
    from glidepath.registry import choose_device, choose_dtype

    device = choose_device("auto")
    return {"device": device.type, "dtype": str(choose_dtype("auto", device)).removeprefix("torch.")}
