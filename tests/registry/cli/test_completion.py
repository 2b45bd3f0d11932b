"""`glidepath completion`: the words that may come next, and the scripts of the shells that ask for them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glidepath.registry.cli import COMMANDS, main
from glidepath.registry.cli.complete import candidates
from glidepath.registry.cli.completion import SCRIPTS
from glidepath.registry.discovery.catalogue import load_catalogue


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
    typed = shlex.split(line) + ([""] if line.endswith(" ") or not line else [])
    return {word for word, _ in candidates(typed)}


def test_commands_are_completed_those_of_plugins_too() -> None:
    assert words("") >= {*COMMANDS, "train", "convert"}
    assert words("sam") == {"sample"}
    assert words("--no-plugins tr") == {"train"}
    assert dict(candidates([""]))["check"] == COMMANDS["check"]


def test_options_are_completed_once_unless_they_may_be_repeated() -> None:
    assert words("--str") == {"--strict"}
    assert words("sample --see") == {"--seed"}
    assert words("sample --seed 3 --see") == set()
    assert words("sample --set a=1 --se") >= {"--set", "--seed"}
    assert words("check --") == {"--help", "--set", "--allow-env", "--json", "--strict", "--no-plugins"}
    assert words("train --st") == {"--strict", "--steps-now"}
    assert words("check -- --j") == set()


def test_what_options_mean_is_told() -> None:
    assert dict(candidates(["sample", "--seed"]))["--seed"] == "decides the noise (default: 0)"


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
    assert words("sample --count ") == set()
    assert words("sample --locked --see") == {"--seed"}


def test_keys_of_the_spec_are_completed_behind_set() -> None:
    assert words("sample --set sampler.st") == {"sampler.steps="}
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


def test_a_key_of_a_spec_that_is_not_named_yet_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash", "--", "check", "--set", "sam"]) == 0
    assert main(["completion", "bash", "--", "check", "nosuch.yaml", "--set", "sam"]) == 0
    assert main(["completion", "bash", "--", "nosuch", "x"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_plugins_command_is_completed_by_the_parser_of_its_module(site: Any) -> None:
    source = "@hookimpl\ndef components(): return []\n@hookimpl\ndef commands():\n    return [{}]\n"
    told, quiet, heavy = (
        f'Command(name="{name}", target="acme.{name}:main", summary="x")'
        for name in ("told", "quiet", "heavy")
    )
    site.plugin("acme", source.format(f"{told}, {quiet}, {heavy}"))
    parser = (
        "import argparse\ndef parser():\n"
        "    own = argparse.ArgumentParser()\n    own.add_argument('--hard')\n    return own\n"
    )
    (site.folder / "acme" / "told.py").write_text(parser)
    (site.folder / "acme" / "quiet.py").write_text("")
    (site.folder / "acme" / "heavy.py").write_text(f"import torch.fx\n{parser}")
    assert words("told --h") == {"--help", "--hard"}
    assert words("quiet --h") == set()


def test_completing_imports_no_torch_even_for_a_command_that_does(site: Any, folder: Path) -> None:
    command = 'Command(name="heavy", target="acme.heavy:main", summary="x")'
    site.plugin(
        "acme", f"@hookimpl\ndef components(): return []\n@hookimpl\ndef commands(): return [{command}]\n"
    )
    (site.folder / "acme" / "heavy.py").write_text("import torch\n")
    source = """if True:
        import sys
        from glidepath.registry.cli import main
        for line in (["heavy", "--h"], ["sample", "--"], ["show", "d"], ["list", ""], [""]):
            assert main(["completion", "bash", "--", *line]) == 0
        assert "torch" not in sys.modules
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site.folder), *sys.path])}
    subprocess.run([sys.executable, "-c", source], check=True, env=environment, stdout=subprocess.DEVNULL)


def test_completing_a_part_imports_no_parameters(folder: Path) -> None:
    source = """if True:
        import sys
        from glidepath.registry.cli import main
        assert main(["completion", "bash", "--", "show", "dd"]) == 0
        assert "glidepath.plugins.samplers.plugin" in sys.modules
        print([name for name in sys.modules if name.startswith("glidepath") and "config" in name])
    """
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == SCRIPTS[shell]


def test_another_shell_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "cmd"]) == 2
    assert "invalid choice: 'cmd'" in capsys.readouterr().err


LINES = {
    "sam": ["sample"],
    "sample x --spec adm-256-u": ["adm-256-uncond"],
    "show sampler/ddi": ["sampler/ddim"],
    "sample --set sampler=ddi": ["sampler=ddim"],
    "sample --set sampler.ste": ["sampler.steps="],
    "sample --set sampler.steps=4 --dtype bf": ["bfloat16"],
}
"""What may stand at the end of a line, behind `glidepath `."""


def run_shell(shell: str, script: str, folder: Path, *arguments: str) -> str:
    """What a shell prints that runs a script, with a `glidepath` on its path and that of completion in $C."""
    executable = shutil.which(shell)
    if executable is None:
        pytest.skip(f"{shell} is not installed")
    own = folder / "bin"
    own.mkdir(exist_ok=True)
    (own / "glidepath").write_text(f'#!/bin/sh\nexec {sys.executable} -m glidepath.registry.cli "$@"\n')
    (own / "glidepath").chmod(0o755)
    (own / "script").write_text(SCRIPTS[shell])
    environment = os.environ | {"PATH": f"{own}:{os.environ['PATH']}", "C": str(own / "script")}
    environment |= {"HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [executable, *arguments, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# Bash breaks words at blanks, and at "=" and ":", which are words of their own; what it replaces is behind.
BASH = """
compopt() { :; }
source "$C"
IFS=$'\\n'
for line in $TYPED; do
    IFS=' ' read -ra words <<< "${line//=/ = }"
    COMP_WORDS=(glidepath "${words[@]}")
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
    _glidepath
    kept=${line##* }; [[ $kept == *=* ]] && kept=${kept%=*}= || kept=
    printf '%s' "$line:"; printf ' %s' "${COMPREPLY[@]/#/$kept}"; echo
done
complete -p glidepath
"""
# Completion itself needs a terminal; `compadd` is where its words go.
ZSH = """
compdef() { : }
compadd() {
    local -a found
    while [[ $1 != -a ]]; do shift; done
    found=(${(P)2})
    print -rn -- " ${found[*]}"
}
source "$C"
for line in "${(@f)TYPED}"; do
    words=(glidepath ${(z)line}); CURRENT=$#words
    print -rn -- "$line:"; _glidepath; print
done
"""
FISH = """
source $C
for line in (string split \\n -- $TYPED)
    echo "$line:" (complete -C "glidepath $line" | string split -f1 \\t)
end
"""


@pytest.mark.parametrize(("shell", "script"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_a_shell_completes(shell: str, script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TYPED", "\n".join(LINES))
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    printed = run_shell(shell, script, folder, *options).splitlines()
    expected = [f"{line}: {' '.join(found)}" for line, found in LINES.items()]
    assert printed[: len(expected)] == expected
    if shell == "bash":
        assert printed[-1] == "complete -o default -F _glidepath glidepath"
