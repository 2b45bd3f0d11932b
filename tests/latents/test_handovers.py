"""Stages that refine what another made, from its images or its latents."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from glidepath.core import Cascade, PartError, PerSampleNoise
from glidepath.registry.assembly.build import assemble
from glidepath.registry.cli import main
from glidepath.registry.text.problems import SpecError

CASCADE = """\
stages:
  base: {extends: latent.yaml}
  refine: {extends: latent.yaml, denoiser: {image_size: 12, attention_resolutions: [6]}, handover: image}
"""


def built(*overrides: str) -> Cascade:
    Path("cascade.yaml").write_text(CASCADE)
    pipeline = assemble("cascade.yaml", overrides)
    assert isinstance(pipeline, Cascade)
    return pipeline


def first_x(cascade: Cascade, **values: object) -> tuple[Tensor, Tensor]:
    """The last x of the first stage, and the first x of the second."""
    stage, seen = cascade.last, []
    prepare = stage.denoiser.prepare

    def watched(*arguments: object) -> object:
        predict = prepare(*arguments)  # type: ignore[arg-type]
        return lambda x, step: (seen.append(x), predict(x, step))[1]

    stage.denoiser.prepare = watched  # type: ignore[assignment]
    states = list(cascade.states(["a"], **values))
    *_, last = (state for state in states if state.stage == 0)
    return last.x, seen[0]


def test_a_second_pass_begins_from_the_images_of_the_first_at_its_own_size(latent: Path) -> None:
    cascade = built("stages.refine.handover.strength=0.5", "stages.refine.handover.resize=nearest")
    assert cascade.lengths() == [4, 2]
    x, first = first_x(cascade, seed=3)
    noise, shape = PerSampleNoise([(3, 0)], stream=1), (1, 4, 12, 12)
    rows = torch.arange(24) * 16 // 24
    images = cascade.first.decode(x)[:, :, rows][..., rows]
    x_0 = cascade.last.codec.encode(images, noise.posterior(shape, "cpu"))
    levels = cascade.last.levels(0.5)
    expected = float(levels.alpha[0]) * x_0 + float(levels.sigma[0]) * noise.initial(shape, "cpu")
    torch.testing.assert_close(first, expected)
    assert cascade(["a"], seed=3).shape == (1, 3, 24, 24)
    assert cascade(["a"], size=(48, 24)).shape == (1, 3, 48, 24)


def test_a_refiner_begins_from_the_latents_themselves(latent: Path) -> None:
    same = "stages.refine.denoiser={image_size: 8, attention_resolutions: [4]}"
    cascade = built(same, "stages.refine.handover={use: latent, strength: 0.25}")
    x, first = first_x(cascade, seed=3)
    noise = PerSampleNoise([(3, 0)], stream=1).initial((1, 4, 8, 8), "cpu")
    levels = cascade.last.levels(0.25)
    torch.testing.assert_close(first, float(levels.alpha[0]) * x + float(levels.sigma[0]) * noise)
    assert len(list(cascade.states(["a"]))) == 4 + 1


@pytest.mark.thorough
def test_what_is_handed_over_is_in_the_record_and_replayed(
    latent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cascade.yaml").write_text(CASCADE)
    asked = ["sample", "a", "--spec", "cascade.yaml", "--film", "--scale", "1", "--out", "a.png"]
    assert main(asked) == 0
    with Image.open("a.png") as picture:
        assert picture.size == (24, 24)
    assert main(["replay", "a.png"]) == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    assert main(["plan", "cascade.yaml"]) == 0
    assert "steps              1, as many evaluations" in capsys.readouterr().out


UNFINISHED = """\
stages:
  base: {extends: latent.yaml, sampler: {use: euler, steps: 12}}
  refine: {extends: latent.yaml, sampler: {use: euler, steps: 12}, handover: {use: unfinished, level: 0.7}}
