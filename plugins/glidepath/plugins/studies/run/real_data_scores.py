"""What a metric says of real images: the best that there is reason to expect."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from glidepath.core import GlidepathError
from glidepath.plugins.studies.study.study import Study
from glidepath.registry import Catalogue, PartPlan, build_part

_SEED = 2_000_003
"""Of the real images: another than any that trains."""


def real_values(study: Study, catalogue: Catalogue) -> dict[str, float]:
    """By label, the value of each metric of as many real images as a trial draws.

    They are of the baseline's dataset, with its captions as prompts. Metrics that look at no image have none,
    and there are none without `data`, or where its images are not there.
    """
    part = study.baseline.parts.get("data")
    if not isinstance(part, PartPlan):
        return {}
    try:
        dataset = build_part(part, catalogue)
    except GlidepathError:
        return {}  # it is of the baseline's training, and what compares with it has failed long ago
    count = len(study.prompts) * study.data.per_prompt
    found = {}
    for metric in study.metrics:
        if metric.runs_code:
            continue  # a report runs none
        try:
            value = _value(build_part(metric.part, catalogue), dataset, count)
        except GlidepathError:
            continue  # captions of another dataset than the metric's, or too few images
        if value is not None and np.isfinite(value):
            found[metric.label] = value
    return found


def _value(metric: Any, dataset: Any, count: int) -> float | None:
    if hasattr(metric, "on_real"):
        return float(metric.on_real(dataset, count))
    if not hasattr(metric, "per_prompt"):
        return None
    images, captions = dataset.batch(_SEED, 0, count)
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    scores = np.asarray(metric.per_prompt(pixels, captions), dtype=np.float64)
    return float(np.nanmean(scores)) if not np.isnan(scores).all() else None
