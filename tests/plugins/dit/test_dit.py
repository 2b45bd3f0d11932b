"""What `dit` promises beyond the numbers of its reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from glidepath.core import Condition, Conditioning, PartError, TextEmbedding
from glidepath.plugins.dit.configs import DitConfig
from glidepath.plugins.dit.layers import positions
from glidepath.plugins.dit.network import Dit
from glidepath.registry import SpecError, load_catalogue, make_plan, read_spec

TINY: dict[str, Any] = {"image_size": 8, "width": 32, "depth": 2, "heads": 2}


def network(**changes: Any) -> Dit:
    torch.manual_seed(0)
    return Dit(DitConfig(**{**TINY, **changes})).eval()


def trained(**changes: Any) -> Dit:
    """One whose weights are not zero anywhere."""
    made = network(**changes)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return made


def text(rows: int, length: int, real: int) -> TextEmbedding:
    tokens = torch.randn(rows, length, 16, generator=torch.Generator().manual_seed(2))
    return TextEmbedding(None, tokens, (torch.arange(length) < real).expand(rows, length))


@torch.no_grad()
def predicted(made: Dit, conditioning: Conditioning, size: tuple[int, int] = (8, 8)) -> Tensor:
    x = torch.randn(conditioning.batch, 4, *size, generator=torch.Generator().manual_seed(3))
    return made(x, torch.full((conditioning.batch,), 500), conditioning)


def test_an_untrained_transformer_predicts_nothing() -> None:
    """adaLN-Zero: the last layer is 0 at first."""
    assert not predicted(network(num_classes=3), Conditioning.of(2, labels=torch.tensor([0, 1]))).any()


def test_padding_of_a_text_changes_nothing() -> None:
    made = trained(text_width=16)
    whole = Conditioning.of(2, text=text(2, 9, 4))
    longer = whole.get("text", TextEmbedding)
    assert longer is not None
    assert longer.mask is not None
    cut = Conditioning.of(2, text=TextEmbedding(None, longer.tokens[:, :4], longer.mask[:, :4]))
    torch.testing.assert_close(predicted(made, whole), predicted(made, cut))
    other = Conditioning.of(2, text=text(2, 9, 5))
    assert not torch.allclose(predicted(made, whole), predicted(made, other))


def test_a_text_without_a_real_token_is_read_as_a_number() -> None:
    assert bool(predicted(trained(text_width=16), Conditioning.of(2, text=text(2, 5, 0))).isfinite().all())


def test_a_size_of_other_patches_keeps_what_a_place_is() -> None:
    """The rows and columns of the table of another size are those of its own, counted from the first."""
    table = positions(4, 4, 32).reshape(4, 4, 32)
    assert torch.equal(positions(2, 3, 32).reshape(2, 3, 32), table[:2, :3])
    assert predicted(trained(), Conditioning(1), (4, 12)).shape == (1, 8, 4, 12)


@pytest.mark.parametrize(
    ("conditioning", "size", "message"),
    [
        (Conditioning(1), (8, 8), "needs labels"),
        (Conditioning.of(1, labels=torch.tensor([0])), (8, 7), "multiples of 2"),
        (Conditioning.of(1, labels=torch.tensor([0, 1])), (8, 8), "needs labels"),
    ],
)
def test_what_does_not_fit_is_refused(
    conditioning: Conditioning, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(PartError, match=message):
        predicted(network(num_classes=3), conditioning, size)


@pytest.mark.parametrize(
    ("parameter", "value"), [("patch_size", 3), ("width", 34), ("heads", 3), ("depth", 0)]
)
def test_parameters_that_do_not_fit_together_are_refused_where_they_stand(parameter: str, value: int) -> None:
    catalogue = load_catalogue()
    spec = {"schedule": "linear", "sampler": "ddim", "denoiser": {"use": "dit", **TINY, parameter: value}}
    with pytest.raises(SpecError) as caught:
        make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    assert f"denoiser.{parameter}" in [problem.path for problem in caught.value.problems]


def test_a_dropped_label_is_the_one_for_no_class() -> None:
    made = trained(num_classes=3)
    assert made.null_label == 3
    label = Condition(torch.tensor([1, 2]), torch.tensor([3]))
    dropped = Conditioning(2, {"labels": label.drop(torch.tensor([True, False]))})
    torch.testing.assert_close(
        predicted(made, dropped)[0], predicted(made, Conditioning.of(2, labels=torch.tensor([3, 2])))[0]
    )
