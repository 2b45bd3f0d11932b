"""`glidepath list`, `show`, `plugins` and `--help`: what is installed, for people and for programs."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli import main
from glidepath.registry.cli.opening import open_catalogue
from glidepath.registry.cli.printing import text_table
from glidepath.registry.describe.commands import BUILTIN_COMMANDS
from glidepath.registry.text.problems import Place, Problem, SpecError

ROOT = Path(__file__).parents[3]

DIFFUSION = '''
from typing import Literal
from pathlib import Path
from attrs.validators import ge, le

@attrs.frozen(kw_only=True)
class DdimConfig:
    """Deterministic or stochastic implicit sampling."""

    steps: int | str = attrs.field(default=50, metadata=doc("which timesteps are visited"))
    eta: float = attrs.field(default=0.0, validator=[ge(0), le(1)], metadata=doc("0 deterministic, 1 DDPM"))

@attrs.frozen(kw_only=True)
class EncoderConfig:
    width: int = attrs.field(metadata=doc("of the tokens"))
    order: Literal["old", "new"] = "old"
    tokenizer: None = attrs.field(default=None, metadata=part("tokenizer", "what cuts the text"))

@hookimpl
def components():
    yield Component(kind="sampler", name="ddim", target="acme.samplers:Ddim", config=DdimConfig,
                    summary="implicit sampler", references=["Song et al. 2021, equation 12"])
    yield Component(kind="text_encoder", name="wide", target="acme.text:Wide", config=EncoderConfig,
                    summary="wide", requires=[Extra(module="absent_module", install="acme[text]")])
    yield Component(kind="tokenizer", name="bpe", target="acme.text:Bpe", summary="bytes")
    yield Component(kind="tokenizer", name="words", target="acme.text:Words", summary="words")
    yield Component(kind="guidance", name="none", target="acme.guidance:Nothing", summary="nothing")

@hookimpl
def presets():
    return [Preset(name="fast", file=Path(__file__).parent / "fast.yaml", summary="few steps")]

@hookimpl
def commands():
    return [Command(name="tune", target="acme.tune:main", summary="tune it"),
            Command(name="stray", target="acme.absent:main", summary="is not there")]
'''

OTHER = """
@hookimpl
def components():
    return [Component(kind="sampler", name="ddim", target="other.x:Y", summary="another")]
