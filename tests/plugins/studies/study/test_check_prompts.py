"""Prompts that an arm could not read are told of before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from glidepath.plugins.studies.study.reader import read_study
from glidepath.registry.cli import main
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.text.problems import Problem, SpecError

STUDY = """\
base: small.yaml
arms: {axes: {sampler.steps: [1, 2]}}
data:
  prompts:
  - red
  - a gren thing
metrics: {primary: {evaluations: network-evaluations}}
"""


def faults_of(folder: Path, text: str) -> list[Problem]:
    (folder / "study.yaml").write_text(text)
    try:
        read_study(folder / "study.yaml", catalogue=load_catalogue())
    except SpecError as error:
        return list(error.problems)
    return []


def test_a_word_that_the_vocabulary_does_not_know_is_told_with_its_place_and_nothing_runs(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "study.yaml").write_text(STUDY)
    for command in ("plan", "run"):
        assert main(["study", command, "study.yaml"]) == 2
        said = capsys.readouterr().err
        assert "study.yaml:6:5" in said
        assert "'gren' (did you mean 'green'?)" in said
        assert "data.prompts[1]" in said
        assert "text_encoder.tokenizer of arm steps=1 reads it" in said
    assert not (small / "runs").exists()


def test_what_a_tokenizer_says_in_several_lines_is_one_line_of_words(small: Path) -> None:
    [fault] = faults_of(small, STUDY)
    assert "(did you mean 'green'?)" in fault.what
    assert "; it knows 2 words: red, green" in fault.what
    assert fault.what.isprintable()
    assert "\N{REPLACEMENT CHARACTER}" not in fault.render()


def test_each_prompt_is_told_of_once_however_many_arms_read_it(small: Path) -> None:
    [fault] = faults_of(small, STUDY)
    assert fault.path == "data.prompts[1]"
    assert faults_of(small, STUDY.replace("a gren thing", "green")) == []


def test_a_negative_prompt_is_read_too(small: Path) -> None:
    [fault] = faults_of(small, STUDY.replace("  - a gren thing", "  negative: a gren thing"))
    assert (fault.path, fault.place.line) == ("data.negative", 6)


def test_of_prompts_in_a_file_the_place_is_where_the_file_is_named(small: Path) -> None:
    (small / "prompts.txt").write_text("red\n\nblue\u2028red\n", encoding="utf-8-sig")
    text = STUDY.replace("\n  prompts:\n  - red\n  - a gren thing", " {prompts: prompts.txt}")
    [fault] = faults_of(small, text)
    assert fault.place is not None
    assert (fault.place.line, fault.path) == (3, "data.prompts[1]")
    assert "'blue'" in fault.what
    assert "'blue\\u2028red'" in fault.what


def test_an_arm_with_a_vocabulary_of_its_own_is_asked_too(small: Path) -> None:
    words = "text_encoder.tokenizer.vocabulary: [[red, a, gren, thing], [red, a, gren, thing, green]]"
    assert faults_of(small, STUDY.replace("sampler.steps: [1, 2]", words)) == []
    words = "text_encoder.tokenizer.vocabulary: {values: {a: [red, a, gren, thing], b: [red, green]}}"
    words = words.replace("{values", "{at: text_encoder.tokenizer.vocabulary, values")
    [fault] = faults_of(small, STUDY.replace("sampler.steps: [1, 2]", words))
    assert "vocabulary=b" in fault.hint


def test_a_tokenizer_that_leaves_out_what_it_does_not_know_reads_everything(small: Path) -> None:
    base = "base: {extends: small.yaml, text_encoder: {tokenizer: {unknown: ignore}}}"
    assert faults_of(small, STUDY.replace("base: small.yaml", base)) == []


def test_asking_tokenizers_imports_no_torch(small: Path) -> None:
    (small / "study.yaml").write_text(STUDY.replace("a gren thing", "green"))
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from glidepath.plugins.studies.study.reader import read_study\n"
        "from glidepath.registry.discovery.catalogue import load_catalogue\n"
        "read_study(Path('study.yaml'), catalogue=load_catalogue())\n"
        "assert 'glidepath.plugins.text.words' in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