"""


def unfinished(*overrides: str) -> Cascade:
    Path("cascade.yaml").write_text(UNFINISHED)
    pipeline = assemble("cascade.yaml", overrides)
    assert isinstance(pipeline, Cascade)
    return pipeline


@pytest.mark.parametrize("use", ["euler", "ddim", "heun", "dpmpp-2m", "unipc", "pndm", "ddpm"])
def test_two_stages_go_along_the_levels_of_one_walk(latent: Path, use: str) -> None:
    cascade = unfinished(
        *(f"stages.{name}.sampler={{use: {use}, steps: leading12}}" for name in ("base", "refine"))
    )
    whole, (first, second) = cascade.first.levels(), cascade.grids()
    assert [first.after, second.before] == [len(second), len(first)]
    assert torch.equal(torch.cat([first.t, second.t]), whole.t)
    assert torch.equal(torch.cat([first.sigma[:-1], second.sigma]), whole.sigma)
    ratio = whole.sigma / whole.alpha
    assert ratio[len(first) - 1] > 0.7 >= ratio[len(first)]
    assert [state.stage for state in cascade.states(["a"])] == [0] * len(first) + [1] * len(second)


def test_a_walk_in_two_stages_ends_where_one_walk_ends(latent: Path) -> None:
    cascade = unfinished()
    *_, last = cascade.states(["a", "b"], seed=3)
    *_, whole = cascade.first.states(["a", "b"], seed=3)
    torch.testing.assert_close(last.x, whole.x, rtol=0, atol=1e-5)


def test_stages_share_a_noise_level_and_no_numbers_of_steps(latent: Path) -> None:
    first, second = unfinished("stages.refine.sampler.steps=30").grids()
    whole = unfinished("stages.refine.sampler.steps=30").last.levels()
    assert (first.alpha[-1], first.sigma[-1]) == (second.alpha[0], second.sigma[0])
    assert torch.equal(second.t, whole.t[-len(second) :])


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("stages.refine.handover.level=1e-9", "at stage 'refine': none of its steps begins at .* or below"),
        ("stages.refine.handover.level=1e9", "at stage 'refine': none of its steps begins above"),
        ("stages.base.sampler.s_churn=5", "neither stops nor begins on the way"),
    ],
)
def test_a_level_that_leaves_a_stage_nothing_is_refused(latent: Path, override: str, what: str) -> None:
    cascade = unfinished(override)
    with pytest.raises(PartError, match=what):
        cascade.states(["a"])


def test_known_pixels_are_put_back_where_the_walk_ends(latent: Path) -> None:
    cascade = unfinished()
    image = torch.full((1, 3, 16, 16), 200, dtype=torch.uint8)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    states = list(cascade.states(["a"], image=image, mask=mask))
    drawn = PerSampleNoise([(0, 0)], stream=1).posterior((1, 4, 8, 8), "cpu")
    known = cascade.last.codec.encode(image, drawn)[..., :4]
    assert torch.equal(states[-1].x[..., :4], known)
    between = next(state for state in reversed(states) if state.stage == 0)
    assert not torch.allclose(between.x[..., :4], known, atol=0.1)


@pytest.mark.thorough
def test_what_goes_on_is_replayed_and_its_steps_are_planned(
    latent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cascade.yaml").write_text(UNFINISHED)
    assert main(["sample", "a", "--spec", "cascade.yaml", "--scale", "1", "--out", "a.png"]) == 0
    assert main(["replay", "a.png"]) == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    assert main(["plan", "cascade.yaml"]) == 0
    told = capsys.readouterr().out
    for count in unfinished().lengths():
        assert f"steps              {count}, as many evaluations" in told


@pytest.mark.parametrize(
    ("override", "path", "what"),
    [
        (
            "stages.refine.handover=null",
            "stages.refine.denoiser",
            "is no upsampler, and stands after",
        ),
        ("stages.base.handover=image", "stages.base.handover", "no stage stands before its own"),
        (
            "stages.refine={handover: {use: unfinished, level: 1}, denoiser: {upsamples: true}}",
            "stages.refine.handover",
            "its stage enlarges what was",
        ),
        (
            "stages.refine={handover: latent, codec: identity, denoiser: {in_channels: 3}}",
            "stages.refine.handover",
            "hands over the latents of acme-latent/patches, and its stage has those of "
            "glidepath-diffusion/identity",
        ),
        (
            "stages.refine={handover: {use: unfinished, level: 1}, schedule: linear}",
            "stages.refine.schedule",
            "is not the schedule of the stage before, whose noise its stage goes on from",
        ),
        (
            "stages.refine.handover={use: unfinished, level: 1}",
            "stages.refine.handover",
            "goes on from an image of 16 pixels, and its stage makes 24",
        ),
    ],
)
def test_a_handover_that_does_not_fit_is_refused(latent: Path, override: str, path: str, what: str) -> None:
    with pytest.raises(SpecError) as raised:
        built(override)
    assert any(problem.path == path and what in problem.what for problem in raised.value.problems)
