"""`use: ${path}`: another part with changes. An override that reaches into an interpolation makes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.registry.made_up import make_catalogue

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec, read_spec
from glidepath.registry.text.problems import Problem, SpecError

SPEC = """\
schedule: cosine
text_encoder: {use: transformer, width: 64, tokenizer: {use: words, title: few, vocabulary: [a, b]}}
denoiser:
  use: ensemble
  first: {use: tiny-unet, channels: 32, text_width: 64}
  members: ["${denoiser.first}"]
sampler: ddim
"""
GUIDED = f"{SPEC}guidance: [{{use: odd, extra: '${{denoiser.members.0.channels}}'}}]\n"

ToPlan = Callable[..., Plan]
Fault = Callable[..., Problem]


def member(plan: Plan) -> dict[str, Any]:
    tree: dict[str, Any] = plan.tree["denoiser"]["members"][0]
    return tree


def test_an_override_below_an_interpolation_changes_what_stands_there_alone(plan: ToPlan) -> None:
    made = plan(SPEC, "denoiser.members[0].channels=16")
    assert (member(made)["channels"], member(made)["text_width"]) == (16, 64)
    assert made.tree["denoiser"]["first"]["channels"] == 32


def test_what_is_not_changed_follows_the_other_part(plan: ToPlan) -> None:
    made = plan(SPEC, "denoiser.members[0].channels=16", "denoiser.first.attention=new")
    assert (member(made)["channels"], member(made)["attention"]) == (16, "new")


def test_a_change_has_its_own_place_and_the_rest_that_of_the_other_part(plan: ToPlan) -> None:
    made = plan(SPEC, "denoiser.members[0].channels=16")
    assert made.sources["denoiser.members[0].channels"] == "--set #1"
    assert made.sources["denoiser.members[0].text_width"] == "s.yaml:5:53"


def test_a_spec_may_write_it_itself(plan: ToPlan) -> None:
    text = SPEC.replace('["${denoiser.first}"]', '[{use: "${denoiser.first}", channels: 16}]')
    assert member(plan(text))["channels"] == 16
    assert member(plan(text))["text_width"] == 64


def test_a_layer_above_a_base_that_borrows_changes_it_too(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SPEC)
    (tmp_path / "borrows.yaml").write_text(
        "extends: base.yaml\ndenoiser: {members: [{use: tiny-unet}], first: '${denoiser.members.0}'}\n"
    )
    (tmp_path / "my.yaml").write_text("extends: borrows.yaml\ndenoiser: {first: {channels: 48}}\n")
    made = make_plan(read_spec(tmp_path / "my.yaml", catalogue=catalogue), catalogue)
    assert made.tree["denoiser"]["first"]["channels"] == 48
    assert member(made)["channels"] == 192


def test_a_part_inside_the_other_part_can_be_changed(plan: ToPlan) -> None:
    up = "{schedule: cosine, sampler: ddim, denoiser: up, text_encoder: '${stages.one.text_encoder}'}"
    text = "stages:\n  one:\n" + "".join(f"    {line}\n" for line in SPEC.splitlines()) + f"  two: {up}\n"
    # whether the second enlarges is another matter
    with pytest.raises(SpecError) as caught:
        plan(text, "stages.two.text_encoder.tokenizer.title=many", "stages.two.text_encoder.layers=no")
    assert [problem.path for problem in caught.value.problems] == [
        "stages.two.denoiser",
        "stages.two.text_encoder.layers",
    ]
    tree = parse_spec(
        text, "s", ["stages.two.text_encoder.tokenizer.title=many"], catalogue=make_catalogue()
    ).tree
    tokenizers = [tree["stages"][stage]["text_encoder"]["tokenizer"] for stage in ("one", "two")]
    assert tokenizers[0] == {"use": "words", "title": "few", "vocabulary": ["a", "b"]}
    assert tokenizers[1] == {**tokenizers[0], "title": "many"}


def test_a_value_of_such_a_part_can_be_taken(plan: ToPlan) -> None:
    assert plan(GUIDED).tree["guidance"][0]["extra"] == 32
    assert plan(GUIDED, "denoiser.members[0].channels=16").tree["guidance"][0]["extra"] == 16
    assert plan(GUIDED, "denoiser.members[0].attention=new").tree["guidance"][0]["extra"] == 32
    text = GUIDED.replace("0.channels", "0.image_size")
    assert plan(text, "denoiser.members[0].attention=new").tree["guidance"][0]["extra"] == 64


def test_a_list_of_one_part_is_that_part(plan: ToPlan) -> None:
    text = SPEC.replace("first: {use: tiny-unet", "members: [tiny-unet]\n  first: {use: tiny-unet")
    text = text.replace('  members: ["${denoiser.first}"]\n', "")
    made = plan(text, "denoiser.first={use: '${denoiser.members}', channels: 16}")
    assert made.tree["denoiser"]["first"]["channels"] == 16


def test_of_a_list_of_several_parts_it_must_say_which(fault: Fault) -> None:
    text = SPEC.replace('["${denoiser.first}"]', "[tiny-unet, tiny-unet]")
    problem = fault(text, "denoiser.first={use: '${denoiser.members}', channels: 16}")
    assert problem.what == "${denoiser.members} is a list of 2 entries, and one denoiser is meant"
    assert problem.hint.startswith("say which: ${denoiser.members[0]}")
    assert problem.path == "denoiser.first"


def test_a_wrong_change_is_found_at_its_place(fault: Fault) -> None:
    problem = fault(SPEC, "denoiser.members[0].chanels=16")
    assert problem.what == "denoiser tiny-unet has no parameter 'chanels'"
    assert (str(problem.place), problem.hint) == ("--set #1", "did you mean 'channels'?")


def test_a_part_that_is_itself_with_changes_is_a_circle(fault: Fault) -> None:
    problem = fault(SPEC.replace('["${denoiser.first}"]', "[{use: '${denoiser.members.0}', channels: 1}]"))
    assert problem.what == "interpolations refer to one another in a circle"


def test_an_override_below_a_borrowed_value_that_is_no_part_says_so(fault: Fault) -> None:
    text = f"{SPEC}guidance: [{{use: odd, decay: '${{guidance.1.decay}}'}}, {{use: odd}}]\n"
    problem = fault(text, "guidance[0].decay.rate=0.2")
    assert problem.what == "guidance[0].decay is ${guidance.1.decay}, which is taken from elsewhere whole"
    assert problem.hint == "set what it is taken from, or all of guidance[0].decay"


@pytest.mark.parametrize("name", ["ddim", "glidepath-diffusion/ddim"])
def test_a_name_that_is_taken_from_elsewhere_is_still_a_name(plan: ToPlan, name: str) -> None:
    text = f"{SPEC}guidance: [{{use: odd, extra: {name}}}]\n".replace(
        "sampler: ddim", "sampler: {use: '${guidance[0].extra}', eta: 0.5}"
    )
    assert plan(text).tree["sampler"]["use"] == "glidepath-diffusion/ddim"
    assert plan(text).tree["sampler"]["eta"] == 0.5