"""


@pytest.fixture
def acme(site: Any) -> Any:
    """A plugin with something of everything."""
    site.plugin("acme", DIFFUSION, version="1.2")
    (site.folder / "acme" / "fast.yaml").write_text("sampler: {use: ddim, steps: 10}\n")
    for module, names in (("samplers", "Ddim"), ("text", "Wide, Bpe, Words"), ("guidance", "Nothing")):
        (site.folder / "acme" / f"{module}.py").write_text(f"from acme.implementation import {names}\n")
    (site.folder / "acme" / "tune.py").write_text(
        "def main(arguments):\n    print('tuning', arguments)\n    return 7 if arguments else None\n"
    )
    return site


@pytest.fixture
def glidepath(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command: (status, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_list_shows_every_part_with_its_distribution(acme: Any, glidepath: Any) -> None:
    status, out, err = glidepath("list")
    lines = [line.split() for line in out.splitlines()]
    assert status == 0
    assert lines[0] == ["KIND", "NAME", "FROM", "SUMMARY"]
    assert ["sampler", "ddim", "acme", "1.2", "implicit", "sampler"] in lines
    assert ["preset", "fast", "acme", "1.2", "few", "steps"] in lines
    assert err == ""


def test_list_of_a_kind_shows_that_kind(acme: Any, glidepath: Any) -> None:
    out = glidepath("list", "tokenizer")[1]
    assert [line.split()[1] for line in out.splitlines()] == ["NAME", "bpe", "words"]
    assert glidepath("list", "codec")[1] == "no codec is installed\n"


def test_list_of_an_unknown_kind_suggests_one(acme: Any, glidepath: Any) -> None:
    status, out, err = glidepath("list", "samplr")
    assert (status, out) == (1, "")
    assert "did you mean 'sampler'?" in err


def test_list_of_a_misspelt_kind_suggests_the_kind_before_a_plugin_of_that_name(
    site: Any, glidepath: Any
) -> None:
    site.plugin("samplers", "", version="1.2")
    hint = glidepath("list", "samplers")[2].splitlines()[1].strip()
    assert hint == "did you mean 'sampler'?; 'samplers' is a plugin: `glidepath plugins`"


def test_list_of_a_part_near_a_kind_says_that_it_is_a_part(site: Any, glidepath: Any) -> None:
    site.plugin("acme", DIFFUSION.replace("ddim", "samples"), version="1.2")
    hint = glidepath("list", "samples")[2].splitlines()[1].strip()
    assert hint == "'samples' is a sampler: `glidepath show sampler/samples`"


def test_list_without_plugins_says_so(site: Any, glidepath: Any) -> None:
    assert glidepath("list")[1] == "no part is installed\n"


def test_list_as_json_is_one_document(acme: Any, glidepath: Any) -> None:
    entries = json.loads(glidepath("list", "sampler", "--json")[1])
    assert entries == [
        {
            "kind": "sampler",
            "use": "ddim",
            "name": "ddim",
            "distribution": "acme",
            "version": "1.2",
            "plugin": "acme",
            "file": str(acme.folder / "acme" / "plugin.py"),
            "summary": "implicit sampler",
        }
    ]
    (preset,) = json.loads(glidepath("list", "preset", "--json")[1])
    assert preset["file"] == str(acme.folder / "acme" / "fast.yaml")


def test_two_plugins_with_one_name_are_both_listed_by_their_whole_names(acme: Any, glidepath: Any) -> None:
    acme.plugin("other", OTHER)
    out = glidepath("list", "sampler")[1]
    assert [line.split()[1] for line in out.splitlines()] == ["NAME", "acme/ddim", "other/ddim"]


def test_list_works_beside_plugins_that_fail_and_notes_them(acme: Any, glidepath: Any) -> None:
    acme.plugin("broken", "raise RuntimeError('boom')")
    status, out, err = glidepath("list", "sampler")
    assert status == 0
    assert "ddim" in out
    assert err == (
        "glidepath: note: 1 plugin has problems; `glidepath plugins` tells more\n"
        "    plugin 'broken' of broken 1.0: import: RuntimeError: boom\n"
    )
    acme.add("torn", text="nonsense [glidepath.plugins]")
    noted = glidepath("list")[2]
    assert "2 plugins have problems" in noted
    assert "\n    torn 1.0: scan: " in noted


def test_a_switch_that_names_nothing_is_noted(
    acme: Any, glidepath: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLIDEPATH_DISABLE", "acmee")
    (acme.folder / "acme" / "tune.py").write_text("main = print")
    Path("my.yaml").write_text("sampler: ddim")
    for command in (["list"], ["show", "ddim"], ["check", "my.yaml"], ["plugins", "--json"], ["tune"]):
        said = glidepath(*command)[2]
        assert (
            said.count("GLIDEPATH_DISABLE names 'acmee', which is not installed; did you mean 'acme'?") == 1
        )


@pytest.mark.parametrize(
    "name", ["ddim", "sampler/ddim", "acme/ddim", "sampler/acme/ddim", "sampler/ACME/ddim"]
)
def test_show_finds_a_part_by_any_of_its_names(acme: Any, glidepath: Any, name: str) -> None:
    status, out, _ = glidepath("show", name)
    assert status == 0
    assert out.startswith("sampler ddim: implicit sampler\n")


def test_show_tells_parameters_source_references_and_an_example(acme: Any, glidepath: Any) -> None:
    out = glidepath("show", "ddim")[1]
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "Deterministic or stochastic implicit sampling." in rows
    assert "from acme 1.2, plugin acme" in rows
    assert f"file {acme.folder / 'acme' / 'plugin.py'}" in rows
    assert "see Song et al. 2021, equation 12" in rows
    assert "steps int | str 50 which timesteps are visited" in rows
    assert "eta float >= 0, <= 1 0.0 0 deterministic, 1 DDPM" in rows
    assert "  sampler:\n    use: ddim\n    steps: 50\n    eta: 0.0\n" in out


def test_show_of_a_part_with_nested_and_required_parameters(acme: Any, glidepath: Any) -> None:
    out = glidepath("show", "wide")[1]
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "width int required of the tokens" in rows
    assert "order 'old' | 'new' old" in rows
    assert "tokenizer tokenizer null what cuts the text" in rows
    example = """
  text_encoder:
    use: wide
    width: ???  # required: int
    order: old
    tokenizer: bpe  # or words
