"""Guidances fold: each wraps what those before it made, or changes the one before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import pytest
import torch
from torch import Tensor, nn

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Bind, Denoiser, Predict
from glidepath.core.errors import PartError
from glidepath.core.guidance import Guidance, GuidanceModifier, fold
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.core.variance_preserving import VariancePreservingSchedule
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler

STEP = Step(0, torch.tensor(0), torch.tensor(0.6), torch.tensor(0.8))
LEVELS = NoiseLevels(torch.tensor([0]), torch.tensor([0.6, 1.0]), torch.tensor([0.8, 0.0]))


@attrs.frozen
class Append(Guidance):
    """epsilon becomes 10 epsilon + digit."""

    scales_by_step = True
    digit: float

    def __call__(self, bind: Bind) -> Bind:
        def bound(conditioning: Conditioning) -> Predict:
            predict = bind(conditioning)

            def appended(x: Tensor, step: Step) -> Prediction:
                prediction = predict(x, step)
                return prediction.with_epsilon(10 * prediction.epsilon + self.weight_at(step) * self.digit)

            return appended

        return bound


@attrs.frozen
class Times(GuidanceModifier):
    """The guidance before it, with a weight."""

    weight: float

    def modify(self, guidance: Guidance) -> Guidance:
        return guidance.scaled_by_step(lambda _step: self.weight)


class Plain(Guidance):
    """What changes nothing, and says nothing of itself."""

    def __call__(self, bind: Bind) -> Bind:
        return bind


class OfLevels(Guidance):
    """What has to know the levels."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def for_levels(self, levels: NoiseLevels) -> Guidance:
        return OfLevels(len(levels))

    def __call__(self, bind: Bind) -> Bind:
        return Append(self.count)(bind)


def zero(_conditioning: Conditioning) -> Predict:
    return lambda x, step: Prediction(torch.zeros_like(x), "epsilon", x, step)


def folded(guidances: Sequence[Guidance], levels: NoiseLevels | None = None) -> float:
    return fold(guidances, zero, levels)(Conditioning(batch=1))(torch.ones(1, 1), STEP).epsilon.item()


def test_guidances_apply_left_to_right() -> None:
    assert folded([Append(1), Append(2), Append(3)]) == 123


def test_no_guidance_leaves_the_denoiser_as_it_is() -> None:
    assert fold([], zero) is zero


def test_a_modifier_changes_the_guidance_before_it_and_no_other() -> None:
    assert folded([Append(1), Append(1), Times(4), Append(1)]) == 141


def test_modifiers_in_a_row_change_the_same_guidance() -> None:
    assert folded([Append(1), Append(1), Times(2), Times(4)]) == 18


def test_a_modifier_that_stands_first_has_nothing_to_change() -> None:
    with pytest.raises(PartError, match="Times changes the guidance before it, and there is none"):
        fold([Times(2), Append(1)], zero)


def test_a_guidance_that_does_not_scale_refuses_a_weight_by_name() -> None:
    with pytest.raises(PartError, match="Plain cannot be scaled by step"):
        fold([Plain(), Times(2)], zero)


def test_a_guidance_hears_the_levels_of_the_walk_where_it_asks() -> None:
    assert folded([Append(1), OfLevels()], LEVELS) == 11
    assert folded([Append(1), OfLevels()]) == 10


