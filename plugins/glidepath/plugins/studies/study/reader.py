"""Reads a study file: its sections, its arms, and everything that is wrong with them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from glidepath.core import GlidepathError
from glidepath.plugins.studies.study.arms import ArmPlan, plan_arms
from glidepath.plugins.studies.study.baseline import find_baseline
from glidepath.plugins.studies.study.check_metrics import check_metrics
from glidepath.plugins.studies.study.check_prompts import check_prompts
from glidepath.plugins.studies.study.drafts import Draft
from glidepath.plugins.studies.study.grammar import Grammar
from glidepath.plugins.studies.study.prompts import prompt_places, read_prompts
from glidepath.plugins.studies.study.questions import read_questions
from glidepath.plugins.studies.study.sections import (
    About,
    Budget,
    Data,
    Failures,
    Seeds,
    Stats,
    check_name,
)
from glidepath.plugins.studies.study.selection import select
from glidepath.plugins.studies.study.study import Family, MetricPlan, Study
from glidepath.registry import (
    Broken,
    Catalogue,
    Document,
    ListNode,
    MappingNode,
    Node,
    Override,
    PartPlan,
    Problems,
    VariantPlanner,
    describe_node,
    join_path,
    present,
    quoted,
    read_document,
)

KEYS = (
    *("study", "base", "arms", "where", "exclude", "baseline", "compare", "seeds", "data"),
    *("metrics", "stats", "budget", "engine", "failures", "alerts", "trackers"),
)
T = TypeVar("T")

_BASE = "base"
_DEFAULT_ENGINE = "glidepath-diffusion/local"
_MOST_COMPARED = 200
"""In a study of more arms nothing is said of overrides that change none of them."""


def read_study(file: str | Path, overrides: Sequence[str | Override] = (), *, catalogue: Catalogue) -> Study:
    """The study in a file.

    overrides: "path=value" of the study, such as "seeds.sample=2" or "base.sampler.steps=5".

    Raises:
        SpecError: with every problem of the study and of its arms' specs.
        GlidepathError: the file is an ordinary spec.
    """
    document = read_document(file, KEYS, overrides, catalogue=catalogue, specs=[_BASE])
    _refuse_spec(document)
    about = document.section("study", About)
    if about is not None and not about.name:
        _name_of_file(document)
    seeds = document.section("seeds", Seeds)
    data = document.section("data", Data)
    stats = document.section("stats", Stats)
    budget = document.section("budget", Budget)
    failures = document.section("failures", Failures)
    metrics = _metrics(document)
    engine = document.part(document.node("engine"), "engine", "engine", default=_DEFAULT_ENGINE)
    listeners = _listeners(document)
    prompts = read_prompts(data, document) if data is not None else ()
    grammar = Grammar(document.problems)
    drafts = grammar.arms(document.node("arms"), document.root.place)
    drafts, excluded = select(drafts, document.node("where"), document.node("exclude"), document.problems)
    base = _base(document)
    arms = _arms(document, base, drafts, document.problems) if base is not None else []
    if data is not None:
        _check_counts(document, metrics, data)
    # where no arm can be planned the base still says whether prompts and metrics fit
    plain = [Draft("base", {}, (), document.root.place)]
    asked = arms or (_arms(document, base, plain, Problems()) if base is not None else [])
    check_metrics(metrics, asked, catalogue, document.problems)
    texts = {f"data.prompts[{index}]": prompt for index, prompt in enumerate(prompts)}
    check_prompts(texts, prompt_places(prompts, document), asked, metrics, document.problems)
    if data is not None and data.negative is not None:
        negative, places = {"data.negative": data.negative}, [document.place("data.negative")]
        check_prompts(negative, places, asked, (), document.problems)
    if seeds is not None:
        _check_training(document, arms, seeds)
    baseline = find_baseline(document, drafts, arms)
    questions = read_questions(document, arms)
    if stats is not None and seeds is not None:
        _check_unit(document, stats, seeds, prompts)
    if stats is not None:
        labels = [metric.label for metric in metrics]
        _check_labels(document, "equivalence", stats.equivalence, labels)
        _check_labels(document, "pareto", stats.pareto, labels)
    document.raise_problems()
    return Study(
        about=_read(about, document),
        file=document.file,
        text=document.text,
        arms=arms,
        baseline=_read(baseline, document),
        questions=questions,
        excluded=excluded,
        train_seeds=_read(seeds, document).derived("train"),
        sample_seeds=_read(seeds, document).derived("sample"),
        prompts=prompts,
        data=_read(data, document),
        metrics=metrics,
        stats=_read(stats, document),
        budget=_read(budget, document),
        engine=_read(engine, document),
        failures=_read(failures, document),
        listeners=listeners,
        warnings=[*grammar.warnings, *_idle_overrides(document, overrides, drafts, arms)],
        overrides=_texts(overrides),
    )


def name_of(file: Path) -> str:
    """The name of the study in a file, and of its folder; no arm is looked at.

    Raises:
        SpecError: the file cannot be read, or its name is that of no folder.
    """
    document = read_document(file, KEYS, catalogue=Catalogue())
    named = document.section("study", About)
    name = (named.name if named is not None else "") or _name_of_file(document)
    document.raise_problems()
    return name


def _name_of_file(document: Document) -> str:
    """The name of a study that has no other; a problem where no folder can have it."""
    try:
        check_name(document.file.stem)
    except ValueError as error:
        document.problems.add(str(error), document.root.place, "study.name", "write study: {name: NAME}")
    return document.file.stem


def _refuse_spec(document: Document) -> None:
    """Raise GlidepathError for a file that is a spec."""
    keys = document.root.items.keys()
    if not {"base", "arms"} & keys and ({"extends", "stages", *document.catalogue.slots} - {*KEYS}) & keys:
        check = shlex.join(["glidepath", "check", str(document.file)])
        raise GlidepathError(f"{document.file} is a spec and no study: `{check}` checks it")


def _base(document: Document) -> MappingNode | None:
    """The spec that arms change, on what it extends."""
    if _BASE not in document.root.items:
        hint = "name a preset or a file, or write a spec: base: {extends: shapes, sampler: {steps: 10}}"
        what = "a study needs a base, the spec that its arms change"
        document.problems.add(what, document.root.place, _BASE, hint)
        return None
    return document.spec(_BASE)


def _arms(
    document: Document, base: MappingNode, drafts: Sequence[Draft], problems: Problems, without: str = ""
) -> list[ArmPlan]:
    file = document.file

    def rebased(extends: Node) -> MappingNode | None:
        return document.spec(_BASE, without=without, extends=extends)

    planner = VariantPlanner(base, document.catalogue, problems, str(file), file.parent, rebased)
    return plan_arms(planner, drafts)


def _metrics(document: Document) -> list[MetricPlan]:
    problems, node = document.problems, document.node("metrics")
    families: tuple[Family, ...] = ("primary", "secondary")
    hint = "such as metrics: {primary: {seconds: seconds-per-image}}"
    if not isinstance(node, MappingNode):
        if not isinstance(node, Broken):
            problems.add("a study needs metrics", document.place("metrics"), "metrics", hint, families)
        return []
    for key, entry in node.items.items():
        if key not in families:
            what = f"metrics are primary or secondary, not {quoted(key)}"
            problems.add(what, entry.key, join_path("metrics", key), "", families, (key, families))
    before = len(problems)
    metrics: list[MetricPlan] = []
    for family in families:
        path, labelled = join_path("metrics", family), present(node.get(family))
        if labelled is None or isinstance(labelled, Broken):
            continue
        if not isinstance(labelled, MappingNode):
            what = f"{path} takes a mapping of labels to metrics, and this is {describe_node(labelled)}"
            problems.add(what, labelled.place, path, hint)
            continue
        for label, entry in labelled.items.items():
            if present(entry.node) is None:
                continue  # an override has taken it away
            at = join_path(path, label)
            if any(label == metric.label for metric in metrics):
                problems.add(f"two metrics are called {quoted(label)}", entry.key, at)
            part = document.part(entry.node, "metric", at)
            if part is not None:
                metrics.append(MetricPlan(label, part, family))
    if not metrics and len(problems) == before:
        problems.add("a study needs metrics", node.place, "metrics", hint, families)
    return metrics


def _listeners(document: Document) -> list[PartPlan]:
    """The alerts and trackers, if plugins are installed that supply some."""
    found: list[PartPlan] = []
    for key in ("alerts", "trackers"):
        node = document.node(key)
        kind = document.catalogue.slots.get(key)
        if node is None or isinstance(node, Broken):
            continue
        if kind is None:
            document.problems.add(f"no installed plugin supplies {key}", node.place, key)
            continue
        items = node.items if isinstance(node, ListNode) else (node,)
        for index, item in enumerate(items):
            part = document.part(item, kind.name, f"{key}[{index}]")
            if part is not None:
                found.append(part)
    return found


def _check_counts(document: Document, metrics: Sequence[MetricPlan], data: Data) -> None:
    """Refuse a metric that needs more images of a prompt than are drawn."""
    for metric in metrics:
        component = metric.part.registered.component
        needed = metric.part.provided().get("metric.per_prompt", 1)
        if isinstance(needed, int) and needed > data.per_prompt:
            what = (
                f"{component.name} needs {needed} images of each prompt, and data.per_prompt is "
                f"{data.per_prompt}"
            )
            hint = f"write data.per_prompt: {needed}"
            document.problems.add(what, metric.part.place, metric.part.path, hint)


def _check_labels(document: Document, key: str, named: Iterable[str], labels: Sequence[str]) -> None:
    """Refuse the name of a metric that the study does not have."""
    path = f"stats.{key}"
    for label in named:
        if label not in labels:
            what = f"the study has no metric {quoted(label)}"
            document.problems.add(what, document.place(path), path, "", labels, (label, labels))


def _check_unit(document: Document, stats: Stats, seeds: Seeds, prompts: Sequence[str]) -> None:
    """Refuse a unit of replication that there is one of: nothing is repeated."""
    trained = seeds.train if isinstance(seeds.train, int) else len(seeds.train)
    what = {
        "trainings": "" if trained > 1 else "seeds.train trains each arm once; write seeds: {train: 5}",
        "prompts": "" if len(prompts) != 1 else "data.prompts has one",
    }.get(stats.unit or "", "")
    if what:
        told = f"{stats.unit} cannot be the unit of replication: {what}"
        document.problems.add(told, document.place("stats.unit"), "stats.unit")


def _check_training(document: Document, arms: Sequence[ArmPlan], seeds: Seeds) -> None:
    """Refuse training seeds for what is not trained by a seed."""
    if not seeds.train:
        return
    for arm in arms:
        missing = [slot for slot in ("data", "train") if slot not in arm.parts]
        if arm.plan.stages:
            what = f"arm {arm.name} is a cascade, whose stages are trained one at a time"
        elif missing:
            what = f"arm {arm.name} cannot be trained: its spec has no {' and no '.join(missing)}"
        elif not hasattr(getattr(arm.parts["train"], "config", None), "seed"):
            what = f"arm {arm.name} has a trainer without a seed"
        else:
            continue
        place, hint = document.place("seeds.train"), "seeds: {train: 0} samples with the spec's weights"
        document.problems.add(what, place, "seeds.train", hint)
        return


def _texts(overrides: Sequence[str | Override]) -> list[str]:
    return [override.text if isinstance(override, Override) else override for override in overrides]


def _idle_overrides(
    document: Document, overrides: Sequence[str | Override], drafts: Sequence[Draft], arms: Sequence[ArmPlan]
) -> Iterator[str]:
    """A warning for each override of the base without which every arm is the same."""
    if len(drafts) > _MOST_COMPARED:
        return
    texts = _texts(overrides)
    of_base = [text for text in texts if text.startswith(f"{_BASE}.")]
    for name, override in zip(document.spec_overrides(_BASE), of_base, strict=True):
        base = document.spec(_BASE, without=name)
        # without it the spec may have problems: then the override changes something
        others = _arms(document, base, drafts, Problems(), name) if base is not None else []
        without = {arm.name: arm.tree() for arm in others}
        if without == {arm.name: arm.tree() for arm in arms}:
            yield f"{name} ({override.partition('=')[0]}) changes no arm"


def _read(value: T | None, document: Document) -> T:
    """What was read: it is None only where there was a problem."""
    if value is None:
        raise document.problems.error()
    return value
