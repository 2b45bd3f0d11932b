"""The parts by themselves, against the packages that they wrap."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glidepath.core import Condition, Conditioning, GlidepathError, PartError, TextEmbedding, TextEncoder
from glidepath.plugins.diffusers.configs import (
    AutoencoderConfig,
    ClipTextConfig,
    JoinedTextConfig,
    NetworkConfig,
    T5TextConfig,
    ZeroTextConfig,
)
from glidepath.plugins.diffusers.contracts import clip_lacks, t5_lacks
from glidepath.plugins.diffusers.joined import JoinedTextEncoder
from glidepath.plugins.diffusers.known import describe
from glidepath.plugins.diffusers.text import ClipTextEncoder, T5TextEncoder, ZeroTextEncoder
from glidepath.plugins.text.configs import WeightedConfig
from glidepath.plugins.text.weighted import WeightedTextEncoder

diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
transformers = pytest.importorskip("transformers", reason="needs the extra [diffusers]")

from glidepath.plugins.diffusers.autoencoder import Autoencoder  # noqa: E402
from glidepath.plugins.diffusers.denoiser import DiffusersDenoiser  # noqa: E402

Saved = Callable[[str], Path]
PROMPT = "a red star"


def loaded(part: Any, folder: Path) -> Any:
    """A part with the weights of a folder, as it reads them."""
    (file,) = folder.glob("*.safetensors")
    part.load_state_dict(dict(part.read_weights(load_file(file))))
    return part.eval().requires_grad_(False)


def clip(saved: Saved, **parameters: Any) -> ClipTextEncoder:
    folder = saved("sd15")
    config = ClipTextConfig(
        config=folder / "text_encoder" / "config.json", tokenizer=folder / "tokenizer", **parameters
    )
    built: ClipTextEncoder = loaded(ClipTextEncoder(config), folder / "text_encoder")
    return built


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_clip_skip_is_that_of_diffusers(skip: int, saved: Saved) -> None:
    encoder = clip(saved, skip=skip)
    reference = transformers.CLIPTextModel.from_pretrained(saved("sd15") / "text_encoder")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(saved("sd15") / "tokenizer")
    ids = tokenizer(PROMPT, padding="max_length", max_length=77, return_tensors="pt").input_ids
    output = reference(ids, output_hidden_states=True)
    expected = reference.final_layer_norm(output.hidden_states[-(skip + 1)])
    assert torch.allclose(encoder([PROMPT]).tokens, expected, atol=1e-6)
    if skip == 0:
        assert torch.allclose(encoder([PROMPT]).tokens, output.last_hidden_state, atol=1e-6)


def test_a_table_of_positions_bounds_the_size(saved: Saved) -> None:
    built = DiffusersDenoiser(NetworkConfig(config=saved("sd3") / "transformer" / "config.json"))
    assert built.takes((32, 32)) == ""
    assert built.takes((32, 34)) == "its sides are more than 32"


def test_more_layers_cannot_be_skipped_than_there_are(saved: Saved) -> None:
    with pytest.raises(PartError, match=r"skip is 4, and .* has 3 layers"):
        clip(saved, skip=4)


def test_the_end_of_a_long_prompt_is_told(saved: Saved) -> None:
    encoder = clip(saved)
    assert encoder.truncated(PROMPT) == ""
    # of 100 letters, each a token, 75 stand between the beginning and the end
    assert encoder.truncated("x" * 75 + "y" * 25).replace(" ", "") == "y" * 25


def test_files_of_older_versions_have_other_names_and_whole_numbers(saved: Saved) -> None:
    encoder = clip(saved)
    names = load_file(next((saved("sd15") / "text_encoder").glob("*.safetensors")))
    old = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in names.items()}
    old["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    read = encoder.read_weights(old)
    assert read.keys() == encoder.state_dict().keys()
    assert all(torch.equal(read[name], value) for name, value in encoder.state_dict().items())


def test_without_a_tokenizer_a_clip_reads_the_empty_prompt_and_no_other(saved: Saved) -> None:
    """So that a preset can be planned before it has its files."""
    folder = saved("sd3")
    config = folder / "text_encoder_2" / "config.json"
    whole = ClipTextEncoder(ClipTextConfig(config=config, tokenizer=folder / "tokenizer_2"))
    without = ClipTextEncoder(ClipTextConfig(config=config, padding="!"))
    # of published ones the marks are the last of the network's words, and ! is the first
    without.empty = (512, 513, whole.tokenizer.convert_tokens_to_ids("!"))
    assert all(map(torch.equal, without._tokens([""] * 2), whole._tokens([""] * 2)))
    assert without.truncated(PROMPT) == ""
    with pytest.raises(PartError, match="without a tokenizer reads no prompt"):
        without([PROMPT])


def test_without_a_tokenizer_a_t5_reads_the_empty_prompt_and_no_other(saved: Saved) -> None:
    folder = saved("pixart")
    config = folder / "text_encoder" / "config.json"
    whole = T5TextEncoder(T5TextConfig(config=config, tokenizer=folder / "tokenizer"))
    without = T5TextEncoder(T5TextConfig(config=config))
    assert all(map(torch.equal, without._tokens([""] * 2), whole._tokens([""] * 2)))
    with pytest.raises(PartError, match="without a tokenizer reads no prompt"):
        without([PROMPT])


@pytest.mark.parametrize(
    ("model", "part", "left", "said"),
    [
        ("sd15", ClipTextEncoder, (), "has no tokenizer.json, and no vocab.json and no merges.txt"),
        ("sd15", ClipTextEncoder, ("vocab.json",), "has no tokenizer.json, and no merges.txt"),
        ("pixart", T5TextEncoder, (), "has no tokenizer.json, and no spiece.model"),
    ],
)
def test_a_folder_without_the_words_of_its_tokenizer_is_refused(
    saved: Saved, tmp_path: Path, model: str, part: Any, left: tuple[str, ...], said: str
) -> None:
    """transformers would make a tokenizer that knows no word, of which all prompts are one."""
    folder = saved(model)
    (tmp_path / "tokenizer_config.json").write_bytes(
        (folder / "tokenizer" / "tokenizer_config.json").read_bytes()
    )
    for name in left:
        (tmp_path / name).write_text("{}")
    is_clip = part is ClipTextEncoder
    given = {"config": folder / "text_encoder" / "config.json", "tokenizer": tmp_path}
    config = ClipTextConfig(**given) if is_clip else T5TextConfig(**given)
    assert any(said in message for _, message in (clip_lacks if is_clip else t5_lacks)(config))
    with pytest.raises(PartError, match=said):
        part(config)


def test_one_tokenizer_fills_prompts_up_as_each_encoder_wants_it(saved: Saved) -> None:
    folder = saved("sdxl")
    given = {"config": folder / "text_encoder_2" / "config.json"}
    own = ClipTextEncoder(ClipTextConfig(**given, tokenizer=folder / "tokenizer_2"))
    other = ClipTextEncoder(ClipTextConfig(**given, tokenizer=folder / "tokenizer", padding="!"))
    assert torch.equal(own._tokens([PROMPT])[0], other._tokens([PROMPT])[0])
    plain = ClipTextEncoder(ClipTextConfig(**given, tokenizer=folder / "tokenizer"))
    assert not torch.equal(own._tokens([PROMPT])[0], plain._tokens([PROMPT])[0])


def test_a_t5_reads_padding_or_masks_it(saved: Saved) -> None:
    folder = saved("pixart")
    config = T5TextConfig(
        config=folder / "text_encoder" / "config.json", tokenizer=folder / "tokenizer", context=16
    )
    reference = transformers.T5EncoderModel.from_pretrained(folder / "text_encoder")
    tokenizer = transformers.T5Tokenizer.from_pretrained(folder / "tokenizer")
    ids = tokenizer(PROMPT, padding="max_length", max_length=16, return_tensors="pt")
    read = loaded(T5TextEncoder(config), folder / "text_encoder")([PROMPT])
    assert read.mask is None
    assert torch.allclose(read.tokens, reference(ids.input_ids)[0], atol=1e-6)
    masking = T5TextConfig(
        config=config.config, tokenizer=config.tokenizer, context=16, masked=True, lowercase=True
    )
    masked = loaded(T5TextEncoder(masking), folder / "text_encoder")([" A red STAR "])
    assert torch.equal(masked.mask, ids.attention_mask.bool())
    expected = reference(ids.input_ids, attention_mask=ids.attention_mask)[0]
    assert torch.allclose(masked.tokens, expected, atol=1e-6)


def test_positions_know_their_words(saved: Saved) -> None:
    """The tokens of these small models are letters."""
    prompt = "A red, \u0130star"
    begun, *spans, ended = clip(saved).spans(prompt)
    assert (begun, ended) == ((0, 0), (0, 0))
    assert "".join(prompt[slice(*span)] for span in dict.fromkeys(spans)) == prompt.replace(" ", "")
    folder = saved("pixart")
    config = T5TextConfig(
        config=folder / "text_encoder" / "config.json", tokenizer=folder / "tokenizer", lowercase=True
    )
    prompt = "  A \u0130 RED star"
    *spans, mark = T5TextEncoder(config).spans(prompt)
    assert mark == (0, 0)
    assert "".join(prompt[slice(*span)] for span in dict.fromkeys(spans)) == prompt.replace(" ", "")


def test_words_of_a_clip_are_weighted_and_long_prompts_read_in_chunks(saved: Saved) -> None:
    inner = clip(saved)
    encoder = WeightedTextEncoder(WeightedConfig(encoder=None, chunks=2), inner)
    # 1 mark, 70 letters, "star" which is 4, and 2 more, for which 75 have no room
    text = encoder([f"{'x' * 70} (star:1.5) [no] end"])
    first, second, empty = inner([f"{'x' * 70} star"]).tokens, inner(["no end"]).tokens, inner([""]).tokens
    first[:, 71:75] = empty[:, 71:75] + 1.5 * (first[:, 71:75] - empty[:, 71:75])
    second[:, 1:3] = empty[:, 1:3] + (second[:, 1:3] - empty[:, 1:3]) / 1.1
    assert torch.allclose(text.tokens, torch.cat([first, second], dim=1), atol=1e-5)
    assert torch.equal(encoder([PROMPT]).tokens[:, :77], inner([PROMPT]).tokens)
    file = {f"text_model.{name}": value for name, value in inner.network.state_dict().items()}
    assert encoder.read_weights(file).keys() == encoder.state_dict().keys()
    both = JoinedTextEncoder(JoinedTextConfig(encoders=None, tokens=((0, 1),), pooled=(1,)), [encoder] * 2)
    assert both(["a (red:1.5) star"]).tokens.shape == (1, 154, 2 * inner.token_width)


class Spelled(TextEncoder):
    """Says the length of each prompt, as a pooled vector and as token vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token_width = self.pooled_width = width
        self.context = 2

    def forward(self, prompts: Any) -> TextEmbedding:
        lengths = torch.tensor([float(len(prompt)) for prompt in prompts])
        return TextEmbedding(
            lengths[:, None].expand(-1, self.token_width),
            lengths[:, None, None].expand(-1, 2, self.token_width),
        )

    def unconditional(self, negative: Any = None) -> TextEmbedding:
        return self.forward(negative or [""])


