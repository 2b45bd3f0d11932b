"""Guidance by a CLIP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from glidepath.core.conditioning import Condition, Conditioning
from glidepath.core.denoiser import Predict
from glidepath.core.errors import PartError
from glidepath.core.levels import Step
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.plugins.clip.configs import ClipGuidanceConfig
from glidepath.plugins.clip.guidance import ClipGuidance
from glidepath.plugins.clip.interface import Clip
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig
from glidepath.registry.assembly.build import assemble
from glidepath.registry.assembly.cost import Measurement, measure
from glidepath.registry.assembly.weights import WeightsError
from glidepath.registry.cli import main
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec
from glidepath.registry.text.problems import SpecError

pytestmark = pytest.mark.thorough

ALPHA, SIGMA = 0.6, 0.8
X = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
PROMPTS = Conditioning(2, prompts=("red", "blue"))
COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


def at(t: int | float = 7, alpha: float = ALPHA, sigma: float = SIGMA) -> Step:
    return Step(4, torch.tensor(t), torch.tensor(alpha), torch.tensor(sigma))


class MeanColour(Clip):
    """Images are embedded as their mean colour, prompts as a colour: the gradient has a closed form."""

    def __init__(self, noised: bool = True) -> None:
        super().__init__()
        self.noised = noised
        self.image_size = 4
        self.gain = torch.nn.Parameter(torch.ones(()))
        self.embedded: list[list[str]] = []
        self.seen: list[tuple[int, Tensor | None]] = []

    @property
    def logit_scale(self) -> float:
        return 50.0

    def embed_texts(self, prompts: Sequence[str]) -> Tensor:
        self.embedded.append(list(prompts))
        return torch.tensor([COLOURS[prompt] for prompt in prompts])

    def embed_images(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        self.seen.append((len(x), t))
        return self.gain * x.mean((2, 3))


@attrs.define
class Linear:
    """A denoiser that says epsilon = slope x_t, and counts its calls. slope 1 / sigma: x_0 = 0."""

    slope: float = 0.25
    calls: int = 0
    gradient: Tensor | None = None

    def bind(self, _conditioning: Conditioning) -> Predict:
        def predict(x: Tensor, step: Step) -> Prediction:
            self.calls += 1
            fraction = 0.1 * x
            return Prediction(self.slope * x, "epsilon", x, step, fraction, self.gradient)

        return predict


def guide(clip: Clip, denoiser: Linear, x: Tensor = X, step: Step | None = None, **config: Any) -> Prediction:
    guidance = ClipGuidance(ClipGuidanceConfig(clip=None, **config), clip=clip)
    with torch.no_grad():
        return guidance(denoiser.bind)(PROMPTS)(x, step or at())


def pull(scale: float = 3.0) -> Tensor:
    """scale times the gradient of 50 z_t . (mean colour), for the prompts red and blue."""
    colours = torch.tensor([COLOURS["red"], COLOURS["blue"]])
    return scale * 50 / 16 * colours[:, :, None, None].expand(2, 3, 4, 4)


def gradient_of(prediction: Prediction) -> Tensor:
    assert prediction.gradient is not None
    return prediction.gradient


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_a_noised_clip_gives_the_gradient_at_x_t(scale: float) -> None:
    prediction = guide(MeanColour(), Linear(), scale=scale)
    torch.testing.assert_close(gradient_of(prediction), pull(scale))
    assert torch.equal(prediction.value, 0.25 * X)


def test_it_is_added_to_the_gradients_that_are_there() -> None:
    prediction = guide(MeanColour(), Linear(gradient=X))
    torch.testing.assert_close(gradient_of(prediction), X + pull())


@pytest.mark.parametrize("t", [7, 7.0, 7.3])
def test_a_noised_clip_hears_a_whole_timestep_for_each_image(t: float) -> None:
    clip = MeanColour()
    guide(clip, Linear(), step=at(t))
    ((batch, heard),) = clip.seen
    assert heard is not None
    assert (batch, heard.dtype, heard.tolist()) == (2, torch.int64, [7, 7])


@given(alpha=st.floats(0.01, 0.999), scale=st.floats(0.1, 10))
def test_without_the_denoiser_the_gradient_is_that_of_a_perfect_denoiser_of_gaussian_data(
    alpha: float, scale: float
) -> None:
    """x_0 = alpha x_t / (alpha^2 + sigma^2), so epsilon = sigma x_t / (alpha^2 + sigma^2)."""
    sigma = (1 - alpha**2) ** 0.5
    perfect, step, x = Linear(slope=sigma), at(alpha=alpha, sigma=sigma), 0.1 * X
    near = gradient_of(guide(MeanColour(noised=False), perfect, x, step, scale=scale))
    through = gradient_of(
        guide(MeanColour(noised=False), perfect, x, step, scale=scale, through_denoiser=True)
    )
    torch.testing.assert_close(near, through, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(near, alpha * pull(scale), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("slope", [0.0, 0.25, -2.0])
def test_through_the_denoiser_the_gradient_has_its_slope(slope: float) -> None:
    prediction = guide(MeanColour(noised=False), Linear(slope), through_denoiser=True)
    expected = (1 - SIGMA * slope) / ALPHA * pull()
    torch.testing.assert_close(gradient_of(prediction), expected)


def test_through_the_denoiser_nothing_keeps_the_graph() -> None:
    prediction = guide(MeanColour(noised=False), Linear(gradient=X), through_denoiser=True)
    assert prediction.x is X
    fraction = prediction.require_variance("this test")
    for tensor in (prediction.value, prediction.x, fraction, gradient_of(prediction)):
        assert not tensor.requires_grad


@pytest.mark.parametrize("through", [False, True])
def test_a_step_is_one_forward_of_the_denoiser(through: bool) -> None:
    denoiser = Linear()
    guide(MeanColour(noised=False), denoiser, through_denoiser=through)
    assert denoiser.calls == 1


def test_the_gradient_passes_where_x_0_is_clipped() -> None:
    """As the samplers clip it; a gradient that stopped there could not pull a pixel back."""
    prediction = guide(MeanColour(noised=False), Linear(), 100 * X.sign())
    assert (prediction.sample.abs() > 1).all()
    torch.testing.assert_close(gradient_of(prediction), ALPHA * pull())


class Brightness(MeanColour):
    """Compares the square of the mean: its gradient depends on the pixels that it was shown."""

    def embed_images(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        return super().embed_images(x, t).square()


def test_cutouts_are_averaged() -> None:
    """Of pieces of the whole image, which are the image."""
    whole, pieces = Brightness(noised=False), Brightness(noised=False)
    expected = gradient_of(guide(whole, Linear()))
    torch.testing.assert_close(gradient_of(guide(pieces, Linear(), cutouts=5, cut_min=1.0)), expected)
    assert [batch for batch, _ in pieces.seen] == [5 * 2]


def test_cutouts_do_not_depend_on_the_batch() -> None:
    clip = Brightness(noised=False)
    config = ClipGuidanceConfig(clip=None, cutouts=3, cut_min=0.3)
    predict = ClipGuidance(config, clip=clip)(Linear().bind)
    with torch.no_grad():
        both = gradient_of(predict(PROMPTS)(X, at()))
        second = gradient_of(predict(Conditioning(1, prompts=("blue",)))(X[1:], at()))
    torch.testing.assert_close(both[1:], second)


def test_an_image_of_another_size_is_resized_for_a_clip_of_clean_images() -> None:
    large = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    gradient = gradient_of(guide(MeanColour(noised=False), Linear(), large))
    # the mean colour of an image that was made smaller is nearly its own
    torch.testing.assert_close(gradient.sum((2, 3)), ALPHA * pull().sum((2, 3)), rtol=1e-3, atol=1e-3)


def test_each_different_prompt_is_embedded_once_for_a_walk() -> None:
    clip, batch = MeanColour(), Conditioning(3, prompts=("red", "blue", "red"))
    predict = ClipGuidance(ClipGuidanceConfig(clip=None), clip=clip)(Linear().bind)(batch)
    x = torch.cat([X, X[:1]])
    with torch.no_grad():
        gradients = [gradient_of(predict(x, at(t))) for t in (9, 5, 2)]
    assert clip.embedded == [["red", "blue"]]
    torch.testing.assert_close(gradients[0], torch.cat([pull(), pull()[:1]]))


def test_a_scale_of_zero_asks_no_clip() -> None:
    clip, denoiser = MeanColour(), Linear()
    bind = denoiser.bind
    assert ClipGuidance(ClipGuidanceConfig(clip=None, scale=0.0), clip=clip)(bind) is bind


def test_weights_multiply_the_gradient() -> None:
    guidance = ClipGuidance(ClipGuidanceConfig(clip=None), clip=MeanColour())
    halved = guidance.scaled_by_step(lambda step: 0.5).scaled_by_step(lambda step: float(step.index))
    prediction = halved(Linear().bind)(PROMPTS)(X, at())
    torch.testing.assert_close(gradient_of(prediction), pull(3.0 * 0.5 * 4))


@pytest.mark.parametrize("through", [False, True])
def test_where_the_weight_is_zero_the_clip_is_not_asked(through: bool) -> None:
    clip = MeanColour(noised=False)
    config = ClipGuidanceConfig(clip=None, through_denoiser=through)
    guidance = ClipGuidance(config, clip=clip).scaled_by_step(lambda step: 0.0)
    prediction = guidance(Linear().bind)(PROMPTS)(X, at())
    assert prediction.gradient is None
    assert clip.seen == []


def test_no_parameter_gets_a_gradient_and_grad_mode_is_left_as_it_was() -> None:
    clip = MeanColour()
    with torch.no_grad():
        guide(clip, Linear())
        assert not torch.is_grad_enabled()
    assert not any(parameter.requires_grad for parameter in clip.parameters())
    assert all(parameter.grad is None for parameter in clip.parameters())


@pytest.mark.parametrize("noised", [False, True])
def test_before_or_after_classifier_free_guidance_the_prompts_gradient_is_the_same(noised: bool) -> None:
    """Linear's prediction is the same with and without prompt, so x_0 is too."""
    clip_free = ClassifierFreeGuidance(ClassifierFreeConfig(scale=2.0))
    batch = attrs.evolve(
        PROMPTS, conditions={"labels": Condition(torch.tensor([1, 2]), torch.tensor([0, 0]))}
    )
    gradients, seen = [], []
    for order in ("after", "before"):
        clip = MeanColour(noised)
        by_clip = ClipGuidance(ClipGuidanceConfig(clip=None), clip=clip)
        bind = Linear().bind
        bind = by_clip(clip_free(bind)) if order == "after" else clip_free(by_clip(bind))
        with torch.no_grad():
            gradients.append(gradient_of(bind(batch)(X, at())))
        assert all(texts == ["red", "blue"] for texts in clip.embedded)
        seen.append([rows for rows, _ in clip.seen])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert seen == [[2], [4]]


