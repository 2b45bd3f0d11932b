"""Options that people guess: the error names the option that is there, or the value of the spec."""

from __future__ import annotations

import shlex

import pytest

from glidepath.registry.cli import main


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The last line of what a command with wrong arguments says."""
    assert main(list(words)) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("--steps 5", "--set sampler.steps=5"),
        ("--steps=5", "--set sampler.steps=5"),
        ("--num_inference_steps 5", "--set sampler.steps=5"),
        ("--sampler ddim", "--set sampler=ddim"),
        ("--schedule linear", "--set schedule=linear"),
        ("--guidance clip", "--set guidance=clip"),
        ("--guidance 3.5", "--set 'guidance[0].scale=3.5'"),
        ("--cfg-scale 3", "--set 'guidance[0].scale=3'"),
        ("--compile", "--set runtime.compile=VALUE"),
        ("--eta 0.5", "--set sampler.eta=0.5 or --set 'guidance[0].eta=0.5'"),
    ],
)
def test_a_value_of_the_spec_is_told_with_the_set_that_writes_it(
    written: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told(capsys, "sample", "a red star", *shlex.split(written))
    assert said.endswith(f"unrecognized arguments: {written}; it is a value of the spec: {hint}")


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("-n 4", "did you mean --count?"),
        ("--n 4", "did you mean --count?"),
        ("--batch-size 4", "did you mean --batch?"),
        ("--output x.png", "did you mean --out?"),
        ("-o x.png", "did you mean --out?"),
        ("--model shapes", "did you mean --spec?"),
        ("--ckpt x.safetensors", "did you mean --weights?"),
        ("--fp16", "did you mean --dtype float16?"),
        ("--cuda", "did you mean --device cuda?"),
        ("--gpu", "did you mean --device cuda?"),
        ("--size 64", "the size is the denoiser's, as it was trained; --scale N enlarges what it makes"),
        ("--prompt star", 'a prompt needs no option: glidepath sample "a green star"'),
        ("--strenght 1", "did you mean --strength?"),
    ],
)
def test_an_option_by_another_name_is_told_the_one_that_there_is(
    written: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "sample", "a red star", *shlex.split(written)).endswith(f"; {hint}")


def test_the_value_is_found_where_it_was_taken_for_a_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "sample", "--steps", "5", "a red star").endswith("--set sampler.steps=5")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("check shapes --steps 5", "--set sampler.steps=5"),
        ("plan shapes --precision half", "--set runtime.dtype=half"),
        ("train shapes --batch-size 3", "--set train.batch=3"),
        ("train shapes --steps 5", "--set train.steps=5 or --set sampler.steps=5"),
    ],
)
def test_every_command_that_reads_a_spec_knows_its_values(
    words: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, *words.split()).endswith(f"; it is a value of the spec: {hint}")


def test_no_option_is_suggested_that_the_command_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, "check", "shapes", "--size", "64")
    assert "--scale" not in said
    assert "--count" not in told(capsys, "check", "shapes", "-n", "4")


def test_the_help_of_the_enlargement_says_where_the_guidance_scale_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["sample", "--help"]) == 0
    assert "the guidance scale is --set guidance[0].scale=3" in " ".join(capsys.readouterr().out.split())


def test_an_enlargement_that_is_none_is_told_where_the_scale_of_a_guidance_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = told(capsys, "sample", "x", "--scale", "2.5")
    assert "argument --scale: '2.5' is not a whole number of at least 1" in said
    assert said.endswith("a guidance has a scale of its own, --set guidance[0].scale=3")
