"""What captions say, as answers to questions."""

from __future__ import annotations

import pytest

from glidepath.plugins.shapes.captions import parse
from glidepath.plugins.shapes.configs import ShapesConfig
from glidepath.plugins.shapes.dataset import ShapesDataset
from glidepath.plugins.shapes.draws import prompts
from glidepath.plugins.shapes.facts import ANSWERS, facts_of
from glidepath.plugins.shapes.scenes import BACKGROUNDS, COLORS, SHAPES, SIZES, Scene


def answers_of(scene: Scene) -> tuple[int, ...]:
    """From what was drawn, not from what was said: places decide which object is the first."""
    objects = sorted(scene.objects, key=lambda item: sum(item.center))
    if len(objects) == 1:
        layout = 0
    else:
        down, across = (abs(one - other) for one, other in zip(*(it.center for it in objects), strict=True))
        layout = 1 if down > across else 2
    described = [
        answer
        for item in objects
        for answer in (COLORS.index(item.color), SHAPES.index(item.shape), SIZES.index(item.size))
    ]
    described += [-1] * (6 - len(described))
    return (layout, *described, BACKGROUNDS.index(scene.background))


@pytest.mark.parametrize("objects", [1, 2])
def test_facts_are_true_of_the_scene_and_open_where_the_caption_says_nothing(objects: int) -> None:
    for caption, scene in prompts(300, "unseen", objects=objects):
        facts, truth = facts_of(parse(caption)), answers_of(scene)
        assert len(facts) == len(ANSWERS)
        assert all(said in (-1, true) for said, true in zip(facts, truth, strict=True)), caption
        assert (facts[-1] == -1) == (not any(name in caption.split() for name in BACKGROUNDS))
        assert (facts[3] == -1) == (not any(name in caption.split() for name in SIZES))
        assert -1 not in (facts[0], facts[1], facts[2])


def test_both_ways_round_say_the_same() -> None:
    one, other = "a red star above a small blue ring", "a small blue ring below a red star"
    assert facts_of(parse(one)) == facts_of(parse(other))
    assert facts_of(parse(one)) != facts_of(parse(one.replace("above", "below")))


@pytest.mark.thorough
def test_every_answer_occurs_and_none_beyond() -> None:
    said = [caption for objects in (1, 2) for caption, _ in prompts(400, "unseen", objects=objects)]
    facts = ShapesDataset(ShapesConfig()).facts(said)
    assert facts.shape == (800, len(ANSWERS))
    for answers, count in zip(facts.unbind(1), ANSWERS, strict=True):
        assert set(answers.tolist()) - {-1} == set(range(count))