def joined(**parameters: Any) -> JoinedTextEncoder:
    encoders = [Spelled(2), Spelled(3), ZeroTextEncoder(ZeroTextConfig(width=7, context=4))]
    return JoinedTextEncoder(JoinedTextConfig(encoders=None, **parameters), encoders)


def test_encoders_are_joined_along_width_and_positions() -> None:
    encoder = joined(tokens=((0, 1), (2,)), pooled=(0, 1))
    embedded = encoder(["abc"])
    assert (encoder.token_width, encoder.context, encoder.pooled_width) == (7, 6, 5)
    expected = torch.zeros(1, 6, 7)
    expected[:, :2, :5] = 3
    assert torch.equal(embedded.tokens, expected)
    assert embedded.pooled is not None
    assert torch.equal(embedded.pooled, torch.full((1, 5), 3.0))


def test_each_encoder_may_have_a_text_of_its_own() -> None:
    encoder = joined(tokens=((0, 1),), pooled=(0, 1))
    assert encoder.texts == ("prompt_2", "prompt_3")
    embedded = encoder([("abc", "de", ""), "abcd"])
    assert embedded.pooled is not None
    assert embedded.pooled.tolist() == [[3, 3, 2, 2, 2], [4, 4, 4, 4, 4]]


def test_zeros_stand_for_no_prompt_and_not_for_a_negative_one() -> None:
    encoder = joined(tokens=((0, 1),), pooled=(1,), zeros_for_none=True)
    assert not encoder.unconditional().tokens.any()
    negative = encoder.unconditional(["abc"])
    assert torch.equal(negative.tokens, torch.full((1, 2, 5), 3.0))


