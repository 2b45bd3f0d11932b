"""Plans of specs that differ from one base: each is what planning its own spec gives."""

from __future__ import annotations

import pytest

from glidepath.registry import Catalogue, Change, VariantPlanner, load_catalogue, make_plan, parse_spec
from glidepath.registry.spec.layers import Layers
from glidepath.registry.spec.positions import Schema
from glidepath.registry.text.problems import Problems
from glidepath.registry.text.scalars import TEXT
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import MappingNode, Node, Scalar
from glidepath.registry.text.yaml_tree import read_tree

BASE = """\
schedule: {use: cosine, num_steps: 50}
denoiser:
  use: adm-unet
  image_size: 8
  channels: 32
  channel_mult: [1]
  res_blocks: 1
  attention_resolutions: []
  text_width: null
  head_channels: 16
  learned_variance: false
sampler: {use: ddim, steps: 4}
guidance: [{use: dynamic-threshold}]
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def tree(text: str, problems: Problems) -> Node:
    node = read_tree(Source("text", None, text), problems)
    assert node is not None
    return node


def planner(catalogue: Catalogue, text: str = BASE) -> VariantPlanner:
    problems = Problems(["base"])
    root = tree(text, problems)
    assert isinstance(root, MappingNode)
    base = Layers(Schema(catalogue), problems).from_tree(root)
    return VariantPlanner(base, catalogue, problems, "base", None)


def change(path: str, value: str | None) -> Change:
    problems = Problems()
    at = tree(path, problems)
    assert isinstance(at, Scalar)
    assert at.rule == TEXT
    return Change(at, None if value is None else tree(value, problems))


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        ("sampler.steps", "7", "steps: 4", "steps: 7"),
        ("sampler", "{use: ddpm, steps: 9}", "{use: ddim, steps: 4}", "{use: ddpm, steps: 9}"),
        ("guidance", None, "guidance: [{use: dynamic-threshold}]\n", "guidance: []\n"),
        ("runtime.dtype", "float32", "guidance:", "runtime: {dtype: float32}\nguidance:"),
    ],
)
def test_a_variant_is_planned_as_its_own_spec(
    catalogue: Catalogue, path: str, value: str | None, before: str, after: str
) -> None:
    variants = planner(catalogue)
    variant = variants.plan([change(path, value)])
    assert list(variants.problems.sorted()) == []
    assert variant is not None
    alone = make_plan(parse_spec(BASE.replace(before, after), "alone", catalogue=catalogue), catalogue)
    assert variant.tree == alone.tree


def test_variants_share_the_parts_in_which_they_agree(catalogue: Catalogue) -> None:
    variants = planner(catalogue)
    one, other = (variants.plan([change("sampler.steps", steps)]) for steps in ("7", "8"))
    assert one is not None
    assert other is not None
    assert one.parts["denoiser"] is other.parts["denoiser"]
    assert one.parts["sampler"] is not other.parts["sampler"]


def test_parts_that_mean_the_same_are_one(catalogue: Catalogue) -> None:
    variants = planner(catalogue)
    default = catalogue.look_up("sampler", "ddim").full_name
    parts = {
        tuple(map(id, variant.parts.values()))
        for path, value in (
            ("sampler.steps", "4"),
            ("sampler.use", default),
            ("guidance[0].use", "dynamic-threshold"),
        )
        if (variant := variants.plan([change(path, value)])) is not None
    }
    assert len(parts) == 1


def test_interpolations_follow_a_change(catalogue: Catalogue) -> None:
    variants = planner(catalogue, BASE.replace("steps: 4", "steps: '${schedule.num_steps}'"))
    variant = variants.plan([change("schedule.num_steps", "20")])
    assert variant is not None
    assert variant.tree["sampler"]["steps"] == 20


def test_problems_of_a_variant_are_placed_and_the_others_are_planned(catalogue: Catalogue) -> None:
    variants = planner(catalogue)
    assert variants.plan([change("sampler.steps", "none")]) is None
    assert variants.plan([change("sampler.steps", "7")]) is not None
    (problem,) = variants.problems.sorted()
    assert problem.path == "sampler.steps"
    assert str(problem.place) == "text:1:1"
