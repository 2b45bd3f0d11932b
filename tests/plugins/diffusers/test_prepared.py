"""What does not change over a walk is computed once, and is what it would be at each step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from glidepath.core import Conditioning, NoiseLevels, Pipeline, Request, Step
from glidepath.plugins.diffusers.prepared import Prepared, can_prepare

from .equality import PROMPTS, ours

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

Saved = Callable[[str], Path]
LABELS = {"dit": [3, 5]}
SIZE = {"flux": (16, 16), "schnell": (16, 16)}
ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0"
NEAR = 1e-5  # of the largest number; timesteps are multiplied in another order


def conditioning(
    pipeline: Pipeline,
    prompts: list[str],
    labels: list[int] | None = None,
    size: tuple[int, int] | None = None,
) -> Conditioning:
    """What the denoiser reads, with and without it, as classifier-free guidance has it."""
    request = Request.of(prompts, labels=labels, size=size)
    given = pipeline.conditioning(request).only(pipeline.denoiser.reads)
    return Conditioning.cat([given, given.null()]) if pipeline.guidance else given


def steps_of(pipeline: Pipeline, size: tuple[int, int] | None = None) -> tuple[NoiseLevels, list[Step]]:
    levels = pipeline.levels(size=size)
    return levels, list(levels.steps("cpu"))


def noise(
    pipeline: Pipeline, given: Conditioning, seed: int = 0, size: tuple[int, int] | None = None
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(given.batch, *pipeline.latent_shape(size), generator=generator)


def plainly(pipeline: Pipeline, given: Conditioning, x: Tensor, step: Step) -> Tensor:
    """Without preparation."""
    output = pipeline.denoiser(x, step.t.expand(x.shape[0]), given)
    return output[:, : x.shape[1]]


def flops(run: Callable[[], Any]) -> dict[str, int]:
    with FlopCounterMode(display=False, depth=20) as counter:
        run()
    return {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}


@pytest.mark.parametrize(
    "name", ["sd15", "sd21", "sdxl", "refiner", "sd3", "flux", "schnell", "dit", "pixart"]
)
@torch.inference_mode()
def test_predictions_are_those_without_preparation(name: str, saved: Saved) -> None:
    pipeline = ours(saved(name))
    size = SIZE.get(name)
    given = conditioning(pipeline, PROMPTS, LABELS.get(name), size)
    levels, steps = steps_of(pipeline, size)
    predict = pipeline.denoiser.prepare(given, levels)
    for step in [*steps, steps[0], steps[2]]:
        x = noise(pipeline, given, step.index, size)
        expected = plainly(pipeline, given, x, step)
        assert (predict(x, step).value - expected).abs().max() <= NEAR * expected.abs().max()


@torch.inference_mode()
def test_a_step_has_no_keys_of_the_text_and_no_embedding_of_its_time(saved: Saved) -> None:
    pipeline = ours(saved("sdxl"))
    given = conditioning(pipeline, PROMPTS)
    levels, steps = steps_of(pipeline)
    predict = pipeline.denoiser.prepare(given, levels)
    x = noise(pipeline, given)
    first, second, third = (flops(lambda step=step: predict(x, step)) for step in steps[:3])
    saved_ones = {name for name in first if name not in third}
    ends = (
        "attn2.to_k",
        "attn2.to_v",
        "time_emb_proj",
        "time_embedding",
        "add_embedding",
        "linear_1",
        "linear_2",
    )
    assert {name.rpartition("attn2.")[2] for name in saved_ones if "attn2" in name} == {"to_k", "to_v"}
    assert all(name.endswith(ends) for name in saved_ones)
    assert {end for end in ends if any(name.endswith(end) for name in saved_ones)} == set(ends)
    layers = [module for name, module in pipeline.denoiser.named_modules() if name.endswith(ends[:2])]
    text = sum(2 * given.batch * 77 * layer.in_features * layer.out_features for layer in layers)
    assert sum(first[name] for name in saved_ones if "attn2" in name) == text
    assert second == third


@torch.inference_mode()
def test_walks_of_other_prompts_have_nothing_in_common(saved: Saved) -> None:
    pipeline = ours(saved("pixart"))
    levels, steps = steps_of(pipeline)
    both = [conditioning(pipeline, prompts) for prompts in (PROMPTS, ["a", "a green field with cows"])]
    predictors = [pipeline.denoiser.prepare(given, levels) for given in both]
    x = noise(pipeline, both[0])
    for step in steps:
        expected = [plainly(pipeline, given, x, step) for given in both]
        assert not torch.allclose(*expected, atol=1e-4)
        for predict, wanted in zip(predictors, expected, strict=True):
            assert torch.allclose(predict(x, step).value, wanted, atol=1e-5)


def test_walks_in_several_threads_do_not_disturb_each_other(saved: Saved) -> None:
    pipeline = ours(saved("sd15"))
    prompts = [[f"number {index}", "a castle"] for index in range(4)]
    expected = [list(pipeline.states(given, seed=1))[-1].x for given in prompts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda given: list(pipeline.states(given, seed=1))[-1].x, prompts))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@torch.inference_mode()
def test_a_processor_of_attention_of_ones_own_is_asked_at_each_step(saved: Saved) -> None:
    pipeline = ours(saved("sd15"))
    network = pipeline.denoiser.network
    assert can_prepare([network])
    layers = [module for module in network.modules() if hasattr(module, "processor")]
    theirs = layers[0].processor
    asked = []

    class Mine:
        def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
            asked.append(layers[0].to_k(torch.ones(1, layers[0].to_k.in_features)))
            result: Tensor = theirs(*args, **kwargs)
            return result * len(asked)

    layers[0].set_processor(Mine())
    assert not can_prepare([network])
    given = conditioning(pipeline, PROMPTS)
    levels, steps = steps_of(pipeline)
    predict = pipeline.denoiser.prepare(given, levels)
    x = noise(pipeline, given)
    values = [predict(x, steps[1]).value for _ in range(3)]
    assert len(asked) == 3
    assert not torch.equal(values[1], values[2])


@torch.inference_mode()
def test_copies_of_a_prepared_network_compute_with_their_own_weights(saved: Saved) -> None:
    pipeline = ours(saved("sd15"))
    given = conditioning(pipeline, PROMPTS)
    levels, steps = steps_of(pipeline)
    x = noise(pipeline, given)
    predict = pipeline.denoiser.prepare(given, levels)
    values = [predict(x, step).value for step in steps[:2]]
    twin = copy.deepcopy(pipeline.denoiser)
    assert list(twin.state_dict()) == list(pipeline.denoiser.state_dict())
    for parameter in twin.parameters():
        parameter.mul_(1.5)
    changed = twin.prepare(given, levels)
    assert torch.allclose(predict(x, steps[1]).value, values[1])
    assert not torch.allclose(changed(x, steps[0]).value, values[0], atol=1e-3)
    expected = twin(x, steps[1].t.expand(4), given)
    assert torch.allclose(changed(x, steps[1]).value, expected, atol=1e-5)


def pictures_of(pipeline: Pipeline) -> dict[str, Tensor]:
    """Those that a request needs."""
    picture = torch.arange(3 * 16 * 16).reshape(1, 3, 16, 16).to(torch.uint8)
    needed = [name for name, input in pipeline.inputs.items() if input.required]
    return {name: picture[..., :8, :8] if name == "low_res" else picture for name in needed}


def repeated(
    pipeline: Pipeline, prompts: list[str], **pictures: Tensor
) -> tuple[Conditioning, Callable[[int], Tensor]]:
    """What a guidance asks of the denoiser, and an x of each step, which stands there twice."""
    one = pipeline.conditioning(Request.of(prompts, **pictures)).only(pipeline.denoiser.reads)
    return Conditioning.of_one_x([one, one.null()]), lambda seed: noise(pipeline, one, seed).repeat(
        2, 1, 1, 1
    )


@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS], ids=len)
@pytest.mark.parametrize("name", ["sd15", "sdxl", "sd3", "pixart", "inpainting", "pix2pix", "upscaler"])
@torch.inference_mode()
def test_predictions_of_an_x_that_is_repeated_are_those_without_preparation(
    name: str, prompts: list[str], saved: Saved
) -> None:
    pipeline = ours(saved(name))
    given, x_of = repeated(pipeline, prompts, **pictures_of(pipeline))
    levels, steps = steps_of(pipeline)
    predict = pipeline.denoiser.prepare(given, levels)
    for step in [*steps, steps[0]]:
        x = x_of(step.index)
        expected = plainly(pipeline, given, x, step)
        assert (predict(x, step).value - expected).abs().max() <= NEAR * expected.abs().max()


@pytest.mark.parametrize("name", ["sd15", "upscaler"])
@torch.inference_mode()
def test_what_the_text_has_not_reached_is_computed_for_one_x(name: str, saved: Saved) -> None:
    pipeline = ours(saved(name))
    given, x_of = repeated(pipeline, PROMPTS, **pictures_of(pipeline))
    levels, steps = steps_of(pipeline)
    predict, x = pipeline.denoiser.prepare(given, levels), x_of(0)
    counted = [flops(lambda step=step: predict(x, step)) for step in steps[:2]]
    first, later = ({layer.partition(".")[2]: it for layer, it in of.items()} for of in counted)
    before = ("conv_in", "down_blocks.0", "down_blocks.1.resnets.0.conv1", f"{ATTENTION}.attn1")
    after = (f"{ATTENTION}.ff", "up_blocks.1.resnets.0.conv1", "conv_out")
    for names, share in ((before, 2), (after, 1)):
        for name in names:
            assert share * later[name] == first[name], name


def test_gradients_are_those_of_each_row(saved: Saved) -> None:
    pipeline = ours(saved("sd15"))
    given, x_of = repeated(pipeline, PROMPTS[:1])
    levels, steps = steps_of(pipeline)
    predict = pipeline.denoiser.prepare(given, levels)
    for step in steps[:2]:
        x = x_of(step.index).requires_grad_()
        (expected,) = torch.autograd.grad(plainly(pipeline, given, x, step).sum(), x)
        (found,) = torch.autograd.grad(predict(x, step).value.sum(), x)
        assert (found - expected).abs().max() <= NEAR * expected.abs().max()


class Summed(nn.Module):
    """Reads a table beside x, with a layer that others share."""

    def __init__(self, shared: nn.Module) -> None:
        super().__init__()
        self.own, self.shared = nn.Linear(4, 4), shared

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        return self.own(x) + self.shared(table).sum(0)


class Writing(nn.Linear):
    """Writes into what it is given."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.mul_(2))


