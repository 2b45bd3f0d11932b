"""`measure-shapes`: the reader's ceiling is measured on renderings as large as the model's images."""

from __future__ import annotations

import json

import pytest

from glidepath.plugins.shapes import measure
from glidepath.plugins.shapes.measure import ceiling
from glidepath.registry.assembly.build import assemble


@pytest.mark.parametrize("size", [32, pytest.param(64, marks=pytest.mark.thorough)])
def test_real_renderings_of_prompts_are_right_in_99_percent(size: int) -> None:
    scores = ceiling(count=50, seed=1, size=size)
    assert sum(score.images for score in scores) == 200
    assert sum(score.all_right for score in scores) >= 0.99 * 200


def test_a_cascade_is_held_against_renderings_of_the_size_that_it_ends_at() -> None:
    assert [assemble(preset).image_size for preset in ("shapes", "shapes-64")] == [(32, 32), (64, 64)]


def test_a_cascade_is_measured_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []
    judge = measure.judge

    def watched(image: object, caption: str) -> object:
        seen.append(image.shape[-1])  # type: ignore[attr-defined]
        return judge(image, caption)  # type: ignore[arg-type]

    monkeypatch.setattr(measure, "judge", watched)
    few = ["--set", "stages.base.sampler.steps=1", "--set", "stages.upsample.sampler.steps=1"]
    assert measure.main(["--spec", "shapes-64", "--count", "1", "--json", *few]) == 0
    assert seen == [64] * 8
    found = json.loads(capsys.readouterr().out)
    assert [len(found[of]) for of in ("model", "real")] == [4, 4]