def test_an_encoder_without_a_pooled_vector_gives_none() -> None:
    with pytest.raises(PartError, match="pooled names encoder 2, which makes no pooled vector"):
        joined(tokens=((0,),), pooled=(2,))


def autoencoder(folder: Path, **parameters: Any) -> Autoencoder:
    built: Autoencoder = loaded(
        Autoencoder(AutoencoderConfig(config=folder / "config.json", **parameters)), folder
    )
    return built


def test_an_image_is_the_mode_of_its_posterior_or_drawn_from_it(saved: Saved) -> None:
    folder = saved("sd3") / "vae"
    codec = autoencoder(folder)
    reference = diffusers.AutoencoderKL.from_pretrained(folder)
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    posterior = reference.encode(images / 127.5 - 1).latent_dist
    mode = 0.3 * (posterior.mean - 0.06)
    assert torch.allclose(codec.encode(images), mode, atol=1e-5)
    noise = torch.randn(2, 16, 8, 8)
    assert torch.allclose(codec.encode(images, noise), mode + 0.3 * posterior.std * noise, atol=1e-5)
    assert (codec.channels, codec.factor, codec.bounded) == (16, 2, False)


def test_latents_have_the_mean_and_deviation_that_the_file_says(saved: Saved, tmp_path: Path) -> None:
    """As pipelines of diffusers do: z = std / scaling_factor x_0 + mean, of each channel."""
    plain, folder = saved("sd15") / "vae", tmp_path / "vae"
    shutil.copytree(plain, folder)
    said = json.loads((folder / "config.json").read_text())
    mean, std = torch.tensor([5.81, 3.25, 0.12, -2.15]), torch.tensor([4.17, 4.62, 3.71, 3.28])
    said |= {"latents_mean": mean.tolist(), "latents_std": std.tolist(), "scaling_factor": 0.5}
    (folder / "config.json").write_text(json.dumps(said))
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    codec, z = autoencoder(folder), autoencoder(plain)
    x_0 = codec.encode(images)
    of_x_0, of_mean = (std / 0.5).reshape(-1, 1, 1), mean.reshape(-1, 1, 1)
    raw = z.encode(images) / json.loads((plain / "config.json").read_text()).get("scaling_factor", 1)
    assert torch.allclose(of_x_0 * x_0 + of_mean, raw, atol=1e-5)
    assert (codec.decode(x_0).int() - z.decode(z.encode(images)).int()).abs().max() <= 1


