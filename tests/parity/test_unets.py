"""The UNets and the text encoder give the outputs of openai/glide-text2im and openai/guided-diffusion.

The golden tensors came from those programs, with random weights and small networks. The tolerance is five
times the float32 noise of the reference itself: with oneDNN off, in float64, or with inputs moved by one unit
in the last place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core.conditioning import Conditioning, TextEmbedding
from glidepath.core.levels import NoiseLevels
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.unet import AdmUNet
from glidepath.plugins.text.configs import TransformerConfig
from glidepath.plugins.text.transformer import TransformerTextEncoder

from .recorded import DATA, described, difference

TOLERANCE = {
    "glide_base": 3e-5,
    "glide_plain": 1e-5,
    "glide_notext": 2e-5,
    "glide_sr": 5e-5,
    "glide_inpaint": 2e-5,
    "glide_sr_inpaint": 1e-5,
    "adm_plain": 1e-5,
    "adm_1d": 4e-5,
    "adm_classcond": 2e-5,
    "adm_sr": 3e-5,
}
TEXT_KEYS = (
    "transformer.",
    "final_ln.",
    "token_embedding.",
    "positional_embedding",
    "padding_embedding",
    "transformer_proj.",
)


CASES = [(model, case) for model in TOLERANCE for case in described(model)["cases"] if case != "cached"]


@pytest.mark.parametrize(("model", "case"), CASES)
def test_a_network_gives_the_outputs_of_the_reference(model: str, case: str) -> None:
    golden = Golden.load(model, case)
    with torch.no_grad():
        output = golden.unet(golden.tensors["x"], golden.tensors["timesteps"], golden.conditioning())
    assert difference(output, golden.tensors["out"]) < TOLERANCE[model]


@pytest.mark.thorough
@pytest.mark.parametrize(("model", "case"), CASES)
def test_a_prepared_network_gives_the_outputs_of_the_reference(model: str, case: str) -> None:
    golden = Golden.load(model, case)
    for row, t in enumerate(golden.tensors["timesteps"]):
        levels = NoiseLevels(t[None], torch.tensor([0.6, 1.0]), torch.tensor([0.8, 0.0]))
        with torch.no_grad():
            predict = golden.unet.prepare(golden.conditioning(), levels)
            prediction = predict(golden.tensors["x"], next(levels.steps("cpu")))
        output = prediction.value
        if prediction.variance_fraction is not None:
            output = torch.cat([output, 2 * prediction.variance_fraction - 1], dim=1)
        assert difference(output[row], golden.tensors["out"][row]) < TOLERANCE[model]


@pytest.mark.parametrize(
    ("model", "case"), [("glide_base", "t_int"), ("glide_base", "t_respaced"), ("glide_plain", "t_int")]
)
def test_a_text_encoder_gives_the_embeddings_of_the_reference(model: str, case: str) -> None:
    golden = Golden.load(model, case)
    with torch.no_grad():
        text = golden.text()
    assert text is not None
    assert difference(text.pooled, golden.tensors["xf_proj"]) < TOLERANCE[model]
    assert difference(text.tokens.transpose(1, 2), golden.tensors["xf_out"]) < TOLERANCE[model]


def test_a_text_is_never_remembered_between_calls() -> None:
    """The reference can keep a text's embedding, and finds it again by its tokens alone.

    A second call with the same tokens and another mask then gets the first mask's result
    (`out_second_stale_mask`). Nothing is kept here, so that is deliberately not reproduced.
    """
    golden = Golden.load("glide_base", "cached")
    tensors = golden.tensors

    def run(mask: Tensor) -> Tensor:
        with torch.no_grad():
            assert golden.encoder is not None
            text = golden.encoder.embed(tensors["tokens"], mask)
            return golden.unet(tensors["x"], tensors["timesteps"], Conditioning.of(len(mask), text=text))

    first, second = run(tensors["mask"]), run(tensors["mask2"])
    assert difference(first, tensors["out_first"]) < TOLERANCE["glide_base"]
    assert difference(second, tensors["out_after_del_cache"]) < TOLERANCE["glide_base"]
    assert difference(second, tensors["out_second_stale_mask"]) > 100 * TOLERANCE["glide_base"]


@attrs.frozen
class Golden:
    """One recorded case: our networks with the reference's weights, and its tensors."""

    unet: AdmUNet
    encoder: TransformerTextEncoder | None
    tensors: Mapping[str, Tensor]

    @classmethod
    def load(cls, model: str, case: str, image_size: int = 16) -> Golden:
        description = described(model)
        variant = description.get("variants", {}).get(
            description["cases"][case].get("variant", "default"), {}
        )
        settings = description["constructor"] | variant.get("override", {})
        state: dict[str, Tensor] = {}
        for file in description["weights"]:
            state |= {key: value.float() for key, value in load_file(DATA / file).items()}
        of_text = {key: value for key, value in state.items() if key.startswith(TEXT_KEYS)}

        unet = AdmUNet(unet_config(settings, description["class"], image_size))
        unet.load_state_dict({key: value for key, value in state.items() if key not in of_text}, strict=True)
        encoder = None
        if settings.get("xf_width"):
            encoder = TransformerTextEncoder(
                text_config(settings), tokenizer=IdsAsText(vocabulary_size=description["n_vocab"])
            )
            encoder.load_state_dict(of_text, strict=True)
            encoder.eval()
        recorded = load_file(DATA / f"{model}.io.safetensors")
        prefix = f"{case}."
        tensors = {
            key.removeprefix(prefix): value for key, value in recorded.items() if key.startswith(prefix)
        }
        return cls(unet.eval(), encoder, tensors)

    def text(self) -> TextEmbedding | None:
        if self.encoder is None:
            return None
        tokens = self.tensors["tokens"]
        return self.encoder.embed(tokens, self.tensors.get("mask", torch.ones_like(tokens, dtype=torch.bool)))

    def conditioning(self) -> Conditioning:
        return Conditioning.of(
            len(self.tensors["x"]),
            text=self.text(),
            labels=self.tensors.get("y"),
            low_res=self.tensors.get("low_res"),
            image=self.tensors.get("inpaint_image"),
            mask=self.tensors.get("inpaint_mask"),
        )


