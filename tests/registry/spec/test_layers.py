"""What a spec extends: presets and files, merged left to right."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml

from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import Spec, parse_spec, plugin_switches, read_spec
from glidepath.registry.text import yaml_tree as yamltree
from glidepath.registry.text.problems import Problem, SpecError
from glidepath.registry.text.yaml_tree import MAX_BYTES

GOOD = "schedule: cosine\ndenoiser: tiny-unet\nsampler: {use: ddpm, steps: 30}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="")


def problems(
    source: str | Path, catalogue: Catalogue, *overrides: str, untrusted: bool = False
) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        make_plan(read_spec(source, overrides, catalogue=catalogue, untrusted=untrusted), catalogue)
    return caught.value.problems


def test_a_preset_is_read_by_its_name(folder: Path, catalogue: Catalogue) -> None:
    spec = read_spec("base", catalogue=catalogue)
    assert spec.name == "preset base"
    assert spec.tree["sampler"] == {"use": "ddpm", "steps": 150}
    assert str(spec.places["sampler.steps"]) == "preset base:5:29"


def test_a_file_is_read_by_its_path(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "specs/my.yaml", GOOD)
    for source in ("specs/my.yaml", Path("specs/my.yaml"), str(folder / "specs" / "my.yaml")):
        assert read_spec(source, catalogue=catalogue).tree["schedule"] == "cosine"
    assert read_spec("specs/my.yaml", catalogue=catalogue).folder == Path("specs")


def test_a_file_without_an_extension_is_found_where_no_preset_has_its_name(
    folder: Path, catalogue: Catalogue
) -> None:
    write(folder, "mine", GOOD)
    write(folder, "base", "not: this\n")
    assert read_spec("mine", catalogue=catalogue).name == "mine"
    assert read_spec("base", catalogue=catalogue).name == "preset base"
    assert read_spec(Path("mine"), catalogue=catalogue).name == "mine"


def test_a_spec_changes_what_it_extends(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "my.yaml", "extends: base\nsampler: {steps: 20}\nguidance:\n  - {use: odd}\n")
    spec = read_spec("my.yaml", catalogue=catalogue)
    assert spec.tree["sampler"] == {"use": "ddpm", "steps": 20}
    assert spec.tree["guidance"] == [{"use": "odd"}]
    assert spec.tree["denoiser"] == {"use": "tiny-unet", "channels": 64, "text_width": 512}
    assert str(spec.places["sampler.steps"]) == "my.yaml:2:18"
    assert str(spec.places["sampler.use"]) == "preset base:5:16"
    assert spec.files == ("my.yaml", "preset base")
    assert "extends" not in spec.tree


def test_another_part_replaces_the_inherited_one_whole(folder: Path, catalogue: Catalogue) -> None:
    for sampler in ("ddim", "{use: ddim}"):
        write(folder, "my.yaml", f"extends: base\nsampler: {sampler}\n")
        assert read_spec("my.yaml", catalogue=catalogue).tree["sampler"] == {"use": "ddim"}


def test_the_same_part_keeps_the_inherited_parameters(folder: Path, catalogue: Catalogue) -> None:
    for sampler in ("ddpm", "{use: ddpm}"):
        write(folder, "my.yaml", f"extends: base\nsampler: {sampler}\n")
        assert read_spec("my.yaml", catalogue=catalogue).tree["sampler"] == {"use": "ddpm", "steps": 150}


def test_a_bare_inherited_part_takes_parameters(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "base.yaml", "schedule: cosine\ntext_encoder: {use: transformer, tokenizer: words}\n")
    write(
        folder,
        "my.yaml",
        "extends: base.yaml\nschedule: {num_steps: 7}\ntext_encoder: {tokenizer: {title: a}}\n"
        "denoiser: tiny-unet\nsampler: ddpm\n",
    )
    tree = read_spec("my.yaml", catalogue=catalogue).tree
    assert tree["schedule"] == {"use": "cosine", "num_steps": 7}
    assert tree["text_encoder"] == {"use": "transformer", "tokenizer": {"use": "words", "title": "a"}}


def test_an_address_of_weights_is_replaced_whole(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "a.yaml", f"{GOOD}weights: {{path: a.pt, sha256: '{'0' * 64}'}}\n")
    write(folder, "my.yaml", "extends: a.yaml\nweights: {path: b.pt}\n")
    assert read_spec("my.yaml", catalogue=catalogue).tree["weights"] == {"path": "b.pt"}


def test_a_null_takes_an_optional_part_away(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "my.yaml", "extends: base\nguidance: null\n")
    assert read_spec("my.yaml", catalogue=catalogue).tree["guidance"] is None


def test_later_layers_win_over_earlier_ones(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "a.yaml", "sampler: {use: ddim, steps: 1, eta: 1}\nschedule: cosine\n")
    write(folder, "b.yaml", "sampler: {steps: 2}\ndenoiser: tiny-unet\n")
    write(folder, "my.yaml", "extends: [a.yaml, b.yaml]\nsampler: {eta: 0}\n")
    spec = read_spec("my.yaml", catalogue=catalogue)
    assert spec.tree["sampler"] == {"use": "ddim", "steps": 2, "eta": 0}
    assert [str(spec.places[f"sampler.{name}"]) for name in ("use", "steps", "eta")] == [
        *("a.yaml:1:16", "b.yaml:1:18", "my.yaml:2:16"),
    ]


def test_files_are_relative_to_the_file_that_names_them(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "deep/er/base.yaml", GOOD + "weights: w.pt\n")
    write(folder, "deep/mid.yaml", "extends: er/base.yaml\n")
    write(folder, "my.yaml", "extends: ./deep/mid.yaml\n")
    spec = read_spec("my.yaml", catalogue=catalogue)
    assert spec.files == ("my.yaml", "deep/mid.yaml", "deep/er/base.yaml")
    assert spec.folders["weights"] == Path("deep/er")
    assert spec.folders["sampler.steps"] == Path("deep/er")


def test_one_file_may_be_extended_by_two_paths(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "a.yaml", GOOD)
    write(folder, "b.yaml", "extends: a.yaml\n")
    write(folder, "my.yaml", "extends: [a.yaml, b.yaml]\n")
    assert read_spec("my.yaml", catalogue=catalogue).tree["schedule"] == "cosine"


def test_a_circle_of_extends_is_found_where_it_closes(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "a.yaml", f"{GOOD}extends: b.yaml\n")
    write(folder, "b.yaml", "extends:\n  - ./a.yaml\n")
    (problem,) = problems("a.yaml", catalogue)
    assert problem.what == "extends leads in a circle"
    assert str(problem.place) == "b.yaml:2:5"
    assert problem.path == "extends"
    assert problem.hint == "a.yaml -> b.yaml -> a.yaml"


def test_a_file_that_extends_itself_by_a_link_is_a_circle(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "a.yaml", "extends: link.yaml\n")
    (folder / "link.yaml").symlink_to("a.yaml")
    assert problems("a.yaml", catalogue)[0].what == "extends leads in a circle"


def test_a_missing_file_is_found_at_its_name_with_its_neighbours(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "bases/small.yaml", GOOD)
    write(folder, "my.yaml", "extends: bases/smal.yaml\n")
    (problem,) = problems("my.yaml", catalogue)
    assert problem.what == "there is no file bases/smal.yaml"
    assert str(problem.place) == "my.yaml:1:10"
    assert problem.hint == "did you mean 'small.yaml'?"


def test_a_missing_preset_is_found_at_its_name(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "my.yaml", "extends: bas\nsampler: ddim\n")
    (problem,) = problems("my.yaml", catalogue)
    assert problem.what == "there is no preset named 'bas'"
    assert str(problem.place) == "my.yaml:1:10"
    assert problem.hint.startswith("did you mean 'base'?")
    assert problem.allowed == ("base",)


def test_what_may_be_in_a_layer_that_is_missing_is_not_missed(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "my.yaml", "extends: nowhere.yaml\nsampler: {steps: 3}\nruntime: {device: 3}\n")
    assert [problem.path for problem in problems("my.yaml", catalogue)] == ["extends", "runtime.device"]


def test_faults_are_told_in_every_layer(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "base.yaml", f"{GOOD}schedule: plain\nruntime: {{device: gpu}}\n")
    write(folder, "my.yaml", "extends: base.yaml\nruntime: {dtype: float8}\n")
    found = problems("my.yaml", catalogue, "sampler.stepz=1")
    assert [str(problem.place) for problem in found] == [
        "my.yaml:2:18",
        "base.yaml:4:1",
        "base.yaml:5:19",
        "--set #1",
    ]


@pytest.mark.parametrize("written", ["3", "{a: b}", "${sampler}", "[[a]]", "[3]"])
def test_extends_takes_names(folder: Path, catalogue: Catalogue, written: str) -> None:
    write(folder, "my.yaml", f"{GOOD}extends: {written}\n")
    (problem,) = problems("my.yaml", catalogue)
    assert problem.what.startswith("extends takes the name of a preset, a file or folder next to this one")
    assert problem.path == "extends"


@pytest.mark.parametrize("written", ["", "null", "[]"])
def test_an_empty_extends_extends_nothing(folder: Path, catalogue: Catalogue, written: str) -> None:
    write(folder, "my.yaml", f"{GOOD}extends: {written}\n")
    assert read_spec("my.yaml", catalogue=catalogue).files == ("my.yaml",)


def test_a_spec_may_extend_an_empty_file(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "empty.yaml", "# nothing yet\n")
    write(folder, "my.yaml", f"{GOOD}extends: empty.yaml\n")
    assert read_spec("my.yaml", catalogue=catalogue).tree["schedule"] == "cosine"


def test_a_spec_that_is_not_there_says_so(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "my.yaml", GOOD)
    (problem,) = problems("mu.yaml", catalogue)
    assert (problem.what, str(problem.place)) == ("there is no file mu.yaml", "mu.yaml")
    assert problem.hint == "did you mean 'my.yaml'?"
    (problem,) = problems("bass", catalogue)
    assert problem.what == "there is no preset named 'bass'"
    assert problem.hint.startswith("did you mean 'base'?")
    (problem,) = problems("my.ymal", catalogue)
    assert problem.hint == "did you mean 'my.yaml'?"
    with pytest.raises(SpecError, match=r"did you mean 'my\.yaml'\?"):
        read_spec("my", catalogue=load_catalogue(environ={}, no_plugins=True))
    (problem,) = problems("nope.yaml", catalogue)
    assert problem.hint == ""


@pytest.mark.parametrize("name", ["a/b/c.yaml", "x" * 300 + ".yaml", "nul\0.yaml", "", "."])
def test_a_name_that_no_file_can_have_is_a_fault(folder: Path, catalogue: Catalogue, name: str) -> None:
    assert len(problems(name, catalogue)) == 1
    assert len(problems(Path(name), catalogue)) == 1


def test_a_folder_is_no_spec(folder: Path, catalogue: Catalogue) -> None:
    (folder / "dir.yaml").mkdir()
    assert (
        problems("dir.yaml", catalogue)[0].what
        == "dir.yaml is a folder, and no installed plugins know what is in it"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_is_not_waited_for(folder: Path, catalogue: Catalogue) -> None:
    os.mkfifo(folder / "pipe.yaml")
    assert problems("pipe.yaml", catalogue)[0].what == "pipe.yaml cannot be read: it is not a file"


def test_a_file_that_is_not_utf_8_is_shown_its_first_wrong_byte(folder: Path, catalogue: Catalogue) -> None:
    (folder / "my.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    (problem,) = problems("my.yaml", catalogue)
    assert (problem.what, str(problem.place)) == ("my.yaml is not UTF-8", "my.yaml:2:7")
    (folder / "my.yaml").write_bytes(GOOD.encode("utf-16"))
    assert problems("my.yaml", catalogue)[0].what == "my.yaml is not UTF-8"


def test_a_byte_order_mark_is_no_part_of_the_text(folder: Path, catalogue: Catalogue) -> None:
    (folder / "my.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read_spec("my.yaml", catalogue=catalogue).tree["denoiser"] == "tiny-unet"


def test_a_spec_of_a_stranger_extends_nothing(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "a.yaml", GOOD)
    write(folder, "my.yaml", "extends: a.yaml\n")
    for found in (
        problems("my.yaml", catalogue, untrusted=True),
        _text_problems("extends: base\n", catalogue),
    ):
        assert [problem.what for problem in found] == [
            "a spec that came with an image or a checkpoint extends nothing"
        ]
        assert found[0].place is not None
        assert found[0].place.line == 1
    assert read_spec("a.yaml", catalogue=catalogue, untrusted=True).tree["schedule"] == "cosine"


def _text_problems(text: str, catalogue: Catalogue) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec(text, "an image", catalogue=catalogue, untrusted=True), catalogue)
    return caught.value.problems


def test_a_text_extends_files_of_its_folder(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "deep/a.yaml", GOOD)
    spec = parse_spec("extends: a.yaml\n", "t", catalogue=catalogue, folder=Path("deep"))
    assert spec.tree["schedule"] == "cosine"
    assert (spec.name, spec.folder) == ("t", Path("deep"))


def test_a_spec_tells_keys_from_values(catalogue: Catalogue) -> None:
    spec: Spec = parse_spec(GOOD + "guidance: [{use: odd}]\n", "t", catalogue=catalogue)
    assert (spec.keys["sampler.steps"].column, spec.places["sampler.steps"].column) == (22, 29)
    assert spec.keys["guidance[0].use"].line == 4
    assert set(spec.folders.values()) == {None}


def test_aliases_and_merge_keys_are_written_out(catalogue: Catalogue) -> None:
    text = """\
