"""Metrics of what a comparison shows: those of the registry that judge images one by one, asked on demand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glidepath.core import GlidepathError, UnreadablePrompt
from glidepath.plugins.page.history import History
from glidepath.plugins.page.jobs import Job
from glidepath.registry import (
    Catalogue,
    NotFound,
    PartPlan,
    Plan,
    Problems,
    Registered,
    build_part,
    check_contracts,
    fields,
    flat_parts,
    image_in,
    picture_bytes,
    plan_part,
    require_readable,
)

if TYPE_CHECKING:
    from torch import Tensor

KIND = "metric"
_ASKED_OTHERWISE = ("metric.whole_set", "metric.reads", "metric.runs_code")
"""What a descriptor provides of a metric that does not judge images one by one, or runs code of a file."""


def metric_names(catalogue: Catalogue) -> list[dict[str, str]]:
    """The metrics that a page can ask for: each judges images by itself, and needs to be told nothing."""
    if KIND not in catalogue.kinds:
        return []
    return [
        {"name": catalogue.spelling(it), "summary": it.component.summary}
        for it in catalogue.components(KIND)
        if _is_asked_alone(it, catalogue)
    ]


def _is_asked_alone(registered: Registered, catalogue: Catalogue) -> bool:
    try:
        config = catalogue.config_class(registered)
    except NotFound:
        return False
    if config is not None and any(field.required for field in fields(config).values()):
        return False
    try:
        provided = plan_part(KIND, registered.full_name, {}, catalogue).provided()
    except GlidepathError:  # a stranger's that is faulty
        return False
    return not any(provided.get(name) for name in _ASKED_OTHERWISE)


def unsuited(plans: Sequence[Plan], count: int, catalogue: Catalogue) -> dict[str, str]:
    """Why a metric cannot judge what some specs make, by the names of those that cannot. Nothing is built
    but tokenizers.

    A metric says what it needs of the parts of a spec, of how many images of a prompt, and texts that it can
    judge: where a model can read none of these, it makes nothing that the metric knows.

    count: images of each prompt.
    """
    found = {}
    for it in metric_names(catalogue):
        metric = plan_part(KIND, it["name"], {}, catalogue)
        least, texts = (metric.provided().get(f"metric.{key}") for key in ("per_prompt", "prompts"))
        reasons = (_unmet(metric, plan, catalogue) or _unread(texts, plan, catalogue) for plan in plans)
        if isinstance(least, int) and count < least:
            found[it["name"]] = f"needs {least} images of each prompt"
        elif reason := next(filter(None, reasons), ""):
            found[it["name"]] = reason
    return found


def _unmet(metric: PartPlan, plan: Plan, catalogue: Catalogue) -> str:
    """What a metric needs of the parts that make images, of a cascade the last ones, and does not find."""
    parts = tuple(flat_parts({metric.path: metric}))
    problems = Problems()
    last = list(plan.pipelines().values())[-1]
    check_contracts((*flat_parts(last.parts), *parts), True, catalogue, problems)
    return next((problem.what for problem in problems.sorted()), "")


def _unread(given: object, plan: Plan, catalogue: Catalogue) -> str:
    """That a model can read none of some texts; "" where it can, or there are none."""
    texts = [it for it in given if isinstance(it, str)] if isinstance(given, tuple | list) else []
    for text in texts:
        try:
            require_readable(plan, [text], catalogue)
        except UnreadablePrompt:
            continue
        return ""
    return f"judges other things, such as {texts[0]!r}: the model knows no such words" if texts else ""


def measured(name: str, jobs: Sequence[Job], history: History, catalogue: Catalogue) -> Mapping[str, Any]:
    """What a metric says of the images of some jobs: of each image (None: it has no answer), and the mean.

    Raises:
        GlidepathError: there is no such metric, it judges no single images, or an image is gone.
    """
    if name not in [it["name"] for it in metric_names(catalogue)]:
        what = "a metric that judges images one by one and needs no parameters"
        raise GlidepathError(f"{name[:60]!r} is not {what}")
    metric = build_part(plan_part(KIND, name, {}, catalogue), catalogue)
    if not hasattr(metric, "per_prompt"):
        raise GlidepathError(f"{metric.name} judges whole sets of images: a study measures it")
    found = []
    for job in jobs:
        images, prompts = _shown(job, history)
        said = [float(score) for score in metric.per_prompt(images, prompts)]
        known = [score for score in said if not math.isnan(score)]
        mean = sum(known) / len(known) if known else None
        scores = [None if math.isnan(score) else score for score in said]
        found.append({"job": job.id, "mean": mean, "scores": scores})
    return {"name": metric.name, "unit": metric.unit, "direction": metric.direction, "variants": found}


def _shown(job: Job, history: History) -> tuple[Tensor, list[str]]:
    """The images of a job, [N, 3, H, W] uint8, and their prompts."""
    import torch

    pairs = list(_pictures(job, history))
    pixels = np.stack([picture for picture, _ in pairs])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), [prompt for _, prompt in pairs]


def _pictures(job: Job, history: History) -> Iterator[tuple[npt.NDArray[np.uint8], str]]:
    """Each image [H, W, 3], and its prompt."""
    if job.state != "done" or not job.result.get("files"):
        raise GlidepathError("only variants that are done can be measured: compare them again")
    for name in job.result["files"]:
        picture, manifest, _ = image_in(picture_bytes(history.file(name)), name)
        assert manifest.images is not None  # `image_in` saw to it
        scale = manifest.images.scale  # small images are enlarged in their files
        yield np.asarray(picture.convert("RGB"))[::scale, ::scale], manifest.images.keys[0].prompt
