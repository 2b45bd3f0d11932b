"""What this plugin supplies: the kinds `metric` and `engine`, parts of both, and the command `study`.

Imports no torch, and the parameters of a part only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.plugins.studies.metrics.components import feature_metrics, given, own_metrics, whole_set
from glidepath.registry import Command, Component, Extra, Kind, hookimpl

if TYPE_CHECKING:
    from glidepath.testing import Trial

_HERE = "glidepath.plugins.studies"


@hookimpl
def kinds() -> Iterable[Kind]:
    """What a study is made of, besides specs."""
    return (
        Kind(
            name="metric",
            interface=f"{_HERE}.interface:Metric",
            summary="judges the images of an arm of a study",
            template=Path(__file__).parent / "template",
        ),
        Kind(
            name="engine",
            interface=f"{_HERE}.interface:Engine",
            summary="runs the trials of a study, each in a process of its own",
        ),
    )


@hookimpl
def checks(kind: str) -> Iterable[type[Trial]]:
    """How the conformance kit uses an engine, and a metric."""
    if kind == "engine":
        from glidepath.plugins.studies.engines.conformance import EngineTrial

        return (EngineTrial,)
    if kind == "metric":
        from glidepath.plugins.studies.metrics.conformance import MetricTrial

        return (MetricTrial,)
    return ()


@hookimpl
def components() -> Iterable[Component]:
    """Engines, and metrics of what images cost."""
    return (
        Component(
            kind="engine",
            name="local",
            target=f"{_HERE}.engines.local:LocalEngine",
            config=f"{_HERE}.engines.configs:LocalConfig",
            summary="one process for each trial on this machine, forked from one that has imported torch",
        ),
        Component(
            kind="engine",
            name="in-process",
            target=f"{_HERE}.engines.in_process:InProcessEngine",
            summary="one trial after the other in the process of the study itself, for debugging",
        ),
        Component(
            kind="engine",
            name="ray",
            target=f"{_HERE}.engines.ray_engine:RayEngine",
            config=f"{_HERE}.engines.configs:RayConfig",
            summary="a task of Ray Core for each trial, on this machine or on a cluster",
            requires=(Extra(module="ray", install="pip install 'glidepath-diffusion[ray]'"),),
        ),
        Component(
            kind="metric",
            name="seconds-per-image",
            target=f"{_HERE}.metrics.costs:SecondsPerImage",
            provides=whole_set,
            summary="how long an image takes, in the batch that the study draws it in",
        ),
        Component(
            kind="metric",
            name="network-evaluations",
            target=f"{_HERE}.metrics.costs:NetworkEvaluations",
            provides=given,
            summary="evaluations of the denoiser for an image; two a step under classifier-free guidance",
        ),
        Component(
            kind="metric",
            name="peak-memory",
            target=f"{_HERE}.metrics.costs:PeakMemory",
            provides=whole_set,
            summary="the most memory in use while images are drawn: of the GPU, else of the process",
        ),
        Component(
            kind="metric",
            name="clip-score",
            target=f"{_HERE}.metrics.clip_score:ClipScore",
            config=f"{_HERE}.metrics.configs:ClipScoreConfig",
            summary="how well images fit their prompts, as a CLIP sees it that guides no arm",
            example="it asks a CLIP, and none comes with it",
            references=("https://arxiv.org/abs/2104.08718",),
        ),
        *feature_metrics(),
        *own_metrics(),
    )


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath study`."""
    return (
        Command(
            name="study",
            target=f"{_HERE}.command:main",
            summary="vary a spec, run every arm, and compare them",
            reads=("study", "base", "arms", "seeds", "metrics"),
        ),
    )
