"""Who is shown what: balanced, drawn by the seed, and as the rules state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.plugins.judge.conftest import ARMS, reopened

from glidepath.plugins.judge.analysis.exclusion import Rules as Exclusion
from glidepath.plugins.judge.protocol.folder import Judgement
from glidepath.plugins.judge.protocol.items import Item, Shown, Task, draw_tasks, group, make_items
from glidepath.plugins.judge.protocol.rules import About, Analysed, Design, Rules
from glidepath.registry.cli import main

CHECKS = [Item(f"c{number}", (number, 100 + number), check=True) for number in range(3)]


def rules(**design: object) -> Rules:
    return Rules(
        judgement=About(seed=7),
        design=Design(**design),  # type: ignore[arg-type]
        exclude=Exclusion(),
        analysis=Analysed(),
    )


def drawn(items: list[Item], stated: Rules, raters: int) -> list[tuple[Task, ...]]:
    load: Counter[str] = Counter()
    found = []
    for number in range(raters):
        found.append(draw_tasks(items, stated, f"r{number}", load))
        load.update(task.item for task in found[-1] if task.role == "ask")
    return found


@pytest.mark.parametrize(
    ("pairs", "per_rater", "raters"), [(20, 7, 11), (12, 12, 5), (50, 9, 30), (6, 40, 4)]
)
def test_each_pair_is_judged_as_often_and_has_each_side_as_often(
    pairs: int, per_rater: int, raters: int
) -> None:
    items = [Item(f"p{number}", (2 * number, 2 * number + 1)) for number in range(pairs)]
    tasks = drawn(items, rules(per_rater=per_rater, repeats=2, checks=0), raters)
    asked = [task for some in tasks for task in some if task.role == "ask"]
    counts = Counter(task.item for task in asked)
    assert max(counts.values()) - min(counts[it.id] for it in items) <= 1
    for item in items:
        sides = Counter(task.shown == item.pictures for task in asked if task.item == item.id)
        assert abs(sides[True] - sides[False]) <= 1
    for some in tasks:
        own = [task.item for task in some if task.role == "ask"]
        assert len(own) == len(set(own)) == min(per_rater, pairs)
    first = sum(task.shown == items[int(task.item[1:])].pictures for task in asked)
    assert 0.3 < first / len(asked) < 0.7


def test_repeats_come_later_with_exchanged_sides_and_checks_are_among_the_rest() -> None:
    items = [Item(f"p{number}", (2 * number, 2 * number + 1)) for number in range(20)]
    places = []
    for tasks in drawn([*items, *CHECKS], rules(per_rater=10, repeats=3), 30):
        assert Counter(task.role for task in tasks) == {"ask": 10, "repeat": 3, "check": 3}
        for place, task in enumerate(tasks):
            if task.role == "repeat":
                before = next(at for at, it in enumerate(tasks) if it.item == task.item)
                assert place - before > 1 or tasks[before + 1].role == "check"
                assert tasks[before].shown == task.shown[::-1]
            elif task.role == "check":
                places.append(place)
    assert len(set(places)) > 12  # nobody can learn where they are


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    items = [Item(f"p{number}", (2 * number, 2 * number + 1)) for number in range(20)]
    assert drawn(items, rules(), 3) == drawn(items, rules(), 3)
    other = Rules(judgement=About(seed=8), design=Design(), exclude=Exclusion(), analysis=Analysed())
    assert drawn(items, rules(), 3) != drawn(items, other, 3)


def shown(arm: str, prompt: str, noise: str) -> Shown:
    return Shown("", arm, prompt, noise)


def test_pictures_of_one_noise_are_paired_and_else_those_of_one_prompt() -> None:
    pictures = [
        *(shown(arm, "a cat", noise) for arm in "xy" for noise in ("1/0", "2/0")),
        *(shown("x", "a dog", f"x{n}") for n in range(3)),
        *(shown("y", "a dog", f"y{n}") for n in range(2)),
        shown("x", "a cow", "1/2"),
    ]
    found = group(pictures, 0)
    by_noise = [it for it in found if pictures[it["x"]].prompt == "a cat"]
    assert sorted((pictures[it["x"]].noise, pictures[it["y"]].noise) for it in by_noise) == [
        ("1/0", "1/0"),
        ("2/0", "2/0"),
    ]
    dogs = [it for it in found if pictures[it["x"]].prompt == "a dog"]
    assert sorted(len(it) for it in dogs) == [1, 2, 2]
    assert [it for it in found if pictures[it["x"]].prompt == "a cow"] == [{"x": 9}]


def test_all_pairs_of_arms_are_asked_or_those_with_one_of_them() -> None:
    pictures = [shown(arm, f"p{n}", "1") for n in range(2) for arm in "xyz"]
    assert len(make_items(pictures, rules())) == 6
    asked = make_items(pictures, rules(against="y"))
    assert len(asked) == 4
    assert all("y" in {pictures[it].arm for it in item.pictures} for item in asked)


def new(*words: str) -> int:
    return main(["judge", "new", *ARMS, "--out", "j", *words])


def test_every_problem_of_the_rules_is_told_at_its_place_and_nothing_is_written(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "judgement: {kind: pears}\ndesign:\n  per_pair: 0\n  per_ratr: 3\nexclud: {}\nanalysis: {looks: 0}\n"
    )
    Path("rules.yaml").write_text(text)
    assert new("--rules", "rules.yaml", "--set", "exclude.checks_right=high") == 2
    said = capsys.readouterr().err
    for place in (
        "rules.yaml:1:19",
        "rules.yaml:3:13",
        "rules.yaml:4:3",
        "rules.yaml:5:1",
        "rules.yaml:6:19",
    ):
        assert place in said, place
    assert "did you mean 'per_rater'" in said
    assert "--set #1" in said
    assert not Path("j").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--arm", "bold"], "there is no arm 'bold'"),
        (["--arm", "brave"], "pairs need two arms"),
        (["--set", "design.against=bold"], "design.against is 'bold'"),
        (["--set", "design.repeats=50"], "design.repeats is 50, of 40"),
        (["--set", "judgement.kind=ratings", "--set", "analysis.looks=3"], "ratings are looked at once"),
    ],
)
def test_what_cannot_be_judged_is_refused_and_nothing_is_left(
    folders: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert new(*words) in (1, 2)
    assert why in capsys.readouterr().err
    assert not Path("j").exists()


def test_faithfulness_needs_prompts(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in Path().glob("*/*.txt"):
        path.unlink()
    assert new("--question", "faithful") == 1
    assert "has no prompt to be faithful to" in capsys.readouterr().err
    assert not Path("j").exists()


def test_the_prompts_of_one_folder_are_those_of_the_pictures_of_these_names_in_another(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in Path("careful").glob("*.txt"):
        path.unlink()
    assert new("--question", "faithful") == 0
    assert capsys.readouterr().out.startswith("12 pairs of 2 arms")
    pictures = reopened(Path("j")).pictures
    assert [it.prompt for it in pictures[:12]] == [it.prompt for it in pictures[12:24]]
    for path in Path("careful").iterdir():
        path.rename(path.with_stem(f"other-{path.stem}"))
    assert new("--question", "prefer", "--out", "k") == 1
    assert "careful has pictures without a prompt, and the others with one" in capsys.readouterr().err


def test_one_pair_is_told_as_one(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arm in ARMS:
        for path in sorted(Path(arm).glob("*.png"))[1:]:
            path.unlink()
    assert new("--set", "design.repeats=0") == 0
    assert capsys.readouterr().out.startswith("1 pair of 2 arms, 3 answers to each")


def test_a_folder_with_something_in_it_is_left_alone(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("j").mkdir()
    Path("j/mine.txt").write_text("mine")
    assert new() == 1
    assert "has something in it" in capsys.readouterr().err
    assert [it.name for it in Path("j").iterdir()] == ["mine.txt"]


def test_the_rules_are_written_out_and_a_change_of_them_is_known(make: Callable[..., Judgement]) -> None:
    judgement = make("--set", "design.per_pair=4")
    text = (judgement.folder / "judgement.yaml").read_text()
    assert "per_pair: 4" in text
    assert "checks_right: 0.75" in text
    assert not judgement.rules_changed()
    (judgement.folder / "judgement.yaml").write_text(text.replace("0.75", "0.5"))
    again = reopened(judgement.folder)
    assert again.rules.exclude.checks_right == 0.5
    assert again.rules_changed()


def test_more_raters_take_what_the_fewest_have_and_what_those_left_out_had(
    make: Callable[..., Judgement],
) -> None:
    judgement = make("--raters", "1", "--set", "design.per_rater=6")
    (first,) = judgement.raters()
    (second,) = judgement.add_raters(1)
    mine, theirs = ({task.item for task in it.tasks if task.role == "ask"} for it in (first, second))
    assert not mine & theirs
    (third,) = judgement.add_raters(1, left_out=["r001"])
    assert {task.item for task in third.tasks if task.role == "ask"} == mine
    assert [it.name for it in judgement.raters()] == ["r001", "r002", "r003"]


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"format": "other"}'])
def test_a_damaged_plan_is_told(
    make: Callable[..., Judgement], damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    judgement = make()
    (judgement.folder / "plan.json").write_text(damage)
    assert main(["judge", "status", "j"]) == 1
    assert "plan.json" in capsys.readouterr().err


def test_a_list_of_pictures_names_none_outside_its_folder(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("listed").mkdir()
    line = '{"file": "../brave/00.png", "arm": "x", "prompt": "a cat"}\n'
    Path("listed/pictures.jsonl").write_text(line)
    assert main(["judge", "new", "listed", "--out", "j"]) == 1
    assert "pictures.jsonl:1 names ../brave/00.png, which is not in the folder" in capsys.readouterr().err
