"""The samplers walk as those of openai/guided-diffusion and openai/glide-text2im do, on a closed-form model.

64 recorded walks: what the model predicts x how its variance is had x sampler x clipping, with and without a
gradient. The tolerance is five times the references' own float32 noise.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Predict
from glidepath.core.guidance import fold
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction

from .recorded import RecordedNoise, Walk, described, difference

TOLERANCE = 3e-4
FILES = ("traj_guided", "traj_glide_and_cond")
WALKS = [(file, name) for file in FILES for name in described(file)["trajectories"]]
ANCESTRAL = [(file, name) for file, name in WALKS if "p_sample" in name]


@pytest.mark.parametrize(("file", "name"), WALKS)
def test_a_whole_walk_is_the_references(file: str, name: str) -> None:
    walk = Walk.load(file, name)
    states = list(
        walk.sampler.states(
            guided(walk, walk.analytic), walk.shared["x_T"], walk.levels, RecordedNoise(walk.shared["noise"])
        )
    )
    assert difference(torch.stack([state.x for state in states]), walk.tensors["sample"]) < TOLERANCE
    samples = torch.stack([state.sample for state in states])
    assert difference(preview(walk, samples), walk.tensors["pred_xstart"]) < TOLERANCE


@pytest.mark.parametrize(("file", "name"), WALKS)
def test_each_step_alone_is_the_references(file: str, name: str) -> None:
    """Every step gets the reference's x_t and its model output, so that no error can grow or cancel."""
    walk = Walk.load(file, name)
    for index, (x, sample) in enumerate(forced(walk, walk.shared["noise"])):
        assert difference(x, walk.tensors["sample"][index]) < TOLERANCE
        assert difference(preview(walk, sample), walk.tensors["pred_xstart"][index]) < TOLERANCE


@pytest.mark.parametrize(("file", "name"), WALKS)
def test_the_denoiser_receives_the_timesteps_of_the_reference(file: str, name: str) -> None:
    walk = Walk.load(file, name)
    received = torch.stack([step.t for step in walk.levels.steps("cpu")])
    assert received.is_floating_point() == walk.tensors["t_model"].is_floating_point()
    assert torch.equal(received, walk.tensors["t_model"])


@pytest.mark.parametrize(("file", "name"), ANCESTRAL)
def test_an_ancestral_step_has_the_mean_and_variance_of_the_reference(file: str, name: str) -> None:
    """Without noise a step lands on its mean (moved by the gradient); noise 1 adds the standard deviation."""
    walk = Walk.load(file, name)
    noise = torch.ones_like(walk.shared["noise"])
    still, moved = (list(forced(walk, scale * noise)) for scale in (0, 1))
    expected = walk.tensors["mean"]
    if "cond_grad" in walk.tensors:
        expected = expected + walk.tensors["variance"] * walk.tensors["cond_grad"]
    deviation = (0.5 * walk.tensors["log_variance"]).exp()
    for index, (mean, _) in enumerate(still):
        assert difference(mean, expected[index]) < TOLERANCE
        if index < len(still) - 1:
            assert difference(moved[index][0] - mean, deviation[index]) < TOLERANCE


def guided(walk: Walk, predict: Predict) -> Predict:
    return fold(walk.guidances, lambda _conditioning: predict)(Conditioning(batch=len(walk.shared["x_T"])))


def forced(walk: Walk, noise: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each step's x and x_0, from the recorded x_t and the recorded model output."""
    replay = guided(walk, walk.replay)

    def predict(x: Tensor, step: Step) -> Prediction:
        x.copy_(walk.inputs[step.index])  # the sampler's own x: it goes on from the recorded one
        return replay(x, step)

    for state in walk.sampler.states(predict, walk.shared["x_T"].clone(), walk.levels, RecordedNoise(noise)):
        yield state.x.clone(), state.sample.clone()


def preview(walk: Walk, sample: Tensor) -> Tensor:
    """The x_0 that the reference shows: clipped, also where x_{t-1} is predicted and goes on unclipped."""
    shown_only = walk.diffusion["mean"] == "PREVIOUS_X" and walk.settings["clip_denoised"]
    return sample.clamp(-1, 1) if shown_only else sample
