"""What `adm-unet` sees beside x_t: the image to upsample, and the known pixels of one to fill in."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
import torch
from torch import Tensor

from glidepath.core.conditioning import Condition, Conditioning
from glidepath.core.denoiser import Predict
from glidepath.core.errors import PartError
from glidepath.core.guidance import fold
from glidepath.core.pipeline import Pipeline
from glidepath.plugins.adm import unet as module
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.pictures import picture_channels
from glidepath.plugins.adm.unet import AdmUNet
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig
from glidepath.plugins.samplers.configs import DdimConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.schedules.betas import LinearSchedule
from glidepath.plugins.schedules.configs import LinearConfig

from .test_unet import LEVELS, SMALL, assert_near, noise, relative, steps, text_of, trained

PLAIN = attrs.evolve(SMALL, text_width=None)
UPSAMPLER = attrs.evolve(PLAIN, upsamples=True)
INPAINTER = attrs.evolve(PLAIN, inpaints=True)
BOTH = attrs.evolve(PLAIN, upsamples=True, inpaints=True)
CPU = torch.device("cpu")
IN_PATCHES = {"patch_size": 2, "attention_resolutions": (4,)}


@pytest.mark.parametrize(
    ("config", "channels"), [(PLAIN, 3), (UPSAMPLER, 6), (INPAINTER, 7), (BOTH, 10)], ids="PUIB"
)
def test_pictures_enter_beside_the_image_and_leave_the_output_as_it_is(
    config: AdmUNetConfig, channels: int
) -> None:
    plain, unet = AdmUNet(PLAIN), AdmUNet(config)
    shapes = [{key: value.shape for key, value in network.state_dict().items()} for network in (plain, unet)]
    assert unet.state_dict()["input_blocks.0.0.weight"].shape == (32, channels, 3, 3)
    assert {key for key in shapes[0] if shapes[0][key] != shapes[1][key]} <= {"input_blocks.0.0.weight"}
    assert unet.image_shape == plain.image_shape
    assert unet.needs_low_res == config.upsamples


def test_the_channels_are_the_known_pixels_the_mask_and_the_enlarged_image() -> None:
    shown = conditioning_of(BOTH, 2)
    assert shown.get("low_res") is not None
    assert shown.get("image") is not None
    assert shown.get("mask") is not None
    made = picture_channels(BOTH, shown, (16, 16), CPU)
    assert made is not None
    assert torch.equal(made[:, :3], shown.get("image") * shown.get("mask"))
    assert torch.equal(made[:, 3:4], shown.get("mask"))
    assert (made[:, 4:] - bilinear(shown.get("low_res"), 16, 16)).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("image", "mask"), [(False, False), (True, False), (False, True)], ids=["neither", "image", "mask"]
)
def test_what_is_not_given_to_an_inpainter_is_zero(image: bool, mask: bool) -> None:
    given = conditioning_of(INPAINTER, 2)
    given = given.only({"image"} if image else {"mask"} if mask else ())
    made = picture_channels(INPAINTER, given, (16, 16), CPU)
    assert made is not None
    assert made.shape == (2, 4, 16, 16)
    assert not made[:, :3].any()
    assert made[:, 3:].any() == mask
    assert_prepared_equals_forward(trained(INPAINTER), given)


@pytest.mark.parametrize("size", [(16, 16), (5, 7), (1, 1), (40, 12)])
def test_an_image_of_any_size_can_be_enlarged(size: tuple[int, int]) -> None:
    low_res = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    made = picture_channels(UPSAMPLER, Conditioning.of(2, low_res=low_res), (16, 16), CPU)
    assert made is not None
    assert (made - bilinear(low_res, 16, 16)).abs().max() < 1e-5


def test_one_picture_serves_a_whole_batch() -> None:
    unet, one, x = trained(BOTH), conditioning_of(BOTH, 1), noise(BOTH, 3)
    assert one.get("low_res") is not None
    assert one.get("image") is not None
    assert one.get("mask") is not None
    repeated = Conditioning.of(
        3,
        low_res=one.get("low_res").repeat(3, 1, 1, 1),
        image=one.get("image").repeat(3, 1, 1, 1),
        mask=one.get("mask").repeat(3, 1, 1, 1),
    )
    with torch.no_grad():
        shared = unet(x, torch.full((3,), 500), attrs.evolve(one, batch=3))
        assert_near(shared, unet(x, torch.full((3,), 500), repeated))


@pytest.mark.parametrize(
    "config",
    [
        UPSAMPLER,
        INPAINTER,
        BOTH,
        attrs.evolve(UPSAMPLER, num_classes=5),
        attrs.evolve(BOTH, text_width=24),
        attrs.evolve(BOTH, **IN_PATCHES),
        attrs.evolve(BOTH, in_channels=4, learned_variance=False),
        attrs.evolve(BOTH, dims=1),
        attrs.evolve(BOTH, dims=3, image_size=8, attention_resolutions=(4,)),
    ],
)
def test_a_prepared_predictor_predicts_what_forward_does(config: AdmUNetConfig) -> None:
    assert_prepared_equals_forward(trained(config), conditioning_of(config, 2))


@pytest.mark.parametrize("config", [UPSAMPLER, attrs.evolve(UPSAMPLER, **IN_PATCHES)])
def test_a_prepared_upsampler_runs_on_other_sizes_than_its_own(config: AdmUNetConfig) -> None:
    assert_prepared_equals_forward(trained(config), conditioning_of(config, 2), torch.randn(2, 3, 12, 20))


@pytest.mark.parametrize("config", [INPAINTER, BOTH])
def test_a_prepared_inpainter_runs_on_the_size_of_its_image(config: AdmUNetConfig) -> None:
    other = attrs.evolve(config, image_size=32, attention_resolutions=(16,))
    x = noise(other, 2)
    assert_prepared_equals_forward(trained(config), conditioning_of(other, 2), x)


def test_pictures_are_made_once_for_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: object) -> Tensor | None:
        calls.append(arguments)
        return picture_channels(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "picture_channels", counted)
    with torch.no_grad():
        predict = trained(BOTH).prepare(conditioning_of(BOTH, 1), LEVELS)
        for step in steps():
            predict(noise(BOTH, 1), step)
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["low_res", "image", "mask"])
@pytest.mark.parametrize("patches", [{}, IN_PATCHES])
def test_the_output_depends_on_each_picture(name: str, patches: dict[str, object]) -> None:
    unet, x, t = trained(attrs.evolve(BOTH, **patches)), noise(BOTH, 1), torch.tensor([500])
    conditioning = conditioning_of(BOTH, 1)
    other = Condition(1 - conditioning.conditions[name].value)
    changed = attrs.evolve(conditioning, conditions={**conditioning.conditions, name: other})
    with torch.no_grad():
        assert not torch.allclose(unet(x, t, changed), unet(x, t, conditioning), atol=1e-3)


def test_pixels_that_are_not_known_are_not_seen() -> None:
    unet, x, t = trained(INPAINTER), noise(INPAINTER, 1), torch.tensor([500])
    conditioning = conditioning_of(INPAINTER, 1)
    assert conditioning.get("image") is not None
    assert conditioning.get("mask") is not None
    repainted = torch.where(
        conditioning.get("mask") == 1, conditioning.get("image"), conditioning.get("image") + 1
    )
    with torch.no_grad():
        again = Conditioning.of(1, image=repainted, mask=conditioning.get("mask"))
        assert torch.equal(unet(x, t, again), unet(x, t, conditioning))


def test_classifier_free_guidance_shows_both_halves_the_pictures() -> None:
    config = attrs.evolve(BOTH, text_width=24)
    unet, x, step = trained(config), noise(config, 2), steps()[1]
    prompt, null = text_of(2, seed=1), text_of(1, seed=2)
    pictures = conditioning_of(config, 2).conditions
    conditioning = Conditioning(2, {**pictures, "text": Condition(prompt, null)})
    without = Conditioning(2, {**pictures, "text": Condition(text_of(1, seed=2))})
    guidance = ClassifierFreeGuidance(ClassifierFreeConfig(scale=3.0))

    def bind(given: Conditioning) -> Predict:
        return unet.prepare(given, LEVELS)

    with torch.no_grad():
        guided = fold([guidance], bind)(conditioning)(x, step).value
        one, other = (bind(each)(x, step).value for each in (conditioning, without))
    assert_near(guided, other + 3 * (one - other))


@pytest.mark.parametrize("config", [UPSAMPLER, INPAINTER, attrs.evolve(BOTH, **IN_PATCHES)])
def test_a_network_in_bfloat16_and_autocast_stay_near_float32(config: AdmUNetConfig) -> None:
    unet, x, conditioning = trained(config), noise(config, 2), conditioning_of(config, 2)
    with torch.no_grad():
        expected = unet.prepare(conditioning, LEVELS)(x, steps()[0]).value
        with torch.autocast("cpu", torch.bfloat16):
            cast = unet.prepare(conditioning, LEVELS)(x, steps()[0]).value
        unet.to(torch.bfloat16)
        low = unet.prepare(conditioning, LEVELS)(x, steps()[0]).value
    assert cast.dtype == low.dtype == torch.float32
    assert relative(cast, expected) < 0.03
    assert relative(low, expected) < 0.05


def test_pictures_are_made_in_float32_whatever_the_network_runs_in() -> None:
    conditioning = conditioning_of(UPSAMPLER, 1)
    with torch.autocast("cpu", torch.bfloat16):
        made = picture_channels(UPSAMPLER, conditioning, (16, 16), CPU)
    assert made is not None
    assert made.dtype == torch.float32
    assert conditioning.get("low_res") is not None
    assert (made - bilinear(conditioning.get("low_res"), 16, 16)).abs().max() < 1e-6


@pytest.mark.thorough
def test_pictures_enter_a_compiled_trunk() -> None:
    config = attrs.evolve(BOTH, num_classes=5)
    unet, x, conditioning = trained(config), noise(config, 2), conditioning_of(config, 2)
    t, runs = torch.full((2,), 900), []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., object]:
        runs.append(graph)
        return graph

    with torch.no_grad():
        expected = unet(x, t, conditioning)
        unet.compile(backend=backend, fullgraph=True, dynamic=False)
        assert_near(unet(x, t, conditioning), expected)
        assert_near(unet.prepare(conditioning, LEVELS)(x, steps()[0]).value, expected[:, :3])
    assert len(runs) == 1


def test_a_gradient_through_the_network_reaches_x() -> None:
    unet, conditioning = trained(BOTH), conditioning_of(BOTH, 1)
    x = noise(BOTH, 1).requires_grad_()
    with torch.no_grad():
        predict = unet.prepare(conditioning, LEVELS)
    predict(x, steps()[0]).value.square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_a_network_that_does_not_inpaint_leaves_image_and_mask_to_the_walk() -> None:
    unet, x, t = trained(PLAIN), noise(PLAIN, 1), torch.tensor([500])
    shown = conditioning_of(INPAINTER, 1)
    with torch.no_grad():
        assert torch.equal(unet(x, t, shown), unet(x, t, Conditioning(1)))


@pytest.mark.parametrize(
    ("config", "conditioning", "message"),
    [
        (UPSAMPLER, lambda: Conditioning(2), "upsamples, and was given no low_res"),
        (
            UPSAMPLER,
            lambda: Conditioning.of(2, low_res=torch.zeros(2, 1, 4, 4)),
            r"takes low_res of \[1 or 2, 3, size, size\], got \[2, 1, 4, 4\]",
        ),
        (UPSAMPLER, lambda: Conditioning.of(2, low_res=torch.zeros(3, 3, 4, 4)), r"got \[3, 3, 4, 4\]"),
        (UPSAMPLER, lambda: Conditioning.of(2, low_res=torch.zeros(2, 3, 4)), r"got \[2, 3, 4\]"),
        (INPAINTER, lambda: Conditioning.of(2, image=torch.zeros(2, 1, 16, 16)), "takes image of"),
        (
            INPAINTER,
            lambda: Conditioning.of(2, image=torch.zeros(2, 3, 16, 16), mask=torch.zeros(2, 3, 16, 16)),
            r"takes mask of \[1 or 2, 1, size, size\]",
        ),
        (
            INPAINTER,
            lambda: Conditioning.of(2, image=torch.zeros(2, 3, 16, 16), mask=torch.zeros(2, 1, 8, 8)),
            r"image of size \[16, 16\] and a mask of size \[8, 8\]",
        ),
    ],
)
def test_pictures_that_do_not_fit_are_refused(
    config: AdmUNetConfig, conditioning: Callable[[], Conditioning], message: str
) -> None:
    unet = AdmUNet(config)
    with pytest.raises(PartError, match=message):
        unet(noise(config, 2), torch.tensor([1, 2]), conditioning())
    with pytest.raises(PartError, match=message):
        unet.prepare(conditioning(), LEVELS)


def test_an_image_to_inpaint_of_another_size_than_x_is_refused() -> None:
    unet, conditioning = AdmUNet(INPAINTER), Conditioning.of(1, mask=torch.zeros(1, 1, 8, 8))
    message = r"x of size \[16, 16\], and an image or mask to inpaint of size \[8, 8\]"
    with pytest.raises(PartError, match=message):
        unet(noise(INPAINTER, 1), torch.tensor([1]), conditioning)
    with pytest.raises(PartError, match=message):
        unet.prepare(conditioning, LEVELS)(noise(INPAINTER, 1), steps()[0])


def test_a_pipeline_upsamples_under_a_label_and_refuses_one_that_does_not_exist() -> None:
    pipeline = Pipeline(
        schedule=LinearSchedule(LinearConfig()),
        denoiser=trained(attrs.evolve(UPSAMPLER, num_classes=5)),
        sampler=DdimSampler(DdimConfig(steps=2)),
    )
    low_res = torch.randint(0, 256, (1, 3, 4, 4), dtype=torch.uint8)
    made = [pipeline([""], labels=[label], low_res=low_res) for label in (0, 4)]
    assert [image.shape for image in made] == [(1, 3, 16, 16)] * 2
    assert not torch.equal(made[0], made[1])
    for label in (5, -1):
        with pytest.raises(PartError, match=f"label {label} is out of range: .* classes 0 to 4"):
            pipeline([""], labels=[label], low_res=low_res)
    with pytest.raises(PartError, match="needs low_res"):
        pipeline([""], labels=[0])


def conditioning_of(config: AdmUNetConfig, batch: int) -> Conditioning:
    """Everything that a network of this configuration takes in; the image's left side is known."""
    generator = torch.Generator().manual_seed(3)
    size = [config.image_size] * config.dims
    mask = torch.zeros(batch, 1, *size)
    mask[..., : config.image_size // 2] = 1
    low_res = torch.randn(batch, config.in_channels, *[side // 4 for side in size], generator=generator)
    return Conditioning.of(
        batch,
        text=None if config.text_width is None else text_of(batch),
        labels=None if config.num_classes is None else torch.arange(batch),
        low_res=low_res if config.upsamples else None,
        image=torch.randn(batch, config.in_channels, *size, generator=generator) if config.inpaints else None,
        mask=mask if config.inpaints else None,
    )


def assert_prepared_equals_forward(
    unet: AdmUNet, conditioning: Conditioning, x: Tensor | None = None
) -> None:
    x = noise(unet.config, conditioning.batch) if x is None else x
    with torch.no_grad():
        predict = unet.prepare(conditioning, LEVELS)
        for step in steps():
            ours = predict(x, step)
            expected = unet.interpret(unet(x, step.t.expand(conditioning.batch), conditioning), x, step)
            assert_near(ours.value, expected.value)
            assert ours.value.shape == x.shape


def bilinear(image: Tensor, height: int, width: int) -> Tensor:
    """Centres of pixels stand at (i + 1/2) / size; linear between them, constant beyond the outermost."""
    rows, columns = _weights(image.shape[2], height), _weights(image.shape[3], width)
    return torch.einsum("hi,bcij,wj->bchw", rows, image.double(), columns).float()


def _weights(inputs: int, outputs: int) -> Tensor:
    """[outputs, inputs] how much of each input there is in each output."""
    places = ((torch.arange(outputs, dtype=torch.float64) + 0.5) / outputs * inputs - 0.5).clamp(
        0, inputs - 1
    )
    return (1 - (places[:, None] - torch.arange(inputs)).abs()).clamp(min=0)
