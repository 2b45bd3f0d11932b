"""A short probe: what a node of each class takes, by a few steps of it.

A `sample` goes a few steps down with one batch; its time is that of building the networks, and so many
times a step as the sampler takes. A `train` does a few steps of each of its stages. A metric judges the
images that the probe drew, however noisy they are. Nothing of it is kept.
"""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from glidepath.core import Cascade, Request
from glidepath.plugins.studies.engines.steps import Steps
from glidepath.plugins.studies.engines.tasks import EMBEDDINGS, WEIGHTS, metric_of, prompts_of, spec_of
from glidepath.plugins.studies.engines.text_cache import record
from glidepath.plugins.studies.run.forecast import Toll
from glidepath.plugins.studies.store.files import IMAGES, write_json
from glidepath.plugins.studies.store.store import RESULT
from glidepath.plugins.studies.study.graph import Node
from glidepath.plugins.studies.study.study import Study

_STEPS = 3
_TRAINED = 3
_SMALL_FILES = 2000
"""Bytes of what an attempt notes beside its result."""


@attrs.frozen
class Probed:
    """What was found, by class, and what could not be: by class, why."""

    tolls: Mapping[str, Toll]
    failed: Mapping[str, str]


def probe(
    study: Study,
    groups: Sequence[tuple[str, Sequence[Node]]],
    *,
    seconds: float,
    no_plugins: bool = False,
) -> Probed:
    """Try one node of each class, in their order, until the time is up; the one that runs then is finished.

    A trial is tried with the threads that it will have, and alone.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(study.threads)
    try:
        with tempfile.TemporaryDirectory(prefix="glidepath-probe-") as folder:
            return _Probing(study, Path(folder), no_plugins).all(groups, time.monotonic() + seconds)
    finally:
        torch.set_num_threads(before)


class _Probing:
    def __init__(self, study: Study, folder: Path, no_plugins: bool) -> None:
        self.study, self.folder = study, folder
        self.steps = Steps(no_plugins=no_plugins)
        self._drawn: Path | None = None
        self._warm: set[str] = set()
        texts = [prompt for prompt in study.prompts for _ in range(study.data.per_prompt)]
        self.texts = texts[: study.data.batch]

    def all(self, groups: Sequence[tuple[str, Sequence[Node]]], deadline: float) -> Probed:
        tolls: dict[str, Toll] = {}
        failed: dict[str, str] = {}
        for number, (name, nodes) in enumerate(groups):
            if time.monotonic() > deadline:
                break
            folder = self.folder / f"{number}"
            folder.mkdir()
            # what a training run says is of no interest here
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                metric = nodes[0].metric
                if metric is not None and metric.runs_code:
                    failed[name] = f"{nodes[0].label}: it runs code of yours, which `study run` alone does"
                    continue
                try:
                    tolls[name] = getattr(self, f"_{nodes[0].stage}")(nodes[0], folder)
                except Exception as error:  # a plan tells what it can; the run will tell the rest
                    failed[name] = f"{nodes[0].label}: {type(error).__name__}: {error}"
        return Probed(tolls, failed)

    def _train(self, node: Node, folder: Path) -> Toll:
        spec = spec_of(node, self.study, None)
        counts = {
            key: value
            for key, value in spec["train"].items()
            if isinstance(value, int) and key != "warmup_steps" and (key == "steps" or key.endswith("_steps"))
        }
        counts = {key: count for key, count in counts.items() if count}
        short = dict.fromkeys(counts, 1)
        if "train" not in self._warm:
            self._trained(node, spec, short, folder / "warm-up")
            self._warm.add("train")
        least = self._trained(node, spec, short, folder / "least")
        total = least
        for key, count in counts.items():
            if count > 1:
                longer = {**short, key: 1 + min(_TRAINED, count - 1)}
                step = (self._trained(node, spec, longer, folder / key) - least) / (longer[key] - 1)
                total += max(step, 0.0) * (count - 1)
        return Toll(total, (folder / "least" / WEIGHTS).stat().st_size + _SMALL_FILES)

    def _trained(self, node: Node, spec: Mapping[str, Any], counts: Mapping[str, int], folder: Path) -> float:
        folder.mkdir()
        plain = {key: value for key, value in spec.items() if key != "train"}
        step = {
            "stage": "train",
            "spec": {**plain, "train": {**spec["train"], **counts}},
            "work": str(folder / "work"),
        }
        clock = time.perf_counter()
        self.steps.run(step, folder)
        return time.perf_counter() - clock

    def _embed(self, node: Node, folder: Path) -> Toll:
        clock = time.perf_counter()
        pipeline, _ = self.steps.pipeline(self._step(node, folder))
        built = time.perf_counter() - clock
        prompts = prompts_of(node, self.study)
        some = prompts[:16]
        clock = time.perf_counter()
        record(pipeline, [some], self.study.data.negative, folder / EMBEDDINGS)
        share = len(prompts) / len(some)
        seconds = built + (time.perf_counter() - clock) * share
        return Toll(seconds, int((folder / EMBEDDINGS).stat().st_size * share) + _SMALL_FILES)

    def _sample(self, node: Node, folder: Path) -> Toll:
        clock = time.perf_counter()
        pipeline, _ = self.steps.pipeline(self._step(node, folder))
        built = time.perf_counter() - clock
        samples = range(len(self.texts))
        data = self.study.data
        asked = Request(prompts=self.texts, samples=samples, size=data.pixels, negative=data.negative)
        if "sample" not in self._warm:
            next(iter(pipeline.states(asked)))
            self._warm.add("sample")
        ends = []
        # each stage of a cascade has steps of its own, so that one is walked to its end
        steps = math.inf if isinstance(pipeline, Cascade) else _STEPS
        clock = time.perf_counter()
        last = None
        for state in pipeline.states(asked):
            last = state
            ends.append(time.perf_counter() - clock)
            if len(ends) > steps:
                break
        assert last is not None  # levels have at least one step
        clock = time.perf_counter()
        images = pipeline.images(last).cpu().numpy()
        decoded = time.perf_counter() - clock
        draw = ends[-1]
        if not isinstance(pipeline, Cascade) and len(ends) > 1:
            each = (ends[-1] - ends[0]) / (len(ends) - 1)
            draw = ends[0] + each * (pipeline.lengths(size=asked.size)[0] - 1)
        per_image = (draw + decoded) / len(self.texts)
        if self._drawn is None:
            self._keep(images, draw, folder)
        count = self._images(node)
        return Toll(built + per_image * count, images[0].nbytes * count + _SMALL_FILES)

    def _images(self, node: Node) -> int:
        return len(prompts_of(node, self.study)) * self.study.data.per_prompt

    def _keep(self, images: Any, seconds: float, folder: Path) -> None:
        np.save(folder / IMAGES, images, allow_pickle=False)
        said = {"images": len(images), "draw_seconds": seconds, "evaluations": 1.0, "peak_bytes": 0}
        write_json(folder / RESULT, said)
        self._drawn = folder

    def _measure(self, node: Node, folder: Path) -> Toll:
        assert node.metric is not None
        if self._drawn is None and node.metric.reads is None:
            self._sample(node.upstream[-1], folder)
        seen = [] if node.metric.reads is not None else self.texts
        step = {**self._step(node, folder), "prompts": seen, "per_prompt": 1, "drawn_seed": 0}
        step |= {"drawn": [str(self._drawn)] if seen else [], "whole_set": node.metric.whole_set}
        clock = time.perf_counter()
        self.steps.run(step, folder)
        seconds = time.perf_counter() - clock
        if not node.metric.whole_set:
            seconds *= self._images(node) / len(self.texts)
        return Toll(seconds, 20 * self._images(node) + _SMALL_FILES)

    def _step(self, node: Node, folder: Path) -> dict[str, Any]:
        """What a step of an order says, but for what was trained, in whose place anything will do."""
        step = {
            "stage": node.stage,
            "spec": spec_of(node, self.study, None),
            "attempt": str(folder),
        }
        if node.metric is not None:
            step["metric"] = metric_of(node.metric)
        return step
