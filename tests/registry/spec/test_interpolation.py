"""`${path}`: values from elsewhere in the spec."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from glidepath.registry.plan.plan import Plan
from glidepath.registry.spec.interpolate import interpolate
from glidepath.registry.spec.spec import Spec
from glidepath.registry.text.mappings import mapping_tree
from glidepath.registry.text.problems import Problem, Problems
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import MappingNode, node_value

GOOD = "schedule: cosine\ndenoiser: tiny-unet\nsampler: ddpm\n"
FULL = """\
schedule: cosine
denoiser: {use: tiny-unet, channel_mult: [1, 2, 3, 4], text_width: null, learned_variance: true, channels: 64}
sampler: {use: ddpm, steps: 150}
"""

Read = Callable[..., Spec]
Fault = Callable[..., Problem]


def extra(read: Read, text: str, *overrides: str, **options: Any) -> Any:
    """The value of a parameter that takes anything."""
    spec = read(f"{FULL}guidance: [{{use: odd, order: 1, extra: {text}}}]\n", *overrides, **options)
    return spec.tree["guidance"][0]["extra"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'${schedule}'", "cosine"),
        ("'${ schedule }'", "cosine"),
        ("'${sampler}'", {"use": "ddpm", "steps": 150}),
        ("'${guidance[0].order}'", 1),
        ("'${guidance.0.order}'", 1),
        ("'${sampler.steps}'", 150),
        ("'${denoiser.channel_mult}'", [1, 2, 3, 4]),
        ("'${denoiser.channel_mult[1]}'", 2),
        ("'${denoiser.text_width}'", None),
        ("'${denoiser.learned_variance}'", True),
        ("'${.order}'", 1),
        ("'${...sampler.steps}'", 150),
        ("'a ${schedule} of ${sampler.steps}!'", "a cosine of 150!"),
        ("'${denoiser.learned_variance}ly'", "Truely"),
        ("'$sampler'", "$sampler"),
        ("{a: {b: [1, 2]}, c: '${guidance[0].extra.a.b}', d: '${guidance[0].extra.c[1]}', e: '${.a.b[0]}'}", {
            "a": {"b": [1, 2]}, "c": [1, 2], "d": 2, "e": 1,
        }),
    ],
)  # fmt: skip
def test_an_interpolation_takes_what_is_written_elsewhere(read: Read, text: str, value: Any) -> None:
    assert extra(read, text) == value


def test_an_interpolation_sees_overrides_and_other_layers(read: Read) -> None:
    assert extra(read, "'${sampler.eta}'", "sampler={use: ddim, eta: 0.5}") == 0.5
    assert extra(read, "3", "guidance[0].extra=${sampler.steps}", "sampler.steps=7") == 7


def test_a_part_can_be_named_by_an_interpolation(plan: Callable[..., Plan]) -> None:
    text = "schedule: cosine\ndenoiser: {use: tiny-unet}\nsampler: {use: '${guidance[0].extra}'}\n"
    made = plan(f"{text}guidance: [{{use: odd, extra: ddim}}]\n")
    assert made.tree["sampler"]["use"] == "glidepath-diffusion/ddim"


def test_a_part_can_be_taken_whole(plan: Callable[..., Plan]) -> None:
    ensemble = "{use: ensemble, first: {use: tiny-unet, channels: 32}, members: ['${denoiser.first}']}"
    tree = plan(GOOD.replace("tiny-unet", ensemble)).tree["denoiser"]
    assert tree["members"] == [tree["first"]]
    assert tree["first"]["channels"] == 32


def test_a_layer_on_top_may_put_another_name_where_a_name_is_taken(plan: Callable[..., Plan]) -> None:
    text = GOOD.replace("ddpm", "{use: '${guidance[0].extra}', eta: 0.5}")
    text += "guidance: [{use: odd, extra: ddim}]\n"
    assert plan(text, "sampler={steps: 7}").tree["sampler"]["steps"] == 7
    assert plan(text, "sampler=ddpm").tree["sampler"]["use"] == "glidepath-diffusion/ddpm"


@pytest.mark.parametrize("override", ["denoiser.members[0].channels=16", "denoiser.members.0.channels=16"])
def test_what_is_taken_whole_cannot_be_changed_in_one_place(fault: Fault, override: str) -> None:
    ensemble = "{use: ensemble, first: tiny-unet, members: ['${denoiser.first}']}"
    problem = fault(GOOD.replace("tiny-unet", ensemble), override)
    assert problem.what == "denoiser.members[0] is ${denoiser.first}, which is taken from elsewhere whole"
    assert problem.hint == "set what it is taken from, or all of denoiser.members[0]"


def test_an_interpolated_value_stands_where_the_interpolation_does(fault: Fault) -> None:
    text = GOOD.replace("tiny-unet", "{use: tiny-unet, text_width: '${sampler.steps}'}")
    problem = fault(text.replace("ddpm", "{use: ddpm, steps: a}") + "text_encoder: transformer\n")
    assert problem.what == "text_width takes int | none, and 'a' is text"
    assert str(problem.place) == "s.yaml:2:40"


def test_what_is_wrong_with_a_value_is_not_said_again_where_it_is_borrowed(fault: Fault) -> None:
    text = GOOD.replace("tiny-unet", "{use: tiny-unet, text_width: '${text_encoder.width}'}")
    problem = fault(text + "text_encoder: {use: transformer, width: 012}\n")
    assert problem.path == "text_encoder.width"
    problem = fault(
        text + "text_encoder: {use: transformer, width: wide}\n", "denoiser.channels=${denoiser.text_width}"
    )
    assert problem.path == "text_encoder.width"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("${x}", "${x} leads nowhere: 'x' is not written in the spec"),
        ("${sampler.x}", "${sampler.x} leads nowhere: 'x' is not written in sampler"),
        ("${schedule.x}", "${schedule.x} leads nowhere: schedule is text"),
        ("${....x}", "'....x' is not a path"),
        ("${.x}", "${.x} leads nowhere: 'x' is not written in guidance[0]"),
        ("${sampler.steps.x}", "${sampler.steps.x} leads nowhere: sampler.steps is a number"),
        ("${guidance.use}", "${guidance.use} leads nowhere: guidance is a list of 1 entry, counted from 0"),
        ("${guidance[3]}", "${guidance[3]} leads nowhere: guidance is a list of 1 entry, counted from 0"),
        ("${sampler[1]}", "${sampler[1]} leads nowhere: '1' is not written in sampler"),
        ("a\\\\${schedule}", "a spec knows no escaped interpolation"),
        ("${}", "'' is not a path"),
        ("${a b}", "'a b' is not a path"),
        ("${guidance[x]}", "'guidance[x]' is not a path"),
        ("a${", "this interpolation is not closed, or holds another"),
        ("${a${b}}", "this interpolation is not closed, or holds another"),
        ("a ${denoiser.channel_mult}", "${denoiser.channel_mult} is a list, which cannot be part of a text"),
        ("a ${denoiser.text_width}", "${denoiser.text_width} is null, which cannot be part of a text"),
        ("${oc.env:HOME}", "a spec may not read the environment"),
        ("${oc.decode:x}", "the resolver 'oc.decode' is not accepted"),
        ("${oc.select:sampler}", "the resolver 'oc.select' is not accepted"),
        ("${eval:1+1}", "the resolver 'eval' is not accepted"),
        ("${guidance[0].extra}", "interpolations refer to one another in a circle"),
        ("x${guidance[0].extra}", "interpolations refer to one another in a circle"),
        ("???", "a value must be filled in here"),
    ],
)  # fmt: skip
def test_an_interpolation_that_cannot_be_followed_is_one_fault(fault: Fault, text: str, what: str) -> None:
    spec = (
        "schedule: cosine\ndenoiser: {use: tiny-unet, channel_mult: [1], text_width: null}\n"
        "sampler: {use: ddpm, steps: 3}\n"
        f"guidance: [{{use: odd, extra: '{text}'}}]\n"
    )
    problem = fault(spec)
    assert problem.what == what
    assert problem.path == "guidance[0].extra"
    assert problem.place is not None
    assert problem.place.line == 4


def test_a_circle_is_shown_whole(fault: Fault) -> None:
    text = "{a: '${guidance[0].extra.b}', b: '${guidance[0].extra.c}', c: {d: '${guidance[0].extra.a}'}}"
    problem = fault(f"{GOOD}guidance: [{{use: odd, extra: {text}}}]\n")
    assert problem.what == "interpolations refer to one another in a circle"
    assert problem.hint == " -> ".join(f"guidance[0].extra.{name}" for name in ("a", "b", "c.d", "a"))


def test_nothing_is_said_twice_of_a_value_that_leads_nowhere(fault: Fault) -> None:
    problem = fault(
        GOOD.replace(
            "tiny-unet", "{use: tiny-unet, channels: '${nowhere}', text_width: '${denoiser.channels}'}"
        )
    )
    assert problem.path == "denoiser.channels"


def test_each_wrong_interpolation_of_a_text_is_found(faults: Callable[..., Any]) -> None:
    (problem,) = faults(f"{GOOD}weights: 'a${{x}}-${{sampler}}.pt'\n")
    assert problem.place.column == 12


def test_the_environment_is_read_where_that_is_allowed(
    read: Read, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIDEPATH_TEST", "12")
    monkeypatch.setenv("GLIDEPATH_TRAP", "${sampler}")
    monkeypatch.delenv("GLIDEPATH_NOT", raising=False)
    assert extra(read, "'${oc.env:GLIDEPATH_TEST}'", allow_env=True) == 12
    assert extra(read, "'a${oc.env: GLIDEPATH_TEST}'", allow_env=True) == "a12"
    assert extra(read, "'${oc.env:GLIDEPATH_NOT,7}'", allow_env=True) == 7
    text = f"{GOOD}guidance: [{{use: odd, extra: '${{oc.env:GLIDEPATH_NOT}}'}}]\n"
    assert fault(text, allow_env=True).what == "the environment has no variable 'GLIDEPATH_NOT'"
    trap = fault(text.replace("_NOT", "_TRAP"), allow_env=True)
    assert trap.what == "the environment variable 'GLIDEPATH_TRAP' holds an interpolation"
    secret = fault(text.replace("_NOT", "_TEST"))
    assert secret.hint == "write the value, or allow it with --allow-env"
    assert "12" not in secret.render()


def test_a_word_of_the_environment_is_text_for_a_field_of_text(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIDEPATH_TEST", "012")
    tokenizer = "{use: words, title: '${oc.env:GLIDEPATH_TEST}'}"
    made = plan(f"{GOOD}text_encoder: {{use: transformer, tokenizer: {tokenizer}}}\n", allow_env=True)
    assert made.tree["text_encoder"]["tokenizer"]["title"] == "012"
    assert os.environ["GLIDEPATH_TEST"] == "012"


def test_an_interpolation_goes_through_another(read: Read) -> None:
    text = "{a: '${guidance[0].extra.b}', b: {c: 5}, d: '${guidance[0].extra.a.c}'}"
    assert extra(read, text)["d"] == 5


def test_what_leads_through_a_broken_value_is_not_said_again(faults: Callable[..., Any]) -> None:
    text = "{a: '${nowhere}', b: '${guidance[0].extra.a.c}', c: !x [1], d: '${guidance[0].extra.c.e}'}"
    assert [problem.path for problem in faults(f"{GOOD}guidance: [{{use: odd, extra: {text}}}]\n")] == [
        "guidance[0].extra.a",
        "guidance[0].extra.c",
    ]


def test_a_text_made_of_interpolations_has_a_limit(fault: Fault) -> None:
    pieces = f"['{'x' * 6_000}', '${{guidance[0].extra[0]}}{'y' * 6_000}']"
    problem = fault(f"{GOOD}guidance: [{{use: odd, extra: {pieces}}}]\n")
    assert problem.what == "interpolations make this text longer than 10,000 characters"
    assert problem.path == "guidance[0].extra[1]"


def test_interpolations_have_a_limit(faults: Callable[..., Any]) -> None:
    pieces = ", ".join(f"a{n + 1}: ['${{x.a{n}}}', '${{x.a{n}}}']" for n in range(14))
    larger = "interpolations make the spec larger than 10,000 values or 50 levels"
    assert any(problem.what == larger for problem in faults(f"{GOOD}x: {{a0: [1, 2], {pieces}}}\n"))
    chained = "{" + ", ".join(f"a{n}: '${{x.a{n + 1}}}'" for n in range(150)) + ", a150: 1}"
    assert any("lead too far" in problem.what for problem in faults(f"{GOOD}x: {chained}\n"))
    counted = "[" + ", ".join(f"'{'${sampler}' * 100}'" for _ in range(120)) + "]"
    assert any(
        "more than 10,000 interpolations" in problem.what for problem in faults(f"{GOOD}x: {counted}\n")
    )


_names = st.sampled_from("abc")
_paths = st.builds(
    lambda dots, names, index: "." * dots + ".".join(names) + index,
    st.integers(0, 3),
    st.lists(_names, min_size=1, max_size=3),
    st.sampled_from(["", "", "[0]", "[1]", ".1"]),
)
_leaves = st.one_of(
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(["x", "y z", 0.0001, None, "???"]),
    _paths.map("${{{}}}".format),
    st.builds("{} ${{{}}}-${{{}}}".format, _names, _paths, _paths),
)
_trees = st.dictionaries(
    _names,
    st.recursive(
        _leaves,
        lambda below: st.one_of(
            st.dictionaries(_names, below, max_size=3), st.lists(below, min_size=1, max_size=2)
        ),
        max_leaves=8,
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.thorough
@settings(max_examples=400)
@given(_trees)
def test_an_interpolation_means_what_omegaconf_means_by_it(tree: dict[str, Any]) -> None:
    problems = Problems()
    root = mapping_tree(tree, Source("mapping", Path(), ""), problems)
    assert isinstance(root, MappingNode)
    resolved = node_value(interpolate(root, problems, allow_env=False))
    stricter = ("which cannot be part of a text", "in a circle")
    if any(word in problem.what for problem in problems.sorted() for word in stricter):
        return
    try:
        expected = OmegaConf.to_container(OmegaConf.create(tree), resolve=True, throw_on_missing=True)
    except (OmegaConfBaseException, RecursionError):
        assert len(problems)
    else:
        assert not len(problems)
        assert resolved == expected
