"""The whole way: rehearsal, models, import, report, export, the metric."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from tests.plugins.judge.conftest import ARMS, reopened

from glidepath.core import GlidepathError
from glidepath.plugins.judge.analysis.analysis import analyse
from glidepath.plugins.judge.configs import JudgedConfig
from glidepath.plugins.judge.protocol.folder import Judgement, Rater
from glidepath.plugins.judge.protocol.pictures import collect
from glidepath.plugins.judge.simulation import Habits, simulate
from glidepath.registry.cli import main

BRIGHT = """\
name, direction = "brightness", "higher"


def per_prompt(images, prompts):
    return images.float().mean(dim=(1, 2, 3)).tolist()
"""
METRIC = "{use: python, file: bright.py}"


def scores(judgement: Judgement, better: str = "brave") -> list[float]:
    return [float(it.arm == better) for it in judgement.pictures]


def rehearsed(judgement: Judgement, raters: int, spammers: int = 0, *, silent: bool = False) -> Judgement:
    """With simulated raters, of whom some look at nothing, or have not answered."""
    habits = Habits(sees=0.6, spammers=spammers, seed=1)
    some = judgement.add_raters(raters, "simulated")
    answers = simulate(judgement, some, scores(judgement), habits)
    out = {it.name for it in some[:spammers]} if silent else set()
    judgement.append([it for it in answers if it.rater not in out])
    return reopened(judgement.folder)


def test_spammers_who_are_left_out_by_the_stated_rule_move_nothing(make: Callable[..., Judgement]) -> None:
    pytest.importorskip("scipy", reason="intervals need it: extra [studies]")
    first = rehearsed(make(), 9, spammers=3)
    with_them = analyse(first)
    (first.folder).rename("with")
    without = analyse(rehearsed(make(), 9, spammers=3, silent=True))
    (one,), (other,) = with_them.groups, without.groups
    assert one.compared == other.compared
    assert (one.answers, one.raters, one.alpha) == (other.answers, other.raters, other.alpha)
    out = {it.name: it.excluded for it in with_them.raters if it.excluded}
    assert sorted(out) == ["simulated-001", "simulated-002", "simulated-003"]
    text = Path("with/judgement.yaml").read_text().replace("fast_share: 0.3", "fast_share: 1")
    text = text.replace("checks_right: 0.75", "checks_right: 0").replace(
        "repeats_same: 0.25", "repeats_same: 0"
    )
    Path("with/judgement.yaml").write_text(text)
    moved = analyse(reopened(Path("with")))
    assert moved.groups[0].compared[0].rate.value < one.compared[0].rate.value
    assert any("rules were changed" in note for note in moved.notes)


@pytest.mark.thorough
def test_people_simulated_raters_and_models_are_reported_beside_one_another_and_never_mixed(
    make: Callable[..., Judgement], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scipy", reason="intervals need it: extra [studies]")
    make("--set", "design.per_rater=12")
    Path("bright.py").write_text(BRIGHT)
    assert main(["judge", "simulate", "j", METRIC, "--raters", "6"]) == 0
    assert main(["judge", "model", "j", METRIC, "--name", "brightness"]) == 0
    assert main(["judge", "model", "j", METRIC, "--name", "brightness"]) == 1
    assert "has judged already" in capsys.readouterr().err
    rows = ["rater,left,right,answer,seconds"]
    rows += [f"ada,pictures/{n:05d}.png,pictures/{n + 12:05d}.png,left,4" for n in range(12)]
    rows += [f"bob,pictures/{n + 12:05d}.png,pictures/{n:05d}.png,right," for n in range(6)]
    Path("elsewhere.csv").write_text("\n".join(rows))
    assert main(["judge", "import", "j", "elsewhere.csv"]) == 0
    capsys.readouterr()
    assert main(["judge", "report", "j", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    groups = {it["name"]: it for it in said["groups"]}
    assert list(groups) == ["people", "simulated", "brightness"]
    assert (groups["people"]["answers"], groups["people"]["raters"]) == (18, 2)
    assert groups["people"]["compared"][0]["rate"]["value"] == 1  # all for `brave`
    assert groups["brightness"]["compared"][0]["rate"]["value"] == 0  # `careful` is brighter
    assert 0 < groups["simulated"]["compared"][0]["rate"]["value"] < 0.5
    assert groups["simulated"]["answers"] == 72
    assert main(["judge", "report", "j"]) == 0
    text = capsys.readouterr().out
    assert "Simulated raters, who are no people" in text
    assert "A model: brightness" in text
    assert main(["judge", "report", "j", "--out", "report"]) == 0
    page = Path("report/report.html").read_text()
    assert "<script" not in page
    assert "http" not in page
    assert json.loads(Path("report/report.json").read_text()) == said
    assert "Simulated raters, who are no people" in Path("report/report.md").read_text()
    tables = {file.stem: file.read_text() for file in Path("report/tables").glob("*.tex")}
    assert any(name.startswith("simulated-raters-who-are-no-people-") for name in tables)
    assert all(r"\toprule" in text and r"\label{tab:" in text for text in tables.values())


def test_links_are_whole_addresses_of_where_it_is_served(
    make: Callable[..., Judgement], capsys: pytest.CaptureFixture[str]
) -> None:
    make()
    capsys.readouterr()
    assert main(["judge", "link", "j", "--raters", "2"]) == 0
    links = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [link.startswith("http://127.0.0.1:8765/r/") for _, link in links] == [True, True]
    assert main(["judge", "link", "j", "--host", "0.0.0.0", "--port", "80", "--name", "lab.example"]) == 0
    assert " http://lab.example:80/r/" in capsys.readouterr().out


def test_names_of_arms_are_text_in_every_report(folders: Path) -> None:
    pytest.importorskip("scipy", reason="intervals need it: extra [studies]")
    Path("brave").rename("<img src=x onerror=alert(1)>|*x*")
    assert main(["judge", "new", "<img src=x onerror=alert(1)>|*x*", "careful", "--out", "j"]) == 0
    rehearsed(reopened(Path("j")), 4)
    assert main(["judge", "report", "j", "--out", "report"]) == 0
    assert "<img" not in Path("report/report.html").read_text()
    assert not re.search(r"(?<!\\)<img", Path("report/report.md").read_text())


def test_a_report_of_many_arms_and_raters_begins_with_what_is_shown_and_cuts_no_name_off(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scipy", reason="intervals need it: extra [studies]")
    arms = ["brave", "careful", "guidance=classifier-free,3", "sampler=dpmpp-2m,steps=25"]
    for copied in arms[2:]:
        shutil.copytree("careful", copied)
    words = ["--set", "design.per_pair=6", "--set", "design.per_rater=20"]
    assert main(["judge", "new", *arms, "--question", "prefer", "--out", "j", *words]) == 0
    rehearsed(reopened(Path("j")), 22)
    capsys.readouterr()
    assert main(["judge", "report", "j", "--out", "report"]) == 0
    page = Path("report/report.html").read_text()
    found = re.search('<p class="summary">(.*?)</p>', page)
    assert found is not None
    # brave is preferred to each other arm, and the others look alike
    assert found[1].startswith(
        "Simulated raters, no people: of 6 comparisons 3 show a difference. brave wins"
    )
    assert found[1].count("they differ") == 3
    assert "careful wins" not in found[1]
    assert ">guidance=classifier-free,3 against sampler=dpmpp-2m,steps=25<" in page
    assert "<summary>All 22</summary>" in page


def test_answers_are_exported_with_all_that_is_known_and_as_preferences(
    make: Callable[..., Judgement], capsys: pytest.CaptureFixture[str]
) -> None:
    judgement = rehearsed(make("--set", "design.per_rater=12"), 6, spammers=1)
    assert main(["judge", "export", "j", "--out", "answers.csv"]) == 0
    rows = list(csv.DictReader(Path("answers.csv").read_text().splitlines()))
    assert len(rows) == len(judgement.answers()[0])
    assert {row["kind"] for row in rows} == {"simulated"}
    assert {row["counts"] for row in rows if row["rater"] == "simulated-001"} == {"False"}
    counted = [row for row in rows if row["counts"] == "True"]
    assert {row["role"] for row in counted} == {"ask"}
    assert main(["judge", "export", "j", "--out", "pairs.jsonl", "--by", "simulated"]) == 0
    pairs = [json.loads(line) for line in Path("pairs.jsonl").read_text().splitlines()]
    assert pairs
    for pair in pairs:
        assert pair["votes"]["chosen"] > pair["votes"]["rejected"]
        assert Path(pair["chosen"]).is_file()
        wins = sum(
            row["left" if row["answer"] == "left" else "right"] == pair["chosen"].removeprefix("j/")
            for row in counted
            if row["answer"] != "tie"
            and {f"j/{row['left']}", f"j/{row['right']}"} == {pair["chosen"], pair["rejected"]}
        )
        assert wins == pair["votes"]["chosen"]
    assert main(["judge", "export", "j", "--out", "pairs.jsonl"]) == 2
    assert "these have judged: simulated" in capsys.readouterr().err
    assert main(["judge", "export", "j", "--out", "answers.txt"]) == 2


def test_answers_are_exported_as_parquet(make: Callable[..., Judgement]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs it: extra [parquet]")
    rehearsed(make(), 2)
    assert main(["judge", "export", "j", "--out", "answers.parquet"]) == 0
    assert main(["judge", "export", "j", "--out", "answers.csv"]) == 0
    table = parquet.read_table("answers.parquet").to_pylist()
    rows = list(csv.DictReader(Path("answers.csv").read_text().splitlines()))
    assert [{key: str(value) for key, value in row.items()} for row in table] == rows


def test_every_wrong_line_of_an_import_is_told_and_nothing_is_taken_in(
    make: Callable[..., Judgement], capsys: pytest.CaptureFixture[str]
) -> None:
    judgement = make()
    good = "pictures/00000.png,pictures/00012.png"
    lines = [
        f"ada,{good},left",
        f"ada,{good},right",
        "ada,pictures/00000.png,pictures/00013.png,left",
        "ada,pictures/../plan.json,pictures/00012.png,left",
        f"bob,{good},up",
        f"../bob,{good},left",
        f"r001,{good},left",
    ]
    Path("wrong.csv").write_text("\n".join(["rater,left,right,answer", *lines]))
    assert main(["judge", "import", "j", "wrong.csv"]) == 1
    said = capsys.readouterr().err
    for number, why in (
        (3, "ada has answered to this before"),
        (4, "these two are not compared"),
        (5, "left is 'pictures/../plan.json'"),
        (6, "answer is 'up'"),
        (7, "is no name of a rater"),
        (8, "there is a rater 'r001' already"),
    ):
        assert f"wrong.csv:{number}: " in said
        assert why in said
    assert judgement.answers() == ([], [])
    Path("wrong.csv").write_text("rater,left\n")
    assert main(["judge", "import", "j", "wrong.csv"]) == 1
    assert "lacks the column 'right'" in capsys.readouterr().err


def test_an_import_that_was_killed_before_its_answers_is_done_again(make: Callable[..., Judgement]) -> None:
    judgement = make()
    row = "ada,pictures/00000.png,pictures/00012.png,left"
    Path("elsewhere.csv").write_text(f"rater,left,right,answer\n{row}\n")
    judgement.write_rater(Rater("ada", "imported", ()))
    assert main(["judge", "import", "j", "elsewhere.csv"]) == 0
    assert main(["judge", "import", "j", "elsewhere.csv"]) == 1
    assert [it.rater for it in judgement.answers()[0]] == ["ada"]


def test_one_process_at_a_time_writes_answers(
    make: Callable[..., Judgement], capsys: pytest.CaptureFixture[str]
) -> None:
    judgement = make()
    Path("bright.py").write_text(BRIGHT)
    with judgement.lock():
        assert main(["judge", "model", "j", METRIC]) == 1
    assert "end it first" in capsys.readouterr().err
    assert judgement.answers() == ([], [])


def test_as_a_metric_a_picture_has_the_share_of_its_comparisons_that_it_won(
    make: Callable[..., Judgement],
) -> None:
    import torch

    from glidepath.plugins.judge.metric import Judged
    from glidepath.registry import read_picture

    judgement = make()
    rows = ["rater,left,right,answer"]
    rows += [f"ada,pictures/{n:05d}.png,pictures/{n + 12:05d}.png,left" for n in range(6)]
    rows += ["bob,pictures/00000.png,pictures/00012.png,tie"]
    Path("elsewhere.csv").write_text("\n".join(rows))
    assert main(["judge", "import", "j", "elsewhere.csv"]) == 0
    metric = Judged(JudgedConfig(folder=Path("j")))
    assert (metric.unit, metric.direction) == ("share", "higher")
    shown = [judgement.pictures[it] for it in (0, 1, 12, 13, 11)]
    pixels = [list(read_picture(Path("j") / it.file).tobytes()) for it in shown]
    images = torch.tensor(pixels, dtype=torch.uint8).reshape(-1, 12, 16, 3).permute(0, 3, 1, 2)
    found = metric.per_prompt(images, [it.prompt for it in shown])
    assert found[:4] == [0.75, 1.0, 0.25, 0.0]
    assert found[4] != found[4]  # nobody was asked about it
    other = metric.per_prompt(images[:1], ["another prompt"])
    assert other[0] != other[0]
    with pytest.raises(GlidepathError, match="was judged by people, and not by 'simulated'"):
        Judged(JudgedConfig(folder=Path("j"), by="simulated"))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--rate", "0.55"], 0, "judgements find a rate of 0.55 in 80%"),
        (["--rate", "0.5"], 2, "not 0.5"),
        (["--rate", "55"], 2, "this is 55; is 0.55 meant?"),
        (["--rate", "0.55", "--power", "1.5"], 2, "--power is 1.5"),
        (["--rate", "0.51", "--per-rater", "1000000000", "--rater-icc", "0.2"], 1, "ask each for less"),
    ],
)
def test_power_says_how_many_judgements_it_takes(
    words: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scipy", reason="powers need it: extra [studies]")
    assert main(["judge", "power", *words]) == status
    out = capsys.readouterr()
    assert said in (out.out if status == 0 else out.err)


def test_the_arms_are_those_of_the_folders(make: Callable[..., Judgement]) -> None:
    assert make().arms == sorted(ARMS)


def test_a_network_that_guided_an_arm_does_not_judge_it(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from glidepath.registry import read_manifest, read_picture, save_png

    weights = Path("network.safetensors")
    weights.write_bytes(b"of no use")
    digest = hashlib.sha256(b"of no use").hexdigest()
    shot = {"prompt": "a red circle", "seed": 0, "sample": 0}
    for arm, guided in (("brave", {"guidance[0].clip": digest}), ("careful", {})):
        picture = Path(arm, "guided.png")
        record = {"shots": [shot], "weights": {"": "0" * 64, **guided}}
        save_png(read_picture(Path(arm, "00.png")), picture, record)
        assert read_manifest(picture)[1]["weights"] == record["weights"]
        for other in Path(arm).glob("[01]*"):
            other.unlink()
    assert main(["judge", "new", *ARMS, "--question", "faithful", "--out", "j"]) == 0
    capsys.readouterr()
    clip = "{use: noised-clip, tokenizer: {use: words, vocabulary: [a]}, weights: network.safetensors}"
    assert main(["judge", "model", "j", f"{{use: clip-score, clip: {clip}}}"]) == 1
    assert "guidance[0].clip of brave has the weights of this judge" in capsys.readouterr().err
    assert reopened(Path("j")).answers() == ([], [])


@pytest.mark.parametrize("raters", [1, 5])
def test_a_report_of_fewer_raters_or_prompts_than_intervals_were_tried_on_says_so(
    make: Callable[..., Judgement], capsys: pytest.CaptureFixture[str], raters: int
) -> None:
    pytest.importorskip("scipy", reason="intervals need it: extra [studies]")
    make("--set", "design.per_rater=4", "--set", "design.checks=1", "--set", "design.repeats=1")
    rehearsed(reopened(Path("j")), raters)
    assert main(["judge", "report", "j"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    few = f"Here are {raters} rater{'s' * (raters > 1)} and"
    assert f"measured with 4 raters and 20 prompts or more. {few}" in said
    assert "1 attention check and 1 repeated pair of each rater" in said


def test_with_looks_the_looks_decide_and_not_the_p_of_the_end(
    make: Callable[..., Judgement], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scipy", reason="intervals need it: extra [studies]")
    rehearsed(make("--set", "analysis.looks=3", "--set", "design.per_pair=6"), 6)
    assert main(["judge", "report", "j"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"(a look has shown that they differ|no look has shown a difference)\.", said)
    assert "decides below" in said


def test_of_a_study_it_says_what_was_given_and_not_where_its_images_lie_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(words: list[str]) -> None:
        folder = Path(words[-1])
        folder.mkdir()
        Image.new("RGB", (8, 8)).save(folder / "a.png")
        (folder / "pictures.jsonl").write_text('{"file": "a.png", "arm": "a", "prompt": "x"}\n')
        print(f"1 images: {folder}", file=sys.stderr)

    monkeypatch.setitem(sys.modules, "exports_of_studies", SimpleNamespace(main=export))
    command = SimpleNamespace(item=SimpleNamespace(target="exports_of_studies:main"))
    catalogue: Any = SimpleNamespace(command_source=lambda _name: command)
    study = tmp_path / "guided.yaml"
    study.touch()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert [it.arm for it in collect([study], scratch, catalogue)] == ["a"]
    told = capsys.readouterr()
    assert told.err == f"1 images of {study}\n"
    assert not told.out