class Drawing(nn.Linear):
    """Draws a number for each."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + 0 * torch.empty_like(input).normal_()


class Layers(nn.Module):
    """Some that read x alone, and then the text."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Linear(4, 4)
        self.once, self.as_long = Summed(shared), Summed(shared)
        self.writing, self.drawing, self.twice = Writing(4, 4), Drawing(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        y = self.as_long(self.once(x, torch.ones(3, 4)), torch.ones(2, 4))
        z = y.clone()
        later = self.twice(y) + self.writing(z) + z + self.drawing(y) + self.once.shared(text)
        return self.twice(later)


@torch.inference_mode()
def test_layers_run_for_one_x_where_it_is_all_that_they_read_by_row() -> None:
    torch.manual_seed(0)
    net, text, t = Layers(), torch.randn(2, 4), torch.ones(2)
    prepared = Prepared([net], t, 2)
    x = torch.randn(1, 4).repeat(2, 1)
    expected = net(x, text)
    for _ in range(3):
        found = prepared(lambda: net(x, text), x, t, 0)
        # one row and two may be summed in another order: in float32 up to 4e-7 of the largest over 40 seeds
        assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()
    whole, part = flops(lambda: net(x, text)), flops(lambda: prepared(lambda: net(x, text), x, t, 0))
    ran = {name.removeprefix("Layers.") for name in whole if part[name] < whole[name]}
    assert ran == {"Global", "Layers", "once", "once.own", "as_long", "as_long.own"}


class Net(nn.Module):
    """x + a(text) + b(t) + c(x), and what a test adds."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))
        self.d = nn.ReLU(inplace=True)
        self.more: Callable[..., Tensor] = lambda x, _t, _text: x

    def forward(self, x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        time = t[:, None].expand(-1, 4).to(torch.float32)
        return self.more(x + self.a(text) + self.b(time) + self.c(x), t, text)


def walked(net: Net, text: Tensor) -> tuple[list[dict[str, int]], list[tuple[Tensor, Tensor]]]:
    """How often each layer runs at each of five times, and what comes of it with and without preparation."""
    times = torch.arange(5.0)
    prepared = Prepared([net], times)
    calls: list[dict[str, int]] = []
    pairs = []
    for row in range(5):
        x, t = torch.full((2, 4), row + 1.0), times[row].expand(2)
        counted = flops(
            lambda x=x, t=t, row=row: pairs.append((prepared(lambda: net(x, t, text), x, t, row),))
        )
        calls.append({name.rpartition(".")[2]: count for name, count in counted.items()})
        pairs[-1] = (*pairs[-1], net(x, t, text))
    return calls, pairs


def check(net: Net, kept: set[str]) -> None:
    """Layers of these names do not run after the first steps; numbers are as without preparation."""
    torch.manual_seed(0)
    with torch.inference_mode():
        calls, pairs = walked(net, torch.randn(2, 4))
    for found, expected in pairs:
        assert torch.allclose(found, expected, atol=1e-6)
    assert {name for name in "abc" if name not in calls[-1]} == kept


def test_what_x_does_not_reach_is_kept() -> None:
    check(Net(), {"a", "b"})


def test_layers_that_run_twice_are_kept_where_both_are() -> None:
    net = Net()
    net.more = lambda x, t, text: x + net.a(2 * text)
    check(net, {"a", "b"})
    net.more = lambda x, t, text: x + net.a(x)
    check(net, {"b"})


def test_what_is_written_into_after_is_not_kept() -> None:
    net = Net()
    net.forward_text = net.a
    net.more = lambda x, t, text: x + net.a(text).add_(1) + net.d(net.a(text))
    check(net, {"b"})


def test_what_x_is_written_into_counts_as_x() -> None:
    net = Net()

    def more(x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        held = torch.zeros(2, 4)
        held[:, :2].copy_(x[:, :2])
        return x + net.a(held)

    net.more = more
    check(net, {"b"})


def test_a_network_that_reads_numbers_back_is_left_as_it_is() -> None:
    net = Net()
    net.more = lambda x, t, text: x * (2 if float(t[0]) > 2 else 1)
    check(net, set())


def test_what_has_no_batched_form_runs_at_each_step() -> None:
    net = Net()
    net.more = lambda x, t, text: x + net.b(t.new_empty(2, 4).copy_(t[:, None].expand(2, 4)))
    check(net, {"a"})


def test_rows_are_held_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glidepath.plugins.diffusers.prepared._ROWS", 5)  # two times of a batch of two
    check(Net(), {"a", "b"})
