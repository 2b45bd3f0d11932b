"""Every sort of fault that a spec can have: its place, its path, what is suggested and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec
from glidepath.registry.text.problems import Place, Problem, SpecError, did_you_mean

GOLDEN = Path(__file__).parent / "ten_faults.txt"

GOOD = """\
schedule: cosine
denoiser: tiny-unet
sampler: ddpm
"""

Fault = Callable[..., Problem]
SAMPLERS = ("ddim", "ddpm", "acme/euler", "glidepath-diffusion/euler", "needy")


def where(problem: Problem) -> tuple[str, int, int]:
    assert problem.place is not None
    return (problem.place.file, problem.place.line, problem.place.column)


@attrs.frozen
class Row:
    """A spec with one fault. at: line, column. hint: all of it, or its first clause. None: not looked at."""

    text: str
    what: str
    at: tuple[int, int]
    path: str
    hint: str | None = None
    allowed: tuple[str, ...] | None = None


def swapped(part: str, other: str) -> str:
    """GOOD with another part in the place of one."""
    return GOOD.replace(part, other)


FAULTS = {
    "a misspelt part, at its name": Row(
        swapped("ddpm", "{use: ddmp}"), "there is no sampler named 'ddmp'", (3, 16), "sampler",
        "did you mean 'ddpm'?", SAMPLERS),
    "a misspelt bare part": Row(
        swapped("cosine", "cosin"), "there is no schedule named 'cosin'", (1, 11), "schedule",
        "did you mean 'cosine'?", ("cosine", "plain")),
    "a misspelt parameter, at its key": Row(
        swapped("ddpm", "\n  use: ddim\n  stepz: 20"), "sampler ddim has no parameter 'stepz'", (5, 3),
        "sampler.stepz", "did you mean 'steps'?", ("steps", "eta")),
    "a slot under a part": Row(
        swapped("ddpm", "{use: ddpm, guidance: classifier-free}"),
        "sampler ddpm has no parameter 'guidance'", (3, 22), "sampler.guidance",
        "guidance is a slot of its own: write it at the top of the spec"),
    "a part without parameters": Row(
        swapped("cosine", "{use: plain, num_steps: 10}").replace("ddpm", "{use: ddim, steps: '9'}"),
        "schedule plain has no parameter 'num_steps', nor any other", (1, 24), "schedule.num_steps",
        allowed=()),
    "a wrong type, with the type and the meaning": Row(
        swapped("cosine", "{use: cosine, num_steps: many}"), "num_steps takes int, and 'many' is text",
        (1, 36), "schedule.num_steps", "num_steps: N, at least 1"),
    "a value out of range, with the range": Row(
        swapped("ddpm", "{use: ddim, eta: 1.5}"), "eta is 1.5, which is out of range", (3, 27), "sampler.eta",
        "eta: 0 deterministic, 1 as much noise as DDPM", (">= 0, <= 1",)),
    "a value that is no option": Row(
        f"{GOOD}guidance: [{{use: odd, order: 4}}]\n", "order is 4, which is not one of its values", (4, 30),
        "guidance[0].order", allowed=("1", "2", "3")),
    "a literal, with the nearest of its values": Row(
        swapped("tiny-unet", "{use: tiny-unet, attention: legasy}"), "attention cannot be 'legasy'", (2, 39),
        "denoiser.attention", "did you mean 'legacy'?", ("legacy", "new")),
    "an unknown slot, at its key": Row(
        f"{GOOD}guidanse: classifier-free\n", "a spec has no 'guidanse'", (4, 1), "guidanse",
        "did you mean 'guidance'?",
        ("schedule", "denoiser", "text_encoder", "conditioners", "guidance", "sampler", "codec", "adapters",
         "handover", "data", "extends", "weights", "runtime", "plugins", "stages")),
    "a kind without a slot": Row(
        f"{GOOD}tokenizer: words\n", "a spec has no 'tokenizer'", (4, 1), "tokenizer",
        "a tokenizer stands inside another part"),
    "a missing slot, of the whole": Row(
        swapped("sampler: ddpm\n", ""), "a spec needs a sampler, and this has none", (1, 1), "sampler",
        "sampler: walks from noise to image", SAMPLERS),
    "a null in a required slot": Row(
        swapped(" ddpm", ""), "a spec needs a sampler, and this has none", (3, 9), "sampler"),
    "a list where one part is meant": Row(
        swapped("ddpm", "\n  - ddpm\n  - ddim"), "sampler takes one sampler, and this is a list", (4, 3),
        "sampler", "write the one that is meant", SAMPLERS),
    "a duplicate key, with both places": Row(
        f"{GOOD}schedule: plain\n", "the key 'schedule' is written twice", (4, 1), "schedule",
        "it is first written at s.yaml:1:1"),
    "a duplicate key far inside": Row(
        f"{GOOD}guidance:\n  - {{use: odd, decay: {{rate: 1, rate: 0}}}}\n",
        "the key 'rate' is written twice", (5, 33), "guidance[0].decay.rate"),
    "an interpolation that leads nowhere, inside its text": Row(
        f"{GOOD}text_encoder: {{use: transformer, width: 8}}\nweights: 'x-${{text_encoder.widht}}.pt'\n",
        "${text_encoder.widht} leads nowhere: 'widht' is not written in text_encoder", (5, 13), "weights",
        "did you mean 'width'?", ("use", "width")),
    "text widths that differ": Row(
        swapped("tiny-unet", "{use: tiny-unet, text_width: 512}")
        + "text_encoder: {use: transformer, width: 256}\n",
        "denoiser (tiny-unet) needs text.width 512, and text_encoder (transformer) gives 256: "
        "its attention layers read the text", (2, 40), "denoiser.text_width",
        "text_encoder is written at s.yaml:4:21", ()),  # 512 is for the other part
    "a codec of other channels": Row(
        f"{GOOD}codec: latent\n",
        "codec (latent) has codec.channels 4, and denoiser (tiny-unet) makes an x of 3", (4, 8), "codec"),
    "a sampler that needs a learned variance": Row(
        swapped("tiny-unet", "{use: tiny-unet, learned_variance: false}"),
        "sampler (ddpm) needs prediction.learned_variance true, and denoiser (tiny-unet) gives false: "
        "fixed-small does without it", (3, 10), "sampler.variance", "denoiser is written at s.yaml:2:17"),
    "a need that is more than equality": Row(
        swapped("cosine", "{use: cosine, num_steps: 100}"),
        "sampler (ddpm) does not fit schedule (cosine), whose schedule.num_steps is 100: "
        "150 of 100 steps cannot be visited", (3, 10), "sampler.steps"),
    "a need that no part meets, with the parts that would": Row(
        swapped("tiny-unet", "{use: tiny-unet, text_width: 512}"),
        "denoiser (tiny-unet) needs text.width, and no part provides it", (2, 40), "denoiser.text_width",
        "its attention layers read the text; a text_encoder (transformer) provides it"),
    "a part of a distribution that is not installed": Row(
        swapped("ddpm", "acme-extra/heun"),
        "there is no sampler acme-extra/heun: no installed plugin comes from 'acme-extra'", (3, 10),
        "sampler", allowed=SAMPLERS),
    "a part whose name two plugins have": Row(
        swapped("ddpm", "euler"), "2 installed plugins supply a sampler named 'euler'", (3, 10), "sampler",
        allowed=("acme/euler", "glidepath-diffusion/euler")),
    "a part that needs a module": Row(
        swapped("ddpm", "needy"),
        "glidepath-diffusion/needy 1.2 needs no_such_module, which is not installed", (3, 10), "sampler",
        "pip install no-such-module"),
    "a part without use, with the names": Row(
        swapped("ddpm", "{steps: 3}"), "sampler does not say which sampler it is", (3, 10), "sampler",
        "name it as 'use', such as {use: NAME, steps: ...}", SAMPLERS),
    "a part whose name stands in the place of use": Row(
        swapped("ddpm", "{ddim: {steps: 3, eta: 0}}"), "sampler does not say which sampler it is", (3, 10),
        "sampler", "name it as 'use', such as {use: ddim, steps: ..., eta: ...}", SAMPLERS),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_its_place_what_is_meant_and_what_is_allowed(fault: Fault, name: str) -> None:
    row = FAULTS[name]
    problem = fault(row.text)
    assert (problem.what, problem.path) == (row.what, row.path)
    assert where(problem) == ("s.yaml", *row.at)
    assert row.hint is None or problem.hint == row.hint or problem.hint.startswith(f"{row.hint}; ")
    assert row.allowed is None or problem.allowed == row.allowed


def test_a_part_in_other_letters_is_recognised(fault: Fault) -> None:
    assert "did you mean 'ddpm'?" in fault(GOOD.replace("ddpm", "{use: DDPM}")).hint


@pytest.mark.parametrize("key", ["name", "type", "_target_"])
def test_a_part_named_by_another_key_is_told_the_right_one(fault: Fault, key: str) -> None:
    problem = fault(GOOD.replace("ddpm", f"{{{key}: ddpm}}"))
    assert problem.what == "sampler does not say which sampler it is"
    assert problem.hint == f"the key is 'use', not {key!r}"
    merged = fault(GOOD.replace("ddpm", f"{{use: ddim, {key}: ddpm}}"))
    assert merged.hint == "name the sampler with the key 'use'"


@pytest.mark.parametrize(
    ("key", "word", "meant"),
    [
        ("dtype", "fp16", "float16"),
        ("dtype", "half", "float16"),
        ("dtype", "torch.half", "float16"),
        ("dtype", "bf16", "bfloat16"),
        ("dtype", "FP32", "float32"),
        ("dtype", "torch.float32", "float32"),
        ("device", "gpu", "cuda"),
        ("device", "Metal", "mps"),
    ],
)
def test_what_other_programs_call_a_thing_is_understood(
    fault: Fault, key: str, word: str, meant: str
) -> None:
    problem = fault(f"{GOOD}runtime: {{{key}: {word}}}\n")
    assert problem.hint.startswith(f"did you mean {meant!r}?")
    assert problem.path == f"runtime.{key}"


def test_another_name_counts_only_where_the_thing_is_known() -> None:
    assert did_you_mean("gpu", ["cpu"]) == "did you mean 'cpu'?"
    assert did_you_mean("half", ["integer"]) == ""


def test_an_unknown_slot_may_be_one_that_a_failed_plugin_adds(fault: Fault) -> None:
    problem = fault(GOOD + "segmenter: four-times\n")
    assert "'broken' of broken-dist 0.1 failed to load and may add it" in problem.hint
    assert "No module named 'flax'" in problem.hint


@pytest.mark.parametrize(
    ("text", "line", "column", "what", "hint"),
    [
        ("a: b: c", 1, 5, "mapping values are not allowed here", "needs quotes"),
        ("a: 1\n\tb: 2", 2, 1, "found a tab character", "spaces, not tabs"),
        ("a: [1, 2\nb: 3", 2, 2, "did not find expected ',' or ']'", "bracket left open"),
        ("a: {b: ${c.d}}", 1, 9, "did not find expected ',' or '}'", "an interpolation needs quotes"),
        ('a: "open', 1, 9, "found unexpected end of stream", "left open"),
        ("a: 1\n b: 2\n", 2, 3, "mapping values are not allowed here", "needs quotes"),
        ("a: @x", 1, 4, "found character that cannot start", "@ or ` needs quotes"),
    ],
)
def test_a_syntax_error_is_found_where_it_is(
    fault: Fault, text: str, line: int, column: int, what: str, hint: str
) -> None:
    problem = fault(text)
    assert problem.what.startswith(f"YAML: {what}")
    assert where(problem) == ("s.yaml", line, column)
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("no", "the truth value false"),
        ("Yes", "the truth value true"),
        ("012", "an octal number, 10"),
        ("12:30", "a number in base 60, 750"),
        ("1.10", "the number 1.1"),
        ("3", "the number 3"),
        ("1e3", "the number 1000.0"),
        ("0x1F", "the number 31"),
    ],
)
def test_a_yaml_trap_is_named_where_text_is_meant(fault: Fault, written: str, made: str) -> None:
    text = f"{GOOD}text_encoder: {{use: transformer, tokenizer: {{use: words, title: {written}}}}}\n"
    problem = fault(text)
    assert problem.what == f"title takes text, and {written} without quotes is {made} in YAML"
    assert where(problem) == ("s.yaml", 4, 65)
    assert problem.path == "text_encoder.tokenizer.title"
    assert problem.hint == f'write it in quotes: "{written}"'


def test_quotes_cure_a_yaml_trap(plan: Callable[..., object]) -> None:
    for written in ("no", "012", "12:30", "1.10", "2024-01-01"):
        plan(f"{GOOD}text_encoder: {{use: transformer, tokenizer: {{use: words, title: '{written}'}}}}\n")


def test_a_date_is_text(plan: Callable[..., object]) -> None:
    plan(f"{GOOD}text_encoder: {{use: transformer, tokenizer: {{use: words, title: 2024-01-01}}}}\n")


@pytest.mark.parametrize(
    ("written", "what", "hint"),
    [
        ("012", "octal in YAML, which is 10", "write 12, or 10 if octal is meant"),
        ("1:30", "a number in base 60 in YAML, which is 90", "write 90, if that is meant"),
    ],
)
def test_a_number_in_another_base_than_it_seems_is_a_fault(
    fault: Fault, written: str, what: str, hint: str
) -> None:
    problem = fault(GOOD.replace("cosine", f"{{use: cosine, num_steps: {written}}}"))
    assert problem.what == f"num_steps: {written} is {what}"
    assert problem.hint == hint


def test_a_part_of_a_plugin_that_failed_gives_the_reason(fault: Fault) -> None:
    problem = fault(GOOD.replace("ddpm", "broken-dist/heun"))
    assert problem.what == "there is no sampler named 'broken-dist/heun'"
    assert "ModuleNotFoundError: No module named 'flax' (pip install flax)" in problem.hint


def test_a_fault_of_an_override_is_at_the_override(fault: Fault) -> None:
    problem = fault(GOOD, "denoiser.channels=64", "sampler.stepz=20")
    assert problem.what == "sampler ddpm has no parameter 'stepz'"
    assert str(problem.place) == "--set #2"
    assert problem.place == Place("--set #2", 0, 9, "sampler.stepz=20")
    assert problem.path == "sampler.stepz"
    assert problem.hint == "did you mean 'steps'?"


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("3", "sampler takes the name of a sampler, or a mapping with a 'use', and this is a number"),
        ("{use: no}", "use takes the name of a sampler, and this is a truth value"),
        ("{use: [ddpm]}", "use takes the name of a sampler, and this is a list"),
        ("{use: }", "use takes the name of a sampler, and this is null"),
    ],
)
def test_a_part_that_is_no_name_is_a_fault(fault: Fault, written: str, what: str) -> None:
    problem = fault(GOOD.replace("ddpm", written))
    assert problem.what == what
    assert problem.allowed == SAMPLERS


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("sampler", "a spec is a mapping, and this is text"),
        ("[1, 2]", "a spec is a mapping, and this is a list"),
        ("3", "a spec is a mapping, and this is a number"),
        (f"---\n{GOOD}---\n{GOOD}", "a second document starts here; a spec is one"),
        (f"%YAML 1.1\n---\n{GOOD}", "YAML directives are not accepted, and no other line may start with %"),
        ("a: \x07", "this character may not stand in YAML"),
        ("a: \x00", "this character may not stand in YAML"),
        ("a: \ud800", "this character may not stand in YAML"),
    ],
)
def test_a_text_that_is_no_spec_is_one_fault(fault: Fault, text: str, what: str) -> None:
    assert fault(text).what == what


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "null", "{}", "---\n...\n", "~"])
def test_an_empty_spec_is_told_where_parts_come_from(fault: Fault, text: str) -> None:
    problem = fault(text)
    assert (problem.path, problem.what) == ("", "a spec has parts, and this is empty")
    assert problem.hint == "begin with those of a preset: extends: NAME"


@pytest.mark.parametrize(
    "key",
    ["yes", "3", "~", "1.5", "", "[a]", "{a: b}"],
    ids=["bool", "int", "null", "float", "empty", "list", "map"],
)
def test_a_key_that_is_no_text_is_a_fault(fault: Fault, key: str) -> None:
    problem = fault(f"{GOOD}? {key}\n: 1\n")
    assert problem.what.startswith("a key is text, and ")
    assert problem.place is not None
    assert problem.place.line == 4


def test_a_comma_in_braces_is_suspected_behind_a_key_that_is_a_number(
    faults: Callable[..., list[Problem]],
) -> None:
    problems = faults(GOOD.replace("ddpm", "{use: ddpm, steps: 10,10,5}"))
    assert [problem.what for problem in problems] == [
        "a key is text, and '10' is a number in YAML",
        "a key is text, and '5' is a number in YAML",
    ]
    assert "a text with commas needs quotes" in problems[0].hint


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_places_count_lines_as_yaml_does(fault: Fault, end: str) -> None:
    problem = fault("\ufeff" + GOOD.replace("ddpm", "ddmp").replace("\n", end))
    assert where(problem) == ("s.yaml", 3, 10)
    assert problem.place is not None
    assert problem.place.text == "sampler: ddmp"


def test_a_caret_stands_under_its_column_after_wide_characters(fault: Fault) -> None:
    problem = fault(f"{GOOD}guidance: [{{use: odd, extra: 日本語é, order: 9}}]\n")
    line, caret = problem.render().splitlines()[2:4]
    assert caret.endswith("^")
    # each of the three ideographs takes two cells
    assert len(caret) - 1 == line.index("9") + 3


def test_a_long_line_is_cut_around_the_column(fault: Fault) -> None:
    vocabulary = ", ".join(f"word{index}" for index in range(500))
    tokenizer = f"{{use: words, vocabulary: [{vocabulary}], title: 3, file: x}}"
    problem = fault(f"{GOOD}text_encoder: {{use: transformer, tokenizer: {tokenizer}}}\n", folder=Path())
    line, caret = problem.render().splitlines()[2:4]
    assert len(line) < 120
    assert line[caret.index("^")] == "3"
    assert "title: 3" in line


def test_nothing_in_a_report_steers_the_terminal(faults: Callable[..., list[Problem]]) -> None:
    problems = faults(GOOD + '"\\e[31m": 1\n"\\u202e": \u202e\nsampler2: "\\a"\n')
    text = SpecError(problems).args[0]
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[31m" in text


def test_a_fault_of_one_part_does_not_hide_those_of_others(faults: Callable[..., list[Problem]]) -> None:
    problems = faults(
        "schedule: cosin\ndenoiser: {use: tiny-unet, chanels: 1}\nsampler: {use: ddim, eta: 2}\n"
    )
    assert [problem.path for problem in problems] == ["schedule", "denoiser.chanels", "sampler.eta"]


def test_the_parameters_of_an_unknown_part_are_not_checked(fault: Fault) -> None:
    fault(GOOD.replace("ddpm", "{use: ddmp, anything: [1, {at: all}]}"))


def test_what_a_missing_part_would_provide_is_not_asked_for(fault: Fault) -> None:
    problem = fault(
        "schedule: cosine\ntext_encoder: transformr\ndenoiser: {use: tiny-unet, text_width: 8}\nsampler: ddpm"
    )
    assert problem.path == "text_encoder"


def test_faults_are_sorted_by_place_and_said_once(faults: Callable[..., list[Problem]]) -> None:
    problems = faults(
        "sampler: {use: ddim, eta: 7, stepz: 1}\nruntime: {device: gpu}\nschedule: x\nruntine: 1\n", "a=["
    )
    assert [str(problem.place) for problem in problems] == [
        *("s.yaml:1:1", "s.yaml:1:27", "s.yaml:1:30", "s.yaml:2:19", "s.yaml:3:11", "s.yaml:4:1"),
        "--set #1",
    ]
    assert len(set(problems)) == len(problems)


def test_faults_beyond_a_hundred_are_counted(faults: Callable[..., list[Problem]]) -> None:
    problems = faults(GOOD + "".join(f"x{index}: 1\n" for index in range(150)))
    assert len(problems) == 101
    assert problems[-1].what == "and 50 more problems"


def test_an_exception_lists_all_faults_as_a_person_reads_them(catalogue: Catalogue) -> None:
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec("schedule: cosin\n", "s.yaml", catalogue=catalogue), catalogue)
    first, second, third = caught.value.problems
    assert (first.path, second.path) == ("denoiser", "sampler")
    assert str(caught.value) == "\n".join([first.render(), second.render(), third.render()])
    assert third.render().splitlines()[:4] == [
        "s.yaml:1:11: there is no schedule named 'cosin'",
        "    at schedule",
        "    | schedule: cosin",
        "    |           ^",
    ]


def test_nothing_is_suggested_for_a_word_like_no_other() -> None:
    assert did_you_mean("zzz", ["alpha", "beta"]) == ""


@pytest.mark.parametrize("word", ["ddmi", "didm", "DDMI"])
def test_a_word_of_the_same_letters_is_meant_before_others_that_are_as_near(word: str) -> None:
    assert did_you_mean(word, ["ddpm", "ddim", "dim"]) == "did you mean 'ddim'?"


TEN_FAULTS = """\
# ten faults
schedule: {use: cosine, num_steps: 0}
text_encoder:
  use: transformer
  width: "512"
  tokenizer: {use: wrds}