def test_an_older_file_names_the_attention_of_an_autoencoder_otherwise(saved: Saved) -> None:
    folder = saved("sd15") / "vae"
    codec = autoencoder(folder)
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    (file,) = folder.glob("*.safetensors")
    named = load_file(file)
    for theirs, ours in old.items():
        named = {name.replace(theirs, ours): tensor for name, tensor in named.items()}
    assert any(".proj_attn." in name for name in named)
    read = codec.read_weights(named)
    assert all(torch.equal(read[name], tensor) for name, tensor in codec.state_dict().items())


@pytest.mark.parametrize("name", ["pixart", "dit"])
def test_a_transformer_is_what_became_of_the_class_it_was_published_as(
    name: str, saved: Saved, tmp_path: Path
) -> None:
    folder = tmp_path / "transformer"
    shutil.copytree(saved(name) / "transformer", folder)
    said = json.loads((folder / "config.json").read_text())
    kind = {"pixart": "ada_norm_single", "dit": "ada_norm_zero"}[name]
    said |= {"_class_name": "Transformer2DModel", "norm_type": kind}
    (folder / "config.json").write_text(json.dumps(said))
    ours = loaded(DiffusersDenoiser(NetworkConfig(config=folder / "config.json")), folder)
    peer = diffusers.Transformer2DModel.from_pretrained(folder)
    assert type(ours.network) is type(peer)
    assert all(torch.equal(peer.state_dict()[key], it) for key, it in ours.network.state_dict().items())
    assert ours.known.reads == {"pixart": {"text"}, "dit": {"labels"}}[name]


def test_slices_decode_as_the_whole(saved: Saved) -> None:
    folder, x = saved("sd15") / "vae", torch.randn(2, 4, 8, 8)
    whole, sliced = autoencoder(folder).decode(x), autoencoder(folder, sliced=True).decode(x)
    assert (whole.int() - sliced.int()).abs().max() <= 1


def test_tiles_are_those_of_diffusers_and_what_fits_into_one_is_coded_as_the_whole(saved: Saved) -> None:
    """A tile is 8 x 8 of the latent here, 16 x 16 pixels."""
    folder = saved("sd15") / "vae"
    whole, tiled = autoencoder(folder), autoencoder(folder, tiled=True)
    reference = diffusers.AutoencoderKL.from_pretrained(folder)
    reference.enable_tiling()
    small, large = torch.randn(2, 4, 8, 8), torch.randn(1, 4, 12, 20)
    images = whole.decode(large)
    assert torch.equal(tiled.decode(small), whole.decode(small))
    assert torch.equal(tiled.encode(images[:, :, :16, :16]), whole.encode(images[:, :, :16, :16]))
    with torch.no_grad():
        pixels = reference.decode(large / 0.3).sample
        x_0 = 0.3 * reference.encode(images / 127.5 - 1).latent_dist.mode()
    expected = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round()
    assert (tiled.decode(large) - expected).abs().max() <= 1
    assert (images - expected).abs().max() > 4
    assert torch.allclose(tiled.encode(images), x_0, atol=1e-5)
    assert not torch.allclose(whole.encode(images), x_0, atol=1e-2)


