"""The reader: right on real renderings, even rough ones; finds every planted error; refuses strangers."""

import itertools
from collections.abc import Callable

import attrs
import numpy as np
import pytest
import torch

from glidepath.plugins.shapes.captions import describe, parse
from glidepath.plugins.shapes.draws import sample_batch
from glidepath.plugins.shapes.judge import Judgement, judge, judge_reading, relation_between
from glidepath.plugins.shapes.reader import NOTHING, Reading, read, size_word
from glidepath.plugins.shapes.scenes import (
    BACKGROUNDS,
    COLORS,
    MIRROR,
    RGB,
    SHAPES,
    Object,
    Scene,
    render,
    sample_scene,
)

pytestmark = pytest.mark.thorough


def draws(n: int, objects: int, seed: int = 0) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, objects) for _ in range(n)]


def full_caption(scene: Scene) -> str:
    """A caption that says everything about the scene."""
    first, *rest = [f"a {item.size} {item.color} {item.shape}" for item in scene.objects]
    return " ".join([first, *([str(scene.relation), rest[0]] if rest else []), "on", scene.background])


def judged(scenes: list[Scene], captions: list[str], size: int = 32) -> list[Judgement]:
    return [
        judge_reading(reading, parse(caption))
        for reading, caption in zip(read(render(scenes, size)), captions, strict=True)
    ]


def share_right(judgements: list[Judgement]) -> float:
    return float(np.mean([judgement.all_right for judgement in judgements]))


def painted(inside: Callable[[np.ndarray, np.ndarray], np.ndarray], radius: float) -> Reading:
    """Reading of a red region of white, `inside` of (y, x) in units of the radius, 16 x supersampled."""
    axis = ((np.arange(32 * 16) + 0.5) / 16 - 16.2) / radius
    mask = inside(*np.meshgrid(axis, axis, indexing="ij")).reshape(32, 16, 32, 16).mean((1, 3))
    red, white = (np.array(RGB[name])[:, None, None] for name in ("red", "white"))
    (reading,) = read(((white + (red - white) * mask) * 2 - 1)[None])
    return reading


