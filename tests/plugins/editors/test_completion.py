"""`glidepath completion`: the words that may come next, and the scripts of the shells that ask for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from argcomplete import CompletionFinder
from argcomplete.lexers import split_line

from glidepath.core import GlidepathError
from glidepath.plugins.editors.completion import SHELLS, line_parser, main
from glidepath.registry import BUILTIN_COMMANDS, load_catalogue


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a spec, an image and a folder."""
    work = tmp_path / "work"
    (work / "specs").mkdir(parents=True)
    (work / "my.yaml").write_text("extends: shapes\nguidance: [{use: classifier-free}, {use: rescale}]\n")
    (work / "my.lock.json").write_text("{}")
    (work / "my.png").write_text("")
    (work / "notes.txt").write_text("")
    monkeypatch.chdir(work)
    return work


def words(line: str) -> set[str]:
    """What may stand at the end of a line behind `glidepath `; a blank at its end begins a new word."""
    line = f"glidepath {line}"
    finder = CompletionFinder(line_parser(line), always_complete_options=False)
    prequote, prefix, _, before, _ = split_line(line)
    if prefix.startswith("-") and "=" in prefix:  # as argcomplete's own __call__ does
        before.append(prefix.partition("=")[0])
    return set(finder._get_completions(before, prefix, prequote or "'", None))


def test_commands_are_completed_those_of_plugins_too() -> None:
    assert words("") >= {*BUILTIN_COMMANDS, "train", "convert", "schema"}
    assert words("sam") == {"sample"}
    assert words("--no-plugins tra") == {"track", "train"}


def test_options_are_completed() -> None:
    assert words("--str") == {"--strict"}
    assert words("sample --see") == {"--seed"}
    assert words("sample --set a=1 --se") >= {"--set", "--seed"}
    assert words("check --") == {"--help", "--set", "--allow-env", "--json", "--strict", "--no-plugins"}
    assert words("train --st") == {"--strict", "--steps-now"}
    assert words("study plan --pr") == {"--probe"}


def test_presets_and_files_stand_where_a_spec_does() -> None:
    presets = set(load_catalogue().presets())
    assert words("check ") == {*presets, "my.yaml", "specs/"}
    assert words("sample x --spec adm-256-u") == {"adm-256-uncond"}
    assert words("sample x --spec=adm-256-u") == {"--spec=adm-256-uncond"}
    assert words("train m") == {"my.yaml"}
    assert words("diff my") == {"my.yaml", "my.lock.json", "my.png"}
    assert words("diff shapes my") == {"my.yaml", "my.lock.json", "my.png"}
    assert words("check nosuch/") == set()


def test_kinds_and_parts_are_completed() -> None:
    assert words("list sam") == {"sampler"}
    assert words("list pres") == {"preset"}
    assert words("show dd") == {"ddim", "ddpm"}
    assert words("show sampler/ddi") == {"sampler/ddim"}
    assert words("show sched") == {"schedule/"}
    assert words("show preset/adm-256-u") == {"preset/adm-256-uncond"}


def test_words_of_an_option_are_its_own() -> None:
    assert words("sample --dtype fl") == {"float32", "float16"}
    assert words("sample --device cu") == {"cuda"}
    assert words("completion ") == {"bash", "zsh", "fish"}


def test_keys_of_the_spec_are_completed_behind_set() -> None:
    assert words("sample --set sampler.st") == {"sampler.start=", "sampler.steps="}
    assert words("sample --spec my.yaml --set guidance[1].") == {"guidance[1].phi="}
    assert words("check adm-u-256 --set stages.base.sam") >= {"stages.base.sampler="}
    assert words("check shapes --set text_encoder.tokenizer.unk") == {"text_encoder.tokenizer.unknown="}
    assert words("check shapes --set runtime.dt") == {"runtime.dtype="}


