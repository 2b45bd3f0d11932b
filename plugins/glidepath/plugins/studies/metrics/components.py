"""The metrics of metrics_features.py as components. Imports no torch, and no parameters."""

from __future__ import annotations

from typing import Any

from glidepath.registry import Component

_CONFIGS = "glidepath.plugins.studies.metrics.configs"
_TARGET = "glidepath.plugins.studies.metrics.feature_metrics"


def whole_set(_config: object) -> dict[str, object]:
    """Said of a metric that gives one number for all images of a trial: a plan then counts its units."""
    return {"metric.whole_set": True}


def _by_features(config: Any) -> dict[str, object]:
    return {"metric.runs_code": config.features is not None}


def _against_real(config: Any) -> dict[str, object]:
    return {**whole_set(config), **_by_features(config)}


def given(_config: object) -> dict[str, object]:
    """Said of a number for all images of a trial that the spec decides: it is shown, and not tested."""
    return {"metric.whole_set": True, "metric.given": True}


def _two_of_a_prompt(config: Any) -> dict[str, object]:
    """Said of a metric that sets the images of a prompt against each other."""
    return {"metric.per_prompt": 2, **_by_features(config)}


def _of_whole_set(name: str, target: str, config: str, summary: str, reference: str) -> Component:
    return Component(
        kind="metric",
        name=name,
        target=f"{_TARGET}:{target}",
        config=f"{_CONFIGS}:{config}",
        provides=_against_real,
        example={"images": 8},
        summary=summary,
        references=(reference,),
    )


def _of_file(config: Any) -> dict[str, object]:
    """Said of a metric in a Python file: whether it judges a whole set, as the file defines it."""
    from glidepath.plugins.studies.metrics.configs import defined

    return {"metric.runs_code": True, "metric.whole_set": "per_prompt" not in defined(config.file)}


def _of_command(config: Any) -> dict[str, object]:
    return {"metric.runs_code": True, "metric.whole_set": config.whole_set}


def own_metrics() -> tuple[Component, ...]:
    """Metrics that are code of the user's own."""
    return (
        Component(
            kind="metric",
            name="python",
            target="glidepath.plugins.studies.metrics.own_code:PythonMetric",
            config=f"{_CONFIGS}:PythonConfig",
            provides=_of_file,
            summary="a Python file of your own that judges images",
            example="it runs a file of yours, and none comes with it",
        ),
        Component(
            kind="metric",
            name="command",
            target="glidepath.plugins.studies.metrics.own_code:CommandMetric",
            config=f"{_CONFIGS}:CommandConfig",
            provides=_of_command,
            summary="a command that judges a folder of images, such as a model in another Python environment",
            example="it runs a program of yours, and none comes with it",
        ),
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
