"""The noised CLIP, and guidance by it, give the numbers of openai/glide-text2im.

Tolerances are five times the reference's own float32 noise, at least 1e-5.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from glidepath.core.conditioning import Conditioning
from glidepath.core.denoiser import Predict
from glidepath.core.guidance import fold
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction
from glidepath.plugins.clip.configs import ClipGuidanceConfig, NoisedClipConfig
from glidepath.plugins.clip.encoders import ClipLayerNorm, ImageTransformer, TextTransformer
from glidepath.plugins.clip.guidance import ClipGuidance
from glidepath.plugins.clip.noised import NoisedClip

from .recorded import DATA, Walk, described, difference
from .test_loops import load, run
from .test_unets import Golden

TOLERANCE = 1e-5
LOOP_TOLERANCE = 2e-4
LOOPS = list(described("loop_glide_clip")["trajectories"])
FULL_SIZE = described("state_dict_manifest")


@attrs.frozen
class RecordedTokens:
    """The tokens that the reference's tokenizer gave for the prompts p0, p1, p2 of `clip_model`."""

    vocabulary_size = 64
    padding_id = 0
    start_id = 62
    end_id = 63

    def encode(self, text: str) -> list[int]:
        ids: list[int] = described("clip_model")["prompts"][int(text[1:])]["ids"]
        return ids

    def decode(self, ids: Any) -> str:
        raise AssertionError("nothing is decoded here")


