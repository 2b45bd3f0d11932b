"""The pairs of images that a report sets against each other: which, and what its caption says of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest
from PIL import Image
from tests.plugins.studies.run.test_run import open_study, run

from glidepath.plugins.studies.report.document import Gallery
from glidepath.plugins.studies.report.pictures import best_and_worst
from glidepath.plugins.studies.run.collect import collect
from glidepath.plugins.studies.statistics.changed_pairs import changed_pairs
from glidepath.plugins.studies.statistics.results import Arm, ArmImage, MetricInfo, StudyResults
from glidepath.plugins.studies.store.store import Store
from glidepath.registry.records.images import read_manifest

RIGHT = MetricInfo(name="right", direction="higher", unit="share", primary=True)
PROMPTS = ("a star", "a ring", "a cross", "a circle")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.new("RGB", (4, 4)).save(tmp_path / "image.png")
    return tmp_path / "image.png"


def study(arms: Mapping[str, Sequence[Sequence[float]]], *, per_prompt: int = 1) -> StudyResults:
    """Scores [sampling seeds, prompts] of each arm; the first is the baseline."""
    scores = {name: {"right": np.array([rows], dtype=np.float64)} for name, rows in arms.items()}
    first = next(iter(arms))
    return StudyResults(
        name="pairs",
        question="",
        arms=tuple(Arm(name=name) for name in arms),
        baseline=first,
        metrics=(RIGHT,),
        scores=scores,
        training_seeds=(0,),
        sampling_seeds=tuple(range(len(arms[first]))),
        prompts=PROMPTS,
        per_prompt=per_prompt,
    )


def chosen(results: StudyResults) -> list[tuple[str, str, tuple[int, int, int]]]:
    return [(it.arm.name, it.what, it.place) for it in changed_pairs(results, RIGHT).pairs]


def shown(results: StudyResults, file: Path, prompts: Sequence[int] = range(4), seeds: int = 2) -> Gallery:
    """The gallery of a study of which images of some prompts and seeds are kept."""
    kept = tuple(
        ArmImage(arm=arm.name, prompt=prompt, file=file, sampling_seed=seed)
        for arm in results.arms
        for prompt in prompts
        for seed in range(min(seeds, len(results.sampling_seeds)))
    )
    gallery = best_and_worst(attrs.evolve(results, pictures=kept))
    assert gallery is not None
    return gallery


def test_the_arms_are_those_that_differ_most_in_the_order_of_the_study() -> None:
    gains = {"a": 0.1, "b": -0.9, "c": 0.2, "d": 0.0, "e": 0.3, "f": -0.5}
    arms = {"base": [[0.5] * 4]} | {name: [[0.5 + gain] * 4] for name, gain in gains.items()}
    found = changed_pairs(study(arms), RIGHT)
    assert list(dict.fromkeys(pair.arm.name for pair in found.pairs)) == ["b", "c", "e", "f"]
    assert found.arms == 5  # d has changed nothing


def test_of_equal_changes_each_has_a_prompt_that_was_not_shown_yet() -> None:
    better = [[1, 1, 1, 0], [1, 0, 0, 0]]
    arms = {"base": [[0, 0, 0, 0], [0, 0, 0, 0]], "one": better, "two": better}
    assert chosen(study(arms)) == [
        ("one", "best", (0, 0, 0)), ("one", "best", (0, 0, 1)),
        ("two", "best", (0, 0, 2)), ("two", "best", (0, 0, 0)),
    ]  # fmt: skip


def test_a_larger_change_comes_before_a_prompt_that_was_not_shown() -> None:
    arms = {"base": [[0, 0, 0, 0], [0, 0, 0, 0]], "one": [[1, 0.5, 0, 0], [0.9, 0, 0, 0]]}
    assert [place for _, _, place in chosen(study(arms))] == [(0, 0, 0), (0, 1, 0)]


def test_many_arms_that_change_both_ways_have_one_pair_of_each() -> None:
    arms = {"base": [[0, 0, 1, 1]]} | {name: [[1, 1, 0, 0]] for name in "abcd"}
    assert [(arm, what) for arm, what, _ in chosen(study(arms))] == [
        (arm, what) for arm in "abcd" for what in ("best", "worst")
    ]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([[1, 0.5, 0.5, 0.5]], "for the better."),
        ([[0, 0.5, 0.5, 0.5]], "for the worse."),
        ([[1, 0, 0.5, 0.5]], "for better and worse."),
    ],
)
def test_the_caption_promises_the_kinds_of_pairs_that_are_shown(
    scores: list[list[float]], said: str, file: Path
) -> None:
    caption = shown(study({"base": [[0.5] * 4], "arm": scores}), file).caption
    assert caption.startswith(f"The pairs in which right changes most from the baseline, {said}")


def test_the_caption_says_of_how_many_arms_and_of_which_images_the_pairs_were_chosen(file: Path) -> None:
    arms = {"base": [[0] * 4] * 2} | {f"arm {n}": [[0, 0, 0, 0.1 * n], [0] * 4] for n in range(1, 7)}
    whole = shown(study(arms), file)
    assert "for the better, of the 4 arms that differ most from it. " in whole.caption
    assert [title.partition(",")[0] for title, _ in whole.rows] == ["arm 3", "arm 4", "arm 5", "arm 6"]
    some = {"base": [[0] * 4] * 2, "arm": [[0.1, 0, 0, 0.2], [0, 1, 1, 0]]}
    cut = shown(study(some), file, prompts=(0,), seeds=1)
    assert "for the better, among the pairs whose images are kept. " in cut.caption
    assert "whose images are kept" not in shown(study(some), file).caption


def test_the_column_is_headed_by_the_only_arm_that_is_shown(file: Path) -> None:
    arms = {"base": [[0] * 4], "one": [[1] * 4]}
    assert shown(study(arms), file).columns == ("base", "one")
    assert shown(study(arms | {"two": [[1] * 4]}), file).columns == ("base", "the arm")


def test_the_caption_says_which_of_several_images_of_a_prompt_is_shown(file: Path) -> None:
    arms = {"base": [[0] * 4], "arm": [[1] * 4]}
    assert "The first of them is shown." in shown(study(arms, per_prompt=3), file).caption
    assert "The first of them" not in shown(study(arms), file).caption


def test_images_of_different_seeds_have_different_names(file: Path) -> None:
    gallery = shown(study({"base": [[0] * 4] * 2, "arm": [[1, 0, 0, 0]] * 2}), file)
    assert [tile.name for _, tiles in gallery.rows for tile in tiles] == [
        "base/image.png", "arm/image.png", "base/image-seeds-0-1.png", "arm/image-seeds-0-1.png",
    ]  # fmt: skip


LATE = """\
base: small.yaml
arms: {axes: {sampler.steps: [1, 2]}}
data:
  prompts: [red, green, red red, green red, red green, green green, red red red, green red red, red green red]
  batch: 9
