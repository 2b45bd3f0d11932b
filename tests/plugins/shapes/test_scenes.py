"""Scenes: what is drawn, where, how large, and what training never sees."""

import collections
import itertools
import math

import numpy as np
import pytest
import torch

from glidepath.plugins.shapes.scenes import (
    BACKGROUNDS,
    COLORS,
    HELD_OUT_PAIRS,
    HELD_OUT_TRIPLES,
    MIRROR,
    RADII,
    RELATIONS,
    RGB,
    SHAPES,
    SIZES,
    Object,
    Scene,
    coverage,
    half_extents,
    has_held_out_pair,
    has_held_out_triple,
    is_held_out,
    render,
    sample_scene,
)

# Areas at radius 1, from school geometry.
AREAS = {
    "circle": math.pi,
    "square": (2 * 0.88) ** 2,
    "triangle": 3 * math.sqrt(3) / 4 * 1.25**2,
    "star": 10 * 0.5 * 1.2 * (0.42 * 1.2) * math.sin(math.pi / 5),
    "ring": math.pi * 1.05**2 * (1 - 0.55**2),
    "cross": (2 * 1.05) ** 2 * (1 - (1 - 0.34) ** 2),
}


def one(shape: str, color: str = "red", background: str = "white", radius: float = 0.3) -> Scene:
    return Scene((Object(shape, color, "large", (0.5, 0.5), radius),), background)


def draws(n: int, objects: int, seed: int = 0) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, objects) for _ in range(n)]


