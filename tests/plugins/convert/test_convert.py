"""`glidepath convert`: what it writes makes the images that the model made before."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from glidepath.core.cascade import Cascade
from glidepath.plugins.convert.checkpoint import Checkpoint
from glidepath.plugins.convert.conversion import Converter
from glidepath.plugins.convert.published import PUBLISHED, Published
from glidepath.plugins.convert.recognise import recognise
from glidepath.plugins.convert.text import spec_text
from glidepath.registry import assemble
from glidepath.registry.cli import main
from glidepath.registry.discovery.catalogue import load_catalogue

from .checkpoints import (
    ADM,
    ADM_SETTINGS,
    GLIDE,
    GLIDE_SETTINGS,
    WORDS,
    parts,
    randomise,
    shapes_of,
    write_model,
)

pytestmark = pytest.mark.thorough

PROMPTS = ["a green star", "a red ring"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def both(name: str, run: Callable[[Any], Tensor], *overrides: str) -> tuple[Tensor, Tensor]:
    before = run(assemble(f"{name}.before.yaml", overrides=list(overrides)))
    return before, run(assemble(f"{name}.yaml"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_converted_glide_makes_the_same_images(dtype: torch.dtype) -> None:
    write_model(GLIDE, "base", dtype=dtype)
    assert main(["convert", "base.pt", *GLIDE_SETTINGS]) == 0
    assert main(["check", "base.yaml"]) == 0
    before, after = both("base", lambda pipeline: pipeline(PROMPTS, seed=3))
    assert torch.equal(before, after)
    assert {value.dtype for value in load_file("base.safetensors").values()} == {dtype}


def test_a_converted_adm_with_classes_makes_the_same_images() -> None:
    write_model(ADM, "adm")
    assert main(["convert", "adm.pt", *ADM_SETTINGS]) == 0
    before, after = both("adm", lambda pipeline: pipeline(["", ""], labels=[0, 4], seed=1))
    assert torch.equal(before, after)


def test_a_converted_upsampler_that_inpaints_makes_the_same_images() -> None:
    roles = ["denoiser.upsamples=true", "denoiser.inpaints=true"]
    write_model(GLIDE, "up", *roles)
    settings = [*GLIDE_SETTINGS, "--set", "schedule=cosine", "--set", "sampler=ddpm"]
    assert main(["convert", "up.pt", *settings, "--set", "sampler.steps=4"]) == 0
    generator = torch.Generator().manual_seed(0)
    low_res = torch.randint(0, 256, (1, 3, 8, 8), generator=generator, dtype=torch.uint8)
    image = torch.randint(0, 256, (1, 3, 16, 16), generator=generator, dtype=torch.uint8)
    mask = torch.randint(0, 2, (1, 1, 16, 16), generator=generator)

    def run(pipeline: Any) -> Tensor:
        made: Tensor = pipeline(["a star"], low_res=low_res, image=image, mask=mask)
        return made

    before, after = both("up", run, *roles, "guidance=[]", "sampler.temperature=0.997")
    assert torch.equal(before, after)


def test_the_images_of_the_command_line_are_the_same_too() -> None:
    write_model(GLIDE, "base")
    assert main(["convert", "base.pt", *GLIDE_SETTINGS, "--out", "converted"]) == 0
    for spec, out in (("base.before.yaml", "before.png"), ("converted/base.yaml", "after.png")):
        assert main(["sample", "a green star", "--spec", spec, "--out", out, "--scale", "1"]) == 0
    from PIL import Image

    assert Image.open("before.png").tobytes() == Image.open("after.png").tobytes()


def test_a_safetensors_file_is_converted_beside_itself() -> None:
    write_model(ADM, "adm")
    save_file(torch.load("adm.pt", weights_only=True), "adm.safetensors")
    assert main(["convert", "adm.safetensors", *ADM_SETTINGS]) == 0
    assert Path("adm-converted.yaml").is_file()
    assert main(["check", "adm-converted.yaml"]) == 0
    assert set(load_file("adm-converted.safetensors")) == {
        f"denoiser.{key}" for key in load_file("adm.safetensors")
    }


def test_keys_are_kept_below_the_names_of_the_slots() -> None:
    write_model(GLIDE, "base")
    assert main(["convert", "base.pt", *GLIDE_SETTINGS]) == 0
    before, after = load_file("base.before.safetensors"), load_file("base.safetensors")
    assert set(before) == set(after)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_precisions_stay_as_they_are_and_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    write_model(ADM, "adm")
    tensors = torch.load("adm.pt", weights_only=True)
    tensors["out.2.weight"] = tensors["out.2.weight"].half()
    torch.save(tensors, "adm.pt")
    assert main(["convert", "adm.pt", *ADM_SETTINGS]) == 0
    after = load_file("adm.safetensors")
    assert {key for key, value in after.items() if value.dtype == torch.float16} == {"denoiser.out.2.weight"}
    count = sum(value.numel() for value in after.values())
    assert f"{count:,} parameters, " in (out := capsys.readouterr().out)
    assert "MB of float32, 1.73 kB of float16" in out


def test_views_and_shared_storages_are_written_apart() -> None:
    write_model(ADM, "adm")
    tensors = torch.load("adm.pt", weights_only=True)
    flat = torch.cat([value.flatten() for value in tensors.values()])
    sizes = [value.numel() for value in tensors.values()]
    pieces = {key: piece.view_as(tensors[key]) for key, piece in zip(tensors, flat.split(sizes), strict=True)}
    torch.save(pieces, "adm.pt")
    assert main(["convert", "adm.pt", *ADM_SETTINGS]) == 0
    after = load_file("adm.safetensors")
    assert all(torch.equal(after[f"denoiser.{key}"], value) for key, value in tensors.items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "model._orig_mod."])
def test_the_prefix_of_what_a_network_was_trained_in_is_taken_off(prefix: str) -> None:
    write_model(ADM, "adm")
    tensors = torch.load("adm.pt", weights_only=True)
    torch.save({f"{prefix}{key}": value for key, value in tensors.items()}, "ema_0.9999_000100.pt")
    assert main(["convert", "ema_0.9999_000100.pt", *ADM_SETTINGS]) == 0
    assert set(load_file("ema_0.9999_000100.safetensors")) == {f"denoiser.{key}" for key in tensors}


def test_the_only_state_dict_among_what_a_training_run_keeps_is_taken() -> None:
    write_model(ADM, "adm")
    tensors = torch.load("adm.pt", weights_only=True)
    optimizer = {"state": {0: {"step": torch.ones(1)}}, "param_groups": [{"lr": 1e-4}]}
    run = {"epoch": 3, "state_dict": tensors, "optimizer": optimizer}
    torch.save(run, "last.ckpt")
    assert main(["convert", "last.ckpt", *ADM_SETTINGS]) == 0
    made = load_file("last.safetensors")
    assert all(torch.equal(made[f"denoiser.{key}"], value) for key, value in tensors.items())


@pytest.mark.parametrize(
    ("keys", "arguments"),
    [
        (["model", "state_dict"], []),
        (["params_ema"], []),
        (["model_ema", "module"], ["--key", "model_ema.module"]),
    ],
)
def test_a_network_is_found_under_the_keys_of_a_training_run(keys: list[str], arguments: list[str]) -> None:
    write_model(ADM, "adm")
    tensors = torch.load("adm.pt", weights_only=True)
    run: dict[str, object] = tensors
    for key in reversed(keys):
        run = {key: run}
    other = {"conv1.weight": torch.ones(1)}  # of a loss, say: no network that is known
    if arguments:
        other = {key: torch.zeros_like(value) for key, value in tensors.items()}
    torch.save({**run, "other": other, "step": 3}, "last.ckpt")
    assert main(["convert", "last.ckpt", *arguments, *ADM_SETTINGS]) == 0
    made = load_file("last.safetensors")
    assert all(torch.equal(made[f"denoiser.{key}"], value) for key, value in tensors.items())


def test_a_model_and_its_classifier_make_a_spec_of_both() -> None:
    write_model(ADM, "adm")
    network = (
        "{use: adm-classifier, image_size: 8, channels: 32, channel_mult: [1, 1], res_blocks: 1, "
        "attention_resolutions: [4], head_channels: 16, num_classes: 5}"
    )
    (guidance,) = parts(f"{ADM}guidance: [{{use: classifier, classifier: {network}}}]\n")["guidance"]
    tensors = randomise(guidance.classifier.state_dict())
    torch.save(tensors, "cls.pt")
    save_file(tensors, "cls.before.safetensors")
    whole = network.replace("}", ", weights: cls.before.safetensors}")
    spec = Path("adm.before.yaml")
    spec.write_text(f"{spec.read_text()}guidance: [{{use: classifier, scale: 1.0, classifier: {whole}}}]\n")
    settings = [*ADM_SETTINGS, "--set", "classifier.head_channels=16"]
    assert main(["convert", "adm.pt", "cls.pt", *settings]) == 0
    assert main(["check", "adm-cls.yaml"]) == 0

    def run(name: str) -> Tensor:
        return assemble(name)(["", ""], labels=[0, 4], seed=1)

    assert torch.equal(run("adm.before.yaml"), run("adm-cls.yaml"))
    assert not torch.equal(run("adm.yaml"), run("adm-cls.yaml"))


def test_the_two_files_of_a_clip_make_one_that_guides() -> None:
    write_model(GLIDE, "base")
    clip = (
        f"{{use: noised-clip, width: 24, text_width: 32, text_layers: 2, text_heads: 2, context: 12, "
        f"image_size: 16, image_width: 32, image_layers: 1, image_heads: 2, vocabulary_rows: 40, "
        f"tokenizer: {WORDS}}}"
    )
    text = GLIDE.replace("[{use: classifier-free, scale: 3}]", f"[{{use: clip, clip: {clip}}}]")
    (guidance,) = parts(text)["guidance"]
    tensors = randomise(guidance.clip.state_dict())
    for half in ("text", "image"):
        own = {
            key.removeprefix(f"{half}."): value
            for key, value in tensors.items()
            if key.startswith(f"{half}.")
        }
        torch.save(own, f"clip_{half}_enc.pt")
    save_file(tensors, "clip.before.safetensors")
    whole = clip.replace("use: noised-clip,", "use: noised-clip, weights: clip.before.safetensors,")
    Path("base.before.yaml").write_text(text.replace(clip, whole) + "weights: base.before.safetensors\n")
    settings = [*GLIDE_SETTINGS, "--set", "clip.text_heads=2", "--set", "clip.image_heads=2"]
    settings += ["--set", f"clip.tokenizer={WORDS}"]
    assert main(["convert", "base.pt", "clip_text_enc.pt", "clip_image_enc.pt", *settings]) == 0
    assert set(load_file("clip.safetensors")) == set(tensors)
    before, after = (assemble(name)(PROMPTS, seed=2) for name in ("base.before.yaml", "base-clip.yaml"))
    assert torch.equal(before, after)


def test_half_a_clip_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    clip = next(it for it in PUBLISHED if it.file == "clip_text_enc.pt")
    tensors = {name: torch.ones(1).expand(shape) for name, shape in clip.model.shapes().items()}
    torch.save(tensors, "clip_text_enc.pt")
    assert main(["convert", "clip_text_enc.pt"]) == 1
    assert "a CLIP is a text encoder and an image encoder; give one of each" in capsys.readouterr().err


def test_a_base_and_an_upsampler_make_a_cascade() -> None:
    roles = ["denoiser.upsamples=true", "denoiser.image_size=64", "schedule=linear", "guidance=[]"]
    walk = ["sampler={use: ddim, temperature: 0.997}"]
    size = ["denoiser.image_size=32", "denoiser.attention_resolutions=[32]"]
    write_model(GLIDE, "base", *size)
    write_model(GLIDE, "up", *roles, "denoiser.attention_resolutions=[32]")
    # sizes follow from the attention
    heads = [it for it in GLIDE_SETTINGS if it != "denoiser.image_size=16"][1:]
    assert main(["convert", "base.pt", "up.pt", *heads]) == 0
    assert main(["check", "base-up.yaml"]) == 0
    base = assemble("base.before.yaml", overrides=size)
    up = assemble(
        "up.before.yaml", overrides=[*roles, *walk, "sampler.steps=4", "denoiser.attention_resolutions=[32]"]
    )
    before = Cascade({"base": base, "upsample": up})(["a star"], seed=1)
    assert torch.equal(before, assemble("base-up.yaml")(["a star"], seed=1))


# full-size models: no memory stands behind their tensors


@pytest.mark.parametrize("model", [it for it in PUBLISHED if it.preset], ids=lambda it: it.preset)
def test_a_published_model_becomes_a_spec_that_extends_its_preset(model: Published, tmp_path: Path) -> None:
    shapes = model.model.shapes()
    with torch.device("meta"):
        tensors = {name: torch.empty(shape, dtype=torch.float16) for name, shape in shapes.items()}
    checkpoint = Checkpoint(tmp_path / model.file, tensors, recognise(shapes, model.file))
    [made] = converter().plan([checkpoint])
    assert made.tree == {"extends": model.preset, "weights": f"{Path(model.file).stem}.safetensors"}
    assert made.tensors is not None
    built = parts(spec_text(made.tree, made.comments), device="meta")
    slots = [slot for slot in ("denoiser", "text_encoder") if slot in built]
    expected = {f"{slot}.{key}": shape for slot in slots for key, shape in shapes_of(built[slot]).items()}
    assert shapes_of(made.tensors) == expected
    assert f"{model.name}: " in made.summary[0]
    assert [note for note in made.notes if "no tensor shows" in note] == []


def test_published_files_given_together_make_all_that_they_can(tmp_path: Path) -> None:
    files = ["base.pt", "upsample.pt", "clip_text_enc.pt", "clip_image_enc.pt"]
    files += [
        "256x256_diffusion_uncond.pt",
        "256x256_classifier.pt",
        "64x64_diffusion.pt",
        "64_256_upsampler.pt",
    ]
    made = converter().plan([on_meta(file, tmp_path) for file in files])
    trees = {it.spec.name: it.tree for it in made}
    assert trees["base-clip.yaml"] == {"extends": ["base.yaml", "clip.yaml"]}
    assert trees["base-upsample.yaml"] == {
        "stages": {"base": {"extends": "base.yaml"}, "upsample": {"extends": "upsample.yaml"}}
    }
    guided = {"base": {"extends": "base-clip.yaml"}, "upsample": {"extends": "upsample.yaml"}}
    assert trees["base-clip-upsample.yaml"] == {"stages": guided}
    assert "64x64_diffusion-64_256_upsampler.yaml" in trees
    assert "64x64_diffusion-256x256_classifier.yaml" not in trees
    assert "base-64_256_upsampler.yaml" not in trees
    # guided models that know no classes need ten times the scale
    assert trees["256x256_classifier.yaml"]["guidance"][0]["scale"] == 1.0
    both = trees["256x256_diffusion_uncond-256x256_classifier.yaml"]
    assert both["extends"] == ["256x256_diffusion_uncond.yaml", "256x256_classifier.yaml"]
    assert both["guidance"][0]["scale"] == 10.0
    for it in made:
        Path(it.spec.name).write_text(spec_text(it.tree, it.comments))
    for it in made:
        if it.complete:
            assert main(["check", it.spec.name]) == 0


def test_a_preset_is_extended_under_settings_too(tmp_path: Path) -> None:
    made = converter("denoiser.image_size=32", "denoiser.heads=2").plan(
        [on_meta("64x64_diffusion.pt", tmp_path)]
    )
    assert made[0].tree["extends"] == "adm-64"
    assert made[0].tree["denoiser"] == {
        "attention_resolutions": [16, 8, 4],
        "image_size": 32,
        "heads": 2,
        "head_channels": None,
    }


def test_vocabularies_are_found_beside_the_file_or_where_one_says(tmp_path: Path) -> None:
    for name in ("encoder.json.gz", "vocab.bpe", "bpe_simple_vocab_16e6.txt.gz"):
        (tmp_path / name).write_bytes(b"")
    files = [on_meta(name, tmp_path) for name in ("base.pt", "clip_text_enc.pt", "clip_image_enc.pt")]
    base, clip, _ = converter().plan(files)
    own = {"use": "bpe", "vocabulary": "encoder.json.gz", "merges": "vocab.bpe"}
    assert base.tree["text_encoder"] == {"tokenizer": own}
    assert clip.tree["guidance"][0]["clip"]["tokenizer"] == {
        "use": "clip-bpe",
        "vocabulary": "bpe_simple_vocab_16e6.txt.gz",
    }
    assert not any("vocabulary" in note for it in (base, clip) for note in it.notes)

    other = tmp_path / "elsewhere"
    elsewhere = Converter(
        catalogue=load_catalogue(), out=other, vocabulary=tmp_path, settings=[], command="glidepath convert"
    )
    (base, _, _) = elsewhere.plan(files)
    assert base.tree["text_encoder"]["tokenizer"]["vocabulary"] == str(tmp_path / "encoder.json.gz")


def test_a_missing_vocabulary_is_said(tmp_path: Path) -> None:
    [base] = converter().plan([on_meta("base.pt", tmp_path)])
    assert "without GPT-2's vocabulary, which is not here: encoder.json and vocab.bpe" in base.notes[0]


def on_meta(file: str, folder: Path) -> Checkpoint:
    model = next(it for it in PUBLISHED if it.file == file)
    shapes = model.model.shapes()
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
    return Checkpoint(folder / file, tensors, recognise(shapes, file))


def converter(*settings: str) -> Converter:
    from glidepath.plugins.convert.settings import read_settings

    return Converter(
        catalogue=load_catalogue(),
        out=None,
        vocabulary=None,
        settings=read_settings(settings),
        command="glidepath convert",
    )


def test_a_variance_that_was_not_learned_is_the_larger_one_as_in_the_program_of_adm(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_model(ADM, "adm")
    known = ["--set", "denoiser.image_size=8", "--set", "denoiser.heads=2"]
    assert main(["convert", "adm.pt", *known]) == 0
    assert "sampler=ddpm, sampler.variance=fixed-large; give others with --set" in capsys.readouterr().err
    written = Path("adm.yaml").read_text()
    assert re.search(r"^# no tensor shows these.* sampler\.variance=fixed-large;", written, re.M)
    assert assemble("adm.yaml").sampler.variance == "fixed-large"
    given = [*known, "--set", "sampler.variance=fixed-small", "--overwrite"]
    assert main(["convert", "adm.pt", *given]) == 0
    assert "sampler.variance" not in capsys.readouterr().err
    assert assemble("adm.yaml").sampler.variance == "fixed-small"


@pytest.mark.parametrize("sampler", ["ddpm", "{use: ddpm, steps: 7}", "{use: glidepath-diffusion/ddpm}"])
def test_a_sampler_that_is_named_by_setting_has_that_variance_too(sampler: str) -> None:
    write_model(ADM, "adm")
    assert main(["convert", "adm.pt", *ADM_SETTINGS[:-1], f"sampler={sampler}"]) == 0
    assert assemble("adm.yaml").sampler.variance == "fixed-large"


@pytest.mark.parametrize(
    ("model", "settings"),
    [(ADM, ADM_SETTINGS), (ADM.replace("learned_variance: false", "learned_variance: true"), [])],
)
def test_no_variance_is_said_where_it_is_learned_or_none_is_drawn(model: str, settings: list[str]) -> None:
    write_model(model, "adm")
    size = ["--set", "denoiser.image_size=8"]
    assert main(["convert", "adm.pt", *size, *settings]) == 0
    assert "variance: fixed" not in Path("adm.yaml").read_text()


def test_what_names_the_tokens_of_a_text_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    write_model(GLIDE, "base")
    tensors = torch.load("base.pt", weights_only=True)
    tokens = tensors["token_embedding.weight"]
    tensors |= {"unemb.weight": tokens, "unemb.bias": torch.full((len(tokens),), torch.nan)}
    torch.save(tensors, "base.pt")
    assert main(["convert", "base.pt", *GLIDE_SETTINGS]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "unemb" in line]
    assert len(told) == 1
    assert told[0].strip().startswith("left out: unemb.weight, unemb.bias, the head that names tokens")
    assert f"# {told[0].strip()}" in Path("base.yaml").read_text()
    assert not any("unemb" in name for name in load_file("base.safetensors"))
    before, after = both("base", lambda pipeline: pipeline(PROMPTS, seed=3))
    assert torch.equal(before, after)
