"""`glidepath list`: the parts and presets that are installed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.registry.cli.processes import OTHER, python


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
    assert (status, out) == (2, "")
    assert "did you mean 'sampler'?" in err


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


@pytest.mark.parametrize("command", [["list"], ["plugins"], ["show", "ddim"], ["--help"]])
def test_listing_imports_nothing_heavy(acme: Any, command: list[str]) -> None:
    code = """
import sys
from glidepath.registry.cli import main
status = main(sys.argv[1:])
heavy = {"torch", "omegaconf", "yaml", "importlib.metadata", "numpy", "packaging"} & set(sys.modules)
raise SystemExit(f"imported {heavy}" if heavy else status)
"""
    done = python(acme, "-c", code, *command)
    assert done.returncode == 0, done.stderr


PRESET = """
@hookimpl
def components():
    return []

@hookimpl
def presets():
    return [Preset(name="NAME", file=Path(__file__), summary="draws", default=True)]
"""


def test_the_preset_that_commands_use_where_none_is_named_is_marked(site: Any, glidepath: Any) -> None:
    site.plugin("acme", f"from pathlib import Path\n{PRESET.replace('NAME', 'one')}")
    assert "draws (default)" in glidepath("list", "preset")[1]
    site.plugin("beta", f"from pathlib import Path\n{PRESET.replace('NAME', 'two')}")
    assert "(default)" not in glidepath("list", "preset")[1]
    status, _, err = glidepath("sample", "a star")
    assert status == 1
    assert "no spec was named, and several plugins declare a default preset" in err
    assert "allowed: one, two" in err


def test_glidepaths_own_default_preset_counts_before_that_of_others(site: Any, glidepath: Any) -> None:
    site.bundle()
    site.plugin("acme", f"from pathlib import Path\n{PRESET.replace('NAME', 'one')}")
    out = glidepath("list", "preset")[1]
    assert [line.split()[1] for line in out.splitlines() if "(default)" in line] == ["emoji"]