denoiser:
  use: tiny-unet
  channels: 64
  channels: 32
  text_width: ${text_encoder.withd}
guidanse: []
sampler:
  - {use: ddim}
codec: {use: latent, kl: 0.1}
weights: base.onnx
runtime: {device: cuda:first}
"""


def test_ten_faults_are_reported_at_once(catalogue: Catalogue) -> None:
    spec = parse_spec(TEN_FAULTS, "s.yaml", ["guidance.scale"], catalogue=catalogue, folder=Path())
    with pytest.raises(SpecError) as caught:
        make_plan(spec, catalogue)
    assert str(caught.value) + "\n" == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "written", ["off", "false", "none", "None", '""', "disabled", "[off]", "{use: none}"]
)
def test_a_word_for_none_in_a_list_of_parts_is_told_the_empty_list(fault: Fault, written: str) -> None:
    assert fault(f"{GOOD}guidance: {written}\n").hint == "for no guidance, write []"


@pytest.mark.parametrize("written", ["off", "none", '""', "{use: no}"])
def test_a_word_for_none_in_an_optional_slot_is_told_null(fault: Fault, written: str) -> None:
    assert fault(f"{GOOD}text_encoder: {written}\n").hint == "for no text_encoder, write null"


def test_a_slot_that_must_hold_a_part_is_not_told_to_hold_none(fault: Fault) -> None:
    assert "write" not in fault(GOOD.replace("ddpm", "off")).hint
    assert "write null" not in fault(GOOD.replace("ddpm", "none")).hint


def test_a_part_named_with_its_kind_is_told_to_leave_it_out(fault: Fault) -> None:
    problem = fault(GOOD.replace("ddpm", "{use: sampler/ddim}"))
    assert problem.what == "there is no sampler sampler/ddim: a spec names a part without its kind"
    assert problem.hint == "write `use: ddim`"
    assert fault(GOOD.replace("ddpm", "sampler/dddim")).hint.startswith("did you mean 'ddim'?")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("steps", "did you mean 'sampler.steps'?"),
        ("scale", "did you mean 'guidance[0].scale'?"),
        ("variance", "did you mean 'sampler.variance'?"),
        ("sampler.steps", "nest it: sampler: {steps: ...}"),
        ("runtime.device", "nest it: runtime: {device: ...}"),
        ("seed", "the seed of an image is given on the command line, --seed N"),
        ("prompt", 'a prompt is given on the command line, glidepath sample "PROMPT"'),
    ],
)
def test_a_parameter_at_the_top_is_told_the_part_that_has_it(fault: Fault, key: str, hint: str) -> None:
    text = f"{GOOD}guidance: classifier-free\n"
    assert fault(f"{text}{key}: 10\n").hint == hint
    if "." not in key:
        assert fault(text, f"{key}=10").hint == hint


def test_a_parameter_at_the_top_of_a_cascade_is_found_in_its_stages(
    faults: Callable[..., list[Problem]],
) -> None:
    stage = GOOD.replace("\n", "\n    ")
    text = f"stages:\n  one:\n    {stage}\n  two:\n    {stage}\nsteps: 10\n"
    (problem,) = [problem for problem in faults(text) if problem.path == "steps"]
    assert problem.hint == "did you mean 'stages.one.sampler.steps' or 'stages.two.sampler.steps'?"


def test_a_file_of_a_plugins_command_is_one_problem(fault: Fault) -> None:
    problem = fault("sweep: scales\nbase: shapes\narms: {a: {}}\nseeds: [1]\n")
    assert problem.what == "this is a file for `glidepath sweep`, and no spec"
    assert str(problem.place) == "s.yaml:1:1"
    assert fault(f"{GOOD}base: shapes\n").what == "a spec has no 'base'"


@pytest.mark.parametrize("written", ["{use:ddim}", "use:ddim"])
def test_a_colon_without_a_space_behind_it_is_seen(fault: Fault, written: str) -> None:
    hint = "a space is missing after the colon: use: ddim"
    assert fault(GOOD.replace("ddpm", written)).hint == hint
    assert fault(GOOD, f"sampler={written}").hint == hint
    steps = fault(GOOD.replace("ddpm", "{use: ddpm, steps:5}"))
    assert steps.hint == "a space is missing after the colon: steps: 5"