class Bright(Denoiser):
    """x_0 is white, for classes or without."""

    predicts = "sample"
    learned_variance = False
    image_shape = (3, 2, 2)

    def __init__(self, num_classes: int | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.reads = frozenset() if num_classes is None else frozenset({"labels"})
        self.weight = nn.Parameter(torch.ones(2, 2, 1, 1))
        self.heard: list[Conditioning] = []

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        return torch.ones_like(x)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        self.heard.append(conditioning)
        return lambda x, step: Prediction(torch.ones_like(x), "sample", x, step)


class Networked(Guidance):
    """Brings networks along, and reads labels."""

    def __init__(self, num_classes: int | None = None) -> None:
        self.num_classes = num_classes
        self.reads = frozenset() if num_classes is None else frozenset({"labels"})
        self.head = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
        self.denoiser = Bright()
        self.heard: list[Conditioning] = []

    def networks(self) -> Mapping[str, nn.Module]:
        return {"head": self.head, "denoiser": self.denoiser}

    def __call__(self, bind: Bind) -> Bind:
        def bound(conditioning: Conditioning) -> Predict:
            self.heard.append(conditioning)
            return bind(conditioning)

        return bound


def pipeline(
    *guidance: Guidance, denoiser: Denoiser | None = None, dtype: torch.dtype = torch.float32
) -> Pipeline:
    return Pipeline(
        schedule=VariancePreservingSchedule([0.1, 0.5]),
        denoiser=denoiser or Bright(),
        sampler=DdimSampler(DdimConfig(steps=2)),
        guidance=guidance,
        dtype=dtype,
    )


def test_the_networks_of_a_guidance_are_set_up_as_the_pipelines_own() -> None:
    guidance = Networked()
    made = pipeline(Plain(), guidance, dtype=torch.bfloat16)
    for network in guidance.networks().values():
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
    assert guidance.denoiser.weight.is_contiguous(memory_format=torch.channels_last)
    assert made.parameters() == {"denoiser": 4, "guidance[1].head": 9, "guidance[1].denoiser": 4}


def test_a_denoiser_in_a_guidance_has_the_pipelines_precision_and_other_networks_keep_theirs() -> None:
    guidance = Networked()
    pipeline(guidance, dtype=torch.bfloat16)
    assert guidance.denoiser.weight.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in guidance.head.parameters()} == {torch.float32}


def test_the_networks_of_a_guidance_are_moved_to_the_pipelines_device() -> None:
    guidance = Networked()
    Pipeline(
        schedule=VariancePreservingSchedule([0.1, 0.5]),
        denoiser=Bright(),
        sampler=DdimSampler(DdimConfig(steps=2)),
        guidance=[guidance],
        device="meta",
    )
    assert {p.device.type for network in guidance.networks().values() for p in network.parameters()} == {
        "meta"
    }


def test_labels_that_only_a_guidance_reads_are_kept_from_the_denoiser() -> None:
    guidance, denoiser = Networked(num_classes=5), Bright()
    made = pipeline(guidance, denoiser=denoiser)
    made(["", ""], labels=[4, 1])
    assert [given.get("labels") for given in denoiser.heard] == [None]
    (heard,) = guidance.heard
    assert heard.get("labels") is not None
    assert heard.get("labels").tolist() == [4, 1]
    assert heard.conditions["labels"].null is None  # no part of what an unconditional prediction drops


def test_labels_reach_a_denoiser_that_knows_classes() -> None:
    guidance, denoiser = Networked(num_classes=5), Bright(num_classes=7)
    pipeline(guidance, denoiser=denoiser)([""], labels=[4])
    for (heard,) in (guidance.heard, denoiser.heard):
        assert heard.get("labels") is not None
        assert heard.get("labels").tolist() == [4]


@pytest.mark.parametrize(("of_guidance", "of_denoiser"), [(5, None), (None, 5), (5, 7), (7, 5)])
def test_a_label_is_one_that_every_reader_knows(of_guidance: int | None, of_denoiser: int | None) -> None:
    made = pipeline(Networked(of_guidance), denoiser=Bright(of_denoiser))
    assert made.num_classes == 5
    made([""], labels=[4])
    with pytest.raises(PartError, match="label 5 is out of range: this pipeline has classes 0 to 4"):
        made([""], labels=[5])


@pytest.mark.parametrize(
    "sampler",
    [
        DdimSampler(DdimConfig(steps=2, temperature=0.5)),
        DdpmSampler(DdpmConfig(steps=2, variance="fixed-small", temperature=0.5)),
    ],
)
def test_a_samplers_temperature_multiplies_the_first_noise(sampler: DdimSampler | DdpmSampler) -> None:
    first: list[Tensor] = []

    class Watch(Plain):
        def __call__(self, bind: Bind) -> Bind:
            def bound(conditioning: Conditioning) -> Predict:
                predict = bind(conditioning)

                def watched(x: Tensor, step: Step) -> Prediction:
                    first.append(x.clone())
                    return predict(x, step)

                return watched

            return bound

    for chosen in (sampler, DdimSampler(DdimConfig(steps=2))):
        made = pipeline(Watch())
        made.sampler = chosen
        made([""], seed=3)
    assert torch.equal(first[0], 0.5 * first[2])
