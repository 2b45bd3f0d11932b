"""`glidepath show`: one part, or one preset."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.registry.cli.processes import OTHER


@pytest.mark.parametrize(
    "name", ["ddim", "sampler/ddim", "acme/ddim", "sampler/acme/ddim", "sampler/ACME/ddim"]
)
def test_show_finds_a_part_by_any_of_its_names(acme: Any, glidepath: Any, name: str) -> None:
    status, out, _ = glidepath("show", name)
    assert status == 0
    assert out.startswith("sampler ddim: implicit sampler\n")


def test_show_tells_parameters_source_references_and_an_example(acme: Any, glidepath: Any) -> None:
    out = glidepath("show", "ddim")[1]
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "Deterministic or stochastic implicit sampling." in rows
    assert "from acme 1.2, plugin acme" in rows
    assert f"file {acme.folder / 'acme' / 'plugin.py'}" in rows
    assert "see Song et al. 2021, equation 12" in rows
    assert "steps int | str 50 which timesteps are visited" in rows
    assert "eta float >= 0, <= 1 0.0 0 deterministic, 1 DDPM" in rows
    assert "  sampler:\n    use: ddim\n    steps: 50\n    eta: 0.0\n" in out


def test_show_of_a_part_with_nested_and_required_parameters(acme: Any, glidepath: Any) -> None:
    out = glidepath("show", "wide")[1]
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "width int required of the tokens" in rows
    assert "order 'old' | 'new' old" in rows
    assert "tokenizer tokenizer null what cuts the text" in rows
    example = """
  text_encoder:
    use: wide
    width: ???  # required: int
    order: old
    tokenizer: bpe  # or words
"""
    assert example in out
    why = "acme/wide 1.2 needs absent_module, which is not installed; pip install acme[text]"
    assert f"It cannot be used here: {why}" in rows
    assert "needs absent_module (acme[text])" in rows


def test_show_of_a_part_without_parameters(acme: Any, glidepath: Any) -> None:
    out = glidepath("show", "words")[1]
    assert "It has no parameters.\n\nin a spec:\n  tokenizer: words\n" in out
    assert "in a spec:\n  guidance:\n    - none\n" in glidepath("show", "none")[1]


def test_show_as_json(acme: Any, glidepath: Any) -> None:
    shown = json.loads(glidepath("show", "wide", "--json")[1])
    assert shown["use"] == "wide"
    assert shown["requires"] == ["absent_module"]
    assert "not installed" in shown["unusable"]
    width, order, tokenizer = shown["parameters"]
    assert (width["required"], width["default"], width["doc"]) == (True, None, "of the tokens")
    assert (order["required"], order["default"], order["type"]) == (False, "old", "'old' | 'new'")
    assert (tokenizer["part"], tokenizer["many"]) == ("tokenizer", False)


def test_show_of_a_preset_prints_it(acme: Any, glidepath: Any) -> None:
    for name in ("fast", "preset/fast", "preset/acme/fast"):
        out = glidepath("show", name)[1]
        assert out.startswith("preset fast: few steps\n")
        assert out.endswith("\nsampler: {use: ddim, steps: 10}\n")
    assert json.loads(glidepath("show", "fast", "--json")[1])["text"] == "sampler: {use: ddim, steps: 10}\n"


def test_show_of_a_name_that_two_have_asks_which(acme: Any, glidepath: Any) -> None:
    acme.plugin("other", OTHER)
    status, _, err = glidepath("show", "ddim")
    assert status == 2
    assert "allowed: sampler/acme/ddim, sampler/other/ddim" in err
    assert glidepath("show", "other/ddim")[1].startswith("sampler ddim: another")
    assert "use: acme/ddim" in glidepath("show", "sampler/acme/ddim")[1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ddin", "did you mean 'ddim'?"),
        ("sampler/ddin", "did you mean 'ddim'?"),
        ("samplr/ddim", "did you mean 'sampler/ddim'?"),
        ("sampler", "`glidepath list sampler` names those that there are"),
        ("preset", "`glidepath list preset` names those that there are"),
        ("zzzzzz", "`glidepath list` names all parts"),
        ("preset/fats", "did you mean 'fast'?"),
    ],
)
def test_show_of_an_unknown_name_suggests_one(acme: Any, glidepath: Any, name: str, hint: str) -> None:
    status, out, err = glidepath("show", name)
    assert (status, out) == (2, "")
    assert err.startswith("glidepath: error: ")
    assert hint in err