@attrs.frozen
class IdsAsText:
    """Stands for a tokenizer: a text is its ids, written as numbers. The last id pads."""

    vocabulary_size: int

    @property
    def padding_id(self) -> int:
        return self.vocabulary_size - 1

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def unet_config(settings: Mapping[str, Any], reference: str, image_size: int = 16) -> AdmUNetConfig:
    """Our configuration for the reference's arguments, which place attention by downsampling factors.

    reference: the name of its class, which says what it sees beside x_t.
    """
    image_size = settings.get("image_size", image_size)
    levels = len(settings["channel_mult"])
    factors = [factor for factor in settings["attention_resolutions"] if factor < 2**levels]
    channels = settings["in_channels"]
    return AdmUNetConfig(
        image_size=image_size,
        in_channels=channels,
        upsamples="SuperRes" in reference,
        inpaints="Inpaint" in reference,
        channels=settings["model_channels"],
        res_blocks=settings["num_res_blocks"],
        channel_mult=tuple(settings["channel_mult"]),
        attention_resolutions=tuple(image_size // factor for factor in factors),
        heads=settings["num_heads"],
        head_channels=given(settings["num_head_channels"]),
        heads_upsample=given(settings["num_heads_upsample"]),
        attention_order="new" if settings.get("use_new_attention_order") else "legacy",
        scale_shift_norm=settings["use_scale_shift_norm"],
        resblock_updown=settings["resblock_updown"],
        conv_resample=settings.get("conv_resample", True),
        dropout=settings["dropout"],
        num_classes=settings.get("num_classes"),
        text_width=settings.get("xf_width") or None,
        learned_variance=settings["out_channels"] == 2 * channels,
        dims=settings.get("dims", 2),
    )


def text_config(settings: Mapping[str, Any]) -> TransformerConfig:
    return TransformerConfig(
        width=settings["xf_width"],
        layers=settings["xf_layers"],
        heads=settings["xf_heads"],
        context=settings["text_ctx"],
        pooled_width=4 * settings["model_channels"],
        final_layer_norm=settings["xf_final_ln"],
        padding_embedding=settings["xf_padding"],
    )


def given(value: int) -> int | None:
    """The reference writes -1 for what is not given."""
    return None if value == -1 else value
