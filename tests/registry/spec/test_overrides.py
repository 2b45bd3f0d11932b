"""`--set path=value`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glidepath.registry.plan.plan import Plan
from glidepath.registry.spec.spec import Spec
from glidepath.registry.text.problems import Problem, nearest

TEXT = """\
schedule: cosine
text_encoder: {use: transformer, width: 512}
denoiser: {use: tiny-unet, channels: 64}
guidance: [{use: classifier-free, scale: 3}, odd]
sampler: {use: ddpm, steps: 150}
"""

Read = Callable[..., Spec]
Fault = Callable[..., Problem]


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("sampler.steps=20", "sampler", {"use": "ddpm", "steps": 20}),
        ("sampler.steps = 20", "sampler", {"use": "ddpm", "steps": 20}),
        ("sampler.steps=10,10,5", "sampler", {"use": "ddpm", "steps": "10,10,5"}),
        ("sampler.steps=[1, 2]", "sampler", {"use": "ddpm", "steps": [1, 2]}),
        ("sampler.variance=fixed-small", "sampler", {"use": "ddpm", "steps": 150, "variance": "fixed-small"}),
        ("sampler=ddim", "sampler", {"use": "ddim"}),
        ("sampler=ddpm", "sampler", {"use": "ddpm", "steps": 150}),
        ("sampler={steps: 3}", "sampler", {"use": "ddpm", "steps": 3}),
        ("sampler={use: ddim, eta: 1}", "sampler", {"use": "ddim", "eta": 1}),
        ("sampler.use=ddim", "sampler", {"use": "ddim", "steps": 150}),
        ("schedule.num_steps=9", "schedule", {"use": "cosine", "num_steps": 9}),
        ("guidance[0].scale=2", "guidance", [{"use": "classifier-free", "scale": 2}, "odd"]),
        ("guidance.0.scale=2", "guidance", [{"use": "classifier-free", "scale": 2}, "odd"]),
        ("guidance[1].low=2", "guidance", [{"use": "classifier-free", "scale": 3}, {"use": "odd", "low": 2}]),
        ("guidance[1]=ddim", "guidance", [{"use": "classifier-free", "scale": 3}, "ddim"]),
        ("guidance=classifier-free", "guidance", {"use": "classifier-free"}),
        ("guidance=null", "guidance", None),
        ("guidance=", "guidance", None),
        ("guidance=[]", "guidance", []),
        ("runtime.device=cpu", "runtime", {"device": "cpu"}),
        (
            "text_encoder.tokenizer=words",
            "text_encoder",
            {"use": "transformer", "width": 512, "tokenizer": "words"},
        ),
        (
            "text_encoder.tokenizer.use=words",
            "text_encoder",
            {"use": "transformer", "width": 512, "tokenizer": {"use": "words"}},
        ),
        ("plugins.require.acme='>=1'", "plugins", {"require": {"acme": ">=1"}}),
        ("weights=a=b.pt", "weights", "a=b.pt"),
    ],
)
def test_an_override_changes_one_value(read: Read, override: str, path: str, value: Any) -> None:
    assert read(TEXT, override).tree[path] == value


def test_overrides_apply_in_order(read: Read) -> None:
    assert read(TEXT, "sampler=ddim", "sampler.steps=3", "sampler.eta=1", "sampler.steps=4").tree[
        "sampler"
    ] == {
        "use": "ddim",
        "steps": 4,
        "eta": 1,
    }


def test_an_override_that_a_later_one_would_undo_is_shown_with_its_path(read: Read, fault: Fault) -> None:
    problem = fault(TEXT, "sampler.steps=3", "sampler=ddim")
    assert problem.what == "--set #1 sets sampler.steps, and this puts another part there"
    assert (problem.path, str(problem.place)) == ("sampler.steps", "--set #2")
    assert read(TEXT, "sampler.steps=3", "sampler={use: ddim, steps: 4}").tree["sampler"]["steps"] == 4


def test_an_override_reaches_into_a_single_part_as_into_a_list_of_one(read: Read) -> None:
    text = TEXT.replace("[{use: classifier-free, scale: 3}, odd]", "classifier-free")
    assert read(text, "guidance[0].scale=2").tree["guidance"] == {"use": "classifier-free", "scale": 2}


def test_an_override_makes_the_part_that_it_reaches_into(read: Read) -> None:
    assert read(TEXT, "codec.use=identity").tree["codec"] == {"use": "identity"}


def test_the_places_of_an_override_are_in_it(read: Read) -> None:
    spec = read(TEXT, "sampler.steps=20", "schedule={use: cosine, num_steps: 9}")
    steps, num = spec.places["sampler.steps"], spec.places["schedule.num_steps"]
    assert (str(steps), steps.column, steps.text) == ("--set #1", 15, "sampler.steps=20")
    assert (str(num), num.text[num.column - 1 :]) == ("--set #2", "9}")
    assert spec.keys["sampler.steps"].column == 9
    # a key of which only a value below changes is where it was
    assert str(spec.keys["sampler"]) == "s.yaml:5:1"
    assert spec.folders["sampler.steps"] == Path()


@pytest.mark.parametrize(
    ("override", "column", "path", "what"),
    [
        ("sampler.steps", 14, "", "an override is PATH=VALUE, and this has no '='"),
        ("", 1, "", "an override is PATH=VALUE, and this has no '='"),
        ("=3", 1, "", "this is not a path"),
        (".a=3", 1, "", "this is not a path"),
        ("a..b=3", 2, "", "this is not a path"),
        ("a.=3", 2, "", "this is not a path"),
        ("guidance[x]=3", 9, "", "this is not a path"),
        ("guidance[0]scale=3", 12, "", "this is not a path"),
        ("extends=base", 1, "extends", "extends cannot be set"),
        (
            "guidance[2].scale=3",
            9,
            "guidance",
            "guidance has 2 entries, counted from 0, and this names entry 2",
        ),
        ("guidance.scale=3", 10, "guidance", "guidance is a list, and 'scale' is no number"),
        ("sampler[0].steps=3", 8, "sampler", "sampler is a mapping, not a list"),
        ("[0]=3", 1, "", "the spec is a mapping, not a list"),
        ("sampler.steps.x=3", 15, "sampler.steps", "sampler.steps is a number, not a mapping"),
        ("sampler.steps=[", 16, "", "YAML: did not find expected node content while parsing a flow node"),
        ("a." * 60 + "b=1", 1, "", "the path is more than 49 levels deep"),
        (
            "sampler.steps=!!python/name:os.system x",
            15,
            "",
            "the tag '!!python/name:os.system' is not accepted here",
        ),
        ("name=cats #2", 11, "", "this begins a comment in YAML"),
        ("name='cats' #2", 13, "", "this begins a comment in YAML"),
        ("name=# cats", 6, "", "this begins a comment in YAML"),
        ("sampler={use: ddpm} # fast", 21, "", "this begins a comment in YAML"),
        ("name=&cats cats", 6, "", "this names what follows in YAML"),
        ("name=[&a b, *a]", 7, "", "this names what follows in YAML"),
        ("name=--- cats", 6, "", "this begins a document in YAML"),
        ("name=cats\n...", 11, "", "this ends a document in YAML"),
        ("sampler.steps=${x", 15, "sampler.steps", "this interpolation is not closed, or holds another"),
    ],
)
def test_a_wrong_override_is_shown_its_wrong_piece(
    fault: Fault, override: str, column: int, path: str, what: str
) -> None:
    problem = fault(TEXT, override)
    assert problem.what == what
    assert problem.path == path
    assert problem.place is not None
    assert (str(problem.place), problem.place.column) == ("--set #1", column)


def test_an_entry_beyond_a_single_part_is_a_fault(fault: Fault) -> None:
    text = TEXT.replace("[{use: classifier-free, scale: 3}, odd]", "classifier-free")
    problem = fault(text, "guidance[1].scale=2")
    assert problem.what == "guidance has 1 entry, counted from 0, and this names entry 1"
    assert problem.hint == "to add one, set the whole list"


@pytest.mark.parametrize(
    ("override", "path", "hint"),
    [
        ("smapler.steps=3", "smapler", "did you mean 'sampler'?"),
        ("sampler.stepz=3", "sampler.stepz", "did you mean 'steps'?"),
        ("runtime.devise=cpu", "runtime.devise", "did you mean 'device'?"),
        ("guidance[0].scael=3", "guidance[0].scael", "did you mean 'scale'?"),
    ],
)
def test_an_unknown_path_is_shown_the_nearest(fault: Fault, override: str, path: str, hint: str) -> None:
    problem = fault(TEXT, override)
    assert problem.path == path
    assert problem.hint == hint
    assert problem.place is not None
    assert problem.place.text[problem.place.column - 1 :].startswith(path.rpartition(".")[2])


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("lr", ["lora", "learning_rate"], "learning_rate"),  # as other programs call it
        ("lr", ["lora", "rank"], "lora"),
        ("aple", ["maple", "apple"], "apple"),  # as alike as the other, and begins as the word does
        ("scael", ["scaled", "scale"], "scale"),  # the same letters
        ("sampl", ["sampler", "example"], "sampler"),
    ],
)
def test_of_words_that_are_alike_the_one_that_is_meant_is_nearest(
    word: str, known: list[str], near: str
) -> None:
    assert nearest(word, known) == nearest(word, known[::-1]) == near


@pytest.mark.parametrize(
    "written", ["no", "012", "12:30", "1.10", "x y", "x#2", "a&b", "a=9,b='0.1'", "1_", "x--- y"]
)
def test_on_the_command_line_any_word_is_text_for_a_field_of_text(
    plan: Callable[..., Plan], written: str
) -> None:
    made = plan(TEXT, "text_encoder.tokenizer.use=words", f"text_encoder.tokenizer.title={written}")
    part = made.parts["text_encoder"].parts["tokenizer"]  # type: ignore[union-attr]
    assert part.config.title == written  # type: ignore[union-attr]


def test_a_number_on_the_command_line_is_still_what_it_seems(fault: Fault) -> None:
    assert fault(TEXT, "sampler.steps=012").what == "steps: 012 is octal in YAML, which is 10"


def test_an_override_with_line_breaks_has_its_place_in_one_line(fault: Fault) -> None:
    problem = fault(TEXT, "sampler={use: ddpm,\n stepz: 1}")
    assert problem.place is not None
    assert "\n" not in problem.place.text
    assert problem.place.text[problem.place.column - 1 :] == "stepz: 1}"
