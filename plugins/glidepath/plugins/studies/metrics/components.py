"""The metrics of metrics_features.py as components. Imports no torch, and no parameters."""

from __future__ import annotations

from glidepath.registry import Component

_CONFIGS = "glidepath.plugins.studies.metrics.configs"
_TARGET = "glidepath.plugins.studies.metrics.feature_metrics"


def whole_set(_config: object) -> dict[str, object]:
    """Said of a metric that gives one number for all images of a trial: a plan then counts its units."""
    return {"metric.whole_set": True}


def _two_of_a_prompt(_config: object) -> dict[str, object]:
    """Said of a metric that sets the images of a prompt against each other."""
    return {"metric.per_prompt": 2}


def _of_whole_set(name: str, target: str, config: str, summary: str, reference: str) -> Component:
    return Component(
        kind="metric",
        name=name,
        target=f"{_TARGET}:{target}",
        config=f"{_CONFIGS}:{config}",
        provides=whole_set,
        example={"images": 8},
        summary=summary,
        references=(reference,),
    )


def feature_metrics() -> tuple[Component, ...]:
    """KID, Frechet distance, precision, recall, diversity."""
    return (
        _of_whole_set(
            "kid",
            "KernelDistance",
            "FeatureConfig",
            "distance from real images by a polynomial kernel on features; unbiased for few images",
            "https://arxiv.org/abs/1801.01401",
        ),
        _of_whole_set(
            "frechet",
            "FrechetDistance",
            "FeatureConfig",
            "distance from real images by mean and covariance of features; compare at equal counts",
            "https://arxiv.org/abs/1706.08500",
        ),
        _of_whole_set(
            "precision",
            "Precision",
            "NeighbourConfig",
            "share of the images that look like real ones",
            "https://arxiv.org/abs/1904.06991",
        ),
        _of_whole_set(
            "recall",
            "Recall",
            "NeighbourConfig",
            "share of the real images that the model's come near to",
            "https://arxiv.org/abs/1904.06991",
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