schedule: cosine
denoiser: &d {use: tiny-unet, channels: 8}
sampler: {<<: {use: ddpm, steps: 9}, steps: 8}
guidance: [{use: odd, extra: *d}, {<<: [{use: odd, low: 1}, {low: 2, high: 3}]}]
"""
    spec = parse_spec(text, "t", catalogue=catalogue)
    assert spec.tree["sampler"] == {"steps": 8, "use": "ddpm"}
    assert spec.tree["guidance"][0]["extra"] == {"use": "tiny-unet", "channels": 8}
    assert spec.tree["guidance"][1] == {"use": "odd", "low": 1, "high": 3}
    assert str(spec.places["guidance[0].extra.channels"]) == "t:2:41"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: *b\n", "there is no anchor &b before this"),
        ("a: &a [1, *a]\n", "&a contains itself"),
        ("a: {<<: 3}\n", "<< takes a mapping or a list of mappings, and this is a number"),
        ("a: !!int x\n", "'x' is not what the tag !!int says"),
    ],
)
def test_a_wrong_anchor_merge_or_tag_is_a_fault(catalogue: Catalogue, text: str, what: str) -> None:
    written = f"{GOOD}guidance: {{use: odd, extra: {{{text.strip()}}}}}\n"
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec(written, "t", catalogue=catalogue), catalogue)
    assert [problem.what for problem in caught.value.problems] == [what]
    assert caught.value.problems[0].path.startswith("guidance.extra.a")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("!!str 012", "012"),
        ("! 012", "012"),
        ('!!int "3"', 3),
        ("!!float 3", 3),
        ("!!bool yes", True),
        ("!!null ''", None),
        ("!!map {b: 1}", {"b": 1}),
        ("!!seq [1]", [1]),
        ('"<<"', "<<"),
        ("1_000", 1000),
        ("0b11", 3),
        ("0x1f", 31),
        ("-.inf", float("-inf")),
        ("Infinity", float("inf")),
        ("-Infinity", float("-inf")),
        ("1e-4", 0.0001),
        ("1.5_0", 1.5),
        (".5", 0.5),
        ("0o17", "0o17"),
        ("089", "089"),
        ("-089", "-089"),
        ("1:75", "1:75"),
        ("1:30.5", 90.5),
        ("-1:30", -90),
        (".", "."),
        ("+", "+"),
        ("0x_", "0x_"),
        ("9" * 500, "9" * 500),
        ("2001-01-01", "2001-01-01"),
        ("y", "y"),
    ],
)
def test_scalars_are_what_yaml_1_1_makes_of_them(catalogue: Catalogue, written: str, value: object) -> None:
    spec = parse_spec(f"{GOOD}guidance: [{{use: odd, extra: {written}}}]\n", "t", catalogue=catalogue)
    assert spec.tree["guidance"][0]["extra"] == value
    assert type(spec.tree["guidance"][0]["extra"]) is type(value) or written == "!!float 3"


def test_a_quoted_merge_key_is_a_key(catalogue: Catalogue) -> None:
    spec = parse_spec(
        f'{GOOD}guidance: [{{use: odd, extra: {{"<<": {{a: 1}}}}}}]\n', "t", catalogue=catalogue
    )
    assert spec.tree["guidance"][0]["extra"] == {"<<": {"a": 1}}


def test_the_switches_of_a_spec_are_read_before_any_plugin(folder: Path) -> None:
    write(folder, "base.yaml", "plugins: {deny: [a], allow: [b]}\n")
    write(folder, "my.yaml", "extends: [no-such-preset, base.yaml]\nplugins: {deny: [c]}\nsampler: unknown\n")
    switches = plugin_switches("my.yaml")
    assert (switches.allow, switches.deny) == (("b",), ("c",))
    assert plugin_switches("my.yaml", ["plugins.allow=[d]"]).allow == ("d",)


@pytest.mark.parametrize("text", ["a: [", "sampler: ddim\n", "plugins: 3\n", "plugins: {deny: 3}\n", "3"])
def test_a_faulty_spec_has_no_switches(folder: Path, text: str) -> None:
    write(folder, "my.yaml", text)
    switches = plugin_switches("my.yaml")
    assert (switches.allow, switches.deny, switches.require) == (None, (), {})
    assert plugin_switches("not-there.yaml").deny == ()


def test_a_text_longer_than_a_file_may_be_is_not_read(catalogue: Catalogue) -> None:
    (problem,) = _text_problems("#" * (MAX_BYTES + 1), catalogue)
    assert problem.what == "an image is longer than 524,288 characters"


def test_a_file_larger_than_a_spec_is_not_read(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "my.yaml", "#" * (MAX_BYTES + 1))
    assert problems("my.yaml", catalogue)[0].what == "my.yaml is larger than 524,288 bytes"


@pytest.mark.thorough
def test_what_a_spec_extends_has_a_limit_in_all(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "many.yaml", "a: [" + "1, " * 6_000 + "]\n")
    write(folder, "my.yaml", "extends: [many.yaml, many.yaml]\n")
    assert problems("my.yaml", catalogue)[0].what == "what the spec extends has more than 10,000 values"
    write(folder, "my.yaml", f"extends: [{'base, ' * 101}]\n")
    assert problems("my.yaml", catalogue)[0].what == "the spec extends more than 100 files"
    write(folder, "a.yaml", "a: [" + "1, " * 6_000 + "]\n")
    write(folder, "my.yaml", "extends: a.yaml\nb: [" + "1, " * 6_000 + "]\n")
    assert problems("my.yaml", catalogue)[0].what == "what the spec extends has more than 10,000 values"


@pytest.mark.thorough
def test_overrides_count_towards_the_limits(folder: Path, catalogue: Catalogue) -> None:
    write(folder, "my.yaml", "a: [" + "1, " * 6_000 + "]\n")
    (problem,) = problems("my.yaml", catalogue, "b=[" + "1, " * 6_000 + "]")
    assert problem.what == "the spec has more than 50 levels or 10,000 values"
    (problem,) = problems("my.yaml", catalogue, "b." * 30 + "c=" + "[" * 30 + "]" * 30)
    assert problem.what == "the spec has more than 50 levels or 10,000 values"


def test_a_spec_that_is_one_refused_tag_is_one_fault(catalogue: Catalogue) -> None:
    assert [problem.what for problem in _text_problems("!!python/none x\n", catalogue)] == [
        "the tag '!!python/none' is not accepted here"
    ]
    assert [problem.what for problem in _text_problems("!own {a: 1}\n", catalogue)] == [
        "the tag '!own' is not accepted here"
    ]


def test_a_refused_tag_inside_a_list_hides_its_content_only(catalogue: Catalogue) -> None:
    (problem,) = _text_problems(f"{GOOD}guidance: [!x {{use: nothing}}, {{use: odd}}]\n", catalogue)
    assert (problem.path, problem.place and problem.place.column) == ("guidance[0]", 12)
    (problem,) = _text_problems(f"{GOOD}guidance: {{use: odd, extra: {{? !x a : 1, b: 2}}}}\n", catalogue)
    assert problem.path == "guidance.extra"


def test_a_merge_key_passes_over_what_is_broken(catalogue: Catalogue) -> None:
    (problem,) = _text_problems(f"{GOOD}guidance: {{use: odd, extra: {{<<: *nothing, a: 1}}}}\n", catalogue)
    assert problem.what == "there is no anchor &nothing before this"


def test_the_pure_python_parser_reads_the_same(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{GOOD}guidance: [{{use: odd, extra: [&a {{b: '1'}}, *a, !!str 2]}}]\n"
    expected = parse_spec(text, "t", catalogue=catalogue)
    monkeypatch.setattr(yamltree, "_Loader", yaml.SafeLoader)
    spec = parse_spec(text, "t", catalogue=catalogue)
    assert (spec.tree, spec.places, spec.keys) == (expected.tree, expected.places, expected.keys)
    (problem,) = _text_problems('a: "\\UFFFFFFFF"\n', catalogue)
    assert problem.what.startswith("YAML: ")


@pytest.fixture
def told(folder: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What plugins tell of the folder `model`: one entry for each that knows it."""
    (folder / "lib" / "model").mkdir(parents=True)
    known: dict[str, object] = {"acme": {**yaml.safe_load(GOOD), "weights": "unet.pt"}}

    def call_hook(hook: str, *, path: Path) -> list[object]:
        assert hook == "spec_of"
        if isinstance(known.get("error"), Exception):
            raise known["error"]
        return list(known.values()) if path.name in ("model", "abc123", "whole.safetensors") else []

    monkeypatch.setattr(catalogue, "call_hook", call_hook)
    return known