"""
    assert example in out
    why = "acme/wide 1.2 needs absent_module, which is not installed; pip install acme[text]"
    assert f"It cannot be used here: {why}" in rows
    assert "needs absent_module (acme[text])" in rows


def test_show_of_a_part_without_parameters(acme: Any, glidepath: Any) -> None:
    out = glidepath("show", "words")[1]
    assert "It has no parameters.\n\nin a spec:\n  tokenizer: words\n" in out
    assert "in a spec:\n  guidance:\n    - none\n" in glidepath("show", "none")[1]


def test_show_as_json(acme: Any, glidepath: Any) -> None:
    shown = json.loads(glidepath("show", "wide", "--json")[1])
    assert shown["use"] == "wide"
    assert shown["requires"] == ["absent_module"]
    assert "not installed" in shown["unusable"]
    width, order, tokenizer = shown["parameters"]
    assert (width["required"], width["default"], width["doc"]) == (True, None, "of the tokens")
    assert (order["required"], order["default"], order["type"]) == (False, "old", "'old' | 'new'")
    assert (tokenizer["part"], tokenizer["many"]) == ("tokenizer", False)


def test_show_of_a_preset_prints_it(acme: Any, glidepath: Any) -> None:
    for name in ("fast", "preset/fast", "preset/acme/fast"):
        out = glidepath("show", name)[1]
        assert out.startswith("preset fast: few steps\n")
        assert out.endswith("\nsampler: {use: ddim, steps: 10}\n")
    assert json.loads(glidepath("show", "fast", "--json")[1])["text"] == "sampler: {use: ddim, steps: 10}\n"


def test_show_of_a_name_that_two_have_asks_which(acme: Any, glidepath: Any) -> None:
    acme.plugin("other", OTHER)
    status, _, err = glidepath("show", "ddim")
    assert status == 1
    assert "allowed: sampler/acme/ddim, sampler/other/ddim" in err
    assert glidepath("show", "other/ddim")[1].startswith("sampler ddim: another")
    assert "use: acme/ddim" in glidepath("show", "sampler/acme/ddim")[1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ddin", "did you mean 'ddim'?"),
        ("sampler/ddin", "did you mean 'ddim'?"),
        ("samplr/ddim", "did you mean 'sampler'?"),
        ("zzzzzz", "`glidepath list` names all parts"),
        ("preset/fats", "did you mean 'fast'?"),
    ],
)
def test_show_of_an_unknown_name_suggests_one(acme: Any, glidepath: Any, name: str, hint: str) -> None:
    status, out, err = glidepath("show", name)
    assert (status, out) == (1, "")
    assert err.startswith("glidepath: error: ")
    assert hint in err


SLOTTED = """
@hookimpl
def kinds():
    return [Kind(name="trainer", interface="acme.x:Y", summary="trains", slot="train", sampling=False)]

@hookimpl
def components():
    return [Component(kind="trainer", name="sgd", target="x:Y", summary="steps down")]