@pytest.mark.parametrize("config", [{"cutouts": 2}, {"through_denoiser": True}])
def test_what_is_for_x_0_is_refused_with_a_noised_clip(config: dict[str, Any]) -> None:
    with pytest.raises(PartError, match=f"{next(iter(config))} is for the predicted x_0"):
        ClipGuidance(ClipGuidanceConfig(clip=None, **config), clip=MeanColour())


def test_a_batch_without_prompts_is_refused() -> None:
    with pytest.raises(PartError, match="this batch has none"):
        ClipGuidance(ClipGuidanceConfig(clip=None), clip=MeanColour())(Linear().bind)(Conditioning(2))


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Forbids the operators that hand a value to Python."""

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert operator.overloadpacket.__name__ not in ("_local_scalar_dense", "nonzero", "equal")
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize(("noised", "cutouts"), [(True, 0), (False, 0), (False, 2)])
def test_nothing_is_read_back_during_a_step(noised: bool, cutouts: int) -> None:
    config = ClipGuidanceConfig(clip=None, cutouts=cutouts, through_denoiser=not noised)
    predict = ClipGuidance(config, clip=MeanColour(noised))(Linear().bind)(PROMPTS)
    step = at()
    with torch.no_grad(), Watch():  # type: ignore[no-untyped-call]
        assert predict(X, step).gradient is not None


SPEC = """\
schedule: cosine
text_encoder:
  {use: transformer, width: 32, layers: 1, heads: 2, context: 6, pooled_width: 128, tokenizer: &words
    {use: words, vocabulary: [a, green, red, star, ring]}}
