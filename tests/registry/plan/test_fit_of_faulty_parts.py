"""Whether parts fit is judged beside problems elsewhere; a part with a problem of its own is not judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from glidepath.registry.text.problems import Problem

SPEC = """\
schedule: cosine
text_encoder: {use: transformer, width: 512}
denoiser: {use: tiny-unet, text_width: 64, channels: 64}
sampler: {use: ddim, steps: 20}
"""

ToFaults = Callable[..., tuple[Problem, ...]]
MISFIT = "denoiser.text_width"


def paths(problems: tuple[Problem, ...]) -> set[str]:
    return {problem.path for problem in problems}


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        ("guidanse: []", "guidanse"),
        ("guidance: [{use: classifier-free, scale: -1}]", "guidance[0].scale"),
        ("runtime: {dtype: float23}", "runtime.dtype"),
        ("codec: no-such", "codec"),
        ("weights: x.txt", "weights"),
        ("plugins: {require: {absent: '>=1'}}", "plugins.require.absent"),
    ],
)
def test_a_fault_elsewhere_hides_no_misfit(faults: ToFaults, fault: str, path: str) -> None:
    assert paths(faults(f"{SPEC}{fault}\n")) == {path, MISFIT}


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("channels: 64", "channels: 0", "denoiser.channels"),
        ("text_width: 64", "text_width: wide", "denoiser.text_width"),
        ("text_width: 64", "text_widht: 64", "denoiser.text_widht"),
        ("width: 512", "width: wide", "text_encoder.width"),
        ("width: 512", "widht: 512", "text_encoder.widht"),
        ("transformer", "transfomer", "text_encoder"),
    ],
)
def test_what_depends_on_a_part_with_a_fault_is_not_judged(
    faults: ToFaults, before: str, after: str, path: str
) -> None:
    assert paths(faults(SPEC.replace(before, after, 1))) == {path}


def test_a_part_with_a_fault_may_be_what_another_needs(faults: ToFaults) -> None:
    text = SPEC.replace("denoiser: {use: tiny-unet, text_width: 64, channels: 64}", "denoiser: tiny-unet")
    problems = faults(text.replace("cosine", "{use: cosine, num_steps: many}"))
    assert paths(problems) == {"schedule.num_steps"}