def foreground(image: torch.Tensor) -> torch.Tensor:
    """[S, S]: whether a pixel differs from the background, taken from a corner."""
    return (image - image[:, :1, :1]).abs().amax(0) > 1e-6


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "tolerance"), [(32, 0.035), (256, 0.004)])
def test_a_rendered_mask_has_the_closed_form_area(shape: str, size: int, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    radii = torch.tensor(rng.uniform(0.15, 0.36, 50), dtype=torch.float32)
    centers = torch.tensor(rng.uniform(0.47, 0.53, (50, 2)), dtype=torch.float32)
    areas = coverage(shape, centers, radii, size).sum((1, 2)) / size**2
    torch.testing.assert_close(areas / radii**2, torch.full((50,), AREAS[shape]), rtol=tolerance, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_bounding_box_is_the_one_stated(shape: str) -> None:
    size, radius = 512, 0.3
    mask = coverage(shape, torch.tensor([[0.5, 0.5]]), torch.tensor([radius]), size)[0] > 0.01
    height, width = half_extents(shape, radius)
    for axis, extent in ((1, height), (0, width)):
        inside = mask.any(axis).nonzero()[:, 0]
        assert inside[0].item() / size == pytest.approx(0.5 - extent, abs=2.5 / size)
        assert (inside[-1].item() + 1) / size == pytest.approx(0.5 + extent, abs=2.5 / size)


@pytest.mark.parametrize("shape", ["circle", "square", "ring", "cross"])
def test_four_shapes_look_the_same_after_a_quarter_turn(shape: str) -> None:
    mask = coverage(shape, torch.tensor([[0.5, 0.5]]), torch.tensor([0.3]), 32)[0]
    torch.testing.assert_close(mask, torch.rot90(mask), atol=1e-5, rtol=0)


def test_triangle_and_star_point_up_and_mirror_left_to_right() -> None:
    for shape in ("triangle", "star"):
        mask = coverage(shape, torch.tensor([[0.5, 0.5]]), torch.tensor([0.3]), 64)[0]
        torch.testing.assert_close(mask, mask.flip(1), atol=1e-4, rtol=0)
        widths = mask.sum(1)
        assert widths[12:20].max() < widths[20:].max() / 3


def test_a_star_is_the_polygon_of_its_ten_corners() -> None:
    size, radius = 128, 0.3
    mask = coverage("star", torch.tensor([[0.5, 0.5]]), torch.tensor([radius]), size)[0]
    # The bounding box runs from the top point to the lower two, so its centre lies below the star's.
    middle = 0.5 + radius * 1.2 * (1 - math.cos(math.pi / 5)) / 2
    lengths = [1.2 * radius, 1.2 * 0.42 * radius] * 5
    turns = [math.pi / 5 * corner for corner in range(10)]
    corners = [
        (middle - length * math.cos(turn), 0.5 + length * math.sin(turn))
        for length, turn in zip(lengths, turns, strict=True)
    ]
    axis = (np.arange(size) + 0.5) / size
    y, x = np.meshgrid(axis, axis, indexing="ij")
    inside = np.zeros((size, size), dtype=bool)
    for (y1, x1), (y2, x2) in itertools.pairwise([*corners, corners[0]]):
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < x1 + (y - y1) / (y2 - y1 + 1e-12) * (x2 - x1))
    clear = (mask < 0.01) | (mask > 0.99)
    assert clear.float().mean() > 0.9
    np.testing.assert_array_equal((mask > 0.5)[clear].numpy(), inside[clear.numpy()])


def test_pixels_are_background_and_object_colors() -> None:
    for color, background in itertools.product(COLORS, BACKGROUNDS):
        image = render([one("square", color, background)])[0]
        assert image.dtype == torch.float32
        assert image.shape == (3, 32, 32)
        torch.testing.assert_close(image[:, 16, 16] / 2 + 0.5, torch.tensor(RGB[color]))
        torch.testing.assert_close(image[:, 0, 0] / 2 + 0.5, torch.tensor(RGB[background]))


def test_rendering_twice_as_large_and_averaging_agrees() -> None:
    scenes = draws(64, 1) + draws(64, 2)
    small, large = render(scenes, 32), render(scenes, 128)
    averaged = torch.nn.functional.avg_pool2d(large, 4)
    assert (small - averaged).abs().mean() < 0.006


def test_a_scene_is_drawn_the_same_alone_and_in_a_batch() -> None:
    scenes = draws(20, 1) + draws(20, 2)
    alone = torch.cat([render([scene]) for scene in scenes])
    torch.testing.assert_close(render(scenes), alone, atol=1e-6, rtol=0)


def test_a_later_object_covers_an_earlier_one() -> None:
    scene = Scene(
        (
            Object("circle", "red", "large", (0.5, 0.5), 0.3),
            Object("circle", "blue", "small", (0.5, 0.5), 0.1),
        ),
        "white",
        "above",
    )
    torch.testing.assert_close(render([scene])[0, :, 16, 16] / 2 + 0.5, torch.tensor(RGB["blue"]))


def test_every_object_color_contrasts_with_every_other_color() -> None:
    for first, second in itertools.combinations(RGB, 2):
        both_backgrounds = first in BACKGROUNDS and second in BACKGROUNDS
        assert math.dist(RGB[first], RGB[second]) > (0.35 if both_backgrounds else 0.5), (first, second)


@pytest.mark.thorough
@pytest.mark.parametrize("objects", [1, 2])
def test_no_object_leaves_the_frame_nor_enters_its_margin(objects: int) -> None:
    for scene in draws(3000, objects):
        for item in scene.objects:
            for place, extent in zip(item.center, half_extents(item.shape, item.radius), strict=True):
                assert place - extent >= 1 / 32 - 1e-9
                assert place + extent <= 31 / 32 + 1e-9
    border = render(draws(500, objects), 64)
    border[:, :, 1:-1, 1:-1] = border[:, :, :1, :1]
    assert (border == border[:, :, :1, :1]).all()


def test_two_objects_stand_as_their_relation_says_and_never_touch() -> None:
    for scene in draws(5000, 2):
        first, second = scene.objects
        assert scene.relation is not None
        axis = 0 if scene.relation in ("above", "below") else 1
        if scene.relation in ("below", "right of"):
            first, second = second, first
        near = first.center[axis] + half_extents(first.shape, first.radius)[axis]
        far = second.center[axis] - half_extents(second.shape, second.radius)[axis]
        assert far - near >= 1 / 32 - 1e-9
        across = abs(first.center[1 - axis] - second.center[1 - axis])
        assert across <= 3 / 32 + 1e-9 < second.center[axis] - first.center[axis]


@pytest.mark.parametrize("objects", [1, 2])
def test_radii_stay_near_the_nominal_one_so_that_sizes_never_overlap(objects: int) -> None:
    radii = collections.defaultdict(list)
    for scene in draws(3000, objects):
        for item in scene.objects:
            radii[item.size].append(item.radius)
    jitter = 0.04 if objects == 1 else 0.03
    for size in SIZES:
        nominal = RADII[objects, size]
        assert nominal * (1 - jitter) <= min(radii[size])
        assert max(radii[size]) <= nominal * (1 + jitter)
    assert max(radii["small"]) * 1.25 < min(radii["large"])


def test_every_attribute_is_drawn_uniformly() -> None:
    n = 12000
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for scene in draws(n, 2):
        counts["background"][scene.background] += 1
        counts["relation"][str(scene.relation)] += 1
        counts["shape"][scene.objects[1].shape] += 1
        counts["color"][scene.objects[0].color] += 1
        counts["size"][scene.objects[1].size] += 1
    expected = {
        "background": BACKGROUNDS,
        "relation": RELATIONS,
        "shape": SHAPES,
        "color": COLORS,
        "size": SIZES,
    }
    for name, options in expected.items():
        share = 1 / len(options)
        # Five standard deviations of a binomial share.
        bound = 5 * math.sqrt(share * (1 - share) / n)
        for option in options:
            assert abs(counts[name][option] / n - share) < bound, (name, option)


def test_two_objects_differ_in_shape_or_color() -> None:
    for scene in draws(5000, 2):
        first, second = scene.objects
        assert (first.shape, first.color) != (second.shape, second.color)


def test_held_out_pairs_take_each_shape_and_color_at_most_once() -> None:
    shapes, colors = zip(*HELD_OUT_PAIRS, strict=True)
    assert len(HELD_OUT_PAIRS) == len(set(shapes)) == len(set(colors)) == 4
    assert set(shapes) <= set(SHAPES)
    assert set(colors) <= set(COLORS)


def test_held_out_triples_are_12_and_closed_under_the_mirror() -> None:
    assert len(HELD_OUT_TRIPLES) == 12
    for first, relation, second in HELD_OUT_TRIPLES:
        assert (second, MIRROR[relation], first) in HELD_OUT_TRIPLES
        assert {first, second} <= set(SHAPES)


def test_every_shape_keeps_most_of_its_relations_in_training() -> None:
    taken = collections.Counter(triple[0] for triple in HELD_OUT_TRIPLES)
    assert max(taken.values()) <= 2


def test_a_scene_is_held_out_by_its_pairs_and_by_its_triple() -> None:
    far, near = (0.75, 0.5), (0.25, 0.5)
    pair = Scene(
        (Object("ring", "red", "small", near, 0.1), Object("star", "blue", "small", far, 0.1)),
        "white",
        "above",
    )
    triple = Scene(
        (Object("ring", "blue", "small", near, 0.1), Object("cross", "red", "small", far, 0.1)),
        "white",
        "above",
    )
    neither = Scene(
        (Object("circle", "red", "large", near, 0.1), Object("square", "blue", "small", far, 0.1)),
        "white",
        "above",
    )
    assert (has_held_out_pair(pair), has_held_out_triple(pair), is_held_out(pair)) == (True, False, True)
    assert (has_held_out_pair(triple), has_held_out_triple(triple), is_held_out(triple)) == (
        False,
        True,
        True,
    )
    assert not is_held_out(neither)
    assert not is_held_out(one("star", "green"))
    assert is_held_out(one("circle", "purple"))


def test_mirroring_a_scene_does_not_change_whether_it_is_held_out() -> None:
    for scene in draws(2000, 2):
        assert scene.relation is not None
        mirrored = Scene(scene.objects[::-1], scene.background, MIRROR[scene.relation])
        assert is_held_out(scene) == is_held_out(mirrored)


@pytest.mark.parametrize(
    ("objects", "relation", "message"),
    [
        (0, None, "1 or 2 objects"),
        (3, "above", "1 or 2 objects"),
        (1, "above", "above"),
        (2, None, "above"),
        (2, "near", "near"),
    ],
)
def test_a_scene_with_wrong_parts_is_refused(objects: int, relation: str | None, message: str) -> None:
    item = Object("star", "green", "small", (0.5, 0.5), 0.1)
    with pytest.raises(ValueError, match=message):
        Scene((item,) * objects, "white", relation)
