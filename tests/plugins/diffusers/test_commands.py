"""What the commands say of models of today before anything is built, and what they write of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from glidepath.registry.cli import main
from glidepath.registry.records.images import read_manifest

Saved = Callable[[str], Path]


def test_a_prompt_without_a_tokenizer_is_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("diffusers", reason="needs the extra [diffusers]")

    def build(*_arguments: object, **_options: object) -> None:
        raise AssertionError("something was built")

    monkeypatch.setattr("glidepath.registry.assembly.build.build_pipeline", build)
    assert main(["sample", "a castle", "--spec", "sdxl"]) == 2
    refused = capsys.readouterr().err
    what = "text_encoder.encoders[0] (clip-text) can read no prompt yet: give it the folder of its tokenizer"
    assert what in refused
    assert main(["check", "sdxl"]) == 0
    assert what in capsys.readouterr().err


def test_weights_of_diffusers_are_imported_and_not_converted(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
    assert main(["check", "pixart-sigma"]) == 0
    said = capsys.readouterr().err
    assert "`glidepath import` makes them known to a spec, from a folder of diffusers" in said
    assert "glidepath convert" not in said
    assert main(["check", "adm-64"]) == 0
    said = capsys.readouterr().err
    assert "`glidepath convert` makes them from a published checkpoint" in said
    assert "glidepath import" not in said


@pytest.mark.thorough
def test_an_image_of_8_bits_is_replayed(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchao", reason="needs the extra [quantize]")
    monkeypatch.chdir(tmp_path)
    runtime = "runtime: {device: cpu, dtype: float32, quantize: int8}"
    Path("small.yaml").write_text(f"extends: {saved('sd15')}\n{runtime}\nsampler: {{use: euler, steps: 2}}\n")
    assert main(["sample", "a red star", "--spec", "small.yaml", "--out", "x.png"]) == 0
    _, manifest = read_manifest(Path("x.png"))
    assert manifest["spec"]["runtime"]["quantize"] == "int8"
    capsys.readouterr()
    assert main(["replay", "x.png", "--models", str(saved("sd15"))]) == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