@pytest.mark.parametrize("size", [32, pytest.param(64, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("objects", [1, 2])
def test_99_percent_of_renderings_are_read_right_in_everything(objects: int, size: int) -> None:
    scenes = draws(600, objects)
    assert share_right(judged(scenes, [full_caption(scene) for scene in scenes], size)) >= 0.99


@pytest.mark.parametrize("objects", [1, 2])
def test_98_percent_are_read_right_with_noise_and_8_bits(objects: int) -> None:
    scenes = draws(600, objects)
    noise = torch.randn(600, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pixels = ((render(scenes) + 1) * 127.5 + 8 * noise).round().clamp(0, 255).to(torch.uint8)
    claims = [parse(full_caption(scene)) for scene in scenes]
    right = [judge_reading(*both).all_right for both in zip(read(pixels), claims, strict=True)]
    assert np.mean(right) >= 0.98


@pytest.mark.parametrize("objects", [1, 2])
def test_98_percent_are_read_right_when_a_little_blurred(objects: int) -> None:
    scenes = draws(400, objects)
    taps = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / (2 * 0.5**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    padded = torch.nn.functional.pad(render(scenes), (3, 3, 3, 3), mode="replicate")
    images = torch.nn.functional.conv2d(padded, kernel.expand(3, 1, 7, 7), groups=3)
    claims = [parse(full_caption(scene)) for scene in scenes]
    right = [judge_reading(*both).all_right for both in zip(read(images), claims, strict=True)]
    assert np.mean(right) >= 0.98


def test_the_captions_of_every_split_are_judged_right_of_their_images() -> None:
    for split in ("train", "unseen", "held-out"):
        images, captions = sample_batch(1, 0, 200, split)
        right = [
            judge_reading(reading, parse(caption)).all_right
            for reading, caption in zip(read(images), captions, strict=True)
        ]
        assert np.mean(right) >= 0.99


@pytest.mark.parametrize("objects", [1, 2])
def test_centres_and_radii_are_read_to_a_third_of_a_pixel(objects: int) -> None:
    scenes = draws(200, objects)
    for scene, reading in zip(scenes, read(render(scenes)), strict=True):
        assert len(reading.objects) == objects
        for item in scene.objects:
            found = min(reading.objects, key=lambda other: np.hypot(*np.subtract(other.center, item.center)))
            np.testing.assert_allclose(found.center, item.center, atol=1 / 3 / 32)
            assert found.radius == pytest.approx(item.radius, abs=1 / 3 / 32)


@pytest.mark.parametrize("objects", [1, 2])
def test_a_wrong_color_is_found(objects: int) -> None:
    scenes = draws(200, objects)
    captions: list[str] = []
    for scene in scenes:
        others = [color for color in COLORS if color not in {item.color for item in scene.objects}]
        wrong = attrs.evolve(scene.objects[-1], color=others[len(captions) % len(others)])
        captions.append(full_caption(attrs.evolve(scene, objects=(*scene.objects[:-1], wrong))))
    judgements = judged(scenes, captions)
    assert not any(judgement.color for judgement in judgements)
    assert all(judgement.count and judgement.background for judgement in judgements)


@pytest.mark.parametrize("objects", [1, 2])
def test_a_wrong_shape_is_found(objects: int) -> None:
    scenes = draws(200, objects)
    captions: list[str] = []
    for scene in scenes:
        others = [shape for shape in SHAPES if shape not in {item.shape for item in scene.objects}]
        wrong = attrs.evolve(scene.objects[-1], shape=others[len(captions) % len(others)])
        captions.append(full_caption(attrs.evolve(scene, objects=(*scene.objects[:-1], wrong))))
    judgements = judged(scenes, captions)
    assert not any(judgement.shape for judgement in judgements)
    assert all(judgement.count and judgement.background for judgement in judgements)


@pytest.mark.parametrize("objects", [1, 2])
def test_a_wrong_size_is_found(objects: int) -> None:
    scenes = draws(200, objects)
    other = {"small": "large", "large": "small"}
    captions = [
        full_caption(
            attrs.evolve(
                scene,
                objects=(
                    attrs.evolve(scene.objects[0], size=other[scene.objects[0].size]),
                    *scene.objects[1:],
                ),
            )
        )
        for scene in scenes
    ]
    judgements = judged(scenes, captions)
    assert not any(judgement.size for judgement in judgements)
    assert all(judgement.shape and judgement.color and judgement.count for judgement in judgements)


def test_a_wrong_background_is_found() -> None:
    scenes = draws(200, 1)
    captions = [
        full_caption(
            attrs.evolve(
                scene, background=BACKGROUNDS[(BACKGROUNDS.index(scene.background) + 1 + row % 3) % 4]
            )
        )
        for row, scene in enumerate(scenes)
    ]
    for judgement in judged(scenes, captions):
        assert judgement.background is False
        assert judgement.shape
        assert judgement.color


def test_a_swapped_relation_is_found_and_a_mirrored_caption_is_not_one() -> None:
    scenes = draws(200, 2)
    swapped = [attrs.evolve(scene, relation=MIRROR[str(scene.relation)]) for scene in scenes]
    mirrored = [attrs.evolve(scene, objects=scene.objects[::-1]) for scene in swapped]
    wrong = judged(scenes, [full_caption(scene) for scene in swapped])
    assert not any(judgement.relation for judgement in wrong)
    assert all(judgement.count and judgement.background for judgement in wrong)
    assert share_right(judged(scenes, [full_caption(scene) for scene in mirrored])) >= 0.99


def test_above_said_as_left_of_is_found() -> None:
    turned = {"above": "left of", "left of": "above", "below": "right of", "right of": "below"}
    scenes = draws(200, 2)
    captions = [full_caption(attrs.evolve(scene, relation=turned[str(scene.relation)])) for scene in scenes]
    assert not any(judgement.relation for judgement in judged(scenes, captions))


def test_a_missing_object_is_found() -> None:
    scenes = draws(200, 2)
    captions = [full_caption(scene) for scene in scenes]
    alone = [Scene(scene.objects[:1], scene.background) for scene in scenes]
    for judgement in judged(alone, captions):
        assert not judgement.count
        assert not judgement.shape
        assert not judgement.color
        assert judgement.size is False
        assert judgement.relation is False
        assert judgement.background


def test_an_empty_image_has_its_background_and_nothing_else() -> None:
    for background in BACKGROUNDS:
        image = torch.tensor(RGB[background])[:, None, None].expand(3, 32, 32) * 2 - 1
        assert read(image[None]) == [Reading(background, ())]
        judgement = judge(image, f"a red circle on {background}")
        assert attrs.astuple(judgement) == (False, False, False, None, True, None)


def test_an_extra_object_is_found_and_the_claimed_one_still_judged_on_its_own() -> None:
    scenes = draws(200, 2)
    # A caption of the first object alone, whose size word is read on the scale of one-object images.
    captions = [
        f"a {scene.objects[0].color} {scene.objects[0].shape} on {scene.background}" for scene in scenes
    ]
    for judgement in judged(scenes, captions):
        assert not judgement.count
        assert judgement.shape
        assert judgement.color
        assert judgement.background


@pytest.mark.parametrize(("side", "right"), [(4, False), (2, True)])
def test_a_stray_square_of_4_pixels_a_side_is_an_extra_object_and_one_of_2_is_a_speck(
    side: int, right: bool
) -> None:
    for shape, background in itertools.product(SHAPES, BACKGROUNDS):
        scene = Scene((Object(shape, "blue", "small", (0.6, 0.6), 7 / 32),), background)
        (image,) = render([scene])
        image[:, 1 : 1 + side, 1 : 1 + side] = torch.tensor(RGB["cyan"])[:, None, None] * 2 - 1
        judgement = judge(image, full_caption(scene))
        assert judgement.count is right
        assert judgement.all_right is right


def test_two_touching_objects_of_different_colors_are_two() -> None:
    scene = Scene(
        (
            Object("square", "red", "large", (0.5, 0.3), 6 / 32),
            Object("square", "blue", "large", (0.5, 0.63), 6 / 32),
        ),
        "white",
        "left of",
    )
    assert judged([scene], [full_caption(scene)])[0].all_right


STRANGERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "square on its corner": lambda y, x: np.abs(y) + np.abs(x) < 1.25,
    "triangle upside down": lambda y, x: (np.abs(x) * 0.866 + (y - 0.9) * 0.5 < 0) & (y > -0.9),
    "ellipse": lambda y, x: np.hypot(y * 1.14, x / 1.14) < 1,
    "oblong": lambda y, x: np.maximum(np.abs(y) * 1.14, np.abs(x) / 1.14) < 0.88,
    "half disc": lambda y, x: (np.hypot(y, x) < 1.3) & (y < 0),
    "cross on its corner": lambda y, x: (
        (np.maximum(np.abs(y + x), np.abs(y - x)) < 1.48) & (np.minimum(np.abs(y + x), np.abs(y - x)) < 0.5)
    ),
    "broken ring": lambda y, x: (np.abs(np.hypot(y, x) - 0.8) < 0.24) & ~((x > 0) & (np.abs(y) < 0.4)),
    "thin ring": lambda y, x: np.abs(np.hypot(y, x) - 0.9) < 0.12,
    "disc with a small hole": lambda y, x: np.abs(np.hypot(y, x) - 0.65) < 0.35,
    "cross without an arm": lambda y, x: (
        (np.maximum(np.abs(y), np.abs(x)) < 1.05) & (np.minimum(np.abs(y), np.abs(x)) < 0.35) & (x < 0.36)
    ),
    "bar": lambda y, x: np.maximum(np.abs(y) * 3, np.abs(x)) < 1.2,
    "clover": lambda y, x: np.hypot(y, x) < 0.8 + 0.25 * np.cos(3 * np.arctan2(y, x)),
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("radius", [4.3, 6.0, 7.0, 11.0])
def test_a_shape_that_is_none_of_the_six_is_read_as_none(name: str, radius: float) -> None:
    (item,) = painted(STRANGERS[name], radius).objects
    assert (item.shape, item.color) == (NOTHING, "red")


def test_a_disc_painted_by_other_means_is_read_as_a_circle() -> None:
    for radius in (4.3, 6.0, 7.0, 11.0):
        (item,) = painted(lambda y, x: np.hypot(y, x) < 1, radius).objects
        assert (item.shape, item.color) == ("circle", "red")
        assert item.confidence > 0.8
        assert item.radius == pytest.approx(radius / 32, rel=0.03)


def test_colors_and_backgrounds_outside_the_palette_are_read_as_none() -> None:
    image = torch.full((1, 3, 32, 32), 0.25 * 2 - 1)
    image[:, :, 10:22, 10:22] = torch.tensor([0.55, 0.35, 0.1])[None, :, None, None] * 2 - 1
    (reading,) = read(image)
    assert reading.background == NOTHING
    assert [item.color for item in reading.objects] == [NOTHING]


def test_a_dark_square_on_white_is_an_object_without_a_known_color() -> None:
    image = torch.ones(1, 3, 32, 32)
    image[:, :, 10:22, 10:22] = -0.6
    (item,) = read(image)[0].objects
    assert (item.shape, item.color) == ("square", NOTHING)


def test_a_pale_ghost_of_an_object_counts_as_an_object() -> None:
    red, white = (torch.tensor(RGB[name])[:, None, None] for name in ("red", "white"))
    image = (white + 0.4 * (red - white)) * 2 - 1
    ghost = render([Scene((Object("square", "blue", "small", (0.5, 0.3), 0.15),), "white")])[0]
    ghost[:, 12:20, 22:30] = image
    judgement = judge(ghost, "a blue square")
    assert judgement.shape
    assert judgement.color
    assert not judgement.count


def test_noise_is_not_a_picture_of_anything() -> None:
    images = torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for reading in read(images):
        assert not judge_reading(reading, parse("a red circle")).all_right
        assert not judge_reading(reading, parse("a red circle above a blue square")).all_right


def test_the_reading_is_the_same_for_floats_bytes_and_arrays() -> None:
    bytes_ = ((render(draws(8, 2)) + 1) * 127.5).round().to(torch.uint8)
    floats = bytes_.double() / 127.5 - 1
    names = [
        [
            (reading.background, [(item.shape, item.color, item.size) for item in reading.objects])
            for reading in read(images)
        ]
        for images in (bytes_, floats, bytes_.numpy(), floats.float().numpy())
    ]
    assert names[0] == names[1] == names[2] == names[3]


def test_an_image_is_read_the_same_alone_and_in_a_large_batch() -> None:
    images = render(draws(300, 2))
    together = read(images)
    for row in (0, 255, 256, 299):
        (alone,) = read(images[row : row + 1])
        assert [(item.shape, item.color, item.size) for item in alone.objects] == [
            (item.shape, item.color, item.size) for item in together[row].objects
        ]


def test_no_images_give_no_readings() -> None:
    assert read(torch.zeros(0, 3, 32, 32)) == []


def test_claims_left_open_are_not_judged() -> None:
    rng = np.random.default_rng(0)
    for objects in (1, 2):
        for scene in draws(30, objects):
            claim = parse(caption := describe(scene, rng))
            judgement = judge(render([scene])[0], caption)
            assert (judgement.size is None) == (claim.objects[0].size is None)
            assert (judgement.background is None) == (claim.background is None)
            assert (judgement.relation is None) == (objects == 1)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 32, 32), r"\[B, 3, S, S\], not \[3, 32, 32\]"),
        (torch.zeros(1, 1, 32, 32), r"not \[1, 1, 32, 32\]"),
        (torch.zeros(1, 3, 32, 16), r"not \[1, 3, 32, 16\]"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.int64), "uint8 or floating point, not torch.int64"),
        (torch.full((1, 3, 32, 32), float("nan")), "not finite"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(images)


def test_sizes_are_told_apart_halfway_between_the_nominal_radii() -> None:
    assert [size_word(radius / 32, 1) for radius in (7.0, 9.2, 9.3, 11.5)] == [
        "small",
        "small",
        "large",
        "large",
    ]
    assert [size_word(radius / 32, 2) for radius in (4.6, 5.2, 5.4, 6.0)] == [
        "small",
        "small",
        "large",
        "large",
    ]
    assert size_word(5.4 / 32, 3) == "large"


def test_a_relation_goes_by_the_axis_of_the_larger_distance() -> None:
    assert relation_between((0.2, 0.5), (0.8, 0.4)) == "above"
    assert relation_between((0.8, 0.5), (0.2, 0.4)) == "below"
    assert relation_between((0.5, 0.2), (0.4, 0.8)) == "left of"
    assert relation_between((0.5, 0.8), (0.4, 0.2)) == "right of"
