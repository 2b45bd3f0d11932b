"""A study: what its file says, checked, with every arm that it stands for."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.studies.study.arms import ArmPlan, plan_arms
from glidepath.plugins.studies.study.baseline import find_baseline
from glidepath.plugins.studies.study.check_metrics import check_judges
from glidepath.plugins.studies.study.check_prompts import check_reading
from glidepath.plugins.studies.study.drafts import Draft
from glidepath.plugins.studies.study.grammar import Grammar
from glidepath.plugins.studies.study.places import place_of
from glidepath.plugins.studies.study.prompts import prompt_places, read_prompts
from glidepath.plugins.studies.study.sections import About, Budget, Data, Failures, Seeds, Stats
from glidepath.plugins.studies.study.selection import select
from glidepath.plugins.studies.study.study import Family, MetricPlan, Study
from glidepath.registry import Catalogue, PartPlan, Place, VariantPlanner, did_you_mean
from glidepath.registry.describe.fields import SECTIONS, Slot
from glidepath.registry.plan.planner import Planner
from glidepath.registry.spec.config import ConfigReader
from glidepath.registry.spec.layers import Layers
from glidepath.registry.spec.overrides import Override, apply, override_source
from glidepath.registry.spec.positions import Schema
from glidepath.registry.text.named_files import neighbours
from glidepath.registry.text.problems import Problems, shown
from glidepath.registry.text.scalars import NULL
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import (
    Broken,
    Entry,
    MappingNode,
    Node,
    Scalar,
    describe,
    join,
    node_of,
    plain,
)
from glidepath.registry.text.yaml_tree import MAX_BYTES, Unreadable, read_tree

T = TypeVar("T")

KEYS = (
    *("study", "base", "arms", "where", "exclude", "baseline", "seeds", "data"),
    *("metrics", "stats", "budget", "engine", "failures", "report"),
)
_DEFAULT_ENGINE = "glidepath-diffusion/local"
_MOST_COMPARED = 1000
"""In a study of more arms nothing is said of overrides that change none of them."""


def read_study(file: str | Path, overrides: Sequence[str | Override] = (), *, catalogue: Catalogue) -> Study:
    """The study in a file.

    overrides: "path=value" of the study, such as "seeds.sample=2" or "base.sampler.steps=5".

    Raises:
        SpecError: with every fault of the study and of its arms' specs.
        GlidepathError: the file cannot be read, or is an ordinary spec.
    """
    return _Reading(Path(file), overrides, catalogue).study()


def name_of(file: Path) -> str:
    """The name of the study in a file, and of its folder; no arm is looked at.

    Raises:
        SpecError: the file cannot be parsed.
        GlidepathError: the file cannot be read.
    """
    faults = Problems([str(file)])
    try:
        root = read_tree(Source(str(file), file.parent, _text(file)), faults)
    except Unreadable:
        raise faults.error() from None
    about = root.get("study") if isinstance(root, MappingNode) else None
    name = about.get("name") if isinstance(about, MappingNode) else None
    return name.text if isinstance(name, Scalar) and name.text else file.stem


class _Reading:
    """One reading of one file."""

    def __init__(self, file: Path, overrides: Sequence[str | Override], catalogue: Catalogue) -> None:
        self.file, self.overrides, self.catalogue = file, overrides, catalogue
        self.problems = Problems([str(file)])
        self.schema = Schema(catalogue)
        self.configs = ConfigReader(self.problems)
        self.source = Source(str(file), file.parent, _text(file))
        self._spec_keys = {*SECTIONS, *catalogue.slots} - {*KEYS}

    def study(self) -> Study:
        try:
            study = self._study()
        except Unreadable:
            raise self.problems.error() from None
        if len(self.problems) or study is None:
            raise self.problems.error()
        return study

    def _study(self) -> Study | None:
        root, of_base = self._root()
        if not {"base", "arms"} & root.items.keys() and self._spec_keys & root.items.keys():
            check = shlex.join(["glidepath", "check", str(self.file)])
            raise GlidepathError(f"{self.file} is a spec and no study: `{check}` checks it")
        for key, entry in root.items.items():
            if key not in KEYS:
                self.problems.add(
                    f"a study has no {shown(key)}", entry.key, key, allowed=KEYS, near=(key, KEYS)
                )
        about = self._section(root, "study", About)
        seeds = self._section(root, "seeds", Seeds)
        data = self._section(root, "data", Data)
        stats = self._section(root, "stats", Stats)
        budget = self._section(root, "budget", Budget)
        failures = self._section(root, "failures", Failures)
        metrics = self._metrics(root)
        engine = self._part(self._engine(root), "engine", "engine")
        prompts = read_prompts(data, root, self.problems) if data is not None else ()
        grammar = Grammar(self.problems)
        drafts = grammar.arms(root.get("arms"), root.place)
        drafts, excluded = select(drafts, root.get("where"), root.get("exclude"), self.problems)
        base = self._base(root)
        arms = self._arms(base, of_base, drafts, self.problems) if base is not None else []
        if data is not None:
            self._check_counts(metrics, data)
        check_judges(metrics, arms, self.catalogue, self.problems)
        check_reading(prompts, prompt_places(prompts, root), arms, metrics, self.problems)
        if seeds is not None:
            self._check_training(arms, seeds, root)
        baseline = find_baseline(root, arms, self.problems)
        if stats is not None:
            labels = [metric.label for metric in metrics]
            self._check_labels("equivalence", stats.equivalence, labels, root)
            self._check_labels("pareto", stats.pareto, labels, root)
        if (
            about is None or seeds is None or data is None or stats is None or budget is None
            or failures is None or engine is None or baseline is None or base is None
        ):  # fmt: skip
            return None
        report = root.get("report")
        return Study(
            about=about,
            file=self.file,
            text=self.source.text,
            arms=arms,
            baseline=baseline,
            excluded=excluded,
            train_seeds=_seeds(seeds.train, seeds.root, "train"),
            sample_seeds=_seeds(seeds.sample, seeds.root, "sample"),
            prompts=prompts,
            data=data,
            metrics=metrics,
            stats=stats,
            budget=budget,
            engine=engine,
            failures=failures,
            report=plain(report) if isinstance(report, MappingNode) else {},
            warnings=[*grammar.warnings, *self._idle(base, of_base, drafts, arms)],
        )

    def _check_counts(self, metrics: Sequence[MetricPlan], data: Data) -> None:
        """Refuse a metric that needs more images of a prompt than are drawn."""
        for metric in metrics:
            said = metric.part.registered.component.provides(metric.part.config).get("metric.per_prompt", 1)
            if isinstance(said, int) and said > data.per_prompt:
                what = (
                    f"{metric.part.registered.component.name} needs {said} images of each prompt, and "
                    f"data.per_prompt is {data.per_prompt}"
                )
                hint = f"write data.per_prompt: {said}"
                self.problems.add(what, metric.part.place, metric.part.path, hint)

    def _check_labels(self, key: str, named: Iterable[str], labels: Sequence[str], root: MappingNode) -> None:
        """Refuse what is said of a metric that the study does not have."""
        for label in named:
            if label not in labels:
                path = f"stats.{key}"
                what = f"the study has no metric {shown(label)}"
                self.problems.add(what, place_of(root, path), path, "", labels, (label, labels))

    def _root(self) -> tuple[MappingNode, list[Source]]:
        """The file under the overrides that change the study, and the others, which change its base."""
        root = read_tree(self.source, self.problems)
        if not isinstance(root, MappingNode):
            if not isinstance(root, Broken):
                this = "nothing" if root is None else describe(root)
                place = self.source.place(0, 0) if root is None else root.place
                self.problems.add(f"a study is a mapping, and this is {this}", place, allowed=KEYS)
            raise Unreadable
        of_base = []
        for number, override in enumerate(self.overrides, 1):
            source = override_source(number, override)
            self.problems.files.append(source.name)
            if source.text.startswith("base."):
                text = source.text.removeprefix("base.")
                of_base.append(attrs.evolve(source, text=text, skip=text.find("=") + 1))
            else:
                root = apply(root, source, self.schema, self.problems, position=None)
        return root, of_base

    def _base(self, root: MappingNode) -> MappingNode | None:
        """The spec that arms change, on what it extends."""
        entry = root.items.get("base")
        if entry is None:
            hint = "name a preset or a file, or write a spec: base: {extends: shapes, sampler: {steps: 10}}"
            self.problems.add("a study needs a base, the spec that its arms change", root.place, "base", hint)
            return None
        node = entry.node
        if isinstance(node, Scalar) and node.is_text:
            node = MappingNode({"extends": Entry(entry.key, node)}, node.place, node.source)
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                what = f"base takes the name of a spec, or a spec, and this is {describe(node)}"
                self.problems.add(what, node.place, "base")
            return None
        layers = Layers(self.schema, self.problems)
        try:
            base = layers.from_tree(node)
        except Unreadable:
            return None
        return base if layers.complete else None

    def _arms(
        self, base: MappingNode, overrides: Iterable[Source], drafts: Sequence[Draft], problems: Problems
    ) -> list[ArmPlan]:
        for source in overrides:
            base = apply(base, source, self.schema, problems)
        planner = VariantPlanner(base, self.catalogue, problems, str(self.file), self.file.parent)
        return plan_arms(planner, drafts)

    def _idle(
        self, base: MappingNode, overrides: Sequence[Source], drafts: Sequence[Draft], arms: Sequence[ArmPlan]
    ) -> Iterator[str]:
        """What to tell of overrides of the base without which every arm is what it is with them."""
        if len(self.problems) or len(drafts) > _MOST_COMPARED:
            return
        for index, override in enumerate(overrides):
            rest = (*overrides[:index], *overrides[index + 1 :])
            # without it the spec may have problems: then the override changes something
            without = {arm.name: arm for arm in self._arms(base, rest, drafts, Problems())}
            if without.keys() == {arm.name for arm in arms} and all(
                without[arm.name].tree() == arm.tree() for arm in arms
            ):
                yield f"{override.name} (base.{override.text[: override.skip - 1]}) changes no arm"

    def _section(self, root: MappingNode, key: str, config: type[T]) -> T | None:
        node = root.get(key)
        if isinstance(node, Scalar) and node.rule == NULL:
            node = None
        if node is None:
            node = MappingNode({}, root.place, root.source)
        if not isinstance(node, MappingNode):
            if not isinstance(node, Broken):
                self.problems.add(f"{key} takes a mapping, and this is {describe(node)}", node.place, key)
            return None
        value = self.configs.read(config, node, key, key, reserved=()).value
        return value if isinstance(value, config) else None

    def _metrics(self, root: MappingNode) -> list[MetricPlan]:
        node = root.get("metrics")
        hint = "such as metrics: {primary: {seconds: seconds-per-image}}; `glidepath list metric` names them"
        if not isinstance(node, MappingNode) or not node.items:
            if not isinstance(node, Broken):
                place = node.place if node is not None else root.place
                self.problems.add("a study needs metrics", place, "metrics", hint, ("primary", "secondary"))
            return []
        found: list[MetricPlan] = []
        families: tuple[Family, ...] = ("primary", "secondary")
        for key, entry in node.items.items():
            if key not in families:
                what = f"metrics are primary or secondary, not {shown(key)}"
                self.problems.add(what, entry.key, join("metrics", key), hint, families, (key, families))
        for family in families:
            inner = node.get(family)
            path = join("metrics", family)
            if inner is None or isinstance(inner, Broken):
                continue
            if not isinstance(inner, MappingNode):
                what = f"{path} takes a mapping of labels to metrics, and this is {describe(inner)}"
                self.problems.add(what, inner.place, path, hint)
                continue
            for label, entry in inner.items.items():
                if isinstance(entry.node, Scalar) and entry.node.rule == NULL:
                    continue  # an override has taken it away
                if any(label == metric.label for metric in found):
                    self.problems.add(f"two metrics are called {shown(label)}", entry.key, join(path, label))
                part = self._part(entry.node, "metric", join(path, label))
                if part is not None:
                    found.append(MetricPlan(label, part, family))
        if not found and not len(self.problems):
            self.problems.add("a study needs metrics", node.place, "metrics", hint, families)
        return found

    def _part(self, node: Node, kind: str, path: str) -> PartPlan | None:
        part = Planner(self.catalogue, self.problems).part(node, Slot(kind), path)
        return part if isinstance(part, PartPlan) else None

    def _engine(self, root: MappingNode) -> Node:
        """What the study says of its engine; the default one, where it names none."""
        default = node_of(_DEFAULT_ENGINE, Place("default"), root.source)
        node = root.get("engine")
        if node is None:
            return default
        if isinstance(node, MappingNode) and "use" not in node.items:
            items = {"use": Entry(node.place, default), **node.items}
            return MappingNode(items, node.place, node.source)
        return node

    def _check_training(self, arms: Sequence[ArmPlan], seeds: Seeds, root: MappingNode) -> None:
        """Refuse training seeds for what is not trained by a seed."""
        if not seeds.train:
            return
        place = place_of(root, "seeds.train")
        for arm in arms:
            missing = [slot for slot in ("data", "train") if slot not in arm.parts]
            if arm.common.stages:
                what = f"arm {arm.name} is a cascade, whose stages are trained one at a time"
            elif missing:
                what = f"arm {arm.name} cannot be trained: its spec has no {' and no '.join(missing)}"
            elif not hasattr(getattr(arm.parts["train"], "config", None), "seed"):
                what = f"arm {arm.name} has a trainer without a seed"
            else:
                continue
            self.problems.add(what, place, "seeds.train", "seeds: {train: 0} samples with the spec's weights")
            return


def _seeds(stated: int | Sequence[int], root: int, role: str) -> tuple[int, ...]:
    """Seeds of a role: as listed, or so many that derive from a root; with more, the first ones stay."""
    if not isinstance(stated, int):
        return tuple(stated)
    digests = (hashlib.sha256(f"{root}/{role}/{index}".encode()).digest() for index in range(stated))
    return tuple(int.from_bytes(digest[:4], "big") >> 1 for digest in digests)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        if len(data) > MAX_BYTES:
            raise GlidepathError(f"{file} is larger than {MAX_BYTES:,} bytes")
        return data.decode("utf-8").removeprefix("\ufeff")
    except FileNotFoundError:
        near = did_you_mean(file.name, neighbours(file))
        raise GlidepathError("; ".join(filter(None, [f"there is no study {file}", near]))) from None
    except OSError as error:
        raise GlidepathError(f"the study {file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise GlidepathError(f"the study {file} is not UTF-8") from None
