"""The parts in specs: the preset, what is refused, what is warned of, and the command."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from glidepath.core import GlidepathError, Pipeline
from glidepath.registry import SpecError, assemble
from glidepath_rectified_flow.straightness import main


def built(spec: str | Path, *overrides: str) -> Pipeline:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline = assemble(spec, overrides)
    assert isinstance(pipeline, Pipeline)
    return pipeline


def test_the_matched_model_draws_along_the_flow_what_it_draws_along_its_own_schedule() -> None:
    """The same noise leads both walks to one image, up to the error of their steps."""
    flow = built("flow-shapes", "sampler.steps=20")
    own = built("shapes", "sampler.steps=20")
    prompts = 2 * ["a large red star on white"]  # what a caption leaves open each walk may draw otherwise
    one, other = (pipeline(prompts, seed=3).float() for pipeline in (flow, own))
    apart = (one - other).abs().mean()
    assert apart < 5  # of 255 levels
    assert (one - other.flip(0)).abs().mean() > 3 * apart


def test_the_example_is_a_spec() -> None:
    pipeline = built(Path(__file__).parents[1] / "example.yaml", "sampler.steps=2")
    assert torch.equal(pipeline(["a red star"], seed=1), pipeline(["a red star"], seed=1))


def test_a_matched_input_that_is_not_first_is_refused() -> None:
    with pytest.raises(GlidepathError, match="it stands once, first in guidance"):
        assemble("flow-shapes", ["guidance=[classifier-free, matched-input]"])


def test_a_denoiser_of_another_schedule_is_not_left_unmatched() -> None:
    with pytest.raises(GlidepathError, match="let guidance begin with matched-input"):
        assemble("flow-shapes", ["guidance=[classifier-free]"])


def test_there_is_nothing_to_match_without_a_flow() -> None:
    with pytest.raises(SpecError, match="matches denoisers of other schedules to the flow"):
        assemble("flow-shapes", ["schedule=cosine"])


def test_a_walk_that_begins_with_an_image_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="noise hides no image yet"):
        assemble("flow-shapes", ["sampler.steps=leading10"])


def test_the_command_tells_how_straight_the_paths_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow-shapes", "--set", "sampler.steps=5"]) == 0
    name, _, value = capsys.readouterr().out.partition(": ")
    assert name == "flow-shapes"
    assert 0 < float(value) < 1
