"""The commands that make the table, train the judge and measure a model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.emoji import judge as judging
from glidepath.plugins.emoji import judge_command, making, measure_command, table, table_command
from glidepath.plugins.emoji.judge import load_judge

from .judges import judge
from .judges import table as discs
from .tiny import tiny_table, written

pytestmark = pytest.mark.thorough


@pytest.fixture
def _no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(folder: Path, *, size: int, roles: bool) -> table.Table:
        return tiny_table(size, roles=roles)

    monkeypatch.setattr(making, "make_table", made)


@pytest.mark.usefixtures("_no_packages")
def test_the_table_is_made_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.safetensors"
    assert table_command.main([str(tmp_path), "--out", str(out), "--size", "16"]) == 0
    assert table.load(out).pictures.shape[-1] == 16
    said = capsys.readouterr().out
    assert "45 pictures (15 flat, 15 noto, 15 3d) of 10 things" in said


@pytest.mark.usefixtures("_no_packages")
def test_words_and_sheets_are_written_if_asked_for(tmp_path: Path) -> None:
    words, sheets = tmp_path / "words.txt", tmp_path / "sheets"
    out = str(tmp_path / "t.safetensors")
    table_command.main([".", "--out", out, "--words", str(words), "--sheet", str(sheets)])
    assert {"apple", "noto", "medium-dark", "fruit"} <= set(words.read_text(encoding="utf-8").split())
    assert len(list(sheets.iterdir())) == 1


def test_a_judge_is_trained_and_its_ceiling_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "judge.safetensors"
    assert judge_command.main([str(written(tmp_path, 32)), "--out", str(out), "--steps", "2"]) == 0
    assert len(load_judge(out).listing.things) == 10
    assert "held out" in capsys.readouterr().out


class Drawing:
    """A pipeline that draws grey."""

    def __call__(self, prompts: list[str], *, seed: int, samples: range) -> Tensor:
        assert len(prompts) == len(samples)
        return torch.full((len(prompts), 3, 32, 32), 128, dtype=torch.uint8)


@pytest.fixture
def _grey(monkeypatch: pytest.MonkeyPatch) -> None:
    def pipeline(*_: Any) -> Drawing:
        return Drawing()

    trained = SimpleNamespace(all_weights=lambda: {"": "weights.safetensors"})
    monkeypatch.setattr(measure_command, "open_plan", lambda *_, **__: (None, trained))
    monkeypatch.setattr(measure_command, "build_pipeline", pipeline)
    monkeypatch.setattr(judging, "load_judge", judge)


@pytest.mark.thorough
@pytest.mark.usefixtures("_grey")
def test_each_split_has_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.save(tmp_path / "t.safetensors", discs())
    assert measure_command.main(["my.yaml", "--count", "4", "--table", str(tmp_path / "t.safetensors")]) == 0
    model, real = capsys.readouterr().out.split("\n\n")
    assert model.splitlines()[1].startswith("seen ")
    assert real.startswith("real pictures of the same prompts")


@pytest.mark.usefixtures("_grey")
def test_programs_get_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure_command.main(["my.yaml", "--count", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["real"] == []
    assert {"split", "images", "top_1", "top_5", "style"} <= set(found["model"][0])


@pytest.mark.usefixtures("_grey")
def test_a_sheet_of_fixed_prompts_is_drawn(tmp_path: Path) -> None:
    assert measure_command.main(["my.yaml", "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.usefixtures("_grey")
def test_a_table_of_other_things_than_the_judges_is_refused(tmp_path: Path) -> None:
    others = attrs.evolve(discs(), listing=attrs.evolve(discs().listing, things=discs().listing.things[::-1]))
    table.save(tmp_path / "t.safetensors", others)
    with pytest.raises(GlidepathError, match="other things than the judge"):
        measure_command.main(["my.yaml", "--table", str(tmp_path / "t.safetensors")])


def test_a_model_that_is_not_trained_is_not_measured(tmp_path: Path) -> None:
    spec = tmp_path / "mine.yaml"
    spec.write_text("extends: emoji\nweights: null\n", encoding="utf-8")
    with pytest.raises(GlidepathError, match=r"mine.yaml names no weights"):
        measure_command.main([str(spec)])
