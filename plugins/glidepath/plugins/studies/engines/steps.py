"""The stages of a study at work: train, embed, sample, measure."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from glidepath.core import (
    Cascade,
    Denoiser,
    Generator,
    GlidepathError,
    ImagePipeline,
    Request,
    State,
    stages_of,
)
from glidepath.plugins.studies.engines.tasks import EMBEDDINGS, MANIFEST, WEIGHTS
from glidepath.plugins.studies.engines.text_cache import record, replay
from glidepath.plugins.studies.interface import Drawn
from glidepath.plugins.studies.store.files import IMAGES, StoreError, load_images, read_json, write_json
from glidepath.plugins.studies.store.store import RESULT, make_folder
from glidepath.registry import (
    Catalogue,
    ImageKey,
    Images,
    Plan,
    build_part,
    build_parts,
    build_pipeline,
    canonical_json,
    describe_images,
    load_catalogue,
    make_plan,
    parse_spec,
    plan_part,
    write_text,
    write_whole,
)

Scores = npt.NDArray[np.float64]

_INTERRUPTED = 130
"""What `glidepath train` ends with where Ctrl-C or SIGTERM stopped it, its checkpoint written."""


class Steps:
    """Runs the steps of an order. Each begins from the same global random state, whatever ran before it."""

    def __init__(self, *, no_plugins: bool = False) -> None:
        self._no_plugins = no_plugins
        self._built: _Built | None = None
        self._run: Mapping[str, Callable[[Mapping[str, Any], Path], dict[str, Any]]] = {
            "train": self.train,
            "embed": self.embed,
            "sample": self.sample,
            "measure": self.measure,
        }

    def run(self, step: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Do a step; files go into `folder`. Returns what the result says beside how long it took."""
        torch.manual_seed(0)
        np.random.seed(0)
        if self._built is not None and self._built.of != (step["stage"], step["spec"]):
            self._built = None  # a metric may need the memory
        return self._run[step["stage"]](step, folder)

    def train(self, step: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Train with the command `train`, on from the checkpoint of an attempt that was cut off."""
        catalogue = self._catalogue(step["spec"])
        work = Path(step["work"])
        make_folder(work)
        spec = work / "study-spec.yaml"
        write_text(spec, canonical_json(step["spec"], 1))
        command = catalogue.command_source("glidepath-diffusion/train").item.target
        module, _, name = command.partition(":")
        status = getattr(import_module(module), name)([str(spec), "--out", str(work)])
        if status == _INTERRUPTED:
            raise KeyboardInterrupt  # no failure: the study is interrupted, and goes on from the checkpoint
        if status != 0:
            raise GlidepathError(f"`glidepath train` ended with status {status}")
        try:
            (work / WEIGHTS).replace(folder / WEIGHTS)
            log = (work / "log.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise StoreError(f"cannot keep what was trained: {error}") from error
        write_text(folder / "train-log.jsonl", "\n".join(log) + "\n")
        shutil.rmtree(work, ignore_errors=True)
        return {"lines": len(log)}

    def embed(self, step: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Embed the prompts with the arm's text encoders."""
        pipeline = self._pipeline(step).pipeline
        record(pipeline, _batches(step), step["negative"], folder / EMBEDDINGS)
        return {"prompts": len(step["prompts"])}

    def sample(self, step: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Draw every image of the arm for one seed.

        The noise of an image is decided by the seed and the index of its sample, the same in all arms.

        Raises:
            Diverged: an image is not of numbers.
        """
        built = self._pipeline(step)
        pipeline, asked = built.pipeline, built.asked
        batches = _batches(step)
        if step.get("embeddings"):
            replay(pipeline, batches, step["negative"], Path(step["embeddings"]))
        asked.rows = 0
        on_gpu = any(stage.device.type == "cuda" for stage in stages_of(pipeline).values())
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        clock = time.perf_counter()
        made: list[Tensor] = []
        keys: list[ImageKey] = []
        for some in batches:
            samples = step["samples"][len(keys) : len(keys) + len(some)]
            seed, size, negative = step["seed"], step["size"], step["negative"]
            asked_for = Request(prompts=some, negative=negative, seed=seed, samples=samples, size=size)
            made.append(_drawn(pipeline, asked_for))
            keys += [
                ImageKey(prompt, seed, sample, negative=negative)
                for prompt, sample in zip(some, samples, strict=True)
            ]
            print(f"{len(keys)} of {sum(map(len, batches))} images", file=sys.stderr)
        seconds = time.perf_counter() - clock
        images = torch.cat(made).numpy()
        write_whole(folder / IMAGES, lambda partial: _save_array(partial, images))
        size = None if step["size"] is None else tuple(step["size"])
        described = Images(keys=keys, columns=step["per_prompt"], size=size)
        manifest = describe_images(built.plan, pipeline, self._catalogue(step["spec"]), described)
        write_json(folder / MANIFEST, manifest.to_json())
        return {
            "images": len(keys),
            "draw_seconds": seconds,
            "evaluations": asked.rows / len(keys),
            "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else _peak_bytes(),
        }

    def measure(self, step: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """The scores of a metric: one for each prompt, or one in all."""
        catalogue = self._catalogue(step["spec"])
        metric = _metric(step["metric"], catalogue)
        drawn = self._read(step, catalogue)
        # a set of one prompt's images has one score, whatever the descriptor says
        alone = len(drawn.prompts) == drawn.per_prompt and not hasattr(metric, "per_prompt")
        whole = step["whole_set"] or alone
        method, other = ("whole_set", "no") if whole else ("per_prompt", "a")
        if not hasattr(metric, method):
            raise GlidepathError(
                f"metric {metric.name} has no {method}, and its descriptor provides {other} metric.whole_set"
            )
        if whole:
            scores = np.asarray([metric.whole_set(drawn)], dtype=np.float64)
        else:
            scores = np.asarray(metric.per_prompt(drawn.images, drawn.prompts), dtype=np.float64)
            if scores.shape != (len(drawn.prompts),):
                raise GlidepathError(
                    f"metric {metric.name} gave {scores.shape} scores for {len(drawn.prompts)} images"
                )
            scores = _means(scores.reshape(-1, drawn.per_prompt))
        return {
            "scores": [None if math.isnan(score) else float(score) for score in scores],
            "name": metric.name,
            "direction": metric.direction,
            "unit": metric.unit,
        }

    def _read(self, step: Mapping[str, Any], catalogue: Catalogue) -> Drawn:
        """What the `sample` of each batch left."""
        folders = [Path(folder) for folder in step["drawn"]]
        said = [read_json(folder / RESULT) or {} for folder in folders]
        images = [torch.from_numpy(load_images(folder)) for folder in folders]
        counts = [len(some) for some in images]

        def dataset() -> Any:
            plan = _plan(step["spec"], catalogue, Path(step["attempt"]))
            return build_parts(plan, ("data",), catalogue)["data"]

        return Drawn(
            images=torch.cat(images) if images else torch.empty(0, 3, 0, 0, dtype=torch.uint8),
            prompts=[prompt for prompt in step["prompts"] for _ in range(step["per_prompt"])],
            per_prompt=step["per_prompt"],
            seconds=sum(it["draw_seconds"] for it in said),
            peak_bytes=max((it["peak_bytes"] for it in said), default=0),
            evaluations=sum(it["evaluations"] * n for it, n in zip(said, counts, strict=True))
            / max(1, sum(counts)),
            dataset=dataset if "data" in step["spec"] else None,
            pipeline=lambda: self.pipeline(step)[0],
            seed=step["drawn_seed"],
        )

    def pipeline(self, step: Mapping[str, Any]) -> tuple[ImagePipeline | Cascade, Plan]:
        """The arm's pipeline, with its weights."""
        catalogue = self._catalogue(step["spec"])
        plan = _plan(step["spec"], catalogue, Path(step["attempt"]))
        return build_pipeline(plan, catalogue), plan

    def _pipeline(self, step: Mapping[str, Any]) -> _Built:
        """The arm's pipeline, which the next batch of it uses too."""
        if self._built is None:
            pipeline, plan = self.pipeline(step)
            self._built = _Built((step["stage"], step["spec"]), pipeline, plan, _Counter(pipeline))
        return self._built

    def _catalogue(self, spec: Mapping[str, Any]) -> Catalogue:
        plugins = spec.get("plugins", {})
        allow = plugins.get("allow")
        return load_catalogue(no_plugins=self._no_plugins, allow=allow, deny=plugins.get("deny", ()))


@attrs.frozen(eq=False)
class _Built:
    """A pipeline, of which stage and spec it is, and the counter of its network's evaluations."""

    of: tuple[str, Mapping[str, Any]]
    pipeline: ImagePipeline | Cascade
    plan: Plan
    asked: _Counter


class _Counter:
    """Counts the images that denoisers are asked for, and the states that generators yield of each image.

    Classifier-free guidance asks for two at a time.
    """

    def __init__(self, pipeline: ImagePipeline | Cascade) -> None:
        self.rows = 0
        for stage in stages_of(pipeline).values():
            for network in stage.making().values():
                if isinstance(network, Denoiser):
                    self._watch(network)
                elif isinstance(network, Generator):
                    self._watch_states(network)

    def _watch(self, denoiser: Denoiser) -> None:
        prepare = denoiser.prepare

        def counted(*arguments: Any, **keywords: Any) -> Any:
            predict = prepare(*arguments, **keywords)

            def asked(x: Tensor, at: Any) -> Any:
                self.rows += len(x)
                return predict(x, at)

            return asked

        denoiser.prepare = counted  # type: ignore[method-assign]

    def _watch_states(self, generator: Generator) -> None:
        states = generator.states

        def counted(conditioning: Any, x: Tensor, noise: Any) -> Iterator[State]:
            for state in states(conditioning, x, noise):
                self.rows += len(x)
                yield state

        generator.states = counted  # type: ignore[method-assign]


def _save_array(path: Path, values: npt.NDArray[np.generic]) -> None:
    """As `numpy.save`, which would give a name without its own ending another."""
    with path.open("wb") as file:
        np.save(file, values, allow_pickle=False)


def _drawn(pipeline: ImagePipeline | Cascade, request: Request) -> Tensor:
    """Images of a batch, [B, 3, H, W] uint8 on the host."""
    (last,) = deque(pipeline.states(request), maxlen=1)
    return pipeline.images(last).cpu()


def _batches(step: Mapping[str, Any]) -> list[list[str]]:
    """The texts of the images that are drawn at one time."""
    texts = [prompt for prompt in step["prompts"] for _ in range(step["per_prompt"])]
    return [texts[first : first + step["batch"]] for first in range(0, len(texts), step["batch"])]


def _means(scores: Scores) -> Scores:
    """The mean of each row over what is a number; NaN for a row without one."""
    there = ~np.isnan(scores)
    counts = there.sum(axis=1)
    sums = np.where(there, scores, 0.0).sum(axis=1)
    means: Scores = np.divide(sums, counts, out=np.full(len(scores), np.nan), where=counts > 0)
    return means


def _plan(tree: Mapping[str, Any], catalogue: Catalogue, folder: Path) -> Plan:
    text = canonical_json(tree)
    return make_plan(parse_spec(text, "the arm's spec", catalogue=catalogue, folder=folder), catalogue)


def _metric(tree: Mapping[str, Any], catalogue: Catalogue) -> Any:
    """The metric that a task describes, built."""
    parameters = {key: value for key, value in tree.items() if key != "use"}
    return build_part(plan_part("metric", tree["use"], parameters, catalogue), catalogue)


def _peak_bytes() -> int:
    """The most memory that this process has had."""
    try:
        import resource
    except ImportError:  # Windows has no such figure in the standard library
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
