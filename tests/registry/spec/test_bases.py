"""What the text of a stranger may extend, where the reader says so; all else of it stays a stranger's."""

from __future__ import annotations

from pathlib import Path

import pytest

from glidepath.registry import SpecError, load_catalogue, make_plan, parse_spec

BASES = {"shapes": "shapes"}


def _plan(text: str, bases: dict[str, str | Path]) -> object:
    catalogue = load_catalogue()
    spec = parse_spec(text, "page", catalogue=catalogue, untrusted=True, bases=bases)
    return make_plan(spec, catalogue).tree


def test_a_strangers_text_extends_the_bases_it_is_given(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("extends: shapes\nweights: {path: weights.safetensors}\n")
    tree = _plan("extends: mine\nsampler: {steps: 3}", {"mine": own})
    assert tree["sampler"]["steps"] == 3  # type: ignore[index]
    assert tree["weights"] == str(tmp_path / "weights.safetensors")  # type: ignore[index]


@pytest.mark.parametrize("name", ["./own.yaml", "own.yaml", "emoji", "hub:a/b", "/etc/passwd", "shape"])
def test_it_extends_nothing_else(name: str) -> None:
    with pytest.raises(SpecError, match=r"no spec .* that this one may extend"):
        _plan(f"extends: {name}", dict(BASES))
    with pytest.raises(SpecError, match=r"no spec .* that this one may extend"):
        _plan(f"stages: {{a: {{extends: {name}}}}}", dict(BASES))


def test_its_own_values_are_still_a_strangers() -> None:
    with pytest.raises(SpecError, match="may name no file"):
        _plan("extends: shapes\nweights: other.safetensors", dict(BASES))
    with pytest.raises(SpecError, match="needs a sha256"):
        _plan("extends: shapes\nweights: hub:a/b/c.safetensors", dict(BASES))


def test_without_bases_it_extends_nothing() -> None:
    spec = parse_spec("extends: shapes", "x", catalogue=load_catalogue(), untrusted=True)
    assert any("extends nothing" in problem.what for problem in spec.problems)
