"""What this package supplies for studies. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Component, hookimpl

_HERE = "glidepath_families_metrics"
_JUDGED = {"use": "glidepath-diffusion/shapes-accuracy"}


@hookimpl
def components() -> Iterable[Component]:
    """Metrics that compare families."""
    return [
        Component(
            kind="metric",
            name="among",
            target=f"{_HERE}.metrics:Among",
            config=f"{_HERE}.config:AmongConfig",
            summary="another metric, on the images of some of the prompts",
            provides=lambda config, _inner: {"metric.prompts": config.prompts},
            example={"metric": _JUDGED, "prompts": ["a red star"], "called": "stars"},
        ),
        Component(
            kind="metric",
            name="ways",
            target=f"{_HERE}.metrics:Ways",
            config=f"{_HERE}.config:WaysConfig",
            summary="the share of the ways to show a prompt that appear among its images: modes not dropped",
            provides=lambda _config, inner: inner["metric"],
            example={"metric": _JUDGED, "ways": ["a small {}", "a large {}"]},
        ),
        Component(
            kind="metric",
            name="operations-per-image",
            target=f"{_HERE}.metrics:Operations",
            config=f"{_HERE}.config:OperationsConfig",
            summary="floating-point operations for an image, counted: energy's proxy",
            provides=lambda _config: {
                "metric.whole_set": True,
                "metric.given": True,
                "metric.reads": ("schedule", "text_encoder", "denoiser", "sampler", "guidance", "codec"),
            },
            example={"images": 1, "prompt": "a red circle"},
        ),
    ]
