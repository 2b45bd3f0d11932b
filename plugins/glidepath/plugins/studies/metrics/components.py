"""The metrics of metrics_features.py as components. Imports no torch, and no parameters."""

from __future__ import annotations

from glidepath.registry import Component

_CONFIGS = "glidepath.plugins.studies.metrics.configs"
_TARGET = "glidepath.plugins.studies.metrics.feature_metrics"
_FEW = {"images": 8}


def whole_set(_config: object) -> dict[str, object]:
    """Said of a metric that gives one number for all images of a trial: a plan then counts its units."""
    return {"metric.whole_set": True}


def _two_of_a_prompt(_config: object) -> dict[str, object]:
    """Said of a metric that sets the images of a prompt against each other."""
    return {"metric.per_prompt": 2}


def feature_metrics() -> tuple[Component, ...]:
    """KID, Frechet distance, precision, recall, diversity."""
    return (
        Component(
            kind="metric",
            name="kid",
            target=f"{_TARGET}:KernelDistance",
            config=f"{_CONFIGS}:FeatureConfig",
            provides=whole_set,
            example=_FEW,
            summary="distance from real images by a polynomial kernel on features; unbiased for few images",
            references=("https://arxiv.org/abs/1801.01401",),
        ),
        Component(
            kind="metric",
            name="frechet",
            target=f"{_TARGET}:FrechetDistance",
            config=f"{_CONFIGS}:FeatureConfig",
            provides=whole_set,
            example=_FEW,
            summary="distance from real images by mean and covariance of features; compare at equal counts",
            references=("https://arxiv.org/abs/1706.08500",),
        ),
        Component(
            kind="metric",
            name="precision",
            target=f"{_TARGET}:Precision",
            config=f"{_CONFIGS}:NeighbourConfig",
            provides=whole_set,
            example=_FEW,
            summary="share of the images that look like real ones",
            references=("https://arxiv.org/abs/1904.06991",),
        ),
        Component(
            kind="metric",
            name="recall",
            target=f"{_TARGET}:Recall",
            config=f"{_CONFIGS}:NeighbourConfig",
            provides=whole_set,
            example=_FEW,
            summary="share of the real images that the model's come near to",
            references=("https://arxiv.org/abs/1904.06991",),
        ),
        Component(
            kind="metric",
            name="diversity",
            target=f"{_TARGET}:Diversity",
            config=f"{_CONFIGS}:DiversityConfig",
            provides=_two_of_a_prompt,
            summary="how far apart the features of images of one prompt are; needs two images of a prompt",
        ),
    )
