"""`${path}`: values from elsewhere in the spec."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from glidepath.registry.plan.plan import Plan
from glidepath.registry.spec.spec import Spec
from glidepath.registry.text.problems import Problem

GOOD = "schedule: cosine\ndenoiser: tiny-unet\nsampler: ddpm\n"

Read = Callable[..., Spec]
Fault = Callable[..., Problem]


def extra(read: Read, text: str, *overrides: str, **options: Any) -> Any:
    """The value of a parameter that takes anything."""
    spec = read(f"{GOOD}guidance: [{{use: odd, extra: {text}}}]\n", *overrides, **options)
    return spec.tree["guidance"][0]["extra"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'${sampler}'", "ddpm"),
        ("'${ sampler }'", "ddpm"),
        ("'${guidance[0].order}'", 1),
        ("'${guidance.0.order}'", 1),
        ("'${sampler.steps}'", 150),
        ("'${schedule.num_steps}'", 1000),
        ("'${denoiser.channel_mult}'", [1, 2, 3, 4]),
        ("'${denoiser.channel_mult[1]}'", 2),
        ("'${denoiser.text_width}'", None),
        ("'${denoiser.learned_variance}'", True),
        ("'${guidance[0].colour}'", "RED"),
        ("'${guidance[0].decay}'", {"rate": 0.1, "floor": 0.0}),
        ("'${guidance[0].decay.rate}'", 0.1),
        ("'${codec}'", "glidepath-diffusion/identity"),
        ("'a ${sampler} of ${sampler.steps}!'", "a ddpm of 150!"),
        ("'${denoiser.learned_variance}ly'", "truely"),
        ("'$sampler'", "$sampler"),
        ("{a: {b: [1, 2]}, c: '${guidance[0].extra.a.b}', d: '${guidance[0].extra.c[1]}'}", {
            "a": {"b": [1, 2]}, "c": [1, 2], "d": 2,
        }),
    ],
)  # fmt: skip
def test_an_interpolation_takes_a_value_or_a_default(read: Read, text: str, value: Any) -> None:
    assert extra(read, text) == value


def test_an_interpolation_sees_overrides_and_other_layers(read: Read) -> None:
    assert extra(read, "'${sampler.steps}'", "sampler={use: ddim}") == 50
    assert extra(read, "3", "guidance[0].extra=${sampler.steps}", "sampler.steps=7") == 7


def test_a_part_can_be_named_by_an_interpolation(plan: Callable[..., Plan]) -> None:
    text = "schedule: cosine\ndenoiser: {use: tiny-unet}\nsampler: {use: '${guidance[0].extra}'}\n"
    made = plan(f"{text}guidance: [{{use: odd, extra: ddim}}]\n")
    assert made.tree["sampler"]["use"] == "glidepath-diffusion/ddim"


def test_a_default_of_a_nested_part_can_be_taken(read: Read) -> None:
    text = GOOD + "text_encoder: {use: transformer, tokenizer: words}\nguidance: [{use: odd, extra: X}]\n"
    spec = read(text.replace("X", "'${text_encoder.tokenizer.title}'"))
    assert spec.tree["guidance"][0]["extra"] == "words"


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


@pytest.mark.parametrize("written", ["${denoiser.attention}", "'${denoiser.attention}'"])
def test_a_default_that_does_not_fit_is_a_fault_where_it_is_borrowed(fault: Fault, written: str) -> None:
    problem = fault(f"{GOOD}text_encoder:\n  use: transformer\n  width: {written}\n")
    assert problem.what == "width takes int, and 'legacy' is text"
    assert str(problem.place) == "s.yaml:6:10"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("${x}", "${x} leads nowhere: the spec has no 'x'"),
        ("${sampler.x}", "${sampler.x} leads nowhere: sampler has no 'x'"),
        ("${sampler.steps.x}", "${sampler.steps.x} leads nowhere: sampler.steps is a number"),
        ("${guidance.scale}", "${guidance.scale} leads nowhere: guidance is a list"),
        ("${guidance[3]}", "${guidance[3]} leads nowhere: guidance has 1 entry, counted from 0"),
        ("${sampler[1]}", "${sampler[1]} leads nowhere: sampler has no '1'"),
        ("${.x}", "'.x' is not a path"),
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
        "schedule: cosine\ndenoiser: tiny-unet\nsampler: {use: ddpm, steps: 3}\n"
        f"guidance: [{{use: odd, extra: '{text}'}}]\n"
    )
    problem = fault(spec)
    assert problem.what == what
    assert problem.path == "guidance[0].extra"
    assert problem.place is not None
    assert problem.place.line == 4


def test_a_parameter_without_a_value_or_a_default_cannot_be_taken(faults: Callable[..., Any]) -> None:
    text = (
        GOOD + "text_encoder: {use: transformer, tokenizer: bpe}\ncodec: '${text_encoder.tokenizer.file}'\n"
    )
    assert [problem.what for problem in faults(text)] == [
        "tokenizer bpe needs 'file', which has no default",
        "${text_encoder.tokenizer.file} leads nowhere: "
        "text_encoder.tokenizer.file is not written, and has no default",
    ]


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
