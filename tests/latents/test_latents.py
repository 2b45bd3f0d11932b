"""Diffusion in the latents of a stranger's codec: sizes, bounds, masks and pictures are those of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.registry.tiny import run
from torch import Tensor

from glidepath.core import PartError, PerSampleNoise, Pipeline
from glidepath.plugins.train.losses.loss import encoded
from glidepath.registry.assembly.build import assemble
from glidepath.registry.text.problems import SpecError
from glidepath.testing import Suite

PICTURE = (torch.arange(3 * 16 * 16) % 256).reshape(1, 3, 16, 16).to(torch.uint8)


def built(*overrides: str) -> Pipeline:
    pipeline = assemble("latent.yaml", overrides)
    assert isinstance(pipeline, Pipeline)
    return pipeline


def shown(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def last(pipeline: Pipeline, **arguments: Any) -> Tensor:
    *_, state = pipeline.states([""], **arguments)
    return state.x


def test_images_have_the_size_that_latents_decode_to(latent: Path) -> None:
    pipeline = built()
    assert pipeline.image_size == (16, 16)
    assert pipeline([""]).shape == (1, 3, 16, 16)
    assert pipeline([""], size=(16, 24)).shape == (1, 3, 16, 24)
    assert pipeline.latent_shape((16, 24)) == (4, 8, 12)


def test_a_schedule_is_that_of_the_latents_of_the_call(latent: Path) -> None:
    pipeline = built()
    asked: list[tuple[int, ...]] = []
    schedule = pipeline.schedule

    def for_size(size: tuple[int, ...]) -> Any:
        asked.append(tuple(size))
        return schedule

    pipeline.schedule.for_size = for_size  # type: ignore[method-assign]
    pipeline([""])
    pipeline([""], size=(16, 24))
    assert asked == [(8, 8), (8, 12)]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((16, 25), "no images of 25x16 pixels: its codec takes images whose sides are multiples of 2"),
        ((16, 18), "no images of 18x16 pixels: adm-unet takes an x whose sides are multiples of 2"),
        ((0, 16), r"size is \(height, width\) in pixels"),
        (16, r"size is \(height, width\) in pixels"),
    ],
)
def test_a_size_that_codec_or_denoiser_do_not_take_is_refused_before_the_walk(
    latent: Path, size: Any, message: str
) -> None:
    with pytest.raises(PartError, match=message):
        built().states([""], size=size)


def test_latents_are_not_clipped_unless_pixels_are(latent: Path) -> None:
    free = last(built("sampler.clip=false"))
    assert torch.equal(last(built()), free)
    assert float(free.abs().max()) > 1
    for sampler in ("ddpm", "heun", "pndm"):
        assert built(f"sampler={{use: {sampler}, steps: 8}}").sampler.clip is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("override", "path", "what"),
    [
        (
            "sampler.clip=true",
            "sampler.clip",
            "needs codec.bounded true, and codec (patches",
        ),
        ("guidance=[dynamic-threshold]", "guidance[0]", "needs codec.bounded true"),
        ("guidance=[{use: clip, clip: noised-clip}]", "guidance[0]", "a CLIP looks at x as pixels"),
        (
            "denoiser.in_channels=16",
            "codec",
            "codec.channels 4, and denoiser (adm-unet) makes an x of 16",
        ),
        ("denoiser.in_channels=3", "codec", "has codec.channels 4, and denoiser (adm-unet) makes an x of 3"),
        ("codec=identity", "codec", "codec (identity) has codec.channels 3, and denoiser (adm-unet) makes"),
        ("codec.channels=8", "codec", "has codec.channels 8, and denoiser (adm-unet) makes an x of 4"),
    ],
)
def test_what_does_not_fit_the_latents_is_refused_with_its_place(
    latent: Path, override: str, path: str, what: str
) -> None:
    with pytest.raises(SpecError) as raised:
        built(override)
    assert any(it.path == path and what in it.what for it in raised.value.problems)


def test_an_image_is_drawn_from_its_distribution_by_the_seed(latent: Path) -> None:
    pipeline = built()
    seen: list[Tensor] = []
    noise = PerSampleNoise([(7, 0)])
    levels = pipeline.levels(0.5)
    predict = pipeline.denoiser.prepare

    def prepare(*arguments: Any) -> Any:
        bound = predict(*arguments)

        def asked(x: Tensor, step: Any) -> Any:
            seen.append(x)
            return bound(x, step)

        return asked

    pipeline.denoiser.prepare = prepare  # type: ignore[method-assign]
    pipeline([""], seed=7, image=PICTURE, strength=0.5)
    shape = (1, 4, 8, 8)
    mean = pipeline.codec.encode(PICTURE)
    x_0 = mean + 0.1 * noise.posterior(shape, "cpu")
    first = float(levels.alpha[0]) * x_0 + float(levels.sigma[0]) * noise.initial(shape, "cpu")
    torch.testing.assert_close(seen[0], first)


def test_a_latent_is_known_where_all_its_pixels_are(latent: Path) -> None:
    pipeline = built("codec.deviation=0")
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :9] = 1  # the ninth column is half of a latent
    x = last(pipeline, image=PICTURE, mask=mask)
    same = (x == pipeline.codec.encode(PICTURE)).all(dim=1)
    assert same.expand(1, 8, 8)[..., :4].all()
    assert not same[..., 4:].any()
    with pytest.raises(PartError, match="mask is 8x8 pixels, and this pipeline makes images of 16x16"):
        pipeline.states([""], image=PICTURE, mask=mask[..., :8, :8])
    with pytest.raises(PartError, match="image is 8x8 pixels, and this pipeline makes images of 16x16"):
        pipeline.states([""], image=PICTURE[..., :8, :8], strength=1)


def test_pictures_films_and_scales_are_of_pixels_on_the_command_line(latent: Path) -> None:
    Image.effect_noise((40, 30), 90).convert("RGB").save("photo.png")
    hole = Image.new("L", (40, 30))
    hole.paste(255, (20, 0, 40, 30))
    hole.save("hole.png")
    common = ("--spec", "latent.yaml", "--count", 2)
    assert run("sample", *common, "--film", "--scale", 2, "--out", "a.png") == 0
    assert shown("a.png") == (2 * 32 + 4, 32)
    assert shown("a-film.png") == (4 * 20 - 4, 2 * 20 - 4)
    assert run("sample", "--spec", "latent.yaml", "--out", "b.png", "--separate") == 0
    assert shown("b.png") == (256, 256)
    changed = ("--image", "photo.png", "--strength", 0.6)
    assert run("sample", "--spec", "latent.yaml", *changed, "--mask", "hole.png", "--out", "c.png") == 0
    assert run("replay", "c.png") == 0
    assert run("sample", "--spec", "latent.yaml", "--noise-film", "photo.png", "--out", "d.png") == 0
    assert shown("d.png")[1] == 8 * 16
    sized = ("--size", "24x16", "--scale", 2, "--out", "e.png")
    assert run("sample", "--spec", "latent.yaml", "--noise-film", "photo.png", *sized) == 0
    assert shown("e.png") == (10 * 24 + 9 * 4, 16)


def test_a_size_of_the_call_is_recorded_and_replayed(
    latent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.effect_noise((40, 30), 90).convert("RGB").save("photo.png")
    size = ("--spec", "latent.yaml", "--size", "24x16")
    assert run("sample", *size, "--out", "a.png") == 0
    assert run("sample", *size, "--image", "photo.png", "--strength", 0.6, "--out", "b.png") == 0
    assert shown("a.png") == shown("b.png") == (24, 16)
    capsys.readouterr()
    assert run("replay", "a.png") == run("replay", "b.png") == 0
    assert capsys.readouterr().out.count("the same image, pixel for pixel") == 2
    assert run("sample", *size, "--size", "23x16") == 1
    assert "no images of 23x16 pixels" in capsys.readouterr().err
    assert run("sample", *size, "--size", "24") == 2


def test_training_encodes_each_batch_with_noise_of_its_own_seed(latent: Path) -> None:
    codec = built().codec
    images = PICTURE.float() / 127.5 - 1
    x_0 = encoded(codec, images, torch.device("cpu"), torch.Generator().manual_seed(5))
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(x_0, codec.encode(PICTURE) + 0.1 * noise)
    assert torch.equal(encoded(codec, images, torch.device("cpu")), codec.encode(PICTURE))


def test_a_latent_model_is_trained_on_images_and_sampled(
    latent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("images").mkdir()
    for colour in ("red", "green"):
        Image.new("RGB", (20, 20), colour).save(f"images/{colour}.png")
        Path(f"images/{colour}.txt").write_text(colour)
    text = Path("latent.yaml").read_text().replace("  weights: unet.safetensors\n", "")
    text += "train: {use: diffusion, steps: 2, batch: 2, contrastive_steps: 0}\n"
    Path("train.yaml").write_text(text + "data: {use: captioned-folder, folder: images, size: 16}\n")
    assert run("train", "train.yaml", "--out", "run") == 0
    assert run("sample", "--spec", "run/spec.yaml", "--scale", 1, "--out", "a.png") == 0
    assert shown("a.png") == (16, 16)
    capsys.readouterr()
    assert run("check", "train.yaml", "--set", "data.size=8") == 2
    assert "needs pixels.size 8, and denoiser (adm-unet) gives 16" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_learned_codec_passes_the_conformance_kit_without_exceptions(latent: Path) -> None:
    suite = Suite("acme-latent")
    outcomes = [suite.run(case) for case in suite.cases.values()]
    assert len(outcomes) > 10
    assert [(it.id, it.reason) for it in outcomes if it.status == "failed"] == []
