"""Stages that feed one another, with the smallest parts that can do it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core.cascade import Cascade, stages_of
from glidepath.core.codec import Codec
from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.handover import Handover
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.noise import PerSampleNoise
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler

BETAS = [0.01, 0.1, 0.2, 0.4, 0.8]


class Seen(Denoiser):
    """Remembers what it was shown; a subclass says of x_0 what it is."""

    predicts = "sample"
    learned_variance = False

    def __init__(self, size: int, num_classes: int | None = None) -> None:
        super().__init__()
        self.image_shape = (3, size, size)
        self.num_classes = num_classes
        self.reads = frozenset({"image", "mask"} if num_classes is None else {"image", "mask", "labels"})
        self.weight = nn.Parameter(torch.ones(1))
        self.conditionings: list[Conditioning] = []
        self.starts: list[Tensor] = []

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        raise NotImplementedError

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        self.conditionings.append(conditioning)

        def predict(x: Tensor, step: Step) -> Prediction:
            if step.index == 0:
                self.starts.append(x)
            return self.interpret(self(x, step.t, conditioning), x, step)

        return predict


class Stripes(Seen):
    """x_0 has some structure, and follows x_t."""

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        ramp = torch.linspace(-0.9, 0.9, self.image_shape[-1])
        return ramp.expand_as(x) + 0.1 * x


class Enlarger(Seen):
    """x_0 is the small image, each pixel repeated, and some of x_t."""

    def __init__(self, size: int, share: float = 0.0, num_classes: int | None = None) -> None:
        super().__init__(size, num_classes)
        self.reads |= {"low_res"}
        self.share = share

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        assert conditioning.get("low_res") is not None
        enlarged = F.interpolate(conditioning.get("low_res"), size=x.shape[2:], mode="nearest")
        return enlarged + self.share * x


def pipeline(denoiser: Denoiser, *, steps: int = 5, eta: float = 1.0, temperature: float = 1.0) -> Pipeline:
    return Pipeline(
        schedule=VariancePreservingSchedule(BETAS),
        denoiser=denoiser,
        sampler=DdimSampler(DdimConfig(steps=steps, eta=eta, temperature=temperature)),
    )


def cascade(share: float = 0.1, **options: Any) -> Cascade:
    return Cascade(
        {"base": pipeline(Stripes(4), **options), "up": pipeline(Enlarger(8, share), steps=3, **options)}
    )


def seen(made: Cascade, name: str) -> Any:
    return made.stages[name].denoiser


def test_the_images_are_those_of_the_last_stage() -> None:
    images = cascade()(["a", "b"])
    assert (images.shape, images.dtype) == ((2, 3, 8, 8), torch.uint8)


def test_an_exact_upsampler_gives_the_image_of_the_stage_before_enlarged() -> None:
    made = cascade(share=0.0)
    small = made.first(["a", "b"], seed=3)
    assert torch.equal(made(["a", "b"], seed=3), F.interpolate(small, size=(8, 8), mode="nearest"))


def test_images_are_handed_over_in_8_bits() -> None:
    made = cascade()
    made(["a", "b"], seed=3)
    (conditioning,) = seen(made, "up").conditionings
    levels = (conditioning.get("low_res") + 1) * 127.5
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert torch.equal(conditioning.get("low_res"), made.first(["a", "b"], seed=3) / 127.5 - 1)


class Repeated(Handover):
    """Hands over x, each value repeated."""

    strength = 0.2

    def __init__(self, level: float | None) -> None:
        self.level = level

    def x_0(
        self, x: Tensor, before: Codec, codec: Codec, size: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        return F.interpolate(x, size=tuple(size), mode="nearest")


def handed(denoiser: Denoiser, level: float | None = None) -> Pipeline:
    return Pipeline(
        schedule=VariancePreservingSchedule(BETAS),
        denoiser=denoiser,
        sampler=DdimSampler(DdimConfig(steps=5)),
        handover=Repeated(level),
    )


def test_an_upsampler_with_a_handover_enlarges_what_that_makes_and_begins_from_noise() -> None:
    made = Cascade({"base": pipeline(Stripes(4)), "up": handed(Enlarger(8))})
    *_, before = made.first.states(["a"], seed=3)
    assert made.lengths() == [5, 5]
    *_, last = made.states(["a"], seed=3)
    (conditioning,) = seen(made, "up").conditionings
    enlarged = F.interpolate(before.x, size=(8, 8), mode="nearest")
    assert torch.equal(conditioning.get("low_res"), enlarged)
    assert torch.equal(last.x, enlarged)
    levels = (enlarged + 1) * 127.5
    assert not torch.allclose(levels, levels.round(), atol=1e-4)
    (start,) = seen(made, "up").starts
    assert torch.equal(start, PerSampleNoise([(3, 0)], stream=1).initial((1, 3, 8, 8), "cpu"))


def test_states_count_over_all_stages_and_name_theirs() -> None:
    made = cascade()
    states = list(made.states(["a"], seed=3))
    assert [(state.index, state.total) for state in states] == [(index, 8) for index in range(1, 9)]
    assert [state.stage for state in states] == [0] * 5 + [1] * 3
    assert made.lengths() == [5, 3]
    assert [tuple(made.images(state).shape[2:]) for state in states] == [(4, 4)] * 5 + [(8, 8)] * 3
    assert torch.equal(made.images(states[-1]), made(["a"], seed=3))


def test_an_image_does_not_depend_on_the_batch_it_was_made_in() -> None:
    made = cascade()
    together = made(["a", "b", "a"], seed=5)
    assert torch.equal(together[1:2], made(["b"], seed=5))
    assert torch.equal(together[2:], made(["a"], seed=5, samples=[1]))
    assert not torch.equal(together[0], together[2])


def test_each_stage_has_a_stream_of_noise_of_its_own() -> None:
    same_size = Cascade({"base": pipeline(Stripes(8)), "up": pipeline(Enlarger(8, 0.1))})
    same_size(["a"], seed=5)
    starts = [seen(same_size, name).starts[0] for name in ("base", "up")]
    assert not torch.allclose(*starts)
    for index, start in enumerate(starts):
        assert torch.equal(start, PerSampleNoise([(5, 0)], stream=index).initial((1, 3, 8, 8), "cpu"))


def test_the_first_stage_makes_what_it_makes_by_itself() -> None:
    made = cascade()
    states = list(made.states(["a"], seed=5))
    assert torch.equal(made.images(states[4]), made.first(["a"], seed=5))


def test_each_stage_has_its_own_temperature() -> None:
    made = Cascade({"base": pipeline(Stripes(4)), "up": pipeline(Enlarger(8), temperature=0.5)})
    made(["a"], seed=5)
    noise = PerSampleNoise([(5, 0)], stream=1).initial((1, 3, 8, 8), "cpu")
    assert torch.equal(seen(made, "up").starts[0], 0.5 * noise)


def test_walks_in_several_threads_do_not_disturb_each_other() -> None:
    made = cascade()
    alone = [made(["a"], seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: made(["a"], seed=seed), range(8)))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_three_stages_each_enlarge_the_one_before() -> None:
    made = Cascade({str(size): pipeline(part) for size, part in ((4, Stripes(4)), (8, Enlarger(8)))})
    longer = Cascade({**made.stages, "16": pipeline(Enlarger(16))})
    assert torch.equal(longer(["a"]), F.interpolate(made(["a"]), size=(16, 16), mode="nearest"))


def test_labels_reach_the_stages_that_read_them() -> None:
    made = Cascade({"base": pipeline(Stripes(4, num_classes=10)), "up": pipeline(Enlarger(8))})
    made(["", ""], labels=[1, 9])
    assert seen(made, "base").conditionings[0].get("labels").tolist() == [1, 9]
    assert seen(made, "up").conditionings[0].get("labels") is None
    both = Cascade({"base": pipeline(Stripes(4, 10)), "up": pipeline(Enlarger(8, num_classes=10))})
    both([""], labels=[3])
    assert seen(both, "up").conditionings[0].get("labels").tolist() == [3]


def test_without_a_mask_an_image_is_where_the_first_stage_begins() -> None:
    made = cascade()
    image = torch.full((1, 3, 8, 8), 200, dtype=torch.uint8)
    states = list(made.states(["a"], image=image, strength=0.4))
    assert [state.stage for state in states] == [0, 0, 1, 1, 1]
    assert states[0].total == 5
    assert made.lengths(0.4) == [2, 3]
    assert seen(made, "base").conditionings[0].get("image").unique().item() == pytest.approx(200 / 127.5 - 1)
    assert seen(made, "up").conditionings[0].get("image") is None


def test_an_image_is_reduced_by_the_mean_of_each_area() -> None:
    made = cascade()
    image = torch.randint(0, 256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    made(["a"], image=image, strength=1)
    reduced = (seen(made, "base").conditionings[0].get("image") + 1) * 127.5
    mean = image.double().reshape(1, 3, 4, 2, 4, 2).mean((3, 5))
    assert (reduced - mean).abs().max() <= 0.5 + 1e-4


@pytest.mark.parametrize("sampler", [DdimSampler(DdimConfig(steps=5)), DdpmSampler(DdpmConfig(steps=5))])
def test_known_pixels_are_in_the_image_as_they_were_given(sampler: Any) -> None:
    stages = {
        name: Pipeline(schedule=VariancePreservingSchedule(BETAS), denoiser=denoiser, sampler=sampler)
        for name, denoiser in (("base", Stripes(4)), ("up", Enlarger(8, 0.1)))
    }
    made = Cascade(stages)
    image = torch.randint(0, 256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :5] = 1
    images = made(["a", "b"], image=image, mask=mask)
    assert torch.equal(images[..., :5], image[..., :5].expand(2, -1, -1, -1))
    assert not torch.equal(images[..., 5:], image[..., 5:].expand(2, -1, -1, -1))


def test_a_pixel_of_a_smaller_stage_is_known_where_all_that_it_covers_is() -> None:
    made = cascade()
    mask = torch.ones(1, 1, 8, 8)
    mask[0, 0, 3, 5] = 0
    made(["a"], image=torch.zeros(1, 3, 8, 8, dtype=torch.uint8), mask=mask)
    small = seen(made, "base").conditionings[0].get("mask")
    assert small.sum() == 15
    assert small[0, 0, 1, 2] == 0
    assert torch.equal(seen(made, "up").conditionings[0].get("mask"), mask)


def test_a_mask_may_be_of_truth_values() -> None:
    made = cascade()
    mask = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    image = torch.full((1, 3, 8, 8), 7, dtype=torch.uint8)
    assert torch.equal(made(["a"], image=image, mask=mask), image)


IMAGE = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": "a star"}, r"write \['a star'\] for a single one"),
        ({"prompts": []}, "there are no prompts"),
        ({"samples": [0, 1]}, "2 sample indices were given for 1 prompts"),
        ({"labels": [1]}, "labels were given, and no stage of this cascade reads any"),
        (
            {"image": IMAGE[..., :4], "strength": 1},
            "image is 4x8 pixels, and this pipeline makes images of 8x8",
        ),
        ({"image": IMAGE[0], "strength": 1}, "image is"),
        ({"image": IMAGE.float(), "strength": 1}, "image is .* uint8"),
        ({"image": IMAGE, "strength": 0}, "strength is above 0"),
        ({"image": IMAGE, "strength": 1.5}, "strength is above 0"),
        ({"strength": 0.5}, "there is no image"),
        ({"mask": torch.ones(1, 1, 8, 8)}, "there is no image"),
        (
            {"image": IMAGE, "mask": torch.ones(1, 1, 4, 4)},
            "mask is 4x4 pixels",
        ),
        ({"image": IMAGE, "mask": torch.full((1, 1, 8, 8), 0.5)}, "mask holds values other than 0"),
        ({"image": IMAGE.expand(2, -1, -1, -1), "strength": 1}, "2 rows of image were given for 1 prompts"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_stage_begins(
    arguments: dict[str, Any], message: str
) -> None:
    made = cascade()
    with pytest.raises(PartError, match=message):
        made.states(**{"prompts": ["a"], **arguments})
    assert not seen(made, "base").conditionings


def test_a_label_out_of_the_range_of_a_later_stage_is_refused_before_the_first() -> None:
    made = Cascade({"base": pipeline(Stripes(4, num_classes=10)), "up": pipeline(Enlarger(8, num_classes=3))})
    with pytest.raises(PartError, match="label 5 is out of range"):
        made([""], labels=[5])
    assert not seen(made, "base").conditionings


def test_stages_stand_where_they_can_work() -> None:
    with pytest.raises(PartError, match="at least one stage"):
        Cascade({})
    with pytest.raises(PartError, match="stage 'up' is an upsampler, and stands before"):
        Cascade({"up": pipeline(Enlarger(8))})
    with pytest.raises(PartError, match="stage 'up' is an upsampler, and goes on from no noise"):
        Cascade({"a": pipeline(Stripes(4)), "up": handed(Enlarger(8), level=1.0)})
    with pytest.raises(PartError, match=r"stage 'b' is no upsampler, .* without a handover"):
        Cascade({"a": pipeline(Stripes(4)), "b": pipeline(Stripes(8))})


def test_the_stages_of_a_pipeline_are_itself() -> None:
    made = cascade()
    assert list(stages_of(made)) == ["base", "up"]
    assert stages_of(made.first) == {"": made.first}
    assert made.last is made.stages["up"]