def test_a_folder_that_a_plugin_knows_is_a_layer(
    folder: Path, catalogue: Catalogue, told: dict[str, object]
) -> None:
    write(folder, "lib/my.yaml", "extends: model\nsampler: {steps: 7}\n")
    spec = read_spec("lib/my.yaml", catalogue=catalogue)
    assert spec.tree["sampler"] == {"use": "ddpm", "steps": 7}
    assert (spec.places["schedule"].file, spec.places["sampler.steps"].file) == ("lib/model", "lib/my.yaml")
    made = make_plan(spec, catalogue)
    assert str(made.weights) == str(folder / "lib" / "model" / "unet.pt")
    assert read_spec("lib/model", catalogue=catalogue).tree["sampler"]["steps"] == 30


def test_a_fault_in_what_a_folder_stands_for_is_told_with_it(
    catalogue: Catalogue, told: dict[str, object]
) -> None:
    told["acme"] = {**yaml.safe_load(GOOD), "sampler": {"use": "ddpm", "stepz": 3}}
    (problem,) = problems("lib/model", catalogue)
    assert (problem.path, str(problem.place)) == ("sampler.stepz", "lib/model: sampler.stepz")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "lib/model is a folder, and no installed plugins know what is in it"),
        ({"a": {}, "b": {}}, "lib/model is a folder, and 2 installed plugins know what is in it"),
        (
            {"error": SpecError([Problem(what="its unet is new")])},
            "lib/model cannot be read as a spec: ",
        ),
    ],
)
def test_a_folder_that_stands_for_no_one_spec_is_a_fault(
    catalogue: Catalogue, told: dict[str, object], known: dict[str, object], said: str
) -> None:
    told.clear()
    told.update(known)
    assert problems("lib/model", catalogue)[0].what.startswith(said)