"""


@pytest.mark.parametrize(
    ("arguments", "hint", "allowed"),
    [
        (["show", "sampler"], "'sampler' is a kind of part: `glidepath list sampler`", "sampler/ddim"),
        (["show", "train"], "which takes a trainer: `glidepath list trainer`", "trainer/sgd"),
        (["show", "train/sgd"], "'train' is a slot of a spec, which takes a trainer", "trainer/sgd"),
        (["show", "preset"], "presets are named by `glidepath list preset`", "preset/fast"),
        (["show", "school"], "'school' is a plugin: `glidepath plugins`", ""),
        (["list", "train"], "which takes a trainer: `glidepath list trainer`", "trainer"),
        (["list", "ddim"], "'ddim' is a sampler: `glidepath show sampler/ddim`", "sampler"),
        (["list", "acme/ddim"], "'acme/ddim' is a sampler: `glidepath show sampler/ddim`", "sampler"),
        (["list", "fast"], "'fast' is a preset: `glidepath show preset/fast`", "preset"),
        (["list", "school"], "'school' is a plugin: `glidepath plugins`", "trainer"),
    ],
)  # fmt: skip
def test_a_word_of_another_sort_is_told_what_it_stands_for(
    acme: Any, glidepath: Any, arguments: list[str], hint: str, allowed: str
) -> None:
    acme.plugin("school", SLOTTED)
    status, out, err = glidepath(*arguments)
    assert (status, out) == (1, "")
    assert hint in err
    assert not allowed or allowed in err.partition("allowed: ")[2]


def test_plugins_shows_what_each_supplies_and_what_is_wrong(
    acme: Any, glidepath: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIDEPATH_DISABLE", "off,offf")
    acme.plugin("off", OTHER)
    acme.plugin("other", OTHER)
    acme.plugin("broken", "import absent_dependency", version="3.0")
    acme.plugin("partly", OTHER.replace('"ddim"', '"DDIM"'))
    acme.add("torn", "0.1", text="nonsense\n[glidepath.plugins]\nx = y\n")
    acme.add("stranger", "0.2", text="nonsense\n")
    status, out, _ = glidepath("plugins")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert status == 0
    assert rows[0] == "glidepath 9.9"
    assert (
        "acme acme 1.2 ok sampler ddim; text_encoder wide; tokenizer bpe, words; guidance none; preset fast; "
        "command tune, stray" in rows
    )
    assert "broken broken 3.0 failed (import) -" in rows
    assert "partly partly 1.0 problems -" in rows
    assert "off off 1.0 disabled by GLIDEPATH_DISABLE -" in rows
    assert "- torn 0.1 failed (scan) -" in rows
    place = rows.index("plugin 'broken' of broken 3.0")
    assert rows[place + 1] == "import: ModuleNotFoundError: No module named 'absent_dependency'"
    assert rows[place + 2] == f"{acme.folder / 'broken' / 'plugin.py'}:3"
    assert rows[place + 3].startswith("pip install absent_dependency")
    assert "sampler acme/ddim (acme 1.2)" in rows
    assert "sampler other/ddim (other 1.0)" in rows
    place = rows.index("parts that cannot be used here:")
    assert rows[place + 1 : place + 4] == [
        "plugin 'acme' of acme 1.2",
        "requires: acme/wide 1.2 needs absent_module, which is not installed",
        "pip install acme[text]",
    ]
    assert any("names 'offf', which is not installed" in row for row in rows)
    assert any("stranger-0.2" in row and "may hide a plugin" in row for row in rows)


def test_plugins_as_json(acme: Any, glidepath: Any) -> None:
    acme.plugin("broken", "raise RuntimeError('boom')")
    document = json.loads(glidepath("plugins", "--json")[1])
    good, broken = document["plugins"]
    assert (good["stage"], good["works"], good["presets"]) == ("ok", True, ["fast"])
    assert good["missing_extras"][0]["hint"] == "pip install acme[text]"
    assert (broken["stage"], broken["works"]) == ("import", False)
    assert broken["problems"][0]["error"] == "RuntimeError: boom"
    assert document["warnings"] == []


def test_plugins_without_any_asks_whether_glidepath_is_installed(site: Any, glidepath: Any) -> None:
    assert "is glidepath itself installed?" in glidepath("plugins")[1]


@pytest.mark.parametrize("command", [["list"], ["show", "ddim"], ["plugins"]])
@pytest.mark.parametrize("first", [True, False])
def test_strict_makes_a_plugin_that_fails_an_error(
    acme: Any, glidepath: Any, command: list[str], first: bool
) -> None:
    arguments = ["--strict", *command] if first else [*command, "--strict"]
    assert glidepath(*arguments)[0] == 0
    acme.plugin("broken", "raise RuntimeError('boom')")
    status, _, err = glidepath(*arguments)
    assert status == 1
    assert "plugin 'broken' of broken 1.0: import: RuntimeError: boom" in err
    assert "Traceback" not in err


def test_the_help_of_plugins_says_with_which_status_it_ends(site: Any, glidepath: Any) -> None:
    said = " ".join(glidepath("plugins", "--help")[1].split())
    assert "ends with status 0 where plugins have problems, and with 1 under `--strict`" in said


def test_plugins_with_strict_still_prints_the_table(acme: Any, glidepath: Any) -> None:
    acme.plugin("broken", "raise RuntimeError('boom')")
    assert "failed (import)" in glidepath("plugins", "--strict")[1]


def test_no_plugins_leaves_glidepaths_own(acme: Any, glidepath: Any) -> None:
    assert glidepath("list", "--no-plugins")[1] == "no part is installed\n"
    assert glidepath("--no-plugins", "list")[1] == "no part is installed\n"
    assert "acme" not in sys.modules
    assert "disabled by --no-plugins" in glidepath("plugins", "--no-plugins")[1]
    assert "tune" not in glidepath("--no-plugins", "--help")[1]


def test_what_a_plugin_prints_stays_out_of_json(acme: Any, glidepath: Any) -> None:
    acme.plugin("noisy", f"print('hello')\n{OTHER}")
    status, out, err = glidepath("list", "--json")
    json.loads(out)
    assert status == 0
    assert "hello" in err


def test_help_lists_commands_and_whose_they_are(acme: Any, glidepath: Any) -> None:
    status, out, _ = glidepath("--help")
    assert status == 0
    for name in BUILTIN_COMMANDS:
        assert f"  {name} " in out
    assert "tune it (plugin 'acme' of acme 1.2)" in out
    assert "examples:" in out
    assert "acme.tune" not in sys.modules


def test_without_a_command_the_help_goes_to_the_standard_error(acme: Any, glidepath: Any) -> None:
    status, out, err = glidepath()
    assert (status, out) == (2, "")
    assert "usage: glidepath" in err


@pytest.mark.parametrize("command", ["list", "show", "plugins", "check", "plan"])
def test_every_command_explains_itself_with_examples(site: Any, glidepath: Any, command: str) -> None:
    status, out, _ = glidepath(command, "--help")
    assert status == 0
    assert f"glidepath {command}" in out
    assert "--strict" in out
    assert f"\n  glidepath {command}" in out


def test_the_version_is_that_of_the_distribution(site: Any, glidepath: Any) -> None:
    assert glidepath("--version") == (0, "glidepath 9.9\n", "")


def test_an_unknown_command_suggests_one(acme: Any, glidepath: Any) -> None:
    status, out, err = glidepath("lst")
    assert (status, out) == (2, "")
    assert err == "glidepath: error: there is no command named 'lst'; did you mean 'list'?\n"
    assert "did you mean 'tune'?" in glidepath("tunne")[2]
    assert "the commands are list, show," in glidepath("zzzzzz")[2]


def test_an_unknown_command_may_be_of_a_plugin_that_failed(acme: Any, glidepath: Any) -> None:
    acme.plugin("broken", "raise RuntimeError('boom')")
    assert "plugin 'broken' of broken 1.0 failed to load and may supply it" in glidepath("zzzzzz")[2]


def test_wrong_arguments_are_status_2(site: Any, glidepath: Any) -> None:
    assert glidepath("show")[0] == 2
    assert glidepath("--nonsense")[0] == 2
    assert glidepath("list", "--nonsense")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "usage", "message"),
    [
        (
            ["sample", "x", "--cuont", "3"],
            "sample",
            "unrecognized arguments: --cuont 3; did you mean --count?",
        ),
        (["sample", "x", "--coun", "3"], "sample", "unrecognized arguments: --coun 3; did you mean --count?"),
        (["list", "--jsn"], "list", "unrecognized arguments: --jsn; did you mean --json?"),
        (["train", "x", "--devic=cpu"], "train", "did you mean --device?"),
        (["convert", "x.pt", "--overwrit"], "convert", "did you mean --overwrite?"),
        (["measure-shapes", "--coun", "3"], "measure-shapes", "did you mean --count?"),
        (
            ["sample", "x", "--count", "many"],
            "sample",
            "argument --count: 'many' is not a whole number of at least 1",
        ),
        (["sample", "x", "--seed=-1"], "sample", "argument --seed: '-1' is not a whole number of at least 0"),
        (["replay", "x.png", "--batch", "0"], "replay", "'0' is not a whole number of at least 1"),
        (["study", "paln", "x.yaml"], "study", "; did you mean plan?"),
        (["study", "retry", "x.yaml", "--class", "timout"], "study retry", "; did you mean timeout?"),
        (
            ["sample", "x", "--strength", "much"],
            "sample",
            "argument --strength: 'much' is not a number above 0 and at most 1",
        ),
        (["train", "x", "--steps-now", "1.5"], "train", "'1.5' is not a whole number of at least 1"),
    ],
)
def test_wrong_arguments_are_told_with_the_usage_of_their_command(
    site: Any, glidepath: Any, arguments: list[str], usage: str, message: str
) -> None:
    site.bundle()
    status, out, err = glidepath(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"usage: glidepath {usage} ")
    assert message in err


def test_a_command_of_a_plugin_gets_its_arguments_and_gives_its_status(acme: Any, glidepath: Any) -> None:
    assert glidepath("tune", "--fast", "x") == (7, "tuning ['--fast', 'x']\n", "")
    assert glidepath("tune")[0] == 0
    assert glidepath("acme/tune")[0] == 0
    assert glidepath("--strict", "tune")[0] == 0


def test_a_command_that_cannot_be_imported_names_its_plugin(acme: Any, glidepath: Any) -> None:
    status, _, err = glidepath("stray")
    assert status == 1
    assert "command 'stray' of the plugin 'acme' of acme 1.2 cannot be imported" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (GlidepathError("no such thing"), 1, "glidepath: error: no such thing\n"),
        (SpecError([Problem(what="bad", place=Place("x.yaml", 3, 5))]), 2, "x.yaml:3:5: bad\n"),
        (KeyboardInterrupt(), 130, "glidepath: interrupted\n"),
        (SystemExit(), 0, ""),
        (SystemExit(5), 5, ""),
        (SystemExit("gone"), 1, "gone\n"),
    ],
)
def test_errors_become_messages_and_statuses(
    acme: Any, glidepath: Any, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int, said: str
) -> None:
    def stop(_arguments: list[str]) -> int:
        raise raised

    glidepath("tune")
    monkeypatch.setattr(sys.modules["acme.tune"], "main", stop)
    assert glidepath("tune") == (status, "", said)


def test_the_notes_of_an_error_are_told(acme: Any, glidepath: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_arguments: list[str]) -> int:
        error = GlidepathError("no such thing")
        error.add_note("while tuning")
        raise error

    glidepath("tune")
    monkeypatch.setattr(sys.modules["acme.tune"], "main", stop)
    assert glidepath("tune")[2] == "glidepath: error: no such thing\n    while tuning\n"


def test_table_columns_are_aligned() -> None:
    assert text_table([("a", "bbb", "c"), ("aaa", "b", "")]) == "a    bbb  c\naaa  b"


def test_a_long_last_column_can_be_broken_into_lines() -> None:
    first, second, third = text_table([("name", "word " * 30), ("x", "y")], wrap=True).splitlines()
    assert first.startswith("name  word word")
    assert second.startswith("      word")
    assert third == "x     y"
    assert max(len(first), len(second)) <= 118


def _python(site: Any, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Another Python, with the same distributions."""
    folders = [*site.path, *(str(ROOT / name) for name in ("core", "registry", "plugins"))]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)} | settings.pop("environ", {})
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    return subprocess.run([sys.executable, *arguments], env=environ, text=True, timeout=120, **settings)