denoiser:
  {use: adm-unet, image_size: 8, channels: 32, channel_mult: [1], res_blocks: 1, attention_resolutions: [8],
    head_channels: 16, text_width: 32, learned_variance: false}
guidance: GUIDANCE
sampler: {use: SAMPLER, steps: 4}
runtime: {device: cpu}
"""
CLASSIFIER_FREE = "{use: classifier-free, scale: 2}"
BY_CLIP = """
  {use: clip, MORE clip: {use: noised-clip, width: 16, text_width: 16, text_layers: 1, text_heads: 2,
    image_size: 8, patch_size: 2, image_width: 16, image_layers: 1, image_heads: 2, vocabulary_rows: null,
    tokenizer: *words, WHAT}}"""


def written(folder: Path, *guidances: str, sampler: str = "ddim") -> Path:
    spec = folder / "spec.yaml"
    text = SPEC.replace("GUIDANCE", f"[{', '.join(guidances)}]").replace("SAMPLER", sampler)
    spec.write_text(text)
    return spec


def by_clip(what: str = "timesteps: 1000", more: str = "scale: 20,") -> str:
    return BY_CLIP.replace("MORE", more).replace("WHAT", what)


def last_x(pipeline: Pipeline, prompts: list[str], **how: Any) -> Tensor:
    *_, last = pipeline.states(prompts, **how)
    return last.x


CLEAN = by_clip("timesteps: 0", "scale: 20, cutouts: 2,")
THROUGH = by_clip("timesteps: 0", "scale: 20, through_denoiser: true,")


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
@pytest.mark.parametrize("guidance", [by_clip(), CLEAN, THROUGH], ids=["noised", "clean", "through"])
def test_a_spec_with_it_makes_images_that_it_moved(tmp_path: Path, guidance: str, sampler: str) -> None:
    with_it = assemble(written(tmp_path, CLASSIFIER_FREE, guidance, sampler=sampler))
    without = assemble(written(tmp_path, CLASSIFIER_FREE, sampler=sampler))
    both = last_x(with_it, ["a red star", "a ring"], seed=3)
    assert both.isfinite().all()
    assert not torch.allclose(both, last_x(without, ["a red star", "a ring"], seed=3), atol=1e-3)
    alone = last_x(with_it, ["a ring"], seed=3)
    torch.testing.assert_close(both[1:], alone, rtol=1e-3, atol=1e-3)


def test_a_noised_clip_gives_the_same_images_before_and_after_classifier_free(tmp_path: Path) -> None:
    after = assemble(written(tmp_path, CLASSIFIER_FREE, by_clip()))
    before = assemble(written(tmp_path, by_clip(), CLASSIFIER_FREE))
    prompts = ["a red star", "a ring"]
    torch.testing.assert_close(last_x(after, prompts), last_x(before, prompts), rtol=1e-3, atol=1e-3)


def test_the_clip_of_a_guidance_loads_weights_of_its_own(tmp_path: Path) -> None:
    (guidance,) = assemble(written(tmp_path, by_clip())).guidance
    network = guidance.networks()["clip"]
    changed = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    save_file(changed, tmp_path / "clip.safetensors")
    spec = written(tmp_path, by_clip("weights: clip.safetensors"))
    (guidance,) = assemble(spec).guidance
    loaded = guidance.networks()["clip"].state_dict()
    assert all(torch.equal(tensor, changed[name]) for name, tensor in loaded.items())
    save_file({"text.x": torch.zeros(1)}, tmp_path / "clip.safetensors")
    with pytest.raises(WeightsError, match=r"clip\.safetensors do not fit guidance\[0\]\.clip"):
        assemble(spec)


def cost(folder: Path, *guidances: str, sampler: str = "ddim") -> Measurement:
    catalogue = load_catalogue()
    spec = read_spec(written(folder, *guidances, sampler=sampler), catalogue=catalogue)
    return measure(make_plan(spec, catalogue), catalogue)[""]


@pytest.mark.thorough
def test_a_plan_says_what_its_gradients_cost(tmp_path: Path) -> None:
    plain, near, through = (cost(tmp_path, *it) for it in ((), (CLEAN,), (THROUGH,)))
    assert (plain.gradient_bytes, plain.gradient_flops) == (0, 0)
    clip = near.parameters["guidance[0].clip"]
    assert near.weight_bytes - plain.weight_bytes >= 4 * clip
    # a backward pass of the denoiser, to its input alone, is one more forward
    assert through.flops["model"] > 1.9 * plain.flops["model"]
    assert through.activations["model"] > 2 * near.activations["model"]
    for guided in (near, through):
        more = guided.activations["model"] - plain.activations["model"]
        assert guided.gradient_bytes == more
        assert guided.gradient_flops == guided.flops["model"] - plain.flops["model"] > 0


@pytest.mark.thorough
def test_the_command_tells_what_gradients_cost_where_there_are_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(written(tmp_path, THROUGH))]) == 0
    assert re.search(
        r"for gradients +\d\.\d MiB of the activations, \d+\.\d\d MFLOP", capsys.readouterr().out
    )
    assert main(["plan", str(written(tmp_path, CLASSIFIER_FREE))]) == 0
    assert "gradients" not in capsys.readouterr().out


def test_the_gradient_of_a_noised_clip_costs_its_forward_and_its_backward(tmp_path: Path) -> None:
    """By hand: 16 patches of 12 values and one more position, width 16, and the last block read at one."""
    positions, width, patch = 17, 16, 12
    keys_and_values, of_one = 2 * positions * width**2, width * width  # of one: query, result, output
    products = 16 * patch * width + keys_and_values + 3 * of_one + 2 * width * 4 * width
    attention = positions * width
    # a layer's gradient by its input is one product; attention has two products, and five backward
    assert cost(tmp_path, by_clip()).gradient_flops == 2 * (2 * products + 7 * attention)


def test_a_plan_keeps_the_cost_of_other_guidance_apart_from_that_of_gradients(tmp_path: Path) -> None:
    both, free = cost(tmp_path, CLASSIFIER_FREE, by_clip()), cost(tmp_path, CLASSIFIER_FREE)
    assert both.flops["model"] - both.gradient_flops == free.flops["model"]
    assert (both.rows, free.rows) == (2, 2)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "interval",
    ["{use: interval, high: 0.5}", "{use: interval, low: 0.5, high: 5}", "{use: interval, low: 5}"],
)
def test_a_plan_counts_a_gradient_that_acts_only_early_midway_or_late(tmp_path: Path, interval: str) -> None:
    always, sometimes = cost(tmp_path, by_clip()), cost(tmp_path, by_clip(), interval)
    assert sometimes.gradient_flops == always.gradient_flops
    assert sometimes.flops == always.flops
    assert sometimes.gradient_bytes == always.gradient_bytes


@pytest.mark.parametrize(
    ("what", "override", "message"),
    [
        ("timesteps: 500", [], "needs schedule.num_steps 500, and schedule .cosine. gives 1000"),
        ("timesteps: 1000", ["schedule.rescale_timesteps=true"], "needs schedule.rescale_timesteps false"),
        ("timesteps: 1000, patch_size: 3", [], "3 does not divide image_size, which is 8"),
    ],
)
def test_a_noised_clip_that_does_not_fit_the_schedule_is_a_fault_of_the_spec(
    tmp_path: Path, what: str, override: list[str], message: str
) -> None:
    guidance = by_clip(what).replace("patch_size: 2, ", "" if "patch" in what else "patch_size: 2, ")
    with pytest.raises(SpecError, match=message):
        assemble(written(tmp_path, guidance), overrides=override)