seeds: {sample: 2}
metrics: {primary: {score: {use: python, file: score.py}}}
engine: in-process
"""


def scored(folder: Path) -> tuple[Store, Callable[[], StudyResults]]:
    """A study that has run, whose second arm then has scores that changed in two late places, and in one."""
    (folder / "score.py").write_text(
        "direction = 'higher'\ndef per_prompt(images, prompts): return [0] * 9\n"
    )
    assert run(folder, LATE).failed == 0
    opened, graph, store = open_study(folder, LATE)
    late = {(0, 0): [0, 0.5, 0, 0, 0, 0, 0, 0, 2], (0, 1): [0, -3, 0, 0, 0, 0, 0, 0, 0]}
    for trial in graph.trials:
        attempt = store.done(trial.nodes["measure score"][0])
        assert attempt is not None
        scores = [0] * 9 if trial.arm == "steps=1" else late[trial.train, trial.sample]
        said = {**attempt.record, "direction": "higher", "scores": scores}
        (attempt.folder / "result.json").write_text(json.dumps(said))
    return store, lambda: collect(opened, graph, store)


@pytest.mark.thorough
def test_images_of_the_pairs_that_changed_most_are_kept_wherever_they_are(small: Path) -> None:
    _, collected = scored(small)
    results = collected()
    assert len(results.pictures) == 2 * 8 + 2 * 2
    assert all(it.file.is_file() for it in results.pictures)
    gallery = best_and_worst(results)
    assert gallery is not None
    assert [title for title, _ in gallery.rows] == [
        "steps 2, best: red green red", "steps 2, best: green", "steps 2, worst: green",
    ]  # fmt: skip
    assert gallery.caption.startswith(
        "The pairs in which score changes most from the baseline, for better and worse."
    )
    _, said = read_manifest(results.pictures[-1].file)
    assert [it["prompt"] for it in said["shots"]] == ["green"]


@pytest.mark.thorough
def test_pairs_of_a_store_without_manifests_are_those_of_the_images_that_are_there(small: Path) -> None:
    store, collected = scored(small)
    known = collected().pictures
    for picture in known[16:]:
        picture.file.unlink()
    for manifest in store.folder.rglob("manifest.json"):
        manifest.unlink()
    results = collected()
    assert results.pictures == known[:16]
    gallery = best_and_worst(results)
    assert gallery is not None
    assert [title for title, _ in gallery.rows] == ["steps 2, best: green"]
    assert "for the better, among the pairs whose images are kept." in gallery.caption