def test_a_file_of_weights_that_a_plugin_knows_is_a_spec_whose_files_lie_beside_it(
    folder: Path, catalogue: Catalogue, told: dict[str, object]
) -> None:
    write(folder, "lib/whole.safetensors", "")
    write(folder, "lib/my.yaml", "extends: whole.safetensors\nsampler: {steps: 7}\n")
    spec = read_spec("lib/my.yaml", catalogue=catalogue)
    assert (spec.places["schedule"].file, spec.places["sampler.steps"].file) == (
        "lib/whole.safetensors",
        "lib/my.yaml",
    )
    assert str(make_plan(spec, catalogue).weights) == str(folder / "lib" / "unet.pt")
    told.clear()
    assert problems("lib/whole.safetensors", catalogue)[0].what == (
        "lib/whole.safetensors is a file of weights, and no installed plugins know what is in it"
    )
    assert problems("lib/none.safetensors", catalogue)[0].what == "there is no file lib/none.safetensors"


def test_a_repository_of_the_hub_is_read_where_it_was_downloaded(
    folder: Path, catalogue: Catalogue, told: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    (problem,) = problems("hub:acme/base", catalogue)
    assert problem.what == "hub:acme/base is not in the cache of huggingface_hub here"
    assert problem.hint == "get it first: hf download acme/base"
    snapshots = folder / "hf" / "hub" / "models--acme--base" / "snapshots"
    (snapshots / "abc123").mkdir(parents=True)
    write(snapshots.parent, "refs/main", "abc123\n")
    made = make_plan(read_spec("hub:acme/base", catalogue=catalogue), catalogue)
    assert str(made.weights) == str(snapshots / "abc123" / "unet.pt")


def test_a_strangers_folder_is_no_spec(catalogue: Catalogue, told: dict[str, object]) -> None:
    assert "cannot be read" in problems("lib/model", catalogue, untrusted=True)[0].what