@pytest.mark.parametrize("command", [["list"], ["plugins"], ["show", "ddim"], ["--help"]])
def test_listing_imports_nothing_heavy(acme: Any, command: list[str]) -> None:
    code = """
import sys
from glidepath.registry.cli import main
status = main(sys.argv[1:])
heavy = {"torch", "omegaconf", "yaml", "importlib.metadata", "numpy", "packaging"} & set(sys.modules)
raise SystemExit(f"imported {heavy}" if heavy else status)
"""
    done = _python(acme, "-c", code, *command)
    assert done.returncode == 0, done.stderr


def test_a_variable_keeps_a_plugin_from_being_imported_by_a_command(acme: Any) -> None:
    acme.plugin("bomb", "import os\nos._exit(99)")
    command = ("-m", "glidepath.registry.cli", "list")
    assert _python(acme, *command).returncode == 99
    for variables in ({"GLIDEPATH_DISABLE": "bomb"}, {"GLIDEPATH_PLUGINS": "acme"}):
        done = _python(acme, *command, environ=variables)
        assert done.returncode == 0
        assert "ddim" in done.stdout
    assert _python(acme, *command, "--no-plugins").returncode == 0


def test_a_reader_that_goes_away_is_no_error(acme: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = _python(acme, "-u", "-m", "glidepath.registry.cli", "list", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_open_catalogue_passes_the_switches_of_a_spec_on(acme: Any) -> None:
    arguments = argparse.Namespace(strict=False, no_plugins=False)
    catalogue = open_catalogue(arguments, deny=["acme"])
    assert catalogue.records[0].disabled == "plugins.deny"
