"""What `adm-unet` promises beyond the numbers of its reference."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from functools import partial

import attrs
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core.conditioning import Conditioning, TextEmbedding, map_tensors
from glidepath.core.errors import PartError
from glidepath.core.levels import NoiseLevels
from glidepath.core.prediction import Prediction
from glidepath.plugins.adm import unet as module
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.layers import AttentionBlock, GroupNorm, ResBlock
from glidepath.plugins.adm.unet import AdmUNet

SMALL = AdmUNetConfig(
    image_size=16,
    channels=32,
    res_blocks=1,
    channel_mult=(1, 2),
    attention_resolutions=(8,),
    head_channels=16,
    text_width=24,
)
WITH_LABELS = attrs.evolve(SMALL, text_width=None, num_classes=5)
UNCONDITIONAL = attrs.evolve(SMALL, text_width=None)
LEVELS = NoiseLevels(
    torch.tensor([900, 500, 1]), torch.tensor([0.1, 0.6, 0.99, 1.0]), torch.tensor([0.99, 0.8, 0.1, 0.0])
)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        WITH_LABELS,
        UNCONDITIONAL,
        attrs.evolve(SMALL, text_attention=False),
        attrs.evolve(SMALL, scale_shift_norm=False, learned_variance=False),
        attrs.evolve(SMALL, patch_size=2, attention_resolutions=(4,)),
        attrs.evolve(UNCONDITIONAL, dims=3, image_size=8, attention_resolutions=(4,)),
    ],
)
def test_a_prepared_predictor_predicts_what_forward_does(config: AdmUNetConfig) -> None:
    unet, conditioning = trained(config), conditioning_of(config, 3)
    assert_prepared_equals_forward(unet, conditioning)


def test_without_text_attention_the_pooled_vector_alone_is_heard() -> None:
    unet, conditioning = trained(attrs.evolve(SMALL, text_attention=False)), conditioning_of(SMALL, 2)
    text = conditioning.get("text", TextEmbedding)
    assert text is not None
    assert not [name for name, _ in unet.named_parameters() if "encoder_kv" in name]
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([500, 1])
    with torch.no_grad():
        said = unet(x, t, conditioning)
        others = unet(x, t, Conditioning.of(2, text=attrs.evolve(text, tokens=text.tokens + 1)))
        another = unet(x, t, Conditioning.of(2, text=attrs.evolve(text, pooled=text.pooled + 1)))
    assert torch.equal(said, others)
    assert not torch.allclose(said, another)


def test_a_prepared_predictor_takes_rows_that_are_one_row_expanded() -> None:
    conditioning = conditioning_of(SMALL, 1)
    assert conditioning.get("text", TextEmbedding) is not None
    assert_prepared_equals_forward(trained(SMALL), Conditioning.of(3, text=expanded_text(conditioning, 3)))


def test_one_row_of_text_serves_a_whole_batch() -> None:
    unet, one = trained(SMALL), conditioning_of(SMALL, 1)
    assert one.get("text", TextEmbedding) is not None
    x = noise(SMALL, 3)
    with torch.no_grad():
        shared = unet(x, torch.full((3,), 500), Conditioning.of(3, text=one.get("text", TextEmbedding)))
        expanded = unet(x, torch.full((3,), 500), Conditioning.of(3, text=expanded_text(one, 3)))
    assert_near(shared, expanded)


def test_a_prepared_predictor_computes_large_tables_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PREPARED_BYTES", 0)
    assert_prepared_equals_forward(trained(SMALL), conditioning_of(SMALL, 3))


def test_a_prepared_predictor_takes_continuous_times() -> None:
    levels = attrs.evolve(LEVELS, t=torch.tensor([899.5, 500.25, 0.5], dtype=torch.float64))
    assert_prepared_equals_forward(trained(SMALL), conditioning_of(SMALL, 3), levels)


def test_predictors_live_side_by_side_in_threads() -> None:
    unet = trained(SMALL)
    x, conditionings = noise(SMALL, 2), [conditioning_of(SMALL, 2, seed=seed) for seed in range(2)]
    with torch.no_grad():
        alone = [unet.prepare(each, LEVELS)(x, step) for each in conditionings for step in steps()]
        predictors = [unet.prepare(each, LEVELS) for each in conditionings]
    together: dict[int, list[Prediction]] = {}

    def run(index: int) -> None:
        with torch.no_grad():
            together[index] = [predictors[index](x, step) for step in steps()]

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, expected in zip(together[0] + together[1], alone, strict=True):
        assert torch.equal(ours.value, expected.value)


def test_a_row_depends_on_its_own_inputs_alone() -> None:
    unet, x, t = trained(SMALL), noise(SMALL, 3), torch.tensor([900, 500, 1])
    conditioning = conditioning_of(SMALL, 3)
    assert conditioning.get("text", TextEmbedding) is not None
    with torch.no_grad():
        together = unet(x, t, conditioning)
        for row in range(3):
            of_row = partial(lambda row, tensor: tensor[row : row + 1], row)
            own = Conditioning.of(1, text=map_tensors(of_row, conditioning.get("text", TextEmbedding)))
            assert_near(unet(x[row : row + 1], t[row : row + 1], own), together[row : row + 1])


@pytest.mark.parametrize("config", [SMALL, WITH_LABELS])
def test_the_output_depends_on_each_input(config: AdmUNetConfig) -> None:
    unet, x, t = trained(config), noise(config, 1), torch.tensor([500])
    one, other = conditioning_of(config, 1, seed=0), conditioning_of(config, 1, seed=1)
    with torch.no_grad():
        reference = unet(x, t, one)
        changed = [unet(noise(config, 1, seed=1), t, one), unet(x, t - 100, one), unet(x, t, other)]
    for output in changed:
        assert not torch.allclose(output, reference, atol=1e-3)


def test_pooled_text_and_token_vectors_are_both_heard() -> None:
    unet, x, t = trained(SMALL), noise(SMALL, 1), torch.tensor([500])
    text = conditioning_of(SMALL, 1).get("text", TextEmbedding)
    assert text is not None
    with torch.no_grad():
        reference = unet(x, t, Conditioning.of(1, text=text))
        for changed in (
            attrs.evolve(text, pooled=text.pooled + 1),
            attrs.evolve(text, tokens=text.tokens + 1),
        ):
            assert not torch.allclose(unet(x, t, Conditioning.of(1, text=changed)), reference, atol=1e-3)


def test_an_untrained_network_predicts_zero() -> None:
    with torch.no_grad():
        output = AdmUNet(SMALL)(noise(SMALL, 2), torch.tensor([10, 900]), conditioning_of(SMALL, 2))
    assert torch.equal(output, torch.zeros(2, 6, 16, 16))


def test_every_parameter_learns() -> None:
    unet = trained(SMALL)
    unet(noise(SMALL, 2), torch.tensor([10, 900]), conditioning_of(SMALL, 2)).square().mean().backward()
    assert [name for name, parameter in unet.named_parameters() if parameter.grad is None] == []


def test_the_state_holds_parameters_and_no_buffers() -> None:
    unet = AdmUNet(attrs.evolve(SMALL, num_classes=5))
    assert not list(unet.buffers())
    assert unet.state_dict().keys() == dict(unet.named_parameters()).keys()


def test_dropout_acts_in_training_alone() -> None:
    unet = trained(attrs.evolve(SMALL, dropout=0.5))
    x, t, conditioning = noise(SMALL, 1), torch.tensor([500]), conditioning_of(SMALL, 1)
    with torch.no_grad():
        assert torch.equal(unet(x, t, conditioning), unet(x, t, conditioning))
        unet.train()
        assert not torch.equal(unet(x, t, conditioning), unet(x, t, conditioning))


def test_interpretation_splits_off_the_learned_variance() -> None:
    unet = trained(attrs.evolve(SMALL, predicts="velocity"))
    x, conditioning, step = noise(SMALL, 2), conditioning_of(SMALL, 2), steps()[1]
    with torch.no_grad():
        prediction = unet.prepare(conditioning, LEVELS)(x, step)
    assert prediction.kind == "velocity"
    assert prediction.value.shape == x.shape
    assert prediction.variance_fraction is not None
    assert prediction.variance_fraction.shape == x.shape


def test_a_network_runs_on_other_sizes_than_its_own() -> None:
    unet = trained(SMALL)
    with torch.no_grad():
        output = unet(torch.randn(1, 3, 12, 20), torch.tensor([500]), conditioning_of(SMALL, 1))
    assert output.shape == (1, 6, 12, 20)
    assert unet.image_shape == (3, 16, 16)


def test_a_patch_of_one_pixel_changes_nothing_and_larger_ones_only_the_ends() -> None:
    pixels, patches = AdmUNet(SMALL), AdmUNet(attrs.evolve(SMALL, patch_size=2, attention_resolutions=(4,)))
    shapes = [{key: value.shape for key, value in unet.state_dict().items()} for unet in (pixels, patches)]
    assert shapes[0].keys() == shapes[1].keys()
    different = {key for key in shapes[0] if shapes[0][key] != shapes[1][key]}
    assert different == {"input_blocks.0.0.weight", "out.2.weight", "out.2.bias"}
    assert shapes[1]["input_blocks.0.0.weight"] == (32, 12, 3, 3)
    assert shapes[1]["out.2.weight"] == (24, 32, 3, 3)


def test_a_channels_last_network_stays_channels_last_and_gives_the_same() -> None:
    unet, x, conditioning = trained(SMALL), noise(SMALL, 2), conditioning_of(SMALL, 2)
    t = torch.tensor([10, 900])
    with torch.no_grad():
        expected = unet(x, t, conditioning)
        unet.to(memory_format=torch.channels_last)
        seen = {}
        for name, layer in unet.named_modules():
            if isinstance(layer, ResBlock | AttentionBlock):
                layer.register_forward_hook(
                    lambda _layer, _inputs, output, name=name: seen.update({name: output})
                )
        output = unet(x, t, conditioning)
    assert_near(output, expected)
    assert len(seen) == 14
    assert [name for name, h in seen.items() if not h.is_contiguous(memory_format=torch.channels_last)] == []


@pytest.mark.thorough
def test_forward_and_prepared_predictors_share_one_compiled_trunk() -> None:
    unet, x, conditioning = trained(SMALL), noise(SMALL, 2), conditioning_of(SMALL, 2)
    t, runs = torch.full((2,), 900), []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., object]:
        def run(*inputs: object) -> object:
            runs.append(graph)
            return graph(*inputs)

        return run

    with torch.no_grad():
        expected = unet(x, t, conditioning)
        unet.compile(backend=backend, fullgraph=True, dynamic=False)
        assert_near(unet(x, t, conditioning), expected)
        predict = unet.prepare(conditioning, LEVELS)
        predictions = [predict(x, step) for step in steps()]
        assert_near(predictions[0].value, expected[:, :3])
        assert len(runs) == 4
        assert len(set(map(id, runs))) == 1
        assert_near(copy.deepcopy(unet)(x, t, conditioning), expected)
        assert len(runs) == 4


def test_autocast_stays_near_float32() -> None:
    unet, x, conditioning = trained(SMALL), noise(SMALL, 2), conditioning_of(SMALL, 2)
    t = torch.tensor([10, 900])
    with torch.no_grad():
        expected = unet(x, t, conditioning)
        predict = unet.prepare(conditioning, LEVELS)
        with torch.autocast("cpu", torch.bfloat16):
            output = unet(x, t, conditioning)
            prepared = unet.prepare(conditioning, LEVELS)(x, steps()[0]).value
            prepared_outside = predict(x, steps()[0]).value
        in_float32 = predict(x, steps()[0]).value
    assert output.dtype == prepared.dtype == torch.float32
    assert relative(output, expected) < 0.03
    assert relative(prepared, in_float32) < 0.03
    assert relative(prepared_outside, in_float32) < 0.03


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_16_bits_the_embeddings_and_the_head_stay_in_float32(dtype: torch.dtype) -> None:
    unet = trained(attrs.evolve(SMALL, num_classes=5))
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    unet.to(dtype)
    wide = {name for name, tensor in unet.state_dict().items() if tensor.dtype == torch.float32}
    assert wide == {
        name
        for name in before
        if name.startswith(("time_embed.", "label_emb.", "out.")) or ".emb_layers." in name
    }
    assert all(torch.equal(unet.state_dict()[name], before[name]) for name in wide)
    unet.to(torch.float64)
    assert {tensor.dtype for tensor in unet.state_dict().values()} == {torch.float64}


def test_a_network_in_bfloat16_stays_near_float32() -> None:
    unet, x, conditioning = trained(SMALL), noise(SMALL, 2), conditioning_of(SMALL, 2)
    t = torch.tensor([10, 900])
    with torch.no_grad():
        expected = unet(x, t, conditioning)
        unet.to(torch.bfloat16)
        output = unet(x, t, conditioning)
        prepared = unet.prepare(conditioning, LEVELS)(x, steps()[0]).value
    assert output.dtype == prepared.dtype == torch.float32
    assert relative(output, expected) < 0.05


@pytest.mark.parametrize("mean", [0.0, 5.0, 40.0])
@pytest.mark.parametrize("shape", [(1, 64, 4, 4), (3, 128, 16, 16), (2, 64, 32, 32)])
def test_channels_last_norms_lose_no_digits(mean: float, shape: tuple[int, ...]) -> None:
    """Where E[x^2] - E[x]^2 would: beside the same in float64."""
    generator, norm = torch.Generator().manual_seed(0), GroupNorm(shape[1])
    with torch.no_grad():
        norm.weight.normal_(generator=generator)
        norm.bias.normal_(generator=generator)
    x = torch.randn(shape, generator=generator) + mean + torch.randn(1, shape[1], 1, 1, generator=generator)
    with torch.inference_mode():
        exactly = F.group_norm(x.double(), 32, norm.weight.double(), norm.bias.double(), 1e-5)
        normed = norm(x.contiguous(memory_format=torch.channels_last))
    assert normed.is_contiguous(memory_format=torch.channels_last)
    assert float((normed - exactly).abs().max()) < (4 + mean) * 4e-6


def test_norms_are_taken_in_float32() -> None:
    """Activations far from zero: bfloat16 sums would lose the variance."""
    norm = AdmUNet(UNCONDITIONAL).out[0]
    x = (1000 + 8 * torch.randn(2, 32, 16, 16, generator=torch.Generator().manual_seed(0))).to(torch.bfloat16)
    expected = torch.nn.functional.group_norm(x.double(), 32, eps=1e-5)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = norm(x)
    assert output.dtype == torch.bfloat16
    assert relative(output.double(), expected) < 0.01


@pytest.mark.parametrize(
    ("config", "conditioning", "message"),
    [
        (SMALL, lambda: Conditioning(2), "needs a text, and the conditioning has none"),
        (
            SMALL,
            lambda: Conditioning.of(2, text=text_of(2, pooled=64)),
            "pooled vector has width 64; .* width 128",
        ),
        (
            SMALL,
            lambda: Conditioning.of(2, text=text_of(2, width=20)),
            "width 20, and adm-unet's text_width is 24",
        ),
        (SMALL, lambda: Conditioning.of(2, text=text_of(3)), "3 rows for 2 samples"),
        (WITH_LABELS, lambda: Conditioning(2), r"needs labels of \[2\], .* given none"),
        (WITH_LABELS, lambda: Conditioning.of(2, labels=torch.zeros(3).long()), r"given labels of \[3\]"),
    ],
)
def test_a_conditioning_that_does_not_fit_is_refused(
    config: AdmUNetConfig, conditioning: Callable[[], Conditioning], message: str
) -> None:
    unet = AdmUNet(config)
    with pytest.raises(PartError, match=message):
        unet(noise(config, 2), torch.tensor([1, 2]), conditioning())
    with pytest.raises(PartError, match=message):
        unet.prepare(conditioning(), LEVELS)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4, 16, 16), r"takes x of \[B, 3, size, size\], got \[2, 4, 16, 16\]"),
        ((2, 3, 16), r"got \[2, 3, 16\]"),
        ((3, 3, 16, 16), "3 samples and a conditioning for 2"),
        ((2, 3, 16, 15), r"multiples of 2 .* got \[16, 15\]"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(shape: tuple[int, ...], message: str) -> None:
    unet, conditioning = AdmUNet(UNCONDITIONAL), Conditioning(2)
    with pytest.raises(PartError, match=message):
        unet(torch.zeros(shape), torch.tensor([1, 2]), conditioning)
    with pytest.raises(PartError, match=message):
        unet.prepare(conditioning, LEVELS)(torch.zeros(shape), steps()[0])


def trained(config: AdmUNetConfig) -> AdmUNet:
    """A network in which nothing is zero."""
    generator = torch.Generator().manual_seed(0)
    unet = AdmUNet(config).eval()
    with torch.no_grad():
        for parameter in unet.parameters():
            spread = 0.1 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
            offset = 1.0 if parameter.ndim == 1 and bool((parameter == 1).all()) else 0.0
            parameter.copy_(offset + spread * torch.randn(parameter.shape, generator=generator))
    return unet


def noise(config: AdmUNetConfig, batch: int, seed: int = 0) -> Tensor:
    shape = (batch, config.in_channels, *[config.image_size] * config.dims)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def text_of(batch: int, pooled: int = 128, width: int = 24, seed: int = 0) -> TextEmbedding:
    generator = torch.Generator().manual_seed(seed)
    return TextEmbedding(
        torch.randn(batch, pooled, generator=generator),
        torch.randn(batch, 7, width, generator=generator),
        torch.ones(batch, 7, dtype=torch.bool),
    )


def expanded_text(conditioning: Conditioning, batch: int) -> TextEmbedding:
    text = conditioning.get("text", TextEmbedding)
    assert text is not None
    return map_tensors(lambda tensor: tensor.expand(batch, *tensor.shape[1:]), text)


def conditioning_of(config: AdmUNetConfig, batch: int, seed: int = 0) -> Conditioning:
    return Conditioning.of(
        batch,
        text=None if config.text_width is None else text_of(batch, seed=seed),
        labels=None if config.num_classes is None else (torch.arange(batch) + seed) % config.num_classes,
    )


def steps(levels: NoiseLevels = LEVELS) -> list[module.Step]:
    return list(levels.steps("cpu"))


def assert_prepared_equals_forward(
    unet: AdmUNet, conditioning: Conditioning, levels: NoiseLevels = LEVELS
) -> None:
    x = noise(unet.config, conditioning.batch)
    with torch.no_grad():
        predict = unet.prepare(conditioning, levels)
        for step in reversed(steps(levels)):  # a predictor remembers nothing of the steps before
            ours = predict(x, step)
            expected = unet.interpret(unet(x, step.t.expand(conditioning.batch), conditioning), x, step)
            assert_near(ours.value, expected.value)
            if unet.learned_variance:
                assert ours.variance_fraction is not None
                assert expected.variance_fraction is not None
                assert_near(ours.variance_fraction, expected.variance_fraction)
            else:
                assert ours.variance_fraction is None


def assert_near(ours: Tensor, expected: Tensor) -> None:
    assert ours.shape == expected.shape
    assert relative(ours, expected) < 1e-5


def relative(ours: Tensor, expected: Tensor) -> float:
    return float((ours - expected).abs().max() / expected.abs().max())
