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
