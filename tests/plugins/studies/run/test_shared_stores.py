"""Studies of one name, and studies that share a folder: results are never mixed, and equal work is shared."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from glidepath.registry.cli import main

pytestmark = pytest.mark.thorough

STUDY = """\
base: small.yaml
arms: {axes: {sampler.steps: [1, 2]}}
data: {prompts: [red]}
metrics: {primary: {evaluations: network-evaluations}}
engine: in-process
"""


def write(file: Path, *changes: tuple[str, str], head: str = "") -> str:
    text = head + STUDY.replace("small.yaml", os.path.relpath("small.yaml", file.parent))
    for old, new in changes:
        text = text.replace(old, new)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return str(file)


def ran(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, int]:
    assert main(["study", "run", *words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    return said["ran"], said["found"]


@pytest.mark.parametrize(
    ("names", "head"),
    [(("one/s.yaml", "two/s.yaml"), ""), (("one/a.yaml", "two/b.yaml"), "study: {name: both}\n")],
)
def test_a_second_file_of_one_name_is_refused_whatever_is_asked(
    small: Path, names: tuple[str, str], head: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(small / names[0], head=head)
    second = write(small / names[1], ("[1, 2]", "[1, 3]"), head=head)
    assert ran(first, capsys=capsys) == (5, 0)
    for words in (["run"], ["plan", "--no-probe"], ["report"], ["status"], ["export"], ["stop"]):
        assert main(["study", words[0], second, *words[1:]]) == 1
        said = capsys.readouterr().err
        assert f"has the results of another study of this name, {small / names[0]}" in said
    assert main(["study", "export", first]) == 0
    assert "steps=3" not in capsys.readouterr().out
    # a copy says the same, and a file that was moved is where it was
    assert ran(write(small / names[1], head=head), capsys=capsys) == (0, 5)
    Path(first).unlink()
    third = write(small / "three" / Path(names[0]).name, ("[1, 2]", "[1, 2, 3]"), head=head)
    Path(second).unlink()
    assert ran(third, capsys=capsys) == (2, 5)


def test_studies_that_share_a_folder_share_work_and_keep_their_own_status(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--store", "runs/studies/shared")
    first = write(small / "first.yaml")
    second = write(small / "second.yaml", ("[1, 2]", "[2, 4]"), ("[red]", "[red, green]"))
    assert ran(first, *more, capsys=capsys) == (5, 0)
    # of the arm that both have, red is drawn already
    assert ran(second, *more, capsys=capsys) == (1 + 1 + 2 + 2, 2)
    assert ran(first, *more, capsys=capsys) == (0, 5)
    for file, arms in ((first, ["steps=1", "steps=2"]), (second, ["steps=2", "steps=4"])):
        assert main(["study", "status", file, *more, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["study"], list(said["arms"])) == (Path(file).stem, arms)
        assert main(["study", "export", said["folder"]]) == 0
        rows = capsys.readouterr().out.splitlines()[1:]
        assert sorted({row.partition(",")[0] for row in rows}) == arms
        assert main(["study", "report", file, *more]) == 0
        assert Path(capsys.readouterr().out.strip()).parent.parent == Path(said["folder"])
    assert main(["study", "list", "--json"]) == 0
    assert sorted(it["study"] for it in json.loads(capsys.readouterr().out)) == ["first", "second"]