def settings_of(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = described(name)["constructor"]
    return settings


def weights_of(name: str) -> dict[str, Tensor]:
    loaded = load_file(DATA / f"{name}.weights.safetensors")
    return {key: tensor.float() for key, tensor in loaded.items()}


def cases_of(name: str, case: str) -> dict[str, Tensor]:
    tensors = load_file(DATA / f"{name}.io.safetensors")
    return {key.removeprefix(f"{case}."): tensor for key, tensor in tensors.items()}


def clip_of(text: str, image: str) -> NoisedClip:
    of_text, of_image = settings_of(text), settings_of(image)
    config = NoisedClipConfig(
        width=of_text["n_embd"],
        text_width=of_text["n_head"] * of_text["n_head_state"],
        text_layers=of_text["n_xf_blocks"],
        text_heads=of_text["n_head"],
        context=of_text["max_text_len"],
        vocabulary_rows=of_text["n_bpe_vocab"],
        image_size=of_image["image_size"],
        patch_size=of_image["patch_size"],
        image_width=of_image["n_head"] * of_image["n_head_state"],
        image_layers=of_image["n_xf_blocks"],
        image_heads=of_image["n_head"],
        timesteps=of_image["n_timestep"],
        logit_scale=described("clip_model")["logit_scale"],
    )
    clip = NoisedClip(config, tokenizer=RecordedTokens())
    published = {"text": weights_of(text), "image": weights_of(image)}
    clip.load_state_dict(
        {f"{part}.{key}": tensor for part, state in published.items() for key, tensor in state.items()}
    )
    return clip.eval()


@pytest.fixture(scope="module")
def clip() -> NoisedClip:
    return clip_of("clip_text", "clip_image_noised")


def with_probe(encoder: TextTransformer | ImageTransformer, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
    """What an encoder gives, and what it reads that from: `probe`."""
    probes: list[Tensor] = []
    handle = encoder.blocks["output"].register_forward_pre_hook(lambda _, given: probes.append(given[0]))
    with torch.no_grad():
        output: Tensor = encoder(*inputs)
    handle.remove()
    return output, probes[0]


def test_the_text_encoder_gives_the_features_of_the_reference(clip: NoisedClip) -> None:
    case = cases_of("clip_text", "prompts")
    output, probe = with_probe(clip.text, case["text"], case["text_len"] - 1)
    assert difference(output, case["out"]) < TOLERANCE
    assert difference(probe, case["probe"]) < TOLERANCE


@pytest.mark.parametrize("name", ["clip_image_noised", "clip_image_clean"])
def test_the_image_encoder_gives_the_features_of_the_reference(name: str) -> None:
    case = cases_of(name, "images")
    image = clip_of("clip_text", name).image
    output, probe = with_probe(image, case["image"] / 127.5 - 1, case.get("timesteps"))
    assert difference(output, case["out"]) < TOLERANCE
    assert difference(probe, case["probe"]) < TOLERANCE


def test_layer_norm_is_that_of_the_reference() -> None:
    golden = load_file(DATA / "layers.safetensors")
    case = {key.partition(".")[2]: it for key, it in golden.items() if key.startswith("clip_layernorm")}
    norm = ClipLayerNorm(case["x"].shape[-1])
    norm.load_state_dict({"g": case["weight"], "b": case["bias"]})
    with torch.no_grad():
        assert difference(norm(case["x"]), case["out"]) < TOLERANCE


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(DATA / "clip_model.safetensors")


PROMPTS = ("p0", "p1", "p2")


def test_prompts_stand_between_marks_in_as_many_positions_as_the_longest_needs(
    clip: NoisedClip, golden: dict[str, Tensor]
) -> None:
    ids, lengths = clip.tokenize(PROMPTS)
    assert torch.equal(ids, tensor_of(golden, "tokens"))
    assert torch.equal(lengths, tensor_of(golden, "lens"))
    assert torch.equal(clip.tokenize(["p2"])[0], tensor_of(golden, "tokens")[2:, :3])


def test_embeddings_are_those_of_the_reference(clip: NoisedClip, golden: dict[str, Tensor]) -> None:
    with torch.no_grad():
        texts, images = clip.embed_texts(PROMPTS), clip.embed_images(golden["x"], golden["t"])
        alone = torch.cat([clip.embed_texts([prompt]) for prompt in PROMPTS])
    assert difference(texts, tensor_of(golden, "text_embeddings")) < TOLERANCE
    assert difference(alone, tensor_of(golden, "text_embeddings")) < TOLERANCE
    assert difference(images, tensor_of(golden, "image_embeddings")) < TOLERANCE
    logits = clip.logit_scale * texts @ images.T
    assert difference(logits, tensor_of(golden, "logits")) < TOLERANCE


def test_the_gradient_is_that_of_cond_fn(clip: NoisedClip, golden: dict[str, Tensor]) -> None:
    guidance = ClipGuidance(
        ClipGuidanceConfig(clip=None, scale=described("clip_model")["grad_scale"]), clip=clip
    )
    for row, (prompt, t) in enumerate(zip(PROMPTS, golden["t"], strict=True)):
        x = golden["x"][row : row + 1]
        predict = guidance(nothing)(Conditioning(1, prompts=(prompt,)))
        prediction = predict(x, Step(0, t, torch.tensor(0.6), torch.tensor(0.8)))
        assert prediction.gradient is not None
        assert difference(prediction.gradient, tensor_of(golden, "cond_grad")[row : row + 1]) < TOLERANCE


@pytest.mark.parametrize("name", LOOPS)
def test_a_guided_loop_makes_the_images_of_the_reference(clip: NoisedClip, name: str) -> None:
    walk = load("loop_glide_clip", name)
    x, sample = run(walk, predictor(walk, clip))
    assert difference(x, walk.tensors["sample"]) < LOOP_TOLERANCE
    assert difference(sample, walk.tensors["pred_xstart"]) < LOOP_TOLERANCE


@pytest.mark.parametrize("name", LOOPS)
def test_each_step_of_a_guided_loop_is_the_references(clip: NoisedClip, name: str) -> None:
    """Every step gets the reference's x_t, so that no error can grow or cancel."""
    walk = load("loop_glide_clip", name)
    predict = predictor(walk, clip)
    gradients: list[Tensor] = []

    def forced(x: Tensor, step: Step) -> Prediction:
        x.copy_(walk.inputs[step.index])  # the sampler's own x: it goes on from the recorded one
        prediction = predict(x, step)
        assert prediction.gradient is not None
        gradients.append(prediction.gradient)
        assert torch.equal(step.t, walk.tensors["cond_t"][step.index])
        return prediction

    x, _ = run(walk, forced)
    for index, gradient in enumerate(gradients):
        assert difference(gradient, walk.tensors["cond_grad"][index]) < LOOP_TOLERANCE
        assert difference(x[index], walk.tensors["sample"][index]) < LOOP_TOLERANCE


@pytest.mark.parametrize(("part", "published"), [("text", "clip_text_enc"), ("image", "clip_image_enc")])
def test_at_full_size_every_tensor_of_the_published_files_has_its_place(part: str, published: str) -> None:
    with torch.device("meta"):
        clip = NoisedClip(NoisedClipConfig(), tokenizer=RecordedTokens())
    encoder = clip.get_submodule(part)
    assert {key: list(tensor.shape) for key, tensor in encoder.state_dict().items()} == FULL_SIZE[published][
        "keys"
    ]
    assert sum(parameter.numel() for parameter in encoder.parameters()) == FULL_SIZE[published]["n_params"]
    assert {key.partition(".")[0] for key in clip.state_dict()} == {"text", "image"}


def tensor_of(golden: dict[str, Tensor], name: str) -> Tensor:
    """The tensor of a name that the file prefixes with its case's."""
    return next(tensor for key, tensor in golden.items() if key.rpartition(".")[2] == name)


def nothing(_conditioning: Conditioning) -> Predict:
    """A denoiser that predicts no noise."""
    return lambda x, step: Prediction(torch.zeros_like(x), "epsilon", x, step)


@torch.no_grad()
def predictor(walk: Walk, clip: NoisedClip) -> Predict:
    """The reference's network, guided by the CLIP as the reference guided it."""
    network = Golden.load(walk.settings["model"]["file"], "t_int")
    assert network.encoder is not None
    text = network.encoder.embed(walk.shared["tokens"], walk.shared["mask"])
    prompts = tuple(f"p{index}" for index in walk.settings["cond"]["prompts"])
    conditioning = Conditioning.of(len(walk.shared["x_T"]), text=text, prompts=prompts)
    guidance = ClipGuidance(ClipGuidanceConfig(clip=None, scale=walk.settings["cond"]["scale"]), clip=clip)
    return fold([guidance], lambda bound: network.unet.prepare(bound, walk.levels))(conditioning)