def with_config(folder: Path, copy: Path, **said: Any) -> Path:
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **said}))
    return copy


@pytest.mark.parametrize(("dtype", "levels"), [("bfloat16", 12), ("float16", 2)])
def test_half_precision_decodes_nearly_the_same(
    dtype: str, levels: int, saved: Saved, tmp_path: Path
) -> None:
    folder = with_config(saved("sd15") / "vae", tmp_path / "vae", force_upcast=False)
    x = torch.randn(2, 4, 8, 8)
    whole, half = autoencoder(folder).decode(x), autoencoder(folder, dtype=dtype).decode(x)
    assert 0 < (whole.int() - half.int()).abs().max() <= levels
    x_0, near = (autoencoder(folder, dtype=of).encode(whole, x) for of in ("float32", dtype))
    assert x_0.dtype == near.dtype == torch.float32
    assert 0 < (x_0 - near).abs().max() < 0.05 * x_0.std()


@pytest.mark.parametrize("says", [False, True])
def test_float32_decodes_where_float16_overflows_or_the_file_says_that_it_does(
    says: bool, saved: Saved, tmp_path: Path
) -> None:
    folder = with_config(saved("sd15") / "vae", tmp_path / "vae", force_upcast=says)
    x = torch.randn(1, 4, 8, 8)
    whole, half = autoencoder(folder), autoencoder(folder, dtype="float16")
    if not says:  # each weight fits float16; what a layer makes of them does not
        for codec in (whole, half):
            codec.network.decoder.conv_in.weight.data *= 50_000
        z = (x / half.scale + half.shift).half()
        assert not half.network.decode(z).sample.isfinite().all()
        assert half.network.decoder.conv_in.weight.isfinite().all()
    assert (half.decode(x).int() - whole.decode(x).int()).abs().max() <= (0 if says else 1)
    assert half.dtype == (torch.float32 if says else torch.float16)
    assert whole.decode(x).float().std() > 0


def test_a_tiny_autoencoder_is_a_codec_too(tmp_path: Path) -> None:
    network = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )
    network.save_pretrained(tmp_path)
    codec = autoencoder(tmp_path)
    assert (codec.channels, codec.factor) == (4, 2)
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    reference = diffusers.AutoencoderTiny.from_pretrained(tmp_path)
    with torch.no_grad():
        latent = reference.encode(images / 127.5 - 1).latents
        pixels = reference.decode(latent).sample
    assert torch.allclose(codec.encode(images), latent, atol=1e-5)
    assert (codec.decode(latent) - ((pixels / 2 + 0.5).clamp(0, 1) * 255).round()).abs().max() <= 1


def test_a_mapping_gives_any_network_its_conditions(saved: Saved) -> None:
    folder = saved("pixart") / "transformer"
    config = NetworkConfig(config=folder / "config.json", arguments={"encoder_attention_mask": None})
    denoiser = loaded(DiffusersDenoiser(config), folder)
    text = TextEmbedding(None, torch.randn(1, 5, 48))
    given = Conditioning(1, {"text": Condition(text)})
    x, t = torch.randn(1, 4, 8, 8), torch.tensor([500])
    expected = denoiser.network(x, encoder_hidden_states=text.tokens, timestep=t, return_dict=False)[0]
    assert torch.equal(denoiser(x, t, given), expected)
    assert denoiser.reads == {"text"}


def test_a_class_that_is_not_known_needs_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "NextYear", "in_channels": 4}')
    with pytest.raises(GlidepathError, match="nothing is known of the class NextYear"):
        describe(NetworkConfig(config=tmp_path / "config.json"))
    known = describe(
        NetworkConfig(config=tmp_path / "config.json", arguments={"encoder_hidden_states": "text.tokens"})
    )
    assert known.reads == {"text"}
    with pytest.raises(PartError, match=r"diffusers .* has no network 'NextYear'"):
        DiffusersDenoiser(NetworkConfig(config=tmp_path / "config.json", arguments={"hint": "hint"}))


@pytest.mark.parametrize("key", ["auto_map", "quantization_config"])
def test_code_and_quantized_weights_are_refused(key: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(f'{{"_class_name": "UNet2DModel", "{key}": {{}}}}')
    with pytest.raises(GlidepathError, match=key):
        describe(NetworkConfig(config=tmp_path / "config.json"))
