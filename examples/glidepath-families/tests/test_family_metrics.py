"""The metrics that compare families, and the count of operations behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from glidepath.core import Conditioning, Generator, GeneratorPipeline, Noise, PartError, State
from glidepath_families_metrics.config import AmongConfig, OperationsConfig, WaysConfig
from glidepath_families_metrics.counting import counting
from glidepath_families_metrics.metrics import Among, Operations, Ways


class Written:
    """Each image shows what its first value stands for."""

    name, direction, unit = "written", "higher", "share"
    texts = ("a star on white", "a star on black", "a ring on white", "a ring on black")

    def per_prompt(self, images: Tensor, prompts: Sequence[str]) -> list[float]:
        shown = [self.texts[int(image.flatten()[0])] for image in images]
        return [float(text.startswith(prompt)) for text, prompt in zip(shown, prompts, strict=True)]


class Whole:
    """Judges a set."""

    name, direction, unit = "whole", "higher", ""

    def whole_set(self, drawn: object) -> float:
        return 0.0


def showing(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)


def test_among_judges_the_images_of_its_prompts_and_of_no_others() -> None:
    metric = Among(AmongConfig(metric=None, prompts=("a ring",), called="rings"), metric=Written())
    found = metric.per_prompt(showing(0, 2, 1), ["a star", "a ring", "a ring"])
    assert math.isnan(found[0])
    assert found[1:] == [1, 0]
    assert metric.name == "written, rings"


def test_ways_are_counted_once_for_a_prompt_and_by_images_that_show_it() -> None:
    metric = Ways(WaysConfig(metric=None, ways=("a {} on white", "a {} on black")), metric=Written())
    prompts = ["a star"] * 3 + ["a ring"] * 3
    # the star in both ways, and once more; the ring in one, and an image that shows another thing
    assert metric.per_prompt(showing(0, 1, 1, 3, 3, 0), prompts) == [1, 1, 1, 0.5, 0.5, 0.5]
    assert metric.per_prompt(showing(2, 3), ["a star"] * 2) == [0, 0]


def test_ways_say_where_the_prompt_stands() -> None:
    with pytest.raises(ValueError, match="has no place"):
        WaysConfig(metric=None, ways=("a {}", "white"))


def test_a_metric_of_whole_sets_cannot_be_asked_for_some_prompts() -> None:
    with pytest.raises(PartError, match="whole does not judge image by image"):
        Among(AmongConfig(metric=None, prompts=("a",), called="some"), metric=Whole())  # type: ignore[arg-type]


def test_operations_of_a_product_forwards_backwards_and_of_a_gradient_of_a_gradient() -> None:
    layer, x = nn.Linear(8, 4, bias=False), torch.randn(3, 8, requires_grad=True)
    product = 2 * 3 * 8 * 4
    with counting() as counter:
        y = layer(x)
    assert counter.total == product
    with counting() as counter:
        y.sum().backward()
    assert counter.total == 2 * product  # the gradients of x and of the weight
    with counting() as counter:
        (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        slope.square().sum().backward()  # type: ignore[no-untyped-call]
    # y, the slope; then of the slope's product two, and of y's two
    assert counter.total == 6 * product


def test_operations_are_those_that_torch_counts() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.SiLU(), nn.Flatten(), nn.Linear(72, 5))
    x = torch.randn(2, 3, 8, 8)
    with FlopCounterMode(display=False) as torchs:
        network(x).sum().backward()
    with counting() as counter:
        network(x).sum().backward()
    assert counter.total == torchs.get_total_flops()


def test_attention_is_two_products() -> None:
    q, k, v = torch.randn(3, 2, 4, 6, 8).unbind()
    with counting() as counter, torch.inference_mode():
        F.scaled_dot_product_attention(q, k, v, attn_mask=torch.ones(6, 6, dtype=torch.bool))
    assert counter.total == 2 * (2 * 2 * 4 * 6 * 6 * 8)


class Row(Generator):
    """Applies a product as often as it has steps."""

    image_shape = (3, 4, 4)

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.layer = steps, nn.Linear(4, 4)

    def states(self, conditioning: Conditioning, x: Tensor, noise: Noise) -> Iterator[State]:
        for index in range(self.steps):
            x = self.layer(x)
            yield State(index + 1, self.steps, x, x)


def test_operations_of_an_image_are_those_of_all_of_its_steps() -> None:
    class Arm:
        pipeline = staticmethod(lambda: GeneratorPipeline(Row(5)))

    found = Operations(OperationsConfig(images=2)).whole_set(Arm())
    assert found == pytest.approx(5 * (2 * 12 * 4 * 4) / 1e9)
