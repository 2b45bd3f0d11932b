"""What `dit` promises beyond the numbers of its reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from glidepath.core import Condition, Conditioning, NoiseLevels, PartError, TextEmbedding
from glidepath.plugins.dit.configs import DitConfig
from glidepath.plugins.dit.layers import positions
from glidepath.plugins.dit.network import Dit
from glidepath.registry import (
    SpecError,
    WeightsError,
    load_catalogue,
    load_module,
    make_plan,
    read_spec,
)

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


def saved_by_diffusers(made: Dit) -> dict[str, Tensor]:
    """The tensors of a DiT as `DiTTransformer2DModel` of diffusers names them."""
    own = made.state_dict()
    pairs = {"pos_embed.proj": "x_embedder.proj", "proj_out_1": "final_layer.adaLN_modulation.1"}
    pairs["proj_out_2"] = "final_layer.linear"
    saved = {}
    for index in range(len(made.blocks)):
        theirs, ours = f"transformer_blocks.{index}", f"blocks.{index}"
        pairs[f"{theirs}.norm1.emb.timestep_embedder.linear_1"] = "t_embedder.mlp.0"
        pairs[f"{theirs}.norm1.emb.timestep_embedder.linear_2"] = "t_embedder.mlp.2"
        pairs[f"{theirs}.norm1.linear"] = f"{ours}.adaLN_modulation.1"
        pairs[f"{theirs}.attn1.to_out.0"] = f"{ours}.attn.proj"
        pairs[f"{theirs}.ff.net.0.proj"] = f"{ours}.mlp.fc1"
        pairs[f"{theirs}.ff.net.2"] = f"{ours}.mlp.fc2"
        table = f"{theirs}.norm1.emb.class_embedder.embedding_table.weight"
        saved[table] = own["y_embedder.embedding_table.weight"]
        for value in ("weight", "bias"):
            for name, part in zip("qkv", own[f"{ours}.attn.qkv.{value}"].chunk(3), strict=True):
                saved[f"{theirs}.attn1.to_{name}.{value}"] = part
    for theirs, ours in pairs.items():
        saved |= {f"{theirs}.{value}": own[f"{ours}.{value}"] for value in ("weight", "bias")}
    return saved


def test_a_file_of_diffusers_is_read_under_its_own_names() -> None:
    made, labels = trained(num_classes=3), Conditioning.of(2, labels=torch.tensor([0, 2]))
    other = network(num_classes=3)
    load_module(other, saved_by_diffusers(made), part="denoiser", file=Path("dit.safetensors"))
    assert torch.equal(predicted(other, labels), predicted(made, labels))


def test_a_file_of_diffusers_whose_blocks_have_embeddings_of_their_own_is_refused() -> None:
    saved = saved_by_diffusers(trained(num_classes=3))
    own = "transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias"
    saved[own] = saved[own] + 1
    with pytest.raises(WeightsError, match=f"1 not known to the part: {own}"):
        load_module(network(num_classes=3), saved, part="denoiser", file=Path("dit.safetensors"))


@pytest.mark.thorough
def test_forward_and_prepared_predictors_share_the_compiled_blocks() -> None:
    made, labels = trained(num_classes=3), Conditioning.of(2, labels=torch.tensor([0, 2]))
    x = torch.ones(2, 4, 8, 8)
    levels = NoiseLevels(torch.tensor([500]), torch.tensor([0.6, 1.0]), torch.tensor([0.8, 0.0]))
    graphs = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    with torch.no_grad():
        expected = made(x, torch.tensor([500, 500]), labels)
        made.compile(backend=backend, fullgraph=True, dynamic=False)
        prepared = made.prepare(labels, levels)(x, next(levels.steps("cpu")))
        torch.testing.assert_close(prepared.value, expected[:, :4])
        torch.testing.assert_close(made(x, torch.tensor([500, 500]), labels), expected)
    assert len(graphs) == 1
