"""The images that a study keeps: each carries what made it, and is made again bit for bit."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glidepath.plugins.studies.run.collect import collect
from glidepath.plugins.studies.statistics.results import ArmImage
from glidepath.plugins.studies.store.store import Store
from glidepath.registry.cli import main
from glidepath.registry.records.images import read_manifest

from .test_run import STUDY, open_study, run

pytestmark = pytest.mark.thorough


@pytest.fixture
def small(small: Path, small_weights: Path) -> Path:
    """With a file of weights of its own: `replay` follows no link out of the current folder."""
    (small / "small.safetensors").unlink()
    shutil.copyfile(small_weights, small / "small.safetensors")
    return small


def kept(folder: Path, text: str, *overrides: str) -> tuple[Sequence[ArmImage], Store]:
    """The pictures of a study that has run, and where it did."""
    assert run(folder, text, *overrides).failed == 0
    study, graph, store = open_study(folder, text, *overrides)
    return collect(study, graph, store).pictures, store


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_replay_makes_an_image_again_bit_for_bit_whatever_its_batch(
    small: Path, capsys: pytest.CaptureFixture[str], batch: int
) -> None:
    pictures, _ = kept(small, STUDY, f"data.batch={batch}")
    assert len(pictures) == 4
    for picture in pictures:
        assert main(["replay", str(picture.file), "--out", "again.png"]) == 0
        said = capsys.readouterr()
        assert "the same image, pixel for pixel" in said.out
        assert "differs" not in said.err
    assert len({Image.open(it.file).tobytes() for it in pictures}) == 4


def test_a_negative_prompt_of_a_study_is_that_of_its_images_and_replayed(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, _ = kept(small, STUDY, "data.negative=green")
    _, data = read_manifest(pictures[0].file)
    assert {shot["negative"] for shot in data["shots"]} == {"green"}
    assert main(["replay", str(pictures[0].file), "--out", "again.png"]) == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out


def test_images_of_a_study_have_its_size_and_are_reported_and_replayed(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, _ = kept(small, STUDY, "data.size=24x16")
    for picture in pictures:
        assert Image.open(picture.file).size == (24, 16)
    assert main(["replay", str(pictures[0].file), "--out", "again.png"]) == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    (small / "study.yaml").write_text(STUDY)
    for command in ("run", "report"):
        assert main(["study", command, "study.yaml", "--set", "data.size=24x16"]) == 0
    assert main(["study", "plan", "study.yaml", "--set", "data.size=24"]) == 2
    assert "'24' is no WIDTHxHEIGHT in pixels" in capsys.readouterr().err


def test_an_image_of_a_model_that_the_study_trained_is_made_again(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, _ = kept(small, STUDY + "seeds: {train: 2}\n")
    for picture in pictures:
        assert main(["replay", str(picture.file), "--out", "again.png"]) == 0
        assert "the same image, pixel for pixel" in capsys.readouterr().out


def test_an_image_carries_its_prompt_seed_and_sample_and_those_of_its_batch(small: Path) -> None:
    pictures, store = kept(small, STUDY, "seeds.sample=[7]")
    second = next(it for it in pictures if (it.arm, it.prompt) == ("steps=2", 1))
    image, said = read_manifest(second.file)
    assert said["shots"] == [{"prompt": "green", "seed": 7, "sample": 2}]
    assert [(it["prompt"], it["sample"]) for it in said["batch"]] == [
        *(("red", 0), ("red", 1)),
        *(("green", 2), ("green", 3)),
    ]
    assert said["spec"]["sampler"]["steps"] == 2
    assert list(said["weights"]) == [""]
    [drawn] = [
        np.load(attempt.folder / "images.npy")
        for key in store.node_keys()
        for attempt in store.attempts(key)
        if attempt.folder == second.file.parent
    ]
    assert (np.asarray(image) == drawn[2].transpose(1, 2, 0)).all()


def test_the_report_keeps_the_images_of_its_grids_and_its_page_is_none_the_larger(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "study.yaml").write_text(STUDY)
    assert main(["study", "run", "study.yaml"]) == 0
    assert main(["study", "report", "study.yaml"]) == 0
    report = small / "runs/studies/study/report"
    images = sorted(report.glob("images/*/*.png"))
    assert [f"{it.parent.name}/{it.stem}" for it in images] == [
        f"steps={steps}/prompt-000{prompt}" for steps in (1, 2) for prompt in (0, 1)
    ]
    capsys.readouterr()
    assert main(["replay", str(images[3]), "--out", "again.png"]) == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    page = (report / "report.html").read_text(encoding="utf-8")
    shown = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(shown) >= 4
    assert not any(b"glidepath" in base64.b64decode(it) for it in shown)


def test_a_replay_of_a_studys_image_is_written_outside_the_study(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [first, *_], store = kept(small, STUDY)
    before = sorted(store.folder.rglob("*"))
    for name in ("images/prompt-0000-replay.png", "images/prompt-0000-replay-2.png"):
        assert main(["replay", str(first.file)]) == 0
        assert capsys.readouterr().out.splitlines()[0] == name
        assert (small / name).is_file()
    assert sorted(store.folder.rglob("*")) == before


def test_an_image_without_its_batch_says_that_it_is_damaged(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from glidepath.registry.records.images import save_png

    [first, *_], _ = kept(small, STUDY)
    image, said = read_manifest(first.file)
    save_png(image, small / "x.png", {**said, "batch": said["batch"][1:]})
    assert main(["replay", "x.png"]) == 1
    assert "its images are not of the batch that it names" in capsys.readouterr().err


def test_all_images_are_exported_with_what_made_them_and_a_list(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, store = kept(small, STUDY, "data.per_prompt=3", "data.batch=2")
    export = ["study", "export", str(store.folder), "--pictures"]
    assert main([*export, "pictures"]) == 0
    lines = [json.loads(line) for line in Path("pictures/pictures.jsonl").read_text().splitlines()]
    assert len(lines) == 3 * len(store.graph()["trials"]) * len(store.graph()["prompts"])
    assert len({line["file"] for line in lines}) == len(lines)
    by_noise: dict[tuple[str, int, int], set[str]] = {}
    for line in lines:
        _, data = read_manifest(Path("pictures", line["file"]))
        (shot,) = data["shots"]
        assert [shot[key] for key in ("prompt", "seed", "sample")] == [
            line[key] for key in ("prompt", "seed", "sample")
        ]
        by_noise.setdefault((line["prompt"], line["seed"], line["sample"]), set()).add(line["arm"])
    arms = {arm["name"] for arm in store.graph()["arms"]}
    assert all(some == arms for some in by_noise.values())
    # one from the middle of a batch of a prompt whose images take two
    assert main(["replay", f"pictures/{lines[1]['file']}", "--out", "again.png"]) == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    assert main([*export, "pictures"]) == 1
    assert "name a folder without pictures" in capsys.readouterr().err
    assert main([*export, "p", "--out", "scores.csv"]) == 2