def test_what_a_key_takes_is_completed() -> None:
    assert {"sampler=ddim", "sampler=ddpm"} <= words("sample --set sampler=dd")
    assert words("sample --set runtime.compile=") == {"runtime.compile=true", "runtime.compile=false"}
    assert words("sample --set denoiser.predicts=ep") == {"denoiser.predicts=epsilon"}
    assert words("sample --set text_encoder.tokenizer=wo") == {"text_encoder.tokenizer=words"}
    assert words("sample --set sampler.steps=") == set()


@pytest.mark.parametrize("line", ["check --set sam", "check nosuch.yaml --set sam", "nosuch --x"])
def test_a_key_of_a_spec_that_is_not_there_is_none(line: str) -> None:
    assert words(line) == set()


def test_a_plugins_command_is_completed_by_the_parser_of_its_module(site: Any) -> None:
    source = "@hookimpl\ndef components(): return []\n@hookimpl\ndef commands():\n    return [{}]\n"
    told, quiet = (
        f'Command(name="{name}", target="acme.{name}:main", summary="x")' for name in ("told", "quiet")
    )
    site.plugin("acme", source.format(f"{told}, {quiet}"))
    parser = (
        "import argparse\ndef parser():\n"
        "    own = argparse.ArgumentParser()\n    own.add_argument('--hard')\n    return own\n"
    )
    (site.folder / "acme" / "told.py").write_text(parser)
    (site.folder / "acme" / "quiet.py").write_text("")
    assert words("told --h") == {"--help", "--hard"}
    assert words("quiet --h") == {"--help"}


def run_glidepath(line: str) -> tuple[list[str], list[str]]:
    """What the command answers a shell that completes a line; and the modules that it imported for it."""
    source = (
        "import os, sys\nfrom glidepath.registry.cli import main\n"
        "os._exit = lambda status: sys.exit(status)\n"
        "try:\n    main([])\nfinally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_STDOUT_FILENAME": "answer",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True)
    return Path("answer").read_text().split(), done.stderr.split()


@pytest.mark.parametrize(
    ("line", "word"), [("sam", "sample"), ("sample --see", "--seed"), ("show ddi", "ddim")]
)
def test_completing_imports_neither_torch_nor_parameters(line: str, word: str) -> None:
    answer, modules = run_glidepath(f"glidepath {line}")
    assert answer == [word]
    assert "glidepath.plugins.editors.completion" in modules
    assert "torch" not in modules
    assert not [name for name in modules if name.startswith("glidepath") and name.endswith("configs")]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([shell]) == 0
    script = capsys.readouterr().out
    assert "_ARGCOMPLETE" in script
    assert "glidepath" in script


def test_another_shell_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cmd"])
    assert "invalid choice: 'cmd'" in capsys.readouterr().err


def test_without_argcomplete_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    with pytest.raises(GlidepathError, match=r"pip install 'glidepath.*\[completion\]'"):
        main(["bash"])


LINES = {
    "sam": ["sample"],
    "sample --set sampler=ddi": ["ddim"],  # bash breaks words at "=", and replaces what is behind it
    "sample --set sampler.ste": ["sampler.steps="],
}
"""What may stand at the end of a line, behind `glidepath `: each a process. Other lines are tried above."""
BASH = """
compopt() { :; }
source script
while read -r line; do
    COMP_LINE="glidepath $line"; COMP_POINT=${#COMP_LINE}
    COMP_WORDS=($COMP_LINE); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
    _python_argcomplete glidepath
    echo "$line: ${COMPREPLY[*]}"
done < lines
complete -p glidepath
"""


def test_bash_completes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    main(["bash"])
    (folder / "script").write_text(capsys.readouterr().out)
    (folder / "lines").write_text("".join(f"{line}\n" for line in LINES))
    (folder / "glidepath").write_text(f'#!/bin/sh\nexec {sys.executable} -m glidepath.registry.cli "$@"\n')
    (folder / "glidepath").chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    environment |= {"HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([bash, "--norc", "-c", BASH], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert printed[: len(LINES)] == [f"{line}: {' '.join(found)}" for line, found in LINES.items()]
    assert "_python_argcomplete glidepath" in printed[-1]
