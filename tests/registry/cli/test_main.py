"""The command itself: help, wrong arguments, commands of plugins, and how errors end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.registry.cli.processes import environment, python

from glidepath.core.errors import GlidepathError
from glidepath.registry.describe.commands import BUILTIN_COMMANDS
from glidepath.registry.text.problems import Place, Problem, SpecError


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
    assert "`glidepath --help` names the commands" in glidepath("zzzzzz")[2]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (2, ["check", "shapes", "--sett", "sampler.steps=3"]),
        (2, ["check", "shapes", "--set", "sampler.steps", "3"]),
        (2, ["check", "shapes", "--set", "sampler.steps=x"]),
        (2, ["check", "nosuch.yaml"]),
        (2, ["list", "presets"]),
        (2, ["show", "nosuch"]),
        (2, ["plan", "shapes", "--quick", "--size", "32x32"]),
        (2, ["sample", "a star", "--strength", "0.5"]),
        (2, ["track", "nosuch", "--to", "csv", "--set", "flush"]),
        (2, ["study", "status", "nosuch"]),
        (1, ["sample", "a star", "--image", "nosuch.png", "--strength", "0.5"]),
        (1, ["replay", "nosuch.png"]),
        (1, ["track", "nosuch", "--to", "csv"]),
    ],
    ids=str,
)
def test_a_wrong_command_line_or_spec_ends_with_2_and_what_fails_otherwise_with_1(
    glidepath: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = glidepath(*words)
    assert said[:2] == (status, "")
    assert said[2]


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
def test_wrong_arguments_are_told_in_a_line_that_names_their_command(
    site: Any, glidepath: Any, arguments: list[str], usage: str, message: str
) -> None:
    site.bundle()
    status, out, err = glidepath(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"glidepath {usage}: error: ")
    assert message in err
    assert err.endswith(f"`glidepath {usage} --help` tells what it takes\n")


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


@pytest.mark.parametrize("unbuffered", [(), ("-u",)])
def test_a_reader_that_goes_away_is_no_error(acme: Any, unbuffered: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = python(acme, *unbuffered, "-m", "glidepath.registry.cli", "list", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_is_told_in_a_line(acme: Any) -> None:
    with Path("/dev/full").open("w") as full:
        done = python(acme, "-m", "glidepath.registry.cli", "list", stdout=full)
    assert (done.returncode, done.stderr) == (
        1,
        "glidepath: error: cannot write: No space left on device\n",
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8", "utf-16"])
def test_letters_that_an_encoding_lacks_are_escaped(acme: Any, tmp_path: Path, encoding: str) -> None:
    key = "st\u0435ps \u00e9 \U0001f31f"
    (tmp_path / "faulty.yaml").write_text(f'extends: acme/fast\n"{key}": 3\n', encoding="utf-8")
    command = ("-m", "glidepath.registry.cli", "check", "faulty.yaml", "--json")
    done = subprocess.run(
        [sys.executable, *command],
        env={**environment(acme), "PYTHONIOENCODING": encoding},
        capture_output=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 2
    assert key in json.dumps(json.loads(done.stdout.decode(encoding)), ensure_ascii=False)


@pytest.mark.skipif(os.name != "posix", reason="a shell closes them")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_that_is_missing_is_no_error(acme: Any, closed: str) -> None:
    command = f"exec {sys.executable} -m glidepath.registry.cli list {closed}"
    done = subprocess.run(["sh", "-c", command], env=environment(acme), capture_output=True, timeout=120)
    assert done.returncode == 0
    assert (b"implicit sampler" in done.stdout) is (">&- " not in f" {closed} ".replace("2>&-", ""))


NOISE = """
import atexit, ctypes, os, sys, threading, time
def say():
    while True:
        print("a thread")
        time.sleep(0.001)
threading.Thread(target=say, daemon=True).start()
atexit.register(print, "at the end")
os.write(1, b"by its number")
os.system("echo a shell")
print("a print")
print("behind", file=sys.__stdout__, flush=True)
ctypes.CDLL(None).puts(b"from C")
sys.stdout.close()
"""


def test_nothing_that_a_plugin_prints_gets_into_a_json_document(site: Any) -> None:
    site.plugin("noisy", NOISE + "@hookimpl\ndef components():\n    print('a hook')\n    return []\n")
    done = python(site, "-m", "glidepath.registry.cli", "plugins", "--json")
    assert "noisy" in {record["name"] for record in json.loads(done.stdout)["plugins"]}
    assert all(said in done.stderr for said in ("at the end", "from C", "a hook", "thread"))


def test_an_interrupt_while_the_command_is_still_imported_is_told_in_a_line() -> None:
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'attrs': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from glidepath.registry.cli import main\n"
        "sys.exit(main(['list']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "glidepath: interrupted\n")
